//! Compiled locales that libc-bin ships below /usr/lib/locale, kept whatever the globs leave of the
//! package. Others are made by localedef(1), which would have to be run.

use super::{GenerateError, Made, Request};
use crate::{ground::RootPath, rootfs::Node};

const FOLDER: &[u8] = b"/usr/lib/locale";

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    let Some(locales) = &request.wish.locales else { return Ok(Vec::new()) };
    let folder = RootPath::from_absolute(FOLDER).expect("a plain path");
    let mut made = Vec::new();
    for locale in locales {
        let refuse = |why: &'static str| GenerateError::NoLocale {
            locale: locale.value.clone(),
            why,
            source_code: request.source.clone(),
            span: locale.span.clone().into(),
        };
        let name = locale.value.as_bytes();
        let plain = !name.contains(&b'/') && ![b"".as_slice(), b".", b".."].contains(&name);
        let Some(at) = folder.join(name).ok().filter(|_| plain) else {
            return Err(refuse("that is no name of a folder"));
        };
        let entries = request.packages.iter().flat_map(|package| &package.unpacked.entries);
        let below: Vec<_> = entries.filter(|item| item.path == at || item.path.below(&at).is_some()).collect();
        if below.is_empty() && request.rootfs.get(&at).is_none() {
            return Err(refuse(match request.packages.iter().any(|package| &*package.name.name == "libc-bin") {
                true => "libc-bin has no such locale, and to compile one localedef would have to be run",
                false => "libc-bin, which has it, is not among the packages of this tier",
            }));
        }
        for item in below {
            if request.rootfs.get(&item.path).is_none() && !matches!(item.node, Node::Directory) {
                let (path, node) = (item.path.clone(), item.node.clone());
                made.push(Made { path, node, attributes: item.attributes.clone() });
            }
        }
    }
    Ok(made)
}
