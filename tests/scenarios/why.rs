//! `why`: how something came to be in a tier, or what keeps it out.

use std::fs;

use serde_json::{Value, json};

use crate::{
    support::DebBuilder,
    world::{World, package},
};

/// base: files, libc. app on it: git -> libcurl -> libz, mail by a virtual name, an alternative.
fn world() -> World {
    let files = DebBuilder::new("files", "1")
        .symlink("/bin", "usr/bin")
        .file("/etc/motd", 0o644, "base\n")
        .file("/usr/share/man/man1/files.1", 0o644, "m")
        .control_file(
            "postinst",
            "#!/bin/sh\n/usr/bin/maker --out=/etc/made && maker /etc/made\ncp x /etc/made-too.conf\n",
            0o755,
        );
    let shell = DebBuilder::new("shell", "1").file("/bin/sh", 0o755, "s").symlink("/bin/ash", "sh");
    let git = DebBuilder::new("git", "2")
        .depends("libcurl (>= 1), mta, less | pager, perl-base | perl")
        .field("Recommends", "editor")
        .file("/usr/bin/git", 0o755, "g")
        .file("/usr/share/man/man1/git.1", 0o644, "m");
    World::new(
        [
            files,
            shell,
            git,
            package("libcurl", "1").depends("libz"),
            package("libz", "1"),
            package("postfix", "3").provides("mta"),
            package("less", "1"),
            package("pager", "1"),
            package("perl", "5"),
            package("elsewhere", "1"),
            package("editor", "1"),
        ],
        &[
            ("base", "packages = ['files', 'shell']\nglobs.exclude = ['/usr/share/man/**']"),
            (
                "app",
                "parent = 'base'\npackages = [\n  'git',\n]\n\
                 omit = [{ package = 'perl-base', reason = 'perl is not needed' }]\n\
                 [globs.package.git]\ninclude = ['/usr/bin/**']\n\
                 [[files]]\npath = '/etc/motd'\ntext = 'app'\n\
                 [generate.os-release]\nID = 'test'",
            ),
            ("other", "parent = 'app'\npackages = ['nowhere | elsewhere | editor', 'libz']"),
        ],
    )
}

fn asked(world: &World, tier: &str, subject: &str) -> Value {
    world.run(&["why", tier, subject, "--json", "--offline"]).exits(0).json()
}

/// `kind name line` of each link, the line where there is one.
fn chain(why: &Value) -> Vec<String> {
    let link = |link: &Value| {
        assert_eq!(link["file"].is_null(), link["line"].is_null(), "{link}");
        let kind = link["kind"].as_str().unwrap();
        let docs = include_str!("../../docs/why.md");
        assert!(docs.contains(&format!("\n| `{kind}` |")), "docs/why.md lacks {kind}");
        let line = link["line"].as_u64().map(|line| format!(" {line}")).unwrap_or_default();
        format!("{kind} {}{line}", link["name"].as_str().unwrap())
    };
    why["chain"].as_array().unwrap().iter().map(link).collect()
}

fn text(why: &Value) -> String {
    let texts =
        why["chain"].as_array().unwrap().iter().map(|link| &link["text"]).chain(why["notes"].as_array().unwrap());
    texts.chain([&why["answer"]]).map(|text| text.as_str().unwrap().to_owned() + "\n").collect()
}

#[test]
fn packages() {
    let world = world();
    world.run(&["lock"]).exits(0);
    let before = world.snapshot(&["cache/derived"]);
    // Not built yet: the relations are those of the index that `lock` left in the cache.
    for round in 0..2 {
        for (tier, package, present, links, told) in [
            ("app", "git", true, &["wish git 4"][..], &["app wishes for git", "this tier adds it"][..]),
            ("app", "git:amd64", true, &["wish git 4"], &[]),
            ("app", "libz", true, &["wish git 4", "dependency libcurl", "dependency libz"], &["libcurl needs libz"]),
            ("app", "postfix", true, &["wish git 4", "dependency postfix"], &["git needs mta; postfix provides it"]),
            ("app", "less", true, &["wish git 4", "dependency less"], &["less | pager; pager was not taken"]),
            ("app", "files", true, &["wish files 2"], &["from its parent base"]),
            ("app", "mta", false, &["provided postfix", "alternative git", "archive mta"], &["postfix provides it"]),
            (
                "app",
                "pager",
                false,
                &["alternative git", "archive pager"],
                &["which less meets", "the archive has pager 1"],
            ),
            (
                "app",
                "perl-base",
                false,
                &["omission perl-base 6", "unmet git", "archive perl-base"],
                &["app omits it: perl is not needed", "no package called perl-base"],
            ),
            ("app", "elsewhere", false, &["unneeded elsewhere", "archive elsewhere"], &["other tiers have it: other"]),
            (
                "other",
                "elsewhere",
                true,
                &["wish elsewhere 3"],
                &["elsewhere | editor; nowhere comes first there, but is not in this tier; editor was not taken"],
            ),
            // It came with the parent, though this tier wishes for it, too.
            ("other", "libz", true, &["wish git 4", "dependency libcurl", "dependency libz"], &["from its parent app"]),
            ("app", "gti", false, &["unneeded gti", "archive gti"], &["did you mean git?"]),
            ("base", "git", false, &["unneeded git", "archive git"], &["other tiers have it: app"]),
        ] {
            let why = asked(&world, tier, package);
            assert_eq!(
                (&why["present"], chain(&why)),
                (&json!(present), links.iter().map(|link| link.to_string()).collect()),
                "{package}"
            );
            for told in told {
                assert!(text(&why).contains(told), "{package}: {told}: {}", text(&why));
            }
        }
        if round == 0 {
            assert_eq!(world.snapshot(&["cache/derived"]), before, "nothing is written");
            assert_eq!(world.fetched("git"), 0);
            world.build();
            // The .debs say the same, and what they recommend.
            let why = asked(&world, "app", "editor");
            assert_eq!(chain(&why), ["weak git", "unneeded editor", "archive editor"]);
        }
    }
    // Without an index nobody knows what the archive has.
    fs::remove_dir_all(world.path("cache/downloads")).unwrap();
    let why = asked(&world, "app", "gti");
    assert_eq!(chain(&why), ["unneeded gti"]);
    assert!(text(&why).contains("the cache has no index") && text(&why).contains("git is there"), "{}", text(&why));
}

#[test]
fn paths() {
    let world = world();
    world.build();
    let before = world.snapshot(&[]);
    for (tier, path, present, links, told) in [
        ("app", "/usr/bin/git", true, &["wish git 4", "package git"][..], &["a file, 1 B, 0755 0:0", "app has it"][..]),
        ("app", "usr/bin/git/", true, &["wish git 4", "package git"], &[]),
        (
            "app",
            "/bin/sh",
            true,
            &["link /bin -> usr/bin", "wish shell 2", "package shell"],
            &["its parent base has it", "which has it as /bin/sh: merged-usr moves it", "/usr/bin/sh is a file"],
        ),
        ("app", "/usr/bin/ash", true, &["wish shell 2", "package shell"], &["to sh", "it leads to /usr/bin/sh"]),
        (
            "app",
            "/etc/motd",
            true,
            &["wish files 2", "package files", "key files 10"],
            &["app has another by [[files]]"],
        ),
        ("base", "/etc/motd", true, &["wish files 2", "package files"], &[]),
        ("app", "/usr/lib/os-release", true, &["generator os-release 12"], &["from the generator os-release"]),
        (
            "app",
            "/usr/share/libz/",
            true,
            &["wish git 4", "dependency libcurl", "dependency libz", "package libz"],
            &[],
        ),
        (
            "app",
            "/usr/share/man/man1/files.1",
            false,
            &["exclude /usr/share/man/** 3"],
            &["files 1 (amd64) has it, but an exclude of base keeps it out"],
        ),
        (
            "app",
            "/usr/share/man/man1/git.1",
            false,
            &["include git 8"],
            &["no include of [globs.package.git] of app matches it"],
        ),
        ("app", "/etc/made", false, &["script files"], &["the postinst of files names it", "perl-base"]),
        ("app", "/etc/motdd", false, &[], &["no package of this tier ships it", "/etc/motd is there"]),
        ("app", "/usr/sbin/git", false, &[], &["/usr/bin/git is there"]),
        ("app", "/", true, &["wish files 2", "package files"], &[]),
    ] {
        let why = asked(&world, tier, path);
        let links: Vec<_> = links.iter().map(|link| link.to_string()).collect();
        assert_eq!((&why["present"], chain(&why)), (&json!(present), links), "{path}: {why:#}");
        for told in told {
            assert!(text(&why).contains(told), "{path}: {told}: {}", text(&why));
        }
    }
    assert_eq!(world.snapshot(&[]), before, "nothing is written");
    world.run(&["why", "app", "/a/../b"]).exits(2).says(&["no path inside a tier"]);
}

#[test]
fn what_packages_do_to_each_other() {
    let world = World::new(
        [
            DebBuilder::new("old", "1").file("/usr/share/both", 0o644, "old").file("/bin/tool", 0o755, "t"),
            DebBuilder::new("new", "2").field("Replaces", "old (<< 2)").file("/usr/share/both", 0o644, "new"),
        ],
        &[("base", "packages = ['old', 'new']")],
    );
    world.build();
    let why = asked(&world, "base", "/usr/share/both");
    assert_eq!(chain(&why), ["wish new 2", "package new"]);
    assert!(
        text(&why).contains("old 1 (amd64) has one, too, but the one of new 2 (amd64) replaces it"),
        "{}",
        text(&why)
    );
    // No link leads from /bin to /usr/bin: merged-usr alone moved it.
    let why = asked(&world, "base", "/bin/tool");
    assert_eq!(chain(&why), ["merged-usr /usr/bin/tool", "wish old 2", "package old"]);
    assert_eq!(asked(&world, "base", "/usr/bin/tool")["present"], true);
}

#[test]
fn what_people_read() {
    let world = world();
    world.run(&["why", "app", "git"]).exits(2).says(&["there is no lock"]);
    world.run(&["lock"]).exits(0);
    let run = world.run(&["why", "app", "libz"]).exits(0);
    assert_eq!(
        run.stdout,
        "test/app amd64: libz 1 is there, this tier adds it\n  \
         manifests/test/app.toml:4: app wishes for git\n  git needs libcurl (>= 1)\n  libcurl needs libz\n"
    );
    world.run(&["why", "ap", "git"]).exits(2).says(&["\"ap\"", "did you mean app?"]);
    world.run(&["why", "app"]).exits(2);
    // What is not there is an answer, too; nothing was unpacked, so the .debs come over the network.
    let run = world.run(&["why", "app", "/nothing"]).exits(0);
    run.prints(&["test/app amd64: /nothing is not there: no package of this tier ships it"]);
    assert_eq!(world.fetched("git"), 1);
    assert!(!world.path("out").exists());
}

#[test]
fn as_json_it_is_what_scripts_rely_on() {
    let world = world();
    world.run(&["lock"]).exits(0);
    let why = asked(&world, "test/app", "git");
    assert_eq!((&why["subject"], &why["present"], &why["tier"]), (&json!("git"), &json!(true), &json!("test/app")));
    let link = &why["chain"][0];
    assert_eq!(
        (&link["kind"], &link["name"], &link["file"], &link["line"]),
        (&json!("wish"), &json!("git"), &json!("manifests/test/app.toml"), &json!(4))
    );
    // No manifest says so: null, never absent.
    assert_eq!(asked(&world, "app", "libz")["chain"][1]["line"], json!(null));
}
