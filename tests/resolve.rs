//! Resolution on toy archives: what is chosen, and what is said where nothing can be.

#[path = "support/toy.rs"]
mod toy;

use debstrata::resolve::Reason;
use insta::assert_snapshot;
use proptest::prelude::*;
use toy::{ask, errors, sets, table};

#[test]
fn dependencies_and_alternatives() {
    let archive = "
        app 1: Pre-Depends pre; Depends lib (>= 2), x | y
        pre 1
        lib 2: Depends data
        data 1 all
        x 1
        y 1
        both 1: Depends x | y, needs-y
        needs-y 1: Depends y
        second 1: Depends missing | y
        old 1: Depends lib (>= 3) | y
        loop-a 1: Depends loop-b
        loop-b 1: Depends loop-a";
    table(
        archive,
        &[
            ("app", "app 1, pre 1, lib 2, x 1, data 1"),
            ("y, app", "y 1, app 1, pre 1, lib 2, data 1"),
            // As apt: what is bound to come later is not looked at.
            ("both", "both 1, x 1, needs-y 1, y 1"),
            ("second", "second 1, y 1"),
            ("old", "old 1, y 1"),
            ("loop-a", "loop-a 1, loop-b 1"),
            ("app; none", "app 1, app lacks pre, app lacks lib (>= 2), app lacks x | y"),
            ("app, pre, y; none; omit lib data", "app 1, pre 1, y 1, omission 1 is idle"),
        ],
    );
}

#[test]
fn wishes() {
    let archive = "
        a 1
        b 1: Depends v
        c 1: Provides v (= 2), a
        d 1: Provides v (= 1)
        only-arm 1 arm64
        tool 1: Multi-Arch allowed
        plain 1";
    table(
        archive,
        &[
            ("missing | a", "a 1"),
            ("only-arm [arm64], a", "a 1"),
            ("only-arm [arm64] | a", "a 1"),
            ("a [amd64] | b", "a 1"),
            ("a, a (>= 1)", "a 1"),
            // The order is the manifest's, although what leaves no choice is settled first.
            ("v | a, d", "d 1"),
            ("b | a, d, c", "b 1, d 1, c 1"),
            ("c, a", "c 1, a 1"),
            ("v", "d 1"),
            ("v (= 1)", "d 1"),
            ("a:amd64, b:native, tool:any", "a 1, b 1, tool 1, d 1"),
            ("a <!nocheck>, b <nocheck>", "a 1"),
        ],
    );
}

#[test]
fn virtual_packages() {
    let archive = "
        base 1: Pre-Depends awk
        gawk 1: Provides awk; Priority optional
        mawk 1: Provides awk; Priority required
        real 1: Depends thing
        thing 1
        other 1: Provides thing; Priority required
        versioned 1: Depends api (>= 2)
        old-api 1: Provides api
        api-1 1: Provides api (= 1)
        api-2 1: Provides api (= 1), api (= 2)
        new 2: Provides mail
        new 1: Provides mail, post
        mailer 1: Depends mail | thing
        poster 1: Depends post
        py 1: Depends python:any, interp:any
        python 3: Multi-Arch allowed
        a-interp 1: Provides interp
        b-interp 1: Provides interp; Multi-Arch allowed";
    table(
        archive,
        &[
            ("base", "base 1, mawk 1"),
            ("gawk, base", "gawk 1, base 1"),
            ("real", "real 1, thing 1"),
            ("other, real", "other 1, real 1"),
            ("versioned", "versioned 1, api-2 1"),
            ("mailer", "mailer 1, new 2"),
            ("poster", "poster 1, new 1"),
            ("py", "py 1, python 3, b-interp 1"),
            ("base; have gawk 1", "base 1"),
            ("base; omit awk", "base 1"),
            ("base; omit mawk", "base 1, gawk 1, omission 0 is idle"),
            ("base; omit mawk gawk", "base 1"),
        ],
    );
}

#[test]
fn priorities_and_held_versions() {
    let archive = "
        a 2: Depends lib
        lib 1
        suite debian/security 500
        lib 1.1
        suite backports/main 100
        lib 3
        only-new 1
        suite local/main 900
        a 1: Depends lib (>= 2)";
    table(
        archive,
        &[
            ("a", "a 1, lib 3"),
            ("a (>= 2)", "a 2, lib 1.1"),
            ("a (>= 2); held lib 1", "a 2, lib 1"),
            ("a (>= 2); held lib 9", "a 2, lib 1.1"),
            ("a; held lib 1", "a 1, lib 3"),
            ("a (>= 2); held a 1", "a 2, lib 1.1"),
            ("only-new", "only-new 1"),
        ],
    );
}

#[test]
fn the_parent_chain_is_fixed() {
    let archive = "
        a 1: Depends lib (>= 1), v (= 2)
        b 1: Depends lib (>= 2) | c
        c 1
        lib 1: Provides v (= 2)
        lib 2
        other 1";
    table(
        archive,
        &[
            ("a; have lib 1", "a 1"),
            ("b; have lib 1", "b 1, c 1"),
            ("lib; have lib 1", ""),
            ("v; have lib 1", ""),
            ("lib (>= 2) | c; have lib 1", "c 1"),
            ("lib, other; have lib 1", "other 1"),
            // No longer listed: only its name and version are known.
            ("b; have lib 3", "b 1"),
        ],
    );
}

#[test]
fn omissions() {
    let archive = "
        a 1: Depends debconf (>= 0.5) | debconf-2.0, lib
        lib 1
        cdebconf 1: Provides debconf-2.0
        debconf 1: Provides debconf-2.0";
    table(
        archive,
        &[
            ("a; omit debconf", "a 1, lib 1"),
            ("a, cdebconf; omit debconf", "a 1, cdebconf 1, lib 1, omission 0 is idle"),
            ("a, debconf; omit debconf", "a 1, debconf 1, lib 1, omission 0 is idle"),
            ("a; omit debconf nothing", "a 1, lib 1, omission 1 is idle"),
            ("a; have debconf 1; omit debconf", "a 1, lib 1, omission 0 is idle"),
        ],
    );
}

#[test]
fn reasons() {
    let answer = ask("a 1: Depends b (>= 1) | c\n b 1: Depends c\n c 1", "a").unwrap();
    let reasons = answer.packages.iter().map(|chosen| match &chosen.reason {
        Reason::Wish(wish) => format!("{} <- wish {wish}", chosen.package.name),
        Reason::Dependency { by, relation } => format!("{} <- {by}: {relation}", chosen.package.name),
        Reason::Linked { .. } => unreachable!("the full answer has none"),
    });
    assert_snapshot!(reasons.collect::<Vec<_>>().join("\n"), @r#"
    a <- wish 0
    b <- a: b (>= 1) | c
    c <- b: c
    "#);
}

#[test]
fn unmet_relations_name_the_chain() {
    let archive = "
        app 1: Depends mid
        mid 2: Depends lib (>= 3), nowhere | elsewhere, api (>= 2), arm:arm64, tool:any
        lib 1
        lib 2
        old-api 1: Provides api
        api-1 1: Provides api (= 1)
        tool 1";
    assert_snapshot!(errors(archive, "lib, app"), @r#"
    app -> mid -> `lib (>= 3)`: lib is there only as 2 (debian/main), 1 (debian/main)
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "lib", reason = "..." }]
      wish: app; exit status 2
    app -> mid -> `nowhere | elsewhere`: no package is called nowhere, and none provides it; no package is called elsewhere, and none provides it
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "nowhere", reason = "..." }]
      wish: app; exit status 2
    app -> mid -> `api (>= 2)`: api is provided only by api-1 (as 1), old-api (in no version)
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "api", reason = "..." }]
      wish: app; exit status 2
    app -> mid -> `arm:arm64`: arm is wanted for another architecture than amd64
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "arm", reason = "..." }]
      wish: app; exit status 2
    app -> mid -> `tool:any`: tool is there only as 1 (debian/main, not Multi-Arch: allowed)
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "tool", reason = "..." }]
      wish: app; exit status 2
    "#);
}

#[test]
fn wishes_that_nothing_meets() {
    let archive = "
        openssl 3
        libssl3 3
        libssl-dev 3
        many 1
        many 2
        many 3
        many 4
        many 5
        many 6
        plain 1";
    assert_snapshot!(errors(archive, "opensll, openssl (>= 4), libssl3 (<< 2) | nothing, many (>= 9), plain:arm64, plain:any"), @r#"
    nothing meets the wish `opensll`: no package is called opensll, and none provides it
      help: did you mean `openssl`?
      wish: opensll; exit status 2
    nothing meets the wish `openssl (>= 4)`: openssl is there only as 3 (debian/main)
      help: ask for what the archive has, or add a source that has it to archive.toml
      wish: openssl (>= 4); exit status 2
    nothing meets the wish `libssl3 (<< 2) | nothing`: libssl3 is there only as 3 (debian/main); no package is called nothing, and none provides it
      help: ask for what the archive has, or add a source that has it to archive.toml
      wish: libssl3 (<< 2) | nothing; exit status 2
    nothing meets the wish `many (>= 9)`: many is there only as 6 (debian/main), 5 (debian/main), 4 (debian/main), 3 (debian/main), 2 (debian/main) and 1 more
      help: ask for what the archive has, or add a source that has it to archive.toml
      wish: many (>= 9); exit status 2
    nothing meets the wish `plain:arm64`: plain is wanted for another architecture than amd64
      help: ask for what the archive has, or add a source that has it to archive.toml
      wish: plain:arm64; exit status 2
    nothing meets the wish `plain:any`: plain is there only as 1 (debian/main, not Multi-Arch: allowed)
      help: ask for what the archive has, or add a source that has it to archive.toml
      wish: plain:any; exit status 2
    "#);
}

#[test]
fn one_version_a_chain() {
    let archive = "
        a 1: Depends lib (= 1)
        b 1: Depends lib (= 2)
        lib 1
        lib 2";
    assert_snapshot!(errors(archive, "lib (>= 2), a; have lib 1"), @r#"
    the wish `lib (>= 2)` does not fit lib 1, which is there already (from the parent chain)
      help: a chain of tiers has one version of a package: change this wish, or the one that brings lib 1
      wish: lib (>= 2); exit status 2
    "#);
    assert_snapshot!(errors(archive, "a, b"), @r#"
    b -> `lib (= 2)`: lib is 1 here (through a -> lib)
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "lib", reason = "..." }]
      wish: b; exit status 2
    "#);
    assert_snapshot!(errors(archive, "lib (= 1), lib (= 2)"), @r#"
    the wish `lib (= 2)` does not fit lib 1, which is there already (wished for by this tier)
      help: a chain of tiers has one version of a package: change this wish, or the one that brings lib 1
      wish: lib (= 2); exit status 2
    "#);
}

#[test]
fn conflicts() {
    let archive = "
        a 1: Depends b; Provides mta; Conflicts mta
        b 1: Depends c
        c 1: Breaks d (<< 2), a (<< 1)
        d 1
        d 2
        e 1: Provides mta; Conflicts mta
        f 1: Conflicts mta (= 1), c:i386";
    table(archive, &[("a, d", "a 1, d 2, b 1, c 1"), ("a, f", "a 1, f 1, b 1, c 1")]);
    assert_snapshot!(errors(archive, "a, d; have d 1"), @r#"
    c 1 and d 1 cannot be in one root filesystem: c 1 says `Breaks: d (<< 2)`
      a: brings a -> b -> c
      help: take `a` out of `packages`; or, if the tier can do without c: omit = [{ package = "c", reason = "..." }]
      wish: a; exit status 2
    "#);
    assert_snapshot!(errors(archive, "a, d (= 1)"), @r#"
    c 1 and d 1 cannot be in one root filesystem: c 1 says `Breaks: d (<< 2)`
      a: brings a -> b -> c
      d (= 1): brings d
      help: take `a` or `d (= 1)` out of `packages`; or ask for another version of d (`d (= version)`, `d/suite`); or, if the tier can do without c: omit = [{ package = "c", reason = "..." }]
      wish: a; exit status 2
    "#);
    assert_snapshot!(errors(archive, "a, e"), @r#"
    a 1 and e 1 cannot be in one root filesystem: a 1 says `Conflicts: mta`
      a: brings a
      e: brings e
      help: take `a` or `e` out of `packages`
      wish: a; exit status 2
    "#);
    assert_eq!(sets(archive, "b; have a 1; have e 1"), "b 1, c 1", "the parent was judged on its own");
}

/// Packages p0 to p7 that depend on each other at random, some of them missing.
fn archives() -> impl Strategy<Value = Vec<Vec<Vec<usize>>>> {
    let relation = proptest::collection::vec(0..9usize, 1..3);
    proptest::collection::vec(proptest::collection::vec(relation, 0..3), 8)
}

proptest! {
    #[test]
    fn an_answer_is_closed_and_knows_no_order_of_stanzas(graph in archives(), wish in 0..8usize) {
        let line = |(at, relations): (usize, &Vec<Vec<usize>>)| {
            let relations = relations.iter().map(|names| names.iter().map(|at| format!("p{at}")).collect::<Vec<_>>().join(" | "));
            format!("p{at} 1: {}", Some(relations.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty()).map_or(String::new(), |text| format!("Depends {text}")))
        };
        let mut lines: Vec<_> = graph.iter().enumerate().map(line).collect();
        let question = format!("p{wish}");
        let answer = sets(&lines.join("\n"), &question);
        lines.reverse();
        prop_assert_eq!(&sets(&lines.join("\n"), &question), &answer);
        if !answer.starts_with("error") {
            let chosen: Vec<usize> = answer.split(", ").map(|package| package[1..2].parse().unwrap()).collect();
            for at in &chosen {
                for names in &graph[*at] {
                    prop_assert!(names.iter().any(|name| chosen.contains(name)), "p{} of {}", at, answer);
                }
            }
        }
    }
}

#[test]
fn metadata_that_cannot_be_used() {
    let archive = "
        a 1: Depends b, c ((
        b v1";
    assert_snapshot!(errors(archive, "a, b"), @r#"
    a 1: its field Depends cannot be read, at byte 6 of it
      help: the archive itself is at fault: tell its owners, or take the package from another source
      wish: a; exit status 3
    debian/main lists b in a version that is none: "v1"
      help: the archive itself is at fault: take the package from another source, or leave it out
      wish: b; exit status 3
    "#);
}
