//! What maintainer scripts may do to a tree and what not, over whole chains.

use debstrata::{
    compose::Composed,
    evidence::lints::LINTS,
    generate::scripts::Effect,
    rootfs::{Attributes, Node},
};

use super::build::{Pkg, World, file, path, pkg, user, world};

fn script(name: &str, text: &str) -> Pkg {
    pkg(name).member("postinst", &format!("#!/bin/sh\nset -e\n{text}\n"))
}

fn shown(composed: &Composed, at: &str) -> String {
    let Some(entry) = composed.rootfs.get(&path(at)) else { return "nothing".into() };
    match &entry.node {
        Node::Symlink(target) => format!("-> {}", String::from_utf8_lossy(target)),
        Node::Directory => format!("directory {}", entry.attributes),
        Node::File { content, .. } => {
            let mut bytes = vec![0; content.size as usize];
            content.read_at(0, &mut bytes).unwrap();
            format!("file {} {:?}", entry.attributes, String::from_utf8(bytes).unwrap())
        }
    }
}

fn text(composed: &Composed, at: &str) -> String {
    shown(composed, at).split_once('"').map_or_else(String::new, |(_, text)| text.replace("\\n", "\n").replace('"', ""))
}

fn unhandled(composed: &Composed) -> usize {
    composed.scripts.iter().filter(|item| item.effect == Effect::Unhandled).count()
}

fn declaring(packages: &[Pkg]) -> World {
    world(packages).directory("/srv/own", 0o700, 5).text("/etc/own.conf", "declared").symlink("/srv/link", "/etc")
}

#[test]
fn what_a_manifest_declares_stays_in_its_own_tier_and_in_children() {
    let hostile = "chmod 777 /srv/own /etc/own.conf\nchown 33:33 /srv/own\nrm -rf /srv/own\nln -sfn /tmp /srv/link\n\
                   install -d -m 777 /srv/own\ncp /usr/share/x/evil /etc/own.conf\nln -s /etc /usr/share/x/way\n\
                   mkdir -p /usr/share/x/way/made\ntouch /usr/share/x/way/own.conf\n\
                   install -d -m 777 /srv/link/../own\ndpkg-statoverride --update --add root root 4777 /etc/own.conf";
    let evil = script("evil", hostile)
        .dirs(&["/usr", "/usr/share", "/usr/share/x", "/usr/lib", "/usr/lib/tmpfiles.d"])
        .file("/usr/share/x/evil", "evil")
        .file(
            "/usr/lib/tmpfiles.d/x.conf",
            "d /srv/own 0777 33 33\nf /etc/own.conf 0666 - - - evil\nL /srv/link - - - - /tmp\n",
        );
    let parent = declaring(&[]).compose().unwrap();
    let child = world(std::slice::from_ref(&evil)).compose_on(Some(&parent)).unwrap();
    let same = declaring(&[evil]).compose().unwrap();
    for composed in [same, child] {
        assert_eq!(shown(&composed, "/srv/own"), "directory 0700 5:5");
        assert_eq!(shown(&composed, "/etc/own.conf"), "file 0644 0:0 \"declared\"");
        assert_eq!(shown(&composed, "/srv/link"), "-> /etc");
    }
}

#[test]
fn no_path_leaves_the_tree() {
    let hostile = "mkdir -p /../../tmp/x\nln -s ../../../../.. /up\ntouch /up/up/etc/x\nmkdir ../y\ntouch '/a/../../b'\nmkdir //c";
    let composed = world(&[script("evil", hostile)]).compose().unwrap();
    assert_eq!(shown(&composed, "/up"), "-> ../../../../..");
    let all: Vec<_> = composed.rootfs.entries.keys().map(ToString::to_string).collect();
    assert!(all.iter().all(|path| path.starts_with('/') && !path.contains("..")), "{all:?}");
    assert_eq!(unhandled(&composed), 1);
}

#[test]
fn rights_that_scripts_give_away_are_seen_by_the_lints() {
    let give = "chmod 4755 /usr/bin/a\nchmod a+w /usr/bin/b\nmkdir -m 777 /srv/open\ncp -p /usr/bin/c /usr/bin/d\n\
                umask 0\ntouch /srv/mine\nchmod 2755 /srv/mine";
    let item = |at: &str| format!("/usr/bin/{at}");
    let package = ["a", "b"]
        .iter()
        .fold(script("x", give).dirs(&["/srv", "/usr", "/usr/bin"]), |package, at| package.file(&item(at), "x"));
    let package = package.item("/usr/bin/c", Attributes::new(0o6755, 0, 0), file("x"));
    let lines = "d /srv/wide 0777\nf /srv/bits 4755\n";
    let package = package.dirs(&["/usr/lib", "/usr/lib/tmpfiles.d"]).file("/usr/lib/tmpfiles.d/x.conf", lines);
    let composed = world(&[package]).compose().unwrap();
    let modes = |mask: u16| -> Vec<String> {
        let entries = composed.rootfs.entries.iter().filter(|(_, entry)| !matches!(entry.node, Node::Symlink(_)));
        entries.filter(|(_, entry)| entry.attributes.mode & mask != 0).map(|(path, _)| path.to_string()).collect()
    };
    // The modes lie open in the tree, where privileged-file and world-writable look.
    assert_eq!(modes(0o6000), ["/srv/bits", "/srv/mine", "/usr/bin/a", "/usr/bin/c", "/usr/bin/d"]);
    assert_eq!(modes(0o002), ["/srv/open", "/srv/wide", "/usr/bin/b"]);
    assert!(["privileged-file", "world-writable"].iter().all(|name| LINTS.iter().any(|lint| lint.name == *name)));
}

#[test]
fn accounts_that_are_there_stay_as_they_are() {
    let calls = "useradd --system --uid 0 toor\nadduser --system --uid 0 --group sly\nuseradd -o -u 0 twin\n\
                 adduser --system --home /evil --shell /bin/sh root\nuseradd -r -u 7 -d /evil nobody\n\
                 adduser --system --shell /bin/sh app\nadduser postgres app\nadduser postgres root\n\
                 useradd -r 'a:0:0'\nuseradd -r \"$(printf x)\"\nuseradd -r -- -x\nadduser --system --uid 33 web\n\
                 groupadd -g 0 wheel\nadduser --system postgres";
    let lines = "u zero 0\nu lowest 4294967295\ng none 65535\nu root 0 - /evil /bin/sh\nu app 7\nm app root\nu \"a b\" -\nu ok 700\n";
    let master = "root::0:0:evil:/:/bin/sh\nnobody:*:0:0::/:/bin/sh\nzero2:*:0:0::/:/bin/sh\nfine:*:9:9::/:/bin/sh\n";
    let evil = script("evil", calls)
        .dirs(&["/usr", "/usr/lib", "/usr/lib/sysusers.d"])
        .file("/usr/lib/sysusers.d/x.conf", lines);
    let master = pkg("base-passwd")
        .dirs(&["/usr", "/usr/share", "/usr/share/base-passwd"])
        .file("/usr/share/base-passwd/passwd.master", master);
    let with_accounts = |packages: &[Pkg]| {
        let world = world(packages).user(user("root", 0, Some("/root"), 0o700)).user(user("nobody", 65534, None, 0));
        world.user(user("app", 1000, None, 0)).group("root", 0).group("nobody", 65534).group("app", 1000)
    };
    let parent = with_accounts(&[]).compose().unwrap();
    let packages = [evil, master];
    let child = world(&packages).compose_on(Some(&parent)).unwrap();
    for composed in [with_accounts(&packages).compose().unwrap(), child] {
        let users = text(&composed, "/etc/passwd");
        let declared =
            "root:x:0:0::/root:/sh\nnobody:x:65534:65534::/nonexistent:/sh\napp:x:1000:1000::/nonexistent:/sh\n";
        assert!(users.starts_with(declared), "{users}");
        let zero: Vec<_> = users.lines().filter(|line| line.split(':').nth(2) == Some("0")).collect();
        assert_eq!(zero, ["root:x:0:0::/root:/sh"]);
        let names: Vec<_> = users.lines().skip(3).map(|line| line.split(':').next().unwrap()).collect();
        assert_eq!(names, ["fine", "postgres", "ok"]);
        assert!(text(&composed, "/etc/group").starts_with("root:x:0:\nnobody:x:65534:\napp:x:1000:\n"));
        assert!(unhandled(&composed) == 2, "{:?}", composed.scripts);
    }
}

#[test]
fn the_highest_priority_of_the_chain_wins_and_a_child_turns_the_parents_link() {
    let vi = |name: &str, priority: u32| {
        let call = format!(
            "update-alternatives --install /usr/bin/vi vi /usr/bin/{name} {priority} --slave /usr/bin/view view /usr/bin/{name}-view"
        );
        script(name, &call).dirs(&["/usr", "/usr/bin"]).file(&format!("/usr/bin/{name}"), name)
    };
    let links = |composed: &Composed| ["/usr/bin/vi", "/etc/alternatives/vi"].map(|at| shown(composed, at));
    let to = |name: &str| ["-> /etc/alternatives/vi".to_owned(), format!("-> /usr/bin/{name}")];
    let parent = world(&[vi("tiny", 10), vi("small", 20), vi("equal", 20)]).compose().unwrap();
    assert_eq!(links(&parent), to("small"));
    // A follower that is not there gets no link.
    assert_eq!(shown(&parent, "/usr/bin/view"), "nothing");
    for (priority, winner) in [(5, "small"), (20, "small"), (30, "big")] {
        let child = world(&[vi("big", priority)]).compose_on(Some(&parent)).unwrap();
        assert_eq!(links(&child), to(winner), "{priority}");
    }
    // What is declared is nobody's choice, and a target that is not there is none.
    let declared = world(&[vi("big", 30)]).symlink("/usr/bin/vi", "big").compose_on(None).unwrap();
    assert_eq!(shown(&declared, "/usr/bin/vi"), "-> big");
    let left_out = world(&[vi("big", 30)]).globs(&[], &["/usr/bin/big"]).compose_on(Some(&parent)).unwrap();
    assert_eq!(links(&left_out), to("small"));
}
