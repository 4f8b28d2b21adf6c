//! Listings made by hand.

use debstrata::{
    evidence::see::{Account, Item, Kind, Listing, Members, Origin, Owned, Place},
    ground::RootPath,
};

fn item(path: &[u8], kind: Kind, stage: usize, origin: Origin) -> Item {
    let mode = match kind {
        Kind::Directory => 0o755,
        Kind::File { .. } => 0o644,
        Kind::Link(_) => 0o777,
    };
    Item { path: RootPath::from_archive(path).unwrap(), kind, mode, uid: 0, gid: 0, stage, origin }
}

fn file(size: u64) -> Kind {
    Kind::File { size, same_file_as: None }
}

fn place(line: usize) -> Place {
    Place { file: "manifests/test/base.toml".into(), line }
}

fn of(items: Vec<Item>) -> Listing {
    let package = |name: &str, stage, wished| Owned {
        name: name.into(),
        version: "1.0".into(),
        architecture: "amd64".into(),
        stage,
        wished,
    };
    Listing {
        tiers: vec!["base".into(), "top".into()],
        packages: vec![package("base-files", 0, Some(place(2))), package("liblarge1", 1, None)],
        users: vec![Account { name: "root".into(), uid: 0, gid: 0, home: "/root".into(), shell: "/bin/sh".into() }],
        groups: vec![Members { name: "root".into(), gid: 0, members: Vec::new() }],
        items,
    }
}

/// Two tiers: `base` with /etc, `top` with a library.
pub fn small() -> Listing {
    let mut items = vec![
        item(b"", Kind::Directory, 0, Origin::Package(0)),
        item(b"etc", Kind::Directory, 0, Origin::Package(0)),
        item(b"etc/group", file(20), 0, Origin::Generator { name: "group".into(), stage: 0 }),
        item(b"etc/passwd", file(100), 0, Origin::Generator { name: "passwd".into(), stage: 0 }),
        item(b"etc/shadow", file(3), 0, Origin::Manifest { key: "files".into(), place: place(7) }),
        item(b"lib", Kind::Link(b"usr/lib".as_slice().into()), 0, Origin::Package(0)),
        item(b"usr", Kind::Directory, 0, Origin::Implied),
        item(b"usr/lib", Kind::Directory, 1, Origin::Package(1)),
        item(b"usr/lib/a", file(50_000), 1, Origin::Package(1)),
        item(b"usr/lib/b", Kind::File { size: 50_000, same_file_as: Some(8) }, 1, Origin::Package(1)),
        item(b"usr/lib/liblarge.so", Kind::Link(b"liblarge.so.1".as_slice().into()), 1, Origin::Package(1)),
        item(b"usr/lib/liblarge.so.1", file(2_000_000), 1, Origin::Package(1)),
    ];
    items[4].mode = 0o4640;
    items[4].gid = 42;
    of(items)
}

/// Names that would drive a terminal, and some that are no text.
pub fn hostile() -> Listing {
    let names: [&[u8]; 4] = [b"\x1b[2J", b"a\nb", b"\xff\xfe", "\u{202e}exe.txt\u{7}".as_bytes()];
    let mut items = vec![item(b"", Kind::Directory, 0, Origin::Implied)];
    items
        .extend(names.map(|name| item(name, Kind::Link(b"\x1b]0;title\x07".as_slice().into()), 0, Origin::Package(9))));
    items.sort_by(|one, other| one.path.cmp(&other.path));
    let mut listing = of(items);
    listing.tiers[0] = "\u{1b}[31m".into();
    listing.users[0].name = "\u{1b}[0m".into();
    listing
}
