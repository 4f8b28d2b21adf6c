//! Archives that must not be believed, seen from the command line: nothing is written, the message
//! names the file and says why.

use std::fs;

use crate::{
    support::{Fault, Key, TestSuite, at},
    world::{World, pool},
};

/// Every index of amd64 that a fresh lock asks for.
fn indexes(world: &World) -> Vec<String> {
    let paths = world.server.requests().into_iter().map(|request| request.path);
    paths.filter(|path| path.contains("binary-amd64")).collect()
}

#[test]
fn a_release_that_cannot_be_trusted_is_refused() {
    let foreign = Key::new("foreign");
    type Spoil = Box<dyn Fn(&mut TestSuite)>;
    let cases: [(&str, Spoil, &[&str]); 9] = [
        ("unsigned", Box::new(|suite| suite.signers.clear()), &["InRelease is not signed"]),
        (
            "foreign key",
            Box::new(move |suite| suite.signers = vec![foreign.clone()]),
            &["no valid signature of a key in keys.asc"],
        ),
        ("expired", Box::new(|suite| suite.valid_until = Some(at("2026-01-12T00:00:00Z"))), &["2026-01-12T00:00:00Z"]),
        ("from the future", Box::new(|suite| suite.date = at("2090-01-01T00:00:00Z")), &["2090-01-01T00:00:00Z"]),
        (
            "another suite",
            Box::new(|suite| suite.codename = Some("bookworm".into())),
            &["asks for suite \"trixie\"", "bookworm"],
        ),
        ("twice", Box::new(|suite| suite.twice = true), &["InRelease is not one signed message"]),
        (
            "text before",
            Box::new(|suite| suite.around.0 = "Date: never\n".into()),
            &["InRelease is not one signed message"],
        ),
        ("no such component", Box::new(|suite| suite.components = vec!["other".into()]), &["component \"main\""]),
        ("no such architecture", Box::new(|suite| suite.architectures = vec!["arm64".into()]), &["amd64"]),
    ];
    for (what, change, parts) in cases {
        let mut world = World::small();
        change(&mut world.suite);
        world.serve_again();
        let before = world.snapshot(&["cache"]);
        let run = world.run(&["build"]);
        assert!(matches!(run.status, Some(2 | 3)), "{what}: {run:?}");
        assert_eq!(run.stdout, "", "{what}");
        run.says(&["trixie"]).says(parts);
        assert_eq!(world.snapshot(&["cache"]), before, "{what}");
    }
}

#[test]
fn who_must_act_decides_the_status() {
    // The mirror's fault: another one, or later, will do.
    let mut world = World::small();
    world.publish(|suite| suite.valid_until = Some(at("2026-01-12T00:00:00Z")));
    world.run(&["build"]).exits(3).says(&["trixie", "InRelease", &world.server.url()]);
    // The manifest's fault.
    let world = World::small();
    world.edit_archive("[\"main\"]", "[\"mian\"]");
    world.run(&["build"]).exits(2).says(&["archive.toml", "\"mian\"", "main"]);
    let world = World::small();
    fs::write(world.project.file("keys.asc"), "no key at all").unwrap();
    world.run(&["build"]).exits(2).says(&["keys.asc"]);
}

#[test]
fn what_the_manifest_allows_is_told_in_every_summary() {
    let mut world = World::small();
    world.publish(|suite| suite.valid_until = Some(at("2026-01-12T00:00:00Z")));
    world.edit_archive("components", "allow-expired = true\ncomponents");
    for _ in 0..2 {
        world.build().prints(&["opt-out: test/source-1/trixie: it is past its Valid-Until (allow-expired)"]);
    }
    assert!(world.lock().contains("expired = true"));
    let mut world = World::small();
    world.publish(|suite| suite.signers.clear());
    world.edit_archive("components", "allow-unsigned = true\ncomponents");
    for _ in 0..2 {
        let run = world.build().prints(&["opt-out: test/source-1/trixie: nobody signed it (allow-unsigned)"]);
        assert_eq!(run.stdout.matches("opt-out: ").count(), 1);
    }
    assert!(world.lock().contains("unsigned = true") && !world.lock().contains("signer"));
}

#[test]
fn an_older_release_is_a_rollback_unless_it_is_wanted() {
    let mut world = World::small();
    let old = world.suite.clone();
    world.publish(|_| {});
    world.build();
    let before = world.snapshot(&["cache"]);
    world.suite = old;
    world.serve_again();
    let seen = ["2026-01-10T12:00:00Z", "2026-01-10T13:00:00Z was seen before"];
    world.run(&["lock", "--upgrade"]).exits(3).says(&seen);
    // Neither the cache alone nor the lock alone forgets.
    fs::remove_dir_all(world.path("cache")).unwrap();
    world.run(&["lock", "--upgrade"]).exits(3).says(&seen);
    assert_eq!(world.snapshot(&["cache"]), before);
    world.run(&["lock", "--upgrade", "--allow-older"]).exits(0);
    assert!(world.lock().contains("date = 2026-01-10T12:00:00Z"));
    world.build();
}

#[test]
fn an_altered_index_is_not_read() {
    for fault in [Fault::Flip(70), Fault::Truncate(50), Fault::Longer(1)] {
        let world = World::small();
        world.run(&["lock"]).exits(0);
        fs::remove_file(world.lock_path()).unwrap();
        fs::remove_dir_all(world.path("cache")).unwrap();
        let before = world.snapshot(&["cache"]);
        for path in indexes(&world) {
            world.server.always(&path, fault.clone());
        }
        world.run(&["build"]).exits(3).says(&["main/binary-amd64/Packages", &world.server.url()]);
        assert_eq!(world.snapshot(&["cache"]), before, "{fault:?}");
        world.server.mend();
        world.build();
    }
}

#[test]
fn an_altered_package_is_not_unpacked() {
    let cases = [
        (Fault::Flip(200), "checksum differs"),
        (Fault::Longer(1), "bytes where the index says"),
        (Fault::Body(b"!<arch>\n".to_vec()), "has 8 bytes where the index says"),
    ];
    for (fault, why) in cases {
        let world = World::small();
        world.run(&["lock"]).exits(0);
        let before = world.snapshot(&["cache"]);
        world.server.always(&pool(world.deb("hello")), fault.clone());
        world.run(&["build"]).exits(3).says(&["hello 1.0", why, &world.server.url()]);
        assert_eq!(world.snapshot(&["cache"]), before, "{fault:?}");
        // What failed once stands in nobody's way.
        world.server.mend();
        world.build();
        assert_eq!(world.layer("base")["usr/share/hello/file"], "file 0644 0:0 hello 1.0");
    }
}

#[test]
fn a_package_that_is_not_what_its_index_says_is_refused_by_name() {
    // The archive signs a stanza that does not fit the .deb's own control file.
    let mut world = World::small();
    world.publish(|suite| {
        let deb = &mut suite.packages[0].1;
        deb.control = deb.control.replace("Version: 1.0", "Version: 3.0");
        deb.version = "3.0".into();
    });
    world.run(&["build"]).exits(3).says(&["hello", "3.0", "1.0"]);
    assert!(!world.path("out").exists() || crate::world::files(&world.path("out")).is_empty());
}

#[test]
fn a_damaged_cache_is_noticed() {
    let world = World::small();
    world.build();
    let out = world.snapshot(&["cache"]);
    for folder in ["cache/downloads", "cache/derived"] {
        for path in crate::world::files(&world.path(folder)) {
            let mut bytes = fs::read(&path).unwrap();
            if let Some(byte) = bytes.last_mut() {
                *byte ^= 0x55;
            }
            fs::write(&path, bytes).unwrap();
        }
        fs::remove_dir_all(world.path("out")).unwrap();
        let run = world.run(&["build"]);
        match run.status {
            // Either made again as it was, or refused; never other bytes.
            Some(0) => assert_eq!(world.snapshot(&["cache"]), out, "{folder}"),
            _ => drop(run.exits(3)),
        }
        fs::remove_dir_all(world.path("cache")).unwrap();
        world.build();
        assert_eq!(world.snapshot(&["cache"]), out);
    }
}
