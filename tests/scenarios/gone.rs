//! Locked packages that the mirrors no longer have, and mirrors that cannot be asked.

use std::fs;

use crate::{
    support::{Fault, Server, http::closed_port},
    world::{World, files, package, pool},
};

/// hello 1.0 is locked, not in the cache; the archive has moved to 2.0.
fn moved_on() -> World {
    let mut world = World::small();
    world.run(&["lock"]).exits(0);
    world.publish(|suite| suite.packages[0].1 = package("hello", "2.0").build());
    world
}

#[test]
fn a_build_moves_the_lock_and_says_so_loudly() {
    let world = moved_on();
    // Warnings are shown under --quiet too.
    let run = world.run(&["build", "--quiet"]).exits(0);
    run.says(&["debstrata.lock was brought up to date", "hello", "1.0", "2.0", "review and commit the lock"]);
    assert_eq!(world.locked(), ["greeting 1.0", "hello 2.0"]);
    assert_eq!(world.layer("base")["usr/share/hello/file"], "file 0644 0:0 hello 2.0");
    assert_eq!(world.build().stderr, "");
}

#[test]
fn locked_names_what_is_gone() {
    let world = moved_on();
    let before = world.snapshot(&["cache"]);
    world.run(&["build", "--locked"]).exits(3).says(&["hello 1.0 is gone", "404", "debstrata lock"]);
    assert_eq!(world.snapshot(&["cache"]), before);
    world.run(&["audit"]).exits(3).says(&["hello 1.0 is gone"]);
    assert_eq!(world.snapshot(&["cache"]), before);
}

#[test]
fn what_is_in_the_cache_is_not_gone() {
    let mut world = World::small();
    world.build();
    world.publish(|suite| suite.packages[0].1 = package("hello", "2.0").build());
    fs::remove_dir_all(world.path("out")).unwrap();
    world.build();
    assert_eq!(world.locked(), ["greeting 1.0", "hello 1.0"]);
}

#[test]
fn a_file_that_the_index_still_lists_is_missing_not_gone() {
    for newer_too in [false, true] {
        let mut world = World::small();
        world.run(&["lock"]).exits(0);
        let before = world.snapshot(&["cache"]);
        let lost = pool(world.deb("hello"));
        if newer_too {
            world.publish(|suite| suite.packages.push(("main".into(), package("hello", "2.0").build())));
        }
        world.server.remove(&lost);
        world.run(&["build"]).exits(3).says(&["hello 1.0", "404"]);
        assert_eq!(world.snapshot(&["cache"]), before, "{newer_too}");
    }
}

#[test]
fn nothing_moves_where_nobody_answers() {
    let world = moved_on();
    let before = world.snapshot(&["cache"]);
    // Another server at the same place in the manifest: mirrors are no part of the question.
    world.edit_archive(&world.server.url(), &closed_port());
    let edited = world.snapshot(&["cache"]);
    assert_eq!(edited["manifests/test/debstrata.lock"], before["manifests/test/debstrata.lock"]);
    for arguments in [&["build"][..], &["lock", "--upgrade"]] {
        world.run(arguments).exits(3).says(&["be reached"]);
        assert_eq!(world.snapshot(&["cache"]), edited);
    }
}

#[test]
fn nothing_moves_where_the_answer_is_another_one() {
    let world = moved_on();
    let before = world.snapshot(&["cache"]);
    let old = package("hello", "1.0").build();
    world.server.always(&pool(&old), Fault::Status(403));
    world.run(&["build"]).exits(3).says(&["hello 1.0", "answers with status 403"]);
    assert_eq!(world.snapshot(&["cache"]), before);
}

#[test]
fn the_index_may_be_gone_too() {
    let world = moved_on();
    world.server.always("/dists/trixie/InRelease", Fault::Status(404));
    let before = world.snapshot(&["cache"]);
    world.run(&["build"]).exits(3).says(&["trixie/InRelease", "404"]);
    assert_eq!(world.snapshot(&["cache"]), before);
}

#[test]
fn another_mirror_or_the_snapshot_service_has_it() {
    let old = package("hello", "1.0").build();
    // A mirror of the command line, by the source's name.
    let world = moved_on();
    let mirror = Server::start();
    mirror.put(&pool(&old), old.bytes.clone());
    mirror.put(&pool(world.deb("greeting")), world.deb("greeting").bytes.clone());
    let locked = world.lock();
    let name = format!("source-1={}", mirror.url());
    world.run(&["build", "--locked", "--mirror", &name]).exits(0);
    assert_eq!(world.lock(), locked);
    assert_eq!(files(&world.path("out")).len(), 3);
    // The snapshot service, at the moment of the locked Release.
    let world = moved_on();
    world.edit_archive("components", "snapshot = 'things'\ncomponents");
    fs::remove_file(world.lock_path()).unwrap();
    world.run(&["lock"]).exits(0);
    let newer = world.suite.packages[0].1.clone();
    let service = Server::start();
    service.put(&format!("/things/20260110T130000Z{}", pool(&newer)), newer.bytes.clone());
    world.server.remove(&pool(&newer));
    world.run_with(&["build", "--locked"], &[("DEBSTRATA_SNAPSHOT", &service.url())]).exits(0);
    assert_eq!(service.requests().len(), 1);
}
