//! What maintainer scripts would have made, through the public door.

use std::{collections::BTreeMap, sync::Arc};

use debstrata::{
    evidence::lints::scripts::lint,
    generate::{
        Accounts, Package,
        scripts::{Effect, Effects, effects, system_id},
    },
    ground::{RootPath, Source, Spanned},
    manifest::{Dependencies, Generate, Globs, Omission, Tier, load},
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
        self.effects_on("amd64")
    }

    fn effects_on(&self, architecture: &str) -> Effects {
        let packages = [Package { name: &self.name, unpacked: &self.unpacked }];
        effects(&packages, architecture.parse().unwrap(), &self.rootfs, &Accounts::default())
    }

    fn lint(&self, tier: &Tier) -> Vec<String> {
        let findings = lint(tier, &[&*self.name.name].into(), &self.effects().items);
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
        image: Default::default(),
        variants: Vec::new(),
        checks: Default::default(),
        stands_for: None,
        base: None,
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

fn fingerprint(effects: Effects) -> String {
    effects.items.into_iter().find_map(|item| item.fingerprint).expect("a part of the script is left")
}

#[test]
fn a_fingerprint_follows_what_a_script_could_call_and_nothing_else() {
    let print = |script: &str| fingerprint(postinst(script).effects());
    let first = print("make-it /usr/lib/x-1.2 755");
    for same in [
        "# note\nmake-it   /usr/lib/x-13.4 755",
        "if [ -n \"$2\" ]; then other; fi\nmake-it /usr/lib/x-1.2 755",
        "folder=/usr/lib\nf() { make-it \"$1\" 755; }\nf $folder/x-1.2",
        "for name in x-1.2; do make-it /usr/lib/$name 755; done",
    ] {
        assert_eq!(print(same), first, "{same}");
    }
    for other in [
        "make-it /usr/lib/x-1.2 4755",
        "make-it /usr/lib/y-1.2 755",
        "make-it /usr/lib/x-1.2 755; more",
        "f() { make-it \"$1\" 755; }\nf /usr/lib/y",
        "make-it /usr/lib/x-1.2 755; mkdir /x",
        "make-it /usr/lib/x-1.2 755; if [ -e /never ]; then more; fi",
    ] {
        assert_ne!(print(other), first, "{other}");
    }
}

#[test]
fn neither_the_tree_nor_the_architecture_has_a_say_in_a_fingerprint() {
    let script = "#!/bin/sh\nif [ -e /usr/bin/vim ]; then make-it vim; else make-it; fi\n\
                  getent passwd x || adduser --system x\ncommand -v vim || exit 0\nmkdir /srv/x\nlast\n";
    let on = |files: &[(&str, &str)]| fingerprint(world("x", &[("postinst", script)], files).effects());
    assert_eq!(on(&[]), on(&[("/usr/bin/vim", "v"), ("/srv/x", "")]));
    let mut prints = std::collections::BTreeSet::new();
    for (architecture, multiarch, loader) in [
        ("amd64", "x86_64-linux-gnu", "/lib64/ld-linux-x86-64.so.2"),
        ("arm64", "aarch64-linux-gnu", "/lib/ld-linux-aarch64.so.1"),
        ("armhf", "arm-linux-gnueabihf", "/lib/ld-linux-armhf.so.3"),
        ("i386", "i386-linux-gnu", "/lib/ld-linux.so.2"),
        ("ppc64el", "powerpc64le-linux-gnu", "/lib64/ld64.so.2"),
        ("riscv64", "riscv64-linux-gnu", "/lib/ld-linux-riscv64-lp64d.so.1"),
        ("s390x", "s390x-linux-gnu", "/lib/ld64.so.1"),
    ] {
        let script = format!(
            "make-it {architecture} /lib/{multiarch}/x {loader}.real\ncase $(dpkg --print-architecture) in\n\
             amd64|s390x) one;;\nppc64el) two;;\nesac\n[ $DPKG_MAINTSCRIPT_ARCH = arm64 ] || three"
        );
        prints.insert(fingerprint(postinst(&script).effects_on(architecture)));
    }
    assert_eq!(prints.len(), 1);
}

#[test]
fn what_comes_after_a_possible_end_is_not_sure() {
    for (script, made) in [
        ("some-test || exit 0\nmkdir /x", 0),
        ("some-test || exit 1\nmkdir /x", 1),
        ("if some-test; then exit; fi\nmkdir /x", 0),
        ("f() { some-test && return; mkdir /x; }\nf\nmkdir /y", 1),
        ("for i in a b; do some-test && continue; mkdir /$i; done\nmkdir /y", 1),
        ("( exit 0 )\nmkdir /x", 1),
        ("( x=/a )\nmkdir /x$x", 1),
        ("f() { shift; mkdir \"$@\"; }\nf /a /b /c", 2),
        ("f() { some-test && shift; mkdir \"$@\"; }\nf /a /b", 0),
        ("set -- /a /b\nmkdir \"$1\"", 1),
        ("[ $# = 2 ] && mkdir /x", 1),
    ] {
        assert_eq!(postinst(script).effects().entries.len(), made, "{script}");
    }
}

/// Each of these is a megabyte; what matters is that they come to an end, without much memory, and that
/// nothing is made.
#[test]
fn hostile_scripts_come_to_an_end() {
    let many = |text: &str| text.repeat((1 << 20) / text.len() - 1);
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(40_000), close.repeat(40_000));
    let long = "word ".repeat(12_000);
    for (what, script) in [
        ("quotes", many("\"'")),
        ("open quotes", many("\"$(")),
        ("nested substitutions", deep("$(a ", ")")),
        ("nested expansions", deep("${a:-", "}")),
        ("backquotes", many("`")),
        ("nested groups", many("{ ")),
        ("nested subshells", many("(")),
        ("nested cases", many("case x in x) ")),
        ("nested ifs", many("if a; then ")),
        ("nots", many("! ")),
        ("a list of ands", format!("a{}", many(" && a"))),
        ("a list of pipes", format!("a{}", many(" | a"))),
        ("a long test", format!("[ {} x ]", many("! "))),
        ("a test of alternatives", format!("[ a {} ]", many("-o a "))),
        ("functions", many("f() { f; f; }\nf\n")),
        (
            "functions that call each other",
            (0..30).map(|n| format!("f{n}() {{ f{0}; f{0}; }}\n", n + 1)).collect::<String>() + "f0",
        ),
        (
            "a large function, often",
            format!("f() {{ if false; then {}fi; }}\n{}", many("a b c\n"), "f\n".repeat(2_000)),
        ),
        ("deep functions", format!("f() {{ {} f; {} }}\nf", "if a; then ".repeat(35), "fi; ".repeat(35))),
        ("loops", format!("{}a{}", "for i in 1 2 3 4 5 6 7 8 9; do ".repeat(20), "; done".repeat(20))),
        ("loops without end", "while true; do while :; do until false; do mkdir /x; done; done; done".into()),
        ("doubling", format!("x='{long}'\n{}", many("x=\"$x$x\"\n"))),
        ("words of words", format!("x='{long}'\na {}", many("$x "))),
        ("loops over words of words", format!("x='{long}'\nfor i in {}; do a; done", many("$x "))),
        ("long calls in loops", format!("for i in {}; do a '{}'; done", "x ".repeat(9_000), "y".repeat(900_000))),
        ("variables", (0..60_000).map(|n| format!("v{n}=1\n")).collect::<String>() + &many("f\n")[..100_000]),
        ("here-documents", many("<<A ")),
        ("here-documents without end", format!("{}\n", many("a <<A\n"))),
        ("patterns", format!("case {} in {}) ;; esac", "a".repeat(10_000), "*a".repeat(10_000))),
        ("makings", many("mkdir /tmp/x; rmdir /tmp/x\n")),
        ("users", (0..20_000).map(|n| format!("useradd -r u{n}\n")).collect()),
        ("too long", many("a").repeat(3)),
    ] {
        let effects = postinst(&script).effects();
        assert!(effects.entries.len() < 6_000, "{what}");
        assert!(effects.accounts.users.len() < 4_100, "{what}");
        let longest = effects.items.iter().map(|item| item.reason.len()).max();
        assert!(longest.is_none_or(|longest| longest < 2_000), "{what}");
    }
}

#[test]
fn names_from_packages_are_never_printed_raw() {
    let evil = "\u{1b}[31m\u{7}\u{202e}";
    let script = format!("#!/bin/sh\nmake-{evil} {evil}\n# Automatically added by dh_{evil}\nx\n");
    let name = format!("x{evil}");
    let lines = format!("d /x{evil}/%i\nodd {evil}\n");
    let path = format!("/usr/lib/tmpfiles.d/{evil}.conf");
    let sysusers = format!("/usr/lib/sysusers.d/{evil}.conf");
    let world = world(&name, &[("postinst", &script)], &[(&path, &lines), (&sysusers, &format!("u {evil}\n"))]);
    let effects = world.effects();
    assert!(effects.accounts.users.iter().all(|user| !user.name.contains('\u{1b}')));
    let packages = [&*name].into();
    let mut findings = lint(&tier(), &packages, &effects.items);
    let package = Spanned::new(name.clone(), 1..2);
    let allowing = Tier { allow_scripts: vec![Omission { package, reason: "known".into() }], ..tier() };
    findings.extend(lint(&allowing, &[].into(), &[]));
    assert_eq!(findings.len(), 4, "{findings:?}");
    for finding in findings {
        for text in [finding.subject, finding.message, finding.help] {
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
        }
    }
}

#[test]
fn allow_scripts_is_read_with_reasons() {
    let read = |line: &str| {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("manifests/d");
        std::fs::create_dir_all(&folder).unwrap();
        let archive = "architectures = ['amd64']\n[[sources]]\nsuites = ['x']\ncomponents = ['main']\nsnapshot = 'debian'\nallow-unsigned = true\n";
        std::fs::write(folder.join("archive.toml"), archive).unwrap();
        std::fs::write(folder.join("t.toml"), format!("dependencies = 'none'\n{line}\n")).unwrap();
        load(root.path()).map(|loaded| loaded.project.distributions[0].tiers[0].allow_scripts.clone())
    };
    let allowed =
        read("allow-scripts = [{ package = 'a', reason = 'one' }, { package = 'b', reason = 'two' }]").unwrap();
    let shown: Vec<_> = allowed.iter().map(|one| (one.package.value.as_str(), one.reason.as_str())).collect();
    assert_eq!(shown, [("a", "one"), ("b", "two")]);
    for refused in [
        "allow-scripts = ['a']",
        "allow-scripts = [{ package = 'a' }]",
        "allow-scripts = [{ reason = 'one' }]",
        "allow-scripts = [{ package = 'a', reason = '' }]",
        "allow-scripts = [{ package = 'a/../b', reason = 'one' }]",
        "allow-scripts = [{ package = 'a', reason = 'one', script = 'postinst' }]",
        "allow-scripts = [{ package = 'a', reason = 'one' }, { package = 'a', reason = 'two' }]",
        "allow-scripts = true",
    ] {
        assert!(read(refused).is_err(), "{refused}");
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
