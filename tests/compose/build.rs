//! Small packages and tiers in memory, and trees as text.

use std::{collections::BTreeMap, sync::Arc};

use debstrata::{
    compose::{ComposeError, Composed, Composition, Input, compose, read_beside},
    ground::{Failure, RootPath, Sha256, Source, Spanned},
    manifest::{
        Archive, Dependencies, Directory, File, FileContent, Generate, Glob, GlobRule, Globs, Group, Ownership,
        Symlink, Tier, User,
    },
    rootfs::{Attributes, Content, Entry, LinkGroup, Node, Origin, PackageName, Rootfs},
    unpack::{Item, Unpacked},
};

pub fn path(text: &str) -> RootPath {
    RootPath::from_absolute(text.as_bytes()).unwrap()
}

/// A package in the making.
#[derive(Clone)]
pub struct Pkg {
    pub name: PackageName,
    pub unpacked: Unpacked,
}

pub fn pkg(name: &str) -> Pkg {
    let name = PackageName { name: name.into(), version: "1".into(), architecture: "amd64".into() };
    let control = format!("Package: {}\nVersion: 1\n", name.name);
    let unpacked = Unpacked { control: BTreeMap::new(), entries: Vec::new() };
    Pkg { name, unpacked }.member("control", &control)
}

impl std::fmt::Debug for Pkg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = |item: &Item| {
            let entry = Entry { node: item.node.clone(), attributes: item.attributes.clone(), origin: Origin::Implied };
            format!("{} {}", item.path, show(&entry))
        };
        write!(f, "{} ", self.name)?;
        f.debug_list().entries(self.unpacked.entries.iter().map(line)).finish()
    }
}

impl Pkg {
    pub fn item(mut self, at: &str, attributes: Attributes, node: Node) -> Self {
        self.unpacked.entries.push(Item { path: path(at), attributes, node });
        self
    }

    pub fn member(mut self, name: &str, text: &str) -> Self {
        self.unpacked.control.insert(name.into(), text.as_bytes().into());
        self
    }

    pub fn version(mut self, version: &str) -> Self {
        self.name.version = version.into();
        self
    }

    pub fn replaces(self, what: &str) -> Self {
        let control = format!("Package: {}\nReplaces: {what}\nDescription: x\n", self.name.name);
        self.member("control", &control)
    }

    /// Folders 0755 root:root.
    pub fn dirs(self, paths: &[&str]) -> Self {
        paths.iter().fold(self, |pkg, path| pkg.dir(path, 0o755, 0, 0))
    }

    pub fn dir(self, path: &str, mode: u16, uid: u32, gid: u32) -> Self {
        self.item(path, Attributes::new(mode, uid, gid), Node::Directory)
    }

    /// A file 0644 root:root.
    pub fn file(self, path: &str, text: &str) -> Self {
        self.item(path, Attributes::new(0o644, 0, 0), file(text))
    }

    pub fn link(self, path: &str, target: &str) -> Self {
        self.item(path, Attributes::new(0o777, 0, 0), Node::Symlink(target.as_bytes().into()))
    }

    /// One file with several names.
    pub fn hard(self, paths: &[&str], text: &str) -> Self {
        let group = Some(LinkGroup(Sha256::of(format!("{}{}", self.name, paths[0]).as_bytes())));
        paths.iter().fold(self, |pkg, path| {
            let node = Node::File { content: Content::from_bytes(text.as_bytes()), group };
            pkg.item(path, Attributes::new(0o644, 0, 0), node)
        })
    }
}

pub fn file(text: &str) -> Node {
    Node::File { content: Content::from_bytes(text.as_bytes()), group: None }
}

/// A tier in the making; nothing generated, spans made up.
#[derive(Debug, Clone)]
pub struct World {
    pub merged_usr: bool,
    pub tier: Tier,
    pub name: String,
    pub packages: Vec<Pkg>,
}

pub fn world(packages: &[Pkg]) -> World {
    let tier = Tier {
        source: Source::new("manifests/d/t.toml", "0123456789012345678901234567890123456789"),
        name: "t".into(),
        summary: String::new(),
        parent: None,
        packages: Vec::new(),
        dependencies: Dependencies::None,
        omit: Vec::new(),
        allow_missing: Vec::new(),
        allow_scripts: Vec::new(),
        globs: Globs::default(),
        users: Vec::new(),
        groups: Vec::new(),
        directories: Vec::new(),
        symlinks: Vec::new(),
        files: Vec::new(),
        image: Default::default(),
        variants: Vec::new(),
        checks: Default::default(),
        stands_for: None,
        base: None,
        archives: Vec::new(),
        generate: Generate { dpkg_status: false, ..Generate::default() },
    };
    World { merged_usr: false, tier, name: "d/t".into(), packages: packages.to_vec() }
}

pub fn merged(packages: &[Pkg]) -> World {
    World { merged_usr: true, ..world(packages) }
}

fn spanned(at: &str) -> Spanned<RootPath> {
    Spanned::new(path(at), 1..3)
}

pub fn globs(include: &[&str], exclude: &[&str]) -> GlobRule {
    let globs = |texts: &[&str]| texts.iter().map(|text| Spanned::new(Glob((*text).into()), 2..4)).collect();
    GlobRule { include: globs(include), exclude: globs(exclude) }
}

pub fn user(name: &str, id: u32, home: Option<&str>, home_mode: u16) -> User {
    let home = home.map(path);
    User { span: 0..2, name: name.into(), uid: id, gid: id, gecos: "".into(), home, home_mode, shell: "/sh".into() }
}

impl World {
    pub fn globs(mut self, include: &[&str], exclude: &[&str]) -> Self {
        self.tier.globs.tier = globs(include, exclude);
        self
    }

    pub fn package_globs(mut self, package: &str, include: &[&str], exclude: &[&str]) -> Self {
        self.tier.globs.packages.insert(package.into(), Spanned::new(globs(include, exclude), 5..8));
        self
    }

    pub fn directory(mut self, at: &str, mode: u16, uid: u32) -> Self {
        self.tier.directories.push(Directory { path: spanned(at), mode, owner: Ownership { uid, gid: uid } });
        self
    }

    pub fn symlink(mut self, at: &str, target: &str) -> Self {
        self.tier.symlinks.push(Symlink { path: spanned(at), target: target.into() });
        self
    }

    pub fn text(self, at: &str, text: &str) -> Self {
        self.content(at, FileContent::Text(text.into()))
    }

    pub fn content(mut self, at: &str, content: FileContent) -> Self {
        let owner = Ownership { uid: 0, gid: 0 };
        self.tier.files.push(File { path: spanned(at), content, mode: 0o644, owner });
        self
    }

    pub fn user(mut self, user: User) -> Self {
        self.tier.users.push(user);
        self
    }

    pub fn group(mut self, name: &str, gid: u32) -> Self {
        self.tier.groups.push(Group { span: 0..2, name: name.into(), gid, members: Vec::new() });
        self
    }

    pub fn compose(&self) -> Result<Composed, Vec<ComposeError>> {
        self.compose_on(None)
    }

    pub fn compose_on(&self, parent: Option<&Composed>) -> Result<Composed, Vec<ComposeError>> {
        let archive = Archive {
            source: Source::new("manifests/d/archive.toml", ""),
            summary: String::new(),
            architectures: Vec::new(),
            timestamp: 0,
            merged_usr: self.merged_usr,
            sources: Vec::new(),
        };
        let inputs: Vec<_> = self
            .packages
            .iter()
            .map(|pkg| Input { name: Arc::new(pkg.name.clone()), unpacked: &pkg.unpacked })
            .collect();
        let beside = read_beside(&self.tier).unwrap_or_default();
        let composed = compose(&Composition {
            beside: &beside,
            archives: &[],
            archive: &archive,
            tier: &self.tier,
            name: &self.name,
            architecture: "amd64".parse().unwrap(),
            packages: &inputs,
            parent,
        })?;
        assert_eq!(composed.rootfs.first_orphan(), None, "every folder is there");
        Ok(composed)
    }

    pub fn good(&self) -> Composed {
        self.compose().unwrap_or_else(|errors| panic!("{}", messages(&errors).join("\n")))
    }

    pub fn good_on(&self, parent: &Composed) -> Composed {
        self.compose_on(Some(parent)).unwrap_or_else(|errors| panic!("{}", messages(&errors).join("\n")))
    }

    pub fn bad(&self) -> Vec<String> {
        messages(&self.compose().expect_err("must be refused"))
    }

    pub fn bad_on(&self, parent: &Composed) -> Vec<String> {
        messages(&self.compose_on(Some(parent)).expect_err("must be refused"))
    }
}

fn messages(errors: &[ComposeError]) -> Vec<String> {
    for error in errors {
        assert!(miette::Diagnostic::help(error).is_some(), "{error} tells the next step");
        assert!(miette::Diagnostic::code(error).is_some(), "{error} has a code");
        error.class();
    }
    errors.iter().map(ToString::to_string).collect()
}

pub fn remarks(composed: &Composed) -> Vec<String> {
    composed.remarks.iter().map(ToString::to_string).collect()
}

/// The first digits of the SHA-256 of a text.
pub fn sha(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string()[..8].to_owned()
}

pub fn show(entry: &Entry) -> String {
    let attributes = &entry.attributes;
    match &entry.node {
        Node::Directory => format!("dir {attributes}"),
        Node::File { content, .. } => format!("file {attributes} {}", &content.sha256.to_string()[..8]),
        Node::Symlink(target) => {
            format!("link {}:{} {}", attributes.uid, attributes.gid, String::from_utf8_lossy(target))
        }
    }
}

/// The whole tree: path and entry as text.
pub fn tree(rootfs: &Rootfs) -> BTreeMap<String, String> {
    rootfs.entries.iter().map(|(path, entry)| (path.to_string(), show(entry))).collect()
}

/// The tree without folders that are 0755 root:root.
pub fn brief(rootfs: &Rootfs) -> BTreeMap<String, String> {
    tree(rootfs).into_iter().filter(|(_, entry)| entry != "dir 0755 0:0").collect()
}

/// An expected tree; a text that starts with `=` is a file 0644 root:root of what follows.
pub fn expected(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    let entry = |entry: &str| match entry.strip_prefix('=') {
        Some(text) => format!("file 0644 0:0 {}", sha(text)),
        None => entry.to_owned(),
    };
    entries.iter().map(|(path, text)| ((*path).to_owned(), entry(text))).collect()
}
