//! /var/lib/dpkg/status.d, by which scanners know the packages of an image without dpkg: for each
//! package `<name>` is its control file and `<name>.md5sums` its md5sums, both verbatim. A package
//! without md5sums has no second file.
//!
//! Names carry no architecture, so that two architectures of one Multi-Arch: same package would
//! meet: one that is neither the image's architecture nor `all` is called `<name>:<architecture>`,
//! as dpkg calls its files below info/.

use std::sync::Arc;

use super::{GenerateError, Made, Package, Request};
use crate::{ground::RootPath, rootfs::Content};

const FOLDER: &[u8] = b"/var/lib/dpkg/status.d";

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    if !request.wish.dpkg_status {
        return Ok(Vec::new());
    }
    let folder = RootPath::from_absolute(FOLDER).expect("a plain path");
    let mut made = Vec::new();
    for package in request.packages {
        let refuse = |why| GenerateError::Status { package: package.name.to_string(), why };
        let name = file_name(package, request.architecture.name());
        let control = member(package, "control").ok_or_else(|| refuse("it has no control file"))?;
        let files = [Some((name.clone(), control)), member(package, "md5sums").map(|md5| (name + ".md5sums", md5))];
        for (name, bytes) in files.into_iter().flatten() {
            let plain = !name.contains('/') && name != ".." && name != ".";
            let path = folder.join(name.as_bytes()).ok().filter(|_| plain);
            let path = path.ok_or_else(|| refuse("its name is no file name"))?;
            made.push(Made::file(path, Content::from_bytes(bytes)));
        }
    }
    Ok(made)
}

fn member(package: &Package<'_>, name: &str) -> Option<Arc<[u8]>> {
    package.unpacked.control.get(name).cloned()
}

fn file_name(package: &Package<'_>, native: &str) -> String {
    let architecture = &*package.name.architecture;
    if architecture == "all" || architecture == native {
        package.name.name.to_string()
    } else {
        format!("{}:{architecture}", package.name.name)
    }
}
