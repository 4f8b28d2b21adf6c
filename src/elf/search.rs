//! Where the loader looks for a library: ld.so(8) of glibc, for a process without LD_LIBRARY_PATH.

use super::{Abi, Elf};
use crate::ground::{RootPath, follow};

/// The files that a search may find.
pub trait Tree {
    /// The target of the symbolic link at this path (bytes as of a `RootPath`), if there is one.
    fn link(&self, path: &[u8]) -> Option<&[u8]>;
    /// What the loader reads in the regular file at this path, links not followed.
    fn elf(&self, path: &[u8]) -> Option<&Elf>;
}

/// Which folders one loader searches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loader {
    /// What `$LIB` stands for, such as `lib/x86_64-linux-gnu`.
    pub lib: Vec<u8>,
    /// What `$PLATFORM` stands for, such as `x86_64`. The kernel says it, by the processor.
    pub platform: Vec<u8>,
    /// Subfolders of glibc-hwcaps that the processor can use, the best first. Nothing that must run
    /// everywhere can count on one, so there are none by default.
    pub hwcaps: Vec<Vec<u8>>,
    /// Folders of ld.so.cache, that is of ld.so.conf.
    pub configured: Vec<Vec<u8>>,
    /// The folders that are searched in any case.
    pub default: Vec<Vec<u8>>,
}

/// Who asks for a library.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The file.
    pub elf: &'a Elf,
    /// Where the loader opened it: `$ORIGIN` is its folder.
    pub path: &'a RootPath,
    /// Who loaded it, nearest first: their `DT_RPATH` is searched too.
    pub above: &'a [(&'a Elf, &'a RootPath)],
}

/// A library that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where the loader opens it: links of folders are followed, one of the file's own name is not.
    pub path: RootPath,
    /// The file itself.
    pub real: RootPath,
}

impl Loader {
    /// glibc's own for a multiarch tuple such as `x86_64-linux-gnu`, as Debian builds it; with nothing
    /// configured.
    pub fn of(multiarch: &str) -> Self {
        let triplet = multiarch.as_bytes();
        let platform = match multiarch.split('-').next().unwrap_or_default() {
            "powerpc64le" => "power8",
            "s390x" => "z196",
            "arm" => "v7l",
            // AT_PLATFORM of x86-64, AArch64 and the others is the machine's name.
            machine => machine,
        };
        let default = [[b"/lib/", triplet].concat(), [b"/usr/lib/", triplet].concat()];
        Self {
            lib: [b"lib/", triplet].concat(),
            platform: platform.as_bytes().to_vec(),
            hwcaps: Vec::new(),
            configured: Vec::new(),
            default: default.into_iter().chain([b"/lib".to_vec(), b"/usr/lib".to_vec()]).collect(),
        }
    }

    /// Finds what the loader would load for a name of `DT_NEEDED`, or of dlopen. The order is
    /// `DT_RPATH` of the asker and of those above it (unless the asker has a `DT_RUNPATH`),
    /// `DT_RUNPATH`, ld.so.cache, the default folders. Files for another machine are passed over.
    pub fn search(&self, tree: &impl Tree, asker: &Asker<'_>, name: &[u8]) -> Option<Found> {
        if name.contains(&b'/') {
            let path = self.expand(name, asker.path)?;
            return open(tree, &path, asker.elf.abi);
        }
        let mut folders: Vec<Vec<u8>> = Vec::new();
        if asker.elf.runpath.is_none() {
            for (elf, path) in [(asker.elf, asker.path)].into_iter().chain(asker.above.iter().copied()) {
                let own = elf.rpath.as_deref().filter(|_| elf.runpath.is_none());
                folders.extend(self.list(own.unwrap_or_default(), path));
            }
        }
        folders.extend(self.list(asker.elf.runpath.as_deref().unwrap_or_default(), asker.path));
        folders.extend(self.configured.iter().cloned());
        if !asker.elf.no_default_libraries {
            folders.extend(self.default.iter().cloned());
        }
        folders.iter().find_map(|folder| self.folder(tree, folder, name, asker.elf.abi))
    }

    fn folder(&self, tree: &impl Tree, folder: &[u8], name: &[u8], abi: Abi) -> Option<Found> {
        let better = self.hwcaps.iter().map(|level| [folder, b"/glibc-hwcaps/", level, b"/", name].concat());
        let all = better.chain([[folder, b"/", name].concat()]);
        all.into_iter().find_map(|path| open(tree, &path, abi))
    }

    /// The folders of a list with colons. An empty one is the current folder, which nobody knows.
    fn list(&self, list: &[u8], file: &RootPath) -> Vec<Vec<u8>> {
        let folders = list.split(|byte| *byte == b':').filter(|folder| !folder.is_empty());
        folders.filter_map(|folder| self.expand(folder, file)).collect()
    }

    /// A path with its `$ORIGIN`, `${LIB}` ... replaced; `None` where it is relative, or has a token
    /// that nobody knows.
    fn expand(&self, text: &[u8], file: &RootPath) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
            let (before, token) = rest.split_at(at);
            out.extend_from_slice(before);
            let names = [(b"ORIGIN".as_slice(), None), (b"LIB", Some(&self.lib)), (b"PLATFORM", Some(&self.platform))];
            let (value, after) = names.into_iter().find_map(|(name, value)| {
                let braced = [b"${", name, b"}"].concat();
                let plain = [b"$", name].concat();
                let word =
                    |rest: &&[u8]| !rest.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
                let after = token.strip_prefix(&*braced).or_else(|| token.strip_prefix(&*plain).filter(word))?;
                Some((value, after))
            })?;
            match value {
                Some(value) => out.extend_from_slice(value),
                None => {
                    let folder = file.parent().unwrap_or_default();
                    out.push(b'/');
                    out.extend_from_slice(folder.as_bytes());
                }
            }
            rest = after;
        }
        out.extend_from_slice(rest);
        out.starts_with(b"/").then_some(out)
    }
}

fn open(tree: &impl Tree, path: &[u8], abi: Abi) -> Option<Found> {
    let real = follow(path, true, |path| tree.link(path)).ok()?;
    let fits = |elf: &&Elf| elf.kind == super::Kind::Shared && loads(abi, elf.abi);
    tree.elf(&real).filter(fits)?;
    let opened = follow(path, false, |path| tree.link(path)).ok()?;
    Some(Found { path: RootPath::from_archive(&opened).ok()?, real: RootPath::from_archive(&real).ok()? })
}

/// Whether a library can be loaded into such a process.
fn loads(process: Abi, library: Abi) -> bool {
    // A file without a word on floating point arguments passes none.
    let agree = process.convention == library.convention || process.convention == 0 || library.convention == 0;
    agree && Abi { convention: 0, ..process } == Abi { convention: 0, ..library }
}
