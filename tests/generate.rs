//! What maintainer scripts would have made, through the public door.

use std::{collections::BTreeMap, sync::Arc};

use debstrata::{
    evidence::lints::scripts::lint,
    generate::{
        Accounts, Package,
        scripts::{Effect, Effects, effects, system_id},
    },
    ground::{RootPath, Source, Spanned},
    manifest::{Dependencies, Generate, Globs, Omission, Tier},
    rootfs::{Attributes, Content, Entry, Node, Origin, PackageName, Rootfs},
    unpack::{Item, Unpacked},
};

fn path(text: &str) -> RootPath {
    RootPath::from_absolute(text.as_bytes()).unwrap()
}

fn file(name: &str, text: &str) -> Item {
    let node = Node::File { content: Content::from_bytes(text.as_bytes()), group: None };
    Item { path: path(name), attributes: Attributes::new(0o644, 0, 0), node }
}

struct World {
    name: PackageName,
    unpacked: Unpacked,
    rootfs: Rootfs,
}

fn world(name: &str, members: &[(&str, &str)], files: &[(&str, &str)]) -> World {
    let name = PackageName { name: name.into(), version: "1".into(), architecture: "amd64".into() };
    let control: BTreeMap<Box<str>, Arc<[u8]>> =
        members.iter().map(|(name, text)| ((*name).into(), text.as_bytes().into())).collect();
    let entries: Vec<_> = files.iter().map(|(name, text)| file(name, text)).collect();
    let origin = Origin::Package(Arc::new(name.clone()));
    let entry = |item: &Item| {
        let (node, attributes) = (item.node.clone(), item.attributes.clone());
        (item.path.clone(), Entry { node, attributes, origin: origin.clone() })
    };
    let rootfs = Rootfs { entries: entries.iter().map(entry).collect() };
    World { name, unpacked: Unpacked { control, entries }, rootfs }
}

impl World {
    fn effects(&self) -> Effects {
        let packages = [Package { name: &self.name, unpacked: &self.unpacked }];
        effects(&packages, "amd64".parse().unwrap(), &self.rootfs, &Accounts::default())
    }

    fn lint(&self, tier: &Tier) -> Vec<String> {
        let packages = [Package { name: &self.name, unpacked: &self.unpacked }];
        let findings = lint(tier, "amd64".parse().unwrap(), &packages, &self.rootfs, &Accounts::default());
        findings.into_iter().map(|finding| format!("{}: {}", finding.subject, finding.message)).collect()
    }
}

fn postinst(text: &str) -> World {
    let files = [("/usr/bin/vim", "v"), ("/usr/share/x/default", "text"), ("/usr/bin/tool", "t")];
    world("x", &[("postinst", &format!("#!/bin/sh\nset -e\n{text}\n"))], &files)
}

fn tier() -> Tier {
    Tier {
        source: Source::new("t.toml", ""),
        name: "t".into(),
        summary: String::new(),
        parent: None,
        packages: Vec::new(),
        dependencies: Dependencies::None,
        omit: Vec::new(),
        allow_missing: Vec::new(),
        archives: Vec::new(),
        checks: Default::default(),
        allow_scripts: Vec::new(),
        globs: Globs::default(),
        users: Vec::new(),
        groups: Vec::new(),
        directories: Vec::new(),
        symlinks: Vec::new(),
        files: Vec::new(),
        generate: Generate::default(),
    }
}

#[test]
fn calls_of_scripts_become_entries() {
    for (script, expected) in [
        ("mkdir -p -m 700 /var/lib/x", "/var/lib/x a directory 0700 0:0"),
        ("[ -d /etc/x ] || mkdir /etc/x", "/etc/x a directory 0755 0:0"),
        ("install -d -m 2750 -o www-data -g adm /var/log/x", "/var/log/x a directory 2750 33:4"),
        ("ln -s ../x /etc/y", "/etc/y a symbolic link 0777 0:0"),
        ("[ -e /etc/x ] || cp -p /usr/share/x/default /etc/x", "/etc/x a file 0644 0:0"),
        ("ucf --three-way /usr/share/x/default /etc/x", "/etc/x a file 0644 0:0"),
        ("umask 077; touch /etc/x", "/etc/x a file 0600 0:0"),
        ("chmod 4755 /usr/bin/tool", "/usr/bin/tool a file 4755 0:0"),
        ("chmod u+s,go-r /usr/bin/tool", "/usr/bin/tool a file 4600 0:0"),
        (
            "dpkg-statoverride --list /usr/bin/tool || dpkg-statoverride --update --add root mail 2755 /usr/bin/tool",
            "/usr/bin/tool a file 2755 0:8",
        ),
        ("mkdir -m 2750 /var/x; chown root:adm /var/x", "/var/x a directory 2750 0:4"),
        ("mkdir /var/x; chown www-data: /var/x", "/var/x a directory 0755 33:33"),
        ("chmod 4755 /usr/bin/tool; chown root:adm /usr/bin/tool", "/usr/bin/tool a file 0755 0:4"),
        ("touch /etc/x; rm -f /etc/x", ""),
        ("if [ \"$1\" = upgrade ]; then mkdir /etc/x; fi", ""),
    ] {
        let effects = postinst(script).effects();
        let made: Vec<_> = effects
            .entries
            .iter()
            .map(|made| format!("{} {} {}", made.path, made.node.kind(), made.attributes))
            .collect();
        assert_eq!(made.join("\n"), expected, "{script}");
        assert!(effects.items.iter().all(|item| item.effect != Effect::Unhandled), "{script}: {:?}", effects.items);
    }
}

#[test]
fn what_cannot_be_told_is_made_by_nobody_and_said() {
    for script in [
        "mkdir $(cat /etc/y)",
        "if some-program; then mkdir /etc/x; fi",
        "rm -f /usr/bin/tool",
        "chmod -R 755 /usr",
        "echo x > /etc/x",
        "update-alternatives --install /usr/bin/editor editor $(which vim) 10",
        "useradd person",
        "make-something",
        "if true",
        "# Automatically added by dh_installsystemd/13\nmake-something",
        "mkdir /x/../../y",
        "ln -s x /../y",
        "chmod 777 /",
        "update-alternatives --install / x /usr/bin/vim 10",
        "update-alternatives --install /etc x /usr/bin/vim 10",
        "update-alternatives --install /etc/alternatives/x x /usr/bin/vim 10",
        "update-alternatives --install /usr/bin/x .. /usr/bin/vim 10",
        "update-alternatives --install /usr/bin/x ../x /usr/bin/vim 10",
        "update-alternatives --install /usr/bin/x 'a\nb' /usr/bin/vim 10",
        "adduser --system --uid 0 toor",
        "addgroup --system --gid 0 toor",
        "adduser --system 'a b'",
        "adduser --system a/b",
        "adduser --system 1000",
        "adduser --system --home /a/../../etc a",
    ] {
        let effects = postinst(script).effects();
        assert!(effects.entries.is_empty() && effects.choices.is_empty(), "{script}");
        let unhandled = effects.items.iter().filter(|item| item.effect == Effect::Unhandled);
        assert!(unhandled.clone().count() == 1 && unhandled.clone().all(|item| item.fingerprint.is_some()), "{script}");
    }
    let perl = world("x", &[("postinst", "#!/usr/bin/perl\nmkdir '/x';\n")], &[]).effects();
    assert_eq!(perl.items.iter().map(|item| item.effect).collect::<Vec<_>>(), [Effect::Unhandled]);
}

#[test]
fn a_fingerprint_follows_what_a_script_calls_and_nothing_else() {
    let fingerprint = |script: &str| postinst(script).effects().items.pop().unwrap().fingerprint.unwrap();
    let first = fingerprint("make-it /usr/lib/x-1.2 755");
    for same in
        ["# note\nmake-it   /usr/lib/x-13.4 755", "if [ -n \"$2\" ]; then other; fi\nmake-it /usr/lib/x-1.2 755"]
    {
        assert_eq!(fingerprint(same), first, "{same}");
    }
    for other in ["make-it /usr/lib/x-1.2 4755", "make-it /usr/lib/y-1.2 755", "make-it /usr/lib/x-1.2 755; more"] {
        assert_ne!(fingerprint(other), first, "{other}");
    }
}

#[test]
fn accounts_have_numbers_of_their_own() {
    let id = |name: &str| system_id(name, |_| false).unwrap();
    assert_eq!([id("messagebus"), id("redis"), id("postgres")], [942, 335, 184], "promised in docs/scripts.md");
    assert_eq!(system_id("redis", |id| id == 335), Some(336));
    assert_eq!(system_id("redis", |_| true), None);
    let sysusers = "u redis - \"A store\" /var/lib/redis\ng spare 450\nm redis spare\n# note\n";
    let world = world(
        "x",
        &[("postinst", "#!/bin/sh\nadduser --system --group --home /srv --no-create-home --gecos Some postgres\n")],
        &[("/usr/lib/sysusers.d/x.conf", sysusers)],
    );
    let accounts = world.effects().accounts;
    let users: Vec<_> =
        accounts.users.iter().map(|user| format!("{} {} {} {}", user.name, user.uid, user.gid, user.gecos)).collect();
    assert_eq!(users, ["root 0 0 root", "postgres 184 184 Some", "redis 335 335 A store"]);
    let groups: Vec<_> =
        accounts.groups.iter().map(|group| format!("{} {} {:?}", group.name, group.gid, group.members)).collect();
    assert_eq!(groups, ["root 0 []", "postgres 184 []", "redis 335 []", "spare 450 [\"redis\"]"]);
}

#[test]
fn no_package_makes_a_second_root_or_another_one() {
    let sysusers = "u root 4242 - /tmp /bin/bash\nu toor 0\ng wheel 0\nu x/y 5\nu \"a b\" 6\nu www-data 7\n";
    let script = "#!/bin/sh\nuseradd --system --uid 0 toor\nadduser --system --uid 77 root\nadduser --system me\n";
    let effects = world("x", &[("postinst", script)], &[("/usr/lib/sysusers.d/x.conf", sysusers)]).effects();
    let users = effects.accounts.users.iter().map(|user| format!("{} {} {}", user.name, user.uid, user.gid));
    let me = format!("me {} 65534", system_id("me", |_| false).unwrap());
    assert_eq!(users.collect::<Vec<_>>(), ["root 0 0".to_owned(), me, "www-data 33 33".to_owned()]);
    let groups = effects.accounts.groups.iter().map(|group| format!("{} {}", group.name, group.gid));
    assert_eq!(groups.collect::<Vec<_>>(), ["root 0", "nogroup 65534", "www-data 33"]);
    let unhandled: Vec<_> = effects.items.iter().filter(|item| item.effect == Effect::Unhandled).collect();
    assert_eq!(unhandled.len(), 2, "{unhandled:?}");
}

#[test]
fn the_lint_accepts_what_is_allowed_and_tells_of_idle_entries() {
    let world = postinst("make-something");
    let told = world.lint(&tier());
    assert!(told.len() == 1 && told[0].starts_with("x: postinst ("), "{told:?}");
    let allow = |package: &str| {
        let package = Spanned::new(package.to_owned(), 1..2);
        Tier { allow_scripts: vec![Omission { package, reason: "known".into() }], ..tier() }
    };
    assert_eq!(world.lint(&allow("x")), [""; 0]);
    let told = world.lint(&allow("y"));
    assert!(told.len() == 2 && told[1].starts_with("y: allow-scripts"), "{told:?}");
    let off = Tier { generate: Generate { scripts: false, ..Generate::default() }, ..tier() };
    let told = postinst("mkdir /etc/x").lint(&off);
    assert!(told.len() == 1 && told[0].contains("generate.scripts is off"), "{told:?}");
}
