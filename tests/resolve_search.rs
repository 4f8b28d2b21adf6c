//! Resolution on toy archives where the first choice is wrong, and where none is right.

#[path = "support/toy.rs"]
mod toy;

use std::fmt::Write as _;

use insta::assert_snapshot;
use proptest::prelude::*;
use toy::{ask, errors, sets, table};

#[test]
fn choices_are_taken_back() {
    let archive = "
        app 1: Depends x | y, z
        x 1: Depends deep
        deep 1: Conflicts z
        y 1
        z 1
        dead 1: Depends a | b
        a 1: Depends a2
        a2 1: Depends nowhere
        b 1
        two 1: Depends p | q, r | s
        p 1
        q 1
        r 1: Breaks p
        s 1: Breaks p
        virtual 1: Depends mta, z
        one-mta 1: Provides mta; Conflicts z; Priority important
        two-mta 1: Provides mta
        newest 1: Depends lib, old
        old 1: Depends lib (<< 2)
        lib 2
        lib 1
        fork 1: Depends left | right, other
        left 1: Depends common (= 1)
        right 1: Depends common (= 2)
        other 1: Depends common (>= 2)
        common 1
        common 2";
    table(
        archive,
        &[
            ("app", "app 1, y 1, z 1"),
            ("dead", "dead 1, b 1"),
            ("two", "two 1, q 1, r 1"),
            ("virtual", "virtual 1, two-mta 1, z 1"),
            ("newest", "newest 1, lib 1, old 1"),
            ("newest; have lib 1", "newest 1, old 1"),
            ("fork", "fork 1, right 1, other 1, common 2"),
            ("x | y, z", "y 1, z 1"),
            ("app, x; omit z", "app 1, x 1, deep 1"),
        ],
    );
}

#[test]
fn suites_of_wishes() {
    let archive = "
        lib 1
        tool 1: Depends lib
        same 1
        suite debian/trixie-updates 500
        lib 1.1
        same 1
        suite backports/trixie-backports 100
        lib 3
        tool 2: Depends lib (>= 2)
        api 1: Provides service";
    table(
        archive,
        &[
            ("tool", "tool 1, lib 1.1"),
            ("tool/trixie-backports", "tool 2, lib 3"),
            ("tool, lib/main", "tool 1, lib 1"),
            ("tool, lib/debian/main", "tool 1, lib 1"),
            ("lib/trixie-backports (>= 2), tool", "lib 3, tool 1"),
            ("lib/trixie-backports | same", "lib 3"),
            ("service/trixie-backports", "api 1"),
            ("same/trixie-updates", "same 1"),
            ("lib/trixie-backports; held lib 1", "lib 3"),
            ("lib/main; have lib 1", ""),
        ],
    );
    assert_snapshot!(errors(archive, "tool/sid, lib/main (>= 3), service/main"), @r#"
    nothing meets the wish `tool/sid`: tool is there only as 1 (debian/main), 2 (backports/trixie-backports)
      help: ask for what the archive has, or add a source that has it to archive.toml
      wish: tool/sid; exit status 2
    nothing meets the wish `lib/main (>= 3)`: lib is there only as 1.1 (debian/trixie-updates), 1 (debian/main), 3 (backports/trixie-backports)
      help: ask for what the archive has, or add a source that has it to archive.toml
      wish: lib/main (>= 3); exit status 2
    nothing meets the wish `service/main`: service is provided only by api (in no version)
      help: ask for what the archive has, or add a source that has it to archive.toml
      wish: service/main; exit status 2
    "#);
    assert_snapshot!(errors(archive, "tool/trixie-backports, lib/main"), @r#"
    tool -> `lib (>= 2)`: lib is 1 here (wished for by this tier)
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "lib", reason = "..." }]
      wish: tool/trixie-backports; exit status 2
    "#);
    assert_snapshot!(errors(archive, "lib/main; have lib 1.1"), @r#"
    the wish `lib/main` does not fit lib 1.1, which is there already (from the parent chain)
      help: a chain of tiers has one version of a package: change this wish, or the one that brings lib 1.1
      wish: lib/main; exit status 2
    "#);
}

#[test]
fn multi_arch() {
    let archive = "
        app 1: Depends interpreter:any, tool:native, data:amd64
        interpreter 3: Multi-Arch allowed
        tool 1: Multi-Arch foreign
        data 1 all: Multi-Arch same
        foreign 1: Depends tool:i386
        broken 1: Depends tool:any
        alone 1: Conflicts tool:i386, data:any
        fallback 1: Depends tool:any | data";
    table(
        archive,
        &[
            ("app", "app 1, interpreter 3, tool 1, data 1"),
            ("alone, tool", "alone 1, tool 1"),
            ("fallback", "fallback 1, data 1"),
        ],
    );
    for question in ["foreign", "broken", "alone, data"] {
        assert!(sets(archive, question).starts_with("error"), "{question}");
    }
}

#[test]
fn nothing_is_pulled_in_by_being_essential() {
    table(
        "app 1\n base 1: Essential yes\n a-sh 1: Provides sh\n dash 1: Provides sh; Essential yes\n b 1: Depends sh",
        &[("app", "app 1"), ("b", "b 1, dash 1")],
    );
}

#[test]
fn the_last_provider_to_come_up_wins_a_tie() {
    // `b-api` comes up in `app` already, before `c-api` does.
    let archive = "
        app 1: Depends api; Recommends b-api
        a-api 1: Provides api
        c-api 1: Provides api
        b-api 1: Provides api
        held 1: Depends api";
    table(archive, &[("app", "app 1, c-api 1"), ("app; held a-api 1", "app 1, a-api 1")]);
}

#[test]
fn refusals_name_both_ends() {
    let archive = "
        web 1: Depends server
        server 2: Depends tls
        tls 3: Conflicts old-tls (<< 2)
        legacy 1: Depends old-lib
        old-lib 1: Depends old-tls
        old-tls 1
        none 1: Depends gone-a | gone-b
        gone-a 1: Depends nowhere
        gone-b 1: Depends elsewhere (>= 2)
        third 1: Conflicts web";
    assert_snapshot!(errors(archive, "web, legacy"), @r#"
    tls 3 and old-tls 1 cannot be in one root filesystem: tls 3 says `Conflicts: old-tls (<< 2)`
      web: brings web -> server -> tls
      legacy: brings legacy -> old-lib -> old-tls
      help: take `web` or `legacy` out of `packages`; or, if the tier can do without tls: omit = [{ package = "tls", reason = "..." }]
      wish: web; exit status 2
    "#);
    assert_snapshot!(errors(archive, "legacy, web, third; have tls 3"), @r#"
    tls 3 and old-tls 1 cannot be in one root filesystem: tls 3 says `Conflicts: old-tls (<< 2)`
      legacy: brings legacy -> old-lib -> old-tls
      help: take `legacy` out of `packages`; or, if the tier can do without old-tls: omit = [{ package = "old-tls", reason = "..." }]
      wish: legacy; exit status 2
    third 1 and web 1 cannot be in one root filesystem: third 1 says `Conflicts: web`
      third: brings third
      web: brings web
      help: take `third` or `web` out of `packages`
      wish: third; exit status 2
    "#);
    assert_snapshot!(errors(archive, "tls; have old-tls 1"), @r#"
    tls 3 and old-tls 1 cannot be in one root filesystem: tls 3 says `Conflicts: old-tls (<< 2)`
      tls: brings tls
      help: take `tls` out of `packages`
      wish: tls; exit status 2
    "#);
    assert_snapshot!(errors(archive, "none"), @r#"
    none -> gone-a -> `nowhere`: no package is called nowhere, and none provides it
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "nowhere", reason = "..." }]; what could be taken instead fails too, at none -> gone-b
      wish: none; exit status 2
    "#);
}

#[test]
fn a_name_that_only_other_architectures_have() {
    let mut errors = ask("app 1: Depends valgrind | nothing", "rustc-mozilla, app").expect_err("neither");
    let names: Vec<_> = errors.iter().flat_map(|error| error.unknown_names()).map(str::to_owned).collect();
    assert_eq!(names, ["rustc-mozilla", "valgrind", "nothing"]);
    errors[0].add_elsewhere("rustc-mozilla", &["arm64".parse().unwrap(), "riscv64".parse().unwrap()]);
    errors[1].add_elsewhere("nothing", &[]);
    let help = |at: usize| miette::Diagnostic::help(&errors[at]).unwrap().to_string();
    assert!(
        help(0).starts_with(
            "rustc-mozilla is there on arm64, riscv64; a wish for these alone: `rustc-mozilla [arm64 riscv64]`; "
        ),
        "{}",
        help(0)
    );
    assert!(help(1).starts_with("add a source"));
}

/// Two conflicts found at once, of which one is a package's own lack: it was forgotten once.
#[test]
fn a_lack_found_beside_a_conflict_counts() {
    let archive = "
        p0 1
        p0 2
        p1 1
        p1 2: Conflicts v0 (<< 2)
        p2 1: Depends p5 | p1; Conflicts p1 (= 1); Provides v0 (= 1)
        p5 1: Depends v1; Conflicts p0 (>= 2)";
    assert!(sets(archive, "p2, p0").starts_with("error"));
}

#[test]
fn several_refusals_are_told_at_once() {
    let archive = "
        a 1: Depends no-a
        b 1: Depends no-b
        c 1: Conflicts d
        d 1";
    assert_snapshot!(errors(archive, "missing, b, a, c, d"), @r#"
    nothing meets the wish `missing`: no package is called missing, and none provides it
      help: ask for what the archive has, or add a source that has it to archive.toml
      wish: missing; exit status 2
    b -> `no-b`: no package is called no-b, and none provides it
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "no-b", reason = "..." }]
      wish: b; exit status 2
    a -> `no-a`: no package is called no-a, and none provides it
      help: add a source that has it to archive.toml; or, if the tier can do without it: omit = [{ package = "no-a", reason = "..." }]
      wish: a; exit status 2
    c 1 and d 1 cannot be in one root filesystem: c 1 says `Conflicts: d`
      c: brings c
      d: brings d
      help: take `c` or `d` out of `packages`
      wish: c; exit status 2
    "#);
}

#[test]
fn unreadable_packages_are_passed_over() {
    let archive = "
        app 1: Depends bad | good
        bad 1: Depends ((
        good 1
        newer 1: Depends lib
        lib 2: Conflicts ((
        lib 1";
    table(archive, &[("app", "app 1, good 1"), ("newer", "newer 1, lib 1")]);
}

/// A wish that would take exponential time to refuse by trying alone: pigeons and holes.
#[test]
fn a_search_without_an_end_says_so() {
    let (pigeons, holes) = (12, 11);
    let mut archive = String::new();
    for pigeon in 0..pigeons {
        let places: Vec<_> = (0..holes).map(|hole| format!("p{pigeon}h{hole}")).collect();
        writeln!(archive, "p{pigeon} 1: Depends {}", places.join(" | ")).unwrap();
        for hole in 0..holes {
            let others = (0..pigeons).filter(|other| *other != pigeon).map(|other| format!("p{other}h{hole}"));
            writeln!(archive, "p{pigeon}h{hole} 1: Conflicts {}", others.collect::<Vec<_>>().join(", ")).unwrap();
        }
    }
    let wishes: Vec<_> = (0..pigeons).map(|pigeon| format!("p{pigeon}")).collect();
    assert_snapshot!(errors(&archive, &wishes.join(", ")), @r#"
    no set of packages was found within 20000000 steps, nor a proof that there is none
      help: name more of the packages that are wanted in `packages`, so that less is left to choose
      wish: p0; exit status 2
    "#);
}

#[test]
fn long_chains_loops_and_crowds() {
    let mut archive = String::new();
    for at in 0..5_000 {
        writeln!(archive, "c{at} 1: Depends c{}, c{at}, c0 | c{}", (at + 1) % 5_000, at + 2).unwrap();
    }
    assert_eq!(ask(&archive, "c0").unwrap().packages.len(), 5_000);
    // Everybody provides what everybody needs and excludes.
    let mut archive = String::new();
    for at in 0..300 {
        writeln!(archive, "c{at:03} 1: Provides crowd; Conflicts crowd; Depends crowd, crowd | crowd").unwrap();
    }
    assert_eq!(sets(&archive, "c007"), "c007 1");
    assert!(sets(&archive, "c007, c008").starts_with("error: c007 1 and c008 1 cannot be in one root filesystem"));
    // A hundred versions of each of twenty packages; only the oldest of all fit together.
    let mut archive = String::new();
    for (package, version) in (0..20).flat_map(|package| (1..=100).map(move |version| (package, version))) {
        writeln!(archive, "v{package} {version}: Depends v{} (= {version})", (package + 1) % 20).unwrap();
    }
    archive.push_str("limit 1: Depends v7 (<< 2)");
    let answer = ask(&archive, "v0, limit").unwrap();
    assert!(answer.packages.iter().all(|chosen| chosen.package.version.as_str() == "1"));
}

/// Packages p0 to p7 in versions 1 and 2, with alternatives, versions, provided names and conflicts.
fn archives() -> impl Strategy<Value = String> {
    let name = prop_oneof![(0..8usize).prop_map(|at| format!("p{at}")), (0..3usize).prop_map(|at| format!("v{at}"))];
    let version = prop_oneof![
        4 => Just(String::new()),
        1 => Just(" (= 1)".to_owned()),
        1 => Just(" (>= 2)".to_owned()),
        1 => Just(" (<< 2)".to_owned())
    ];
    let one = (name, version).prop_map(|(name, version)| format!("{name}{version}")).boxed();
    let depends = proptest::collection::vec(proptest::collection::vec(one.clone(), 1..4), 0..4);
    let conflicts = proptest::collection::vec(one, 0..3);
    let provides = proptest::option::of((0..3usize, proptest::option::of(1..3usize)));
    let package = (depends, conflicts, provides, 1..3usize);
    proptest::collection::vec(package, 8..14).prop_map(|packages| {
        let mut text = String::new();
        let first: Vec<_> = packages.iter().map(|package| package.3).collect();
        for (at, (depends, conflicts, provides, version)) in packages.into_iter().enumerate() {
            let version = if at < 8 { version } else { 3 - first[at - 8] };
            let depends: Vec<_> = depends.into_iter().map(|relation| relation.join(" | ")).collect();
            let provides = provides.map(|(at, version)| match version {
                Some(version) => format!("v{at} (= {version})"),
                None => format!("v{at}"),
            });
            let fields = [
                ("Depends", depends.join(", ")),
                ("Conflicts", conflicts.join(", ")),
                ("Provides", provides.unwrap_or_default()),
            ];
            let fields =
                fields.iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| format!("{name} {text}"));
            writeln!(text, "p{} {version}: {}", at % 8, fields.collect::<Vec<_>>().join("; ")).unwrap();
        }
        text.replace(": \n", "\n")
    })
}

/// A package of a toy archive, read anew: nothing here comes from the resolver.
struct Toy {
    name: String,
    version: u32,
    depends: Vec<Vec<(String, String)>>,
    conflicts: Vec<(String, String)>,
    provides: Option<(String, Option<u32>)>,
}

fn toys(archive: &str) -> Vec<Toy> {
    let one = |text: &str| {
        let (name, version) = text.trim().split_once(" (").unwrap_or((text.trim(), ""));
        (name.to_owned(), version.trim_end_matches(')').to_owned())
    };
    let line = |line: &str| {
        let (head, fields) = line.split_once(": ").unwrap_or((line, ""));
        let (name, version) = head.split_once(' ').unwrap();
        let field = |name: &str| fields.split("; ").find_map(|field| field.strip_prefix(name)).unwrap_or("").trim();
        let list = |text: &str| -> Vec<String> {
            text.split(',').filter(|item| !item.trim().is_empty()).map(str::to_owned).collect()
        };
        Toy {
            name: name.to_owned(),
            version: version.parse().unwrap(),
            depends: list(field("Depends")).iter().map(|item| item.split('|').map(one).collect()).collect(),
            conflicts: list(field("Conflicts")).iter().map(|item| one(item)).collect(),
            provides: list(field("Provides")).first().map(|item| {
                let (name, version) = one(item);
                (name, version.strip_prefix("= ").map(|version| version.parse().unwrap()))
            }),
        }
    };
    archive.lines().map(line).collect()
}

fn fits(toy: &Toy, (name, wanted): &(String, String)) -> bool {
    let holds = |version: u32| match wanted.split_once(' ') {
        None => true,
        Some((sign, than)) => {
            let than: u32 = than.parse().unwrap();
            match sign {
                "=" => version == than,
                ">=" => version >= than,
                _ => version < than,
            }
        }
    };
    let provided = toy.provides.as_ref().filter(|(provided, _)| provided == name);
    toy.name == *name && holds(toy.version)
        || provided.is_some_and(|(_, version)| wanted.is_empty() || version.is_some_and(holds))
}

fn is_valid(set: &[&Toy]) -> bool {
    set.iter().all(|toy| {
        let others = || set.iter().filter(|other| other.name != toy.name);
        let one = set.iter().filter(|other| other.name == toy.name).count() == 1;
        let met =
            toy.depends.iter().all(|relation| relation.iter().any(|wish| set.iter().any(|other| fits(other, wish))));
        one && met && !toy.conflicts.iter().any(|wish| others().any(|other| fits(other, wish)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Every answer is valid, and where there is none, no subset of the archive is.
    #[test]
    fn found_where_there_is_one_and_refused_where_there_is_none(archive in archives(), a in 0..8usize, b in 0..8usize) {
        let toys = toys(&archive);
        let wishes: Vec<_> = if a == b { vec![a] } else { vec![a, b] };
        let wanted: Vec<_> = wishes.iter().map(|at| format!("p{at}")).collect();
        match ask(&archive, &wanted.join(", ")) {
            Ok(answer) => {
                let is = |toy: &&Toy| answer.packages.iter().any(|chosen| {
                    *chosen.package.name == toy.name && chosen.package.version.as_str() == toy.version.to_string()
                });
                let set: Vec<&Toy> = toys.iter().filter(is).collect();
                prop_assert_eq!(set.len(), answer.packages.len());
                prop_assert!(is_valid(&set), "{:?}", answer.packages.iter().map(|chosen| &chosen.package.name).collect::<Vec<_>>());
                for name in &wanted {
                    prop_assert!(set.iter().any(|toy| toy.name == *name));
                }
            }
            Err(_) => {
                for bits in 0u32..1 << toys.len() {
                    let set: Vec<&Toy> = toys.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, toy)| toy).collect();
                    let wanted = wanted.iter().all(|name| set.iter().any(|toy| toy.name == *name));
                    prop_assert!(!wanted || !is_valid(&set), "{:?}", set.iter().map(|toy| format!("{} {}", toy.name, toy.version)).collect::<Vec<_>>());
                }
            }
        }
    }
}
