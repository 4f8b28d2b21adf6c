//! `[[archives]]`: tarballs by hash in a tier.

use std::fs;

use debstrata::ground::Sha256;

use crate::{
    support::{
        Compression, Fault, Server,
        deb::{end, entry},
    },
    world::{World, package},
};

/// A tarball as a program's makers would pack it, below one folder, owned by who made it.
fn app() -> Vec<u8> {
    let mut tar = Vec::new();
    let mut add = |name: &str, kind, mode, link: &str, content: &[u8]| {
        entry(&mut tar, name.as_bytes(), kind, mode, (1000, 1000), link.as_bytes(), content);
    };
    add("app-1.0/", b'5', 0o775, "", b"");
    add("app-1.0/bin/", b'5', 0o700, "", b"");
    add("app-1.0/bin/app", b'0', 0o4750, "", b"app");
    add("app-1.0/bin/same", b'1', 0o4750, "app-1.0/bin/app", b"");
    add("app-1.0/bin/link", b'2', 0o777, "app", b"");
    add("app-1.0/share/doc/readme", b'0', 0o640, "", b"read me");
    add("app-1.0/empty/", b'5', 0o1777, "", b"");
    end(tar)
}

/// A world with hello in its tier, a tarball beside the manifest as `app.tar`, and `[[archives]]` of it.
fn world(tar: &[u8], lines: &str) -> World {
    let world = World::new([package("hello", "1.0")], &[]);
    world.project.write("app.tar", tar);
    tier(&world, tar, &format!("uris = ['app.tar']\n{lines}"));
    world
}

fn tier(world: &World, tar: &[u8], lines: &str) {
    let sha256 = Sha256::of(tar);
    world.tier("base", &format!("packages = ['hello']\n[[archives]]\nsha256 = '{sha256}'\n{lines}"));
}

#[test]
fn a_tarball_becomes_part_of_the_tier() {
    for compression in [Compression::None, Compression::Gz, Compression::Xz, Compression::Zst, Compression::Bz2] {
        let tar = compression.compress(&app());
        let world = world(&tar, "strip-components = 1\nprefix = '/opt/app'\nexclude = ['/opt/app/share/**']");
        world.build().silent_on(&["warning"]);
        let layer = world.layer("base");
        let found: Vec<_> = layer.iter().filter(|(path, _)| path.contains("opt")).collect();
        let expected = [
            ("opt/", "dir 0755 0:0"),
            ("opt/app/", "dir 0755 0:0"),
            ("opt/app/bin/", "dir 0700 0:0"),
            ("opt/app/bin/app", "file 4750 0:0 app"),
            ("opt/app/bin/link", "link -> app"),
            ("opt/app/bin/same", "hardlink -> opt/app/bin/app"),
            ("opt/app/empty/", "dir 1777 0:0"),
        ];
        let found: Vec<_> = found.iter().map(|(path, entry)| (path.as_str(), entry.as_str())).collect();
        assert_eq!(found, expected);
        // It is in the cache by its digest, and nowhere in the lock but in recipe and diff-id.
        let sha256 = Sha256::of(&tar).to_string();
        assert!(world.path(&format!("cache/downloads/{}/{sha256}", &sha256[..2])).exists());
        assert!(!world.lock().contains(&sha256));
        world.run(&["audit"]).exits(0);
        fs::remove_file(world.project.file("app.tar")).unwrap();
        fs::remove_dir_all(world.path("cache/derived")).unwrap();
        fs::remove_dir_all(world.path("out")).unwrap();
        world.run(&["build", "--locked", "--offline"]).exits(0);
        assert_eq!(world.layer("base"), layer);
    }
}

#[test]
fn its_bytes_and_places_are_part_of_the_recipe() {
    let world = world(&app(), "prefix = '/opt'");
    world.build();
    let recipe = |world: &World| {
        let lock = world.lock();
        lock.lines().find(|line| line.starts_with("base = ")).unwrap().to_owned()
    };
    let before = recipe(&world);
    // Where it comes from is not.
    fs::rename(world.project.file("app.tar"), world.project.file("moved.tar")).unwrap();
    world.edit("base.toml", "'app.tar'", "'nothing.tar', 'moved.tar'");
    world.run(&["build", "--locked"]).exits(0);
    world.edit("base.toml", "'/opt'", "'/srv'");
    world.run(&["build", "--locked"]).exits(2).says(&["records other layers"]);
    world.build();
    assert_ne!(recipe(&world), before);
    assert!(world.layer("base").contains_key("srv/app-1.0/bin/app"));
}

#[test]
fn it_comes_from_the_first_place_that_has_it() {
    let tar = Compression::Gz.compress(&app());
    let world = world(&tar, "");
    let server = Server::start();
    server.put("/other.tar.gz", b"other".to_vec());
    server.put("/app.tar.gz", tar.clone());
    server.put("/chunked.tar.gz", tar.clone());
    server.always("/busy.tar.gz", Fault::Status(500));
    let url = server.url();
    let forget = || {
        let _ = fs::remove_dir_all(world.path("cache/downloads"));
        fs::remove_dir_all(world.path("cache/derived")).unwrap();
    };
    tier(
        &world,
        &tar,
        &format!("uris = ['no.tar', '{url}/gone', '{url}/other.tar.gz', '{url}/busy.tar.gz', '{url}/app.tar.gz']"),
    );
    world.run(&["build", "--offline"]).exits(3);
    world.build();
    // Broken off, it is taken up; offline, it is there.
    forget();
    tier(&world, &tar, &format!("uris = ['{url}/app.tar.gz']"));
    server.fault("/app.tar.gz", Fault::Truncate(0));
    server.fault("/app.tar.gz", Fault::Truncate(100));
    world.build();
    world.run(&["build", "--locked", "--offline"]).exits(0);
    forget();
    world.run(&["lock", "--upgrade"]).exits(0);
    world.run(&["audit", "--offline"]).exits(3).says(&["--offline forbids"]);
    // A file: URI and a path beside the manifest need no network.
    world.build();
    fs::remove_dir_all(world.path("cache/derived")).unwrap();
    let sha256 = Sha256::of(&tar).to_string();
    fs::remove_file(world.path(&format!("cache/downloads/{}/{sha256}", &sha256[..2]))).unwrap();
    let path = world.project.file("app.tar");
    tier(&world, &tar, &format!("uris = ['{url}/app.tar.gz', 'file://{}']", path.display()));
    world.run(&["audit"]).exits(0);
}

#[test]
fn a_body_of_unknown_length_is_bounded() {
    let tar = Compression::Gz.compress(&app());
    let world = world(&tar, "");
    let server = Server::start();
    server.put("/app", tar.clone());
    server.always("/endless", Fault::Endless);
    tier(&world, &tar, &format!("size = '64 KiB'\nuris = ['{}/endless']", server.url()));
    world.run(&["build"]).exits(2).says(&["/endless: has more than the 65536 bytes allowed"]);
    tier(&world, &tar, &format!("size = '10 B'\nuris = ['{}/app', 'app.tar']", server.url()));
    world.run(&["build"]).exits(2).says(&["/app: has more than the 10 bytes allowed", "app.tar: has more than"]);
    tier(&world, &tar, &format!("size = '1 MB'\nuris = ['{}/endless', '{}/app']", server.url(), server.url()));
    world.build();
}

#[test]
fn conflicts_follow_the_rules_of_declared_entries() {
    let one = |name: &str, kind: u8, content: &str| {
        let mut tar = Vec::new();
        entry(&mut tar, b"usr/", b'5', 0o700, (0, 0), b"", &[]);
        entry(&mut tar, name.as_bytes(), kind, 0o644, (0, 0), b"", content.as_bytes());
        end(tar)
    };
    // Its file settles a conflict, a folder that is there stays as it is.
    let file = "usr/share/hello/file";
    let world = self::world(&one(file, b'0', "ours"), "");
    world.build();
    let layer = world.layer("base");
    assert_eq!((&*layer[file], &*layer["usr/"]), ("file 0644 0:0 ours", "dir 0755 0:0"));
    // merged /usr counts for it.
    let world = self::world(&one("bin/tool", b'0', "tool"), "");
    world.build();
    assert_eq!(world.layer("base")["usr/bin/tool"], "file 0644 0:0 tool");
    // It changes no kind of thing, and declares nothing that is declared.
    let world = self::world(&one("usr/share/hello", b'0', "a file"), "");
    world.run(&["build"]).exits(2).says(&["/usr/share/hello", "[[archives]]", "a directory in the package hello"]);
    let world = self::world(&one("etc/x", b'0', "x"), "[[files]]\npath = '/etc/x'\ntext = ''");
    world.run(&["build"]).exits(2).says(&["/etc/x", "[[files]]", "[[archives]]"]);
    let world = self::world(&one("etc/x/", b'5', ""), "[[directories]]\npath = '/etc/x'\nmode = 0o711");
    world.build();
    assert_eq!(world.layer("base")["etc/x/"], "dir 0711 0:0");
}

#[test]
fn the_same_tarball_at_two_places_shares_no_files() {
    let tar = app();
    let world = world(&tar, "strip-components = 1\nprefix = '/a'");
    let again = format!(
        "\n[[archives]]\nsha256 = '{}'\nuris = ['app.tar']\nstrip-components = 1\nprefix = '/b'",
        Sha256::of(&tar)
    );
    let text = fs::read_to_string(world.project.file("base.toml")).unwrap();
    world.project.write("base.toml", text + &again);
    world.build();
    let layer = world.layer("base");
    assert_eq!(layer["b/bin/app"], "file 4750 0:0 app");
    assert_eq!((&*layer["a/bin/same"], &*layer["b/bin/same"]), ("hardlink -> a/bin/app", "hardlink -> b/bin/app"));
    world.edit("base.toml", "'/b'", "'/a'");
    let run = world.run(&["build"]).exits(2).says(&["/a/bin/app", "[[archives]]"]);
    // One stands for all of them.
    assert_eq!(run.stderr.matches("debstrata::compose").count(), 1, "{}", run.stderr);
}

#[test]
fn what_is_kept_of_it() {
    let world = world(&app(), "strip-components = 1\ninclude = ['/usr/bin/**', '/nothing']");
    world.build().says(&["the include \"/nothing\" matches nothing"]);
    let layer = world.layer("base");
    // Globs match final paths: the tier's /bin is /usr/bin.
    assert_eq!(layer["usr/bin/app"], "file 4750 0:0 app");
    assert!(!layer.keys().any(|path| path.contains("empty") || path.contains("readme")));
    world.edit("base.toml", "strip-components = 1", "strip-components = 9");
    world.build().says(&["an archive puts nothing into the tier"]);
}

#[test]
fn tarballs_that_no_layer_may_hold() {
    let one = |name: &str, kind: u8, link: &str| {
        let mut tar = Vec::new();
        entry(&mut tar, name.as_bytes(), kind, 0o644, (0, 0), link.as_bytes(), &[]);
        end(tar)
    };
    let mut through = Vec::new();
    entry(&mut through, b"a", b'2', 0o777, (0, 0), b"/etc", &[]);
    entry(&mut through, b"a/passwd", b'0', 0o644, (0, 0), b"", b"x");
    for (tar, says) in [
        (one("../etc/passwd", b'0', ""), "../etc/passwd"),
        (one("a/../../b", b'0', ""), "a/../../b"),
        (one("dev/null", b'3', ""), "it is a character device"),
        (one("dev/sda", b'4', ""), "it is a block device"),
        (one("pipe", b'6', ""), "it is a named pipe"),
        (one("link", b'1', "/etc/passwd"), "link: it is a hard link to"),
        (one("etc/.wh.passwd", b'0', ""), "a whiteout"),
        (end(through), "its name leads through"),
        (b"no tarball at all, but longer than a block would be".repeat(20), "app.tar"),
        (b"\x1f\x8bno gzip".to_vec(), "cannot be unpacked"),
        (app()[..1000].to_vec(), "cannot be unpacked"),
    ] {
        let world = world(&tar, "");
        let before = world.snapshot(&["cache", "manifests/test/debstrata.lock"]);
        world.run(&["build"]).exits(2).says(&["/base", says]);
        assert_eq!(world.snapshot(&["cache", "manifests/test/debstrata.lock"]), before);
    }
}

#[test]
fn keys_of_archives() {
    let world = world(&app(), "");
    let sha256 = "0".repeat(64);
    for (lines, says) in [
        ("uris = ['x']\nsha256 = 'abc'", "`sha256` is no SHA-256"),
        ("uris = ['x']", "needs `sha256`"),
        (&*format!("sha256 = '{sha256}'"), "needs `uris`"),
        (&*format!("sha256 = '{sha256}'\nuris = []"), "`uris` is empty"),
        (&*format!("sha256 = '{sha256}'\nuris = ['/x.tar']"), "neither a URI nor a relative path"),
        (&*format!("sha256 = '{sha256}'\nuris = ['ftp://x/y']"), "an entry of `uris` is no mirror"),
        (&*format!("sha256 = '{sha256}'\nuris = ['https://u:p@x/y']"), "a password does not belong into a manifest"),
        (
            &*format!("sha256 = '{sha256}'\nuris = ['x']\nstrip-components = -1"),
            "`strip-components` is less than nothing",
        ),
        (&*format!("sha256 = '{sha256}'\nuris = ['x']\ninclude = ['x']"), "the glob is relative"),
    ] {
        world.tier("base", &format!("[[archives]]\n{lines}"));
        world.run(&["build"]).exits(2).says(&["base.toml", says]);
    }
    world.tier("base", &format!("[[archives]]\nuris = ['app.tar', 'gone.tar']\nsha256 = '{sha256}'"));
    world.run(&["build"]).exits(2).says(&[
        "app.tar of test/base cannot be had",
        "app.tar: has other bytes than `sha256` says",
        "gone.tar: no such file",
    ]);
}

#[test]
fn a_damaged_cache_is_had_anew() {
    let world = world(&app(), "prefix = '/opt'");
    world.build();
    let layer = world.layer("base");
    let sha256 = Sha256::of(&app()).to_string();
    let download = world.path(&format!("cache/downloads/{}/{sha256}", &sha256[..2]));
    fs::write(&download, vec![0; app().len()]).unwrap();
    for spool in crate::world::files(&world.path("cache/derived")) {
        fs::write(&spool, vec![0; fs::metadata(&spool).unwrap().len() as usize]).unwrap();
    }
    fs::remove_dir_all(world.path("out")).unwrap();
    world.build();
    assert_eq!(world.layer("base"), layer);
}

#[test]
fn a_program_of_the_user_s_own() {
    let world = World::new([package("hello", "1.0")], &[]);
    fs::create_dir_all(world.path("target/release")).unwrap();
    fs::write(world.path("target/release/app"), "program").unwrap();
    world.tier(
        "base",
        "[[files]]\npath = '/usr/bin/app'\nsource = '../../target/release/app'\nmode = 0o755\n\
         [[files]]\npath = '/usr/share/app'\nsource = '../../target/release/app'",
    );
    world.build();
    let layer = world.layer("base");
    assert_eq!(layer["usr/bin/app"], "file 0755 0:0 program");
    assert_eq!(layer["usr/share/app"], "file 0644 0:0 program");
    // Built again, it is another layer, and `--locked` says so.
    fs::write(world.path("target/release/app"), "changed").unwrap();
    world.run(&["build", "--locked"]).exits(2).says(&["records other layers", "base (amd64)"]);
    world.build();
    assert_eq!(world.layer("base")["usr/bin/app"], "file 0755 0:0 changed");
}
