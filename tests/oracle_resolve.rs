//! Sets of packages against apt and dose, from the archive's own lists. Needs: apt, dose-debcheck
//! (package dose-distcheck), a Debian mirror among the host's sources.
//!
//! Random wishes of one to six packages of bookworm and trixie main, amd64 and arm64. The variables
//! `RESOLVE_WISHES` (200 without) and `RESOLVE_SEED` (random without, always printed) choose others;
//! `RESOLVE_APT` names a folder where apt's lists are kept between runs.

// The seed and the number of wishes come from the environment: the test is their main.rs.
#![allow(clippy::disallowed_methods)]

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

use debstrata::{
    archive::Index,
    debian::relation::parse_relations,
    resolve::{Dependencies, Preferences, Question, Wish, resolve},
};

/// Name and version.
type Names = BTreeSet<(String, String)>;

/// One archive, as apt has fetched it.
struct Lists {
    suite: &'static str,
    architecture: &'static str,
    configuration: PathBuf,
    index: Index,
    /// All names, sorted.
    names: Vec<String>,
    text: String,
}

fn output(command: &mut Command) -> (bool, String, String) {
    let output = command.env("LC_ALL", "C").output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.success(), text(output.stdout), text(output.stderr))
}

fn succeed(command: &mut Command) -> String {
    let (done, stdout, stderr) = output(command);
    assert!(done, "{command:?}: {stderr}");
    stdout
}

/// The mirror that the host's apt has bookworm from.
fn mirror() -> String {
    let lines = succeed(Command::new("apt-get").args(["indextargets", "--format", "$(SITE) $(REPO_URI) $(COMPONENT)"]));
    let mut mirrors = lines.lines().filter_map(|line| line.split(' ').nth(1));
    let main = |uri: &&str| uri.trim_end_matches('/').ends_with("/debian");
    mirrors.find(main).expect("a mirror of Debian among the host's sources").to_owned()
}

/// Fetches an archive's lists into a private state of apt, whose cache all later runs share. The lists
/// are kept unpacked: apt would unpack them again and again.
fn fetch(folder: &Path, suite: &'static str, architecture: &'static str, release: &str) -> Lists {
    let folder = folder.join(format!("{suite}-{architecture}"));
    for part in ["lists/partial", "cache/archives/partial", "etc/none"] {
        fs::create_dir_all(folder.join(part)).unwrap();
    }
    let keyring = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("manifests")
        .join(release)
        .join("keyrings/debian-archive-keyring.asc");
    let at = |part: &str| folder.join(part).display().to_string();
    let sources = format!("deb [signed-by={} arch={architecture}] {} {suite} main\n", keyring.display(), mirror());
    fs::write(folder.join("sources.list"), sources).unwrap();
    fs::write(folder.join("status"), "").unwrap();
    let (status, lists, cache, list, none) =
        (at("status"), at("lists"), at("cache"), at("sources.list"), at("etc/none"));
    let configuration = format!(
        "Dir::State::status \"{status}\";\nDir::State::extended_states \"{status}\";\nDir::State::Lists \"{lists}\";\n\
         Dir::Cache \"{cache}\";\nDir::Etc::sourcelist \"{list}\";\nDir::Etc::sourceparts \"{none}\";\n\
         Dir::Etc::preferences \"{none}/none\";\nDir::Etc::preferencesparts \"{none}\";\nDir::Etc::parts \"{none}\";\n\
         Dir::Etc::main \"{none}/none\";\nAPT::Architecture \"{architecture}\";\nAPT::Architectures {{ \"{architecture}\"; }};\n\
         APT::Install-Recommends \"false\";\nAcquire::Languages \"none\";\nAcquire::GzipIndexes \"false\";\n\
         APT::Sandbox::User \"root\";\n"
    );
    fs::write(folder.join("apt.conf"), configuration).unwrap();
    let configuration = folder.join("apt.conf");
    let apt = |program: &str, arguments: &[&str]| {
        succeed(Command::new(program).env("APT_CONFIG", &configuration).args(arguments))
    };
    apt("apt-get", &["update", "-q", "-o", "Acquire::Retries=3"]);
    apt("apt-cache", &["gencaches"]);
    let file = apt("apt-get", &["indextargets", "--format", "$(FILENAME)", "Identifier: Packages"]);
    let file = file.lines().next().expect("an index");
    let text = apt("/usr/lib/apt/apt-helper", &["cat-file", file]);
    let mut index = Index::new(architecture.parse().unwrap());
    index.add("debian/main", 500, text.clone().into_bytes()).unwrap();
    assert!(index.len() > 50_000, "{suite} {architecture}: {} packages", index.len());
    let names: BTreeSet<String> = index.names().map(str::to_owned).collect();
    Lists { suite, architecture, configuration, index, names: names.into_iter().collect(), text }
}

/// apt's set; an error is its refusal. `--print-uris` stops where `-s` would go on to simulate dpkg.
fn by_apt(lists: &Lists, names: &[String]) -> Result<Names, String> {
    let mut apt = Command::new("apt-get");
    apt.env("APT_CONFIG", &lists.configuration).args(["install", "-qq", "-y", "--print-uris", "--"]).args(names);
    let (done, stdout, stderr) = output(&mut apt);
    if !done {
        return Err(stderr);
    }
    // 'http://.../zlib1g_1.2.13.dfsg-1_amd64.deb' zlib1g_1%3a1.2.13.dfsg-1_amd64.deb 86684 MD5Sum:...
    let files = stdout.lines().filter(|line| line.starts_with('\'')).filter_map(|line| line.split(' ').nth(1));
    let package = |file: &str| {
        let mut parts = file.split('_');
        let (name, version) = (parts.next().unwrap(), parts.next().unwrap());
        (name.to_owned(), version.replace("%3a", ":").replace("%2b", "+").replace("%7e", "~"))
    };
    Ok(files.map(package).collect())
}

fn by_us(index: &Index, names: &[String]) -> Result<Names, String> {
    let wishes = names.iter().map(|name| Wish { relation: name.parse().unwrap(), span: 0..0 });
    let question = Question {
        architecture: index.architecture(),
        wishes: wishes.collect(),
        dependencies: Dependencies::All,
        omit: Vec::new(),
    };
    let answer = resolve(&question, index, &[], &Preferences::default())
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?;
    let packages = answer.packages.iter().map(|chosen| &chosen.package);
    Ok(packages.map(|package| (package.name.to_string(), package.version.to_string())).collect())
}

/// The stanzas of a set, as they stand in the list.
fn stanzas<'t>(lists: &'t Lists, set: &Names) -> Vec<BTreeMap<&'t str, &'t str>> {
    let all = lists
        .text
        .split("\n\n")
        .map(|stanza| stanza.lines().filter_map(|line| line.split_once(": ")).collect::<BTreeMap<&str, &str>>());
    let wanted = |stanza: &BTreeMap<&str, &str>| {
        let (Some(name), Some(version)) = (stanza.get("Package"), stanza.get("Version")) else { return false };
        set.contains(&((*name).to_owned(), (*version).to_owned()))
    };
    all.filter(wanted).collect()
}

/// A naive second opinion: compares versions by dpkg, knows nothing of the resolver.
fn faults(lists: &Lists, set: &Names, wishes: &[String]) -> Vec<String> {
    let found = stanzas(lists, set);
    let mut faults = Vec::new();
    if found.len() != set.len() {
        faults.push(format!("{} of {} packages are in the archive", found.len(), set.len()));
    }
    let holds = |have: &str, condition: &str| {
        let (sign, version) = condition.split_at(condition.find(|c: char| !"<>=".contains(c)).unwrap_or(0));
        Command::new("dpkg").args(["--compare-versions", have, sign, version.trim()]).status().unwrap().success()
    };
    let fits = |stanza: &BTreeMap<&str, &str>, one: &str| {
        let (name, condition) = one.split_once('(').unwrap_or((one, ""));
        let (name, condition) = (name.trim(), condition.trim().trim_end_matches(')').trim());
        let any = name.ends_with(":any");
        let name = name.split(':').next().unwrap();
        if any && stanza.get("Multi-Arch") != Some(&"allowed") {
            return false;
        }
        if stanza["Package"] == name && (condition.is_empty() || holds(stanza["Version"], condition)) {
            return true;
        }
        stanza.get("Provides").into_iter().flat_map(|list| list.split(',')).any(|item| {
            let (provided, version) = item.split_once('(').unwrap_or((item, ""));
            let version = version.trim().trim_start_matches('=').trim_end_matches(')').trim();
            provided.trim() == name && (condition.is_empty() || !version.is_empty() && holds(version, condition))
        })
    };
    for wish in wishes.iter().filter(|wish| !found.iter().any(|stanza| stanza["Package"] == wish.as_str())) {
        faults.push(format!("{wish} is wished for and not there"));
    }
    for stanza in &found {
        let field = |name: &str| stanza.get(name).into_iter().flat_map(|text| text.split(',')).map(str::trim);
        for relation in field("Pre-Depends").chain(field("Depends")).filter(|relation| !relation.is_empty()) {
            if !relation.split('|').any(|one| found.iter().any(|other| fits(other, one))) {
                faults.push(format!("{} lacks {relation}", stanza["Package"]));
            }
        }
        for relation in field("Conflicts").chain(field("Breaks")).filter(|relation| !relation.is_empty()) {
            let mut others = found.iter().filter(|other| other["Package"] != stanza["Package"]);
            if let Some(other) = others.find(|other| fits(other, relation)) {
                faults.push(format!("{} excludes {} ({relation})", stanza["Package"], other["Package"]));
            }
        }
    }
    faults
}

/// Whether dose, in a world that has this set alone, finds all of it installable together.
fn dose_takes(folder: &Path, lists: &Lists, set: &Names) -> bool {
    let mut world = String::new();
    for stanza in stanzas(lists, set) {
        // dose wants the name first.
        world += &format!("Package: {}\n", stanza["Package"]);
        for (field, value) in stanza.iter().filter(|(field, _)| **field != "Package") {
            world += &format!("{field}: {value}\n");
        }
        world.push('\n');
    }
    let all: Vec<_> = set.iter().map(|(name, version)| format!("{name} (= {version})")).collect();
    let architecture = lists.architecture;
    world += &format!("Package: the-set\nVersion: 1\nArchitecture: {architecture}\nDepends: {}\n", all.join(", "));
    let file = folder.join("Packages");
    fs::write(&file, world).unwrap();
    let (native, selector) = (format!("--deb-native-arch={architecture}"), format!("the-set:{architecture}"));
    let (done, stdout, stderr) =
        output(Command::new("dose-debcheck").args([&native, "--checkonly", &selector, "-f", "-e"]).arg(&file));
    if !done {
        println!("dose-debcheck: {stdout}{stderr}");
    }
    done
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn sets_are_apts() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = env::var_os("RESOLVE_APT").map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    let seed = number("RESOLVE_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000_000));
    let count = number("RESOLVE_WISHES").unwrap_or(200) as usize;
    println!("RESOLVE_SEED={seed} RESOLVE_WISHES={count}");
    let mut random = fastrand::Rng::with_seed(seed);
    let archives = [("bookworm", "debian12"), ("trixie", "debian13")];
    let archives =
        archives.into_iter().flat_map(|archive| ["amd64", "arm64"].map(|architecture| (archive, architecture)));
    let lists: Vec<Lists> =
        archives.map(|((suite, release), architecture)| fetch(&folder, suite, architecture, release)).collect();
    let wishes: Vec<(&Lists, Vec<String>)> = (0..count)
        .map(|at| {
            let lists = &lists[at % lists.len()];
            let names: BTreeSet<usize> = (0..random.usize(1..=6)).map(|_| random.usize(..lists.names.len())).collect();
            (lists, names.into_iter().map(|at| lists.names[at].clone()).collect())
        })
        .collect();
    // One more in ten: a random package together with one that its Conflicts or Breaks name. Most are
    // to be refused, which wishes at random hardly ever are.
    let quarrels: Vec<_> =
        (0..count / 10).map(|at| (&lists[at % lists.len()], quarrel(&lists[at % lists.len()], &mut random))).collect();
    let wishes: Vec<_> = wishes.into_iter().chain(quarrels).collect();
    // apt takes nearly all of the time: two at once, the results in the order of the wishes.
    let next = Mutex::new(0..wishes.len());
    let apts = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(at) = next.lock().unwrap().next() else { return };
                    let set = by_apt(wishes[at].0, &wishes[at].1);
                    apts.lock().unwrap().insert(at, set);
                }
            });
        }
    });
    let (mut equal, mut refused, mut quarrels_refused, mut failures) = (0, 0, 0, Vec::new());
    let mut differences = Vec::new();
    for (at, apt) in apts.into_inner().unwrap() {
        let (lists, names) = &wishes[at];
        let place = format!("{} {}: {}", lists.suite, lists.architecture, names.join(" "));
        match (by_us(&lists.index, names), apt) {
            (Ok(ours), Ok(apt)) if ours == apt => equal += usize::from(at < count),
            (Ok(ours), Ok(apt)) => {
                let missing: Vec<_> = apt.difference(&ours).collect();
                let extra: Vec<_> = ours.difference(&apt).collect();
                println!("{place}\n  only apt: {missing:?}\n  only ours: {extra:?}");
                let faults = faults(lists, &ours, names);
                if !faults.is_empty() {
                    failures.push(format!("{place}: {}", faults.join("; ")));
                }
                if !dose_takes(scratch.path(), lists, &ours) {
                    failures.push(format!("{place}: dose-debcheck refuses our set"));
                }
                differences.push(place);
            }
            (Err(_), Err(_)) if at >= count => quarrels_refused += 1,
            (Err(_), Err(_)) => refused += 1,
            (Ok(_), Err(error)) => failures.push(format!("{place}: apt refuses, and we do not: {error}")),
            (Err(error), Ok(_)) => failures.push(format!("{place}: only we refuse: {error}")),
        }
    }
    println!(
        "{equal} sets equal, {} others, {refused} refused by both; {quarrels_refused} of {} quarrels refused by both",
        differences.len(),
        count / 10
    );
    assert!(failures.is_empty(), "seed {seed}:\n{}", failures.join("\n"));
    assert!((equal + refused) * 100 >= count * 97, "seed {seed}: only {equal} of {count} sets are apt's");
}

/// A package and one that it excludes by name.
fn quarrel(lists: &Lists, random: &mut fastrand::Rng) -> Vec<String> {
    loop {
        let name = &lists.names[random.usize(..lists.names.len())];
        let Some(candidate) = lists.index.candidates(name).into_iter().next() else { continue };
        let text = format!("{},{}", candidate.record.conflicts, candidate.record.breaks);
        let others = text.split(',').filter_map(|item| item.trim().split([' ', ':', '(']).next());
        let others: Vec<&str> = others
            .filter(|other| {
                *other != name.as_str() && lists.names.binary_search_by(|known| (**known).cmp(*other)).is_ok()
            })
            .collect();
        if !others.is_empty() {
            return vec![name.clone(), others[random.usize(..others.len())].to_owned()];
        }
    }
}

/// The two judges of sets that differ are themselves put to the test.
#[test]
fn judges_judge() {
    let text = "Package: a\nVersion: 2\nDepends: b (>= 2) | v, c:any\nConflicts: x\nFilename: a\nArchitecture: amd64\n\n\
        Package: b\nVersion: 1\nProvides: v\nFilename: b\nArchitecture: amd64\n\n\
        Package: c\nVersion: 1\nMulti-Arch: allowed\nFilename: c\nArchitecture: amd64\n\n\
        Package: d\nVersion: 1\nProvides: x\nFilename: d\nArchitecture: amd64\n\n";
    let lists = Lists {
        suite: "toy",
        architecture: "amd64",
        configuration: PathBuf::new(),
        index: Index::new("amd64".parse().unwrap()),
        names: Vec::new(),
        text: text.to_owned(),
    };
    let folder = tempfile::tempdir().unwrap();
    for (set, expected) in [
        (["a 2", "b 1", "c 1"].as_slice(), [].as_slice()),
        (&["a 2", "b 1"], &["a lacks c:any"]),
        (&["a 2", "c 1"], &["a lacks b (>= 2) | v"]),
        (&["a 2", "b 1", "c 1", "d 1"], &["a excludes d (x)"]),
    ] {
        let set = set.iter().map(|text| text.split_once(' ').unwrap());
        let set = set.map(|(name, version)| (name.to_owned(), version.to_owned())).collect();
        assert_eq!(faults(&lists, &set, &["a".to_owned()]), expected);
        assert_eq!(dose_takes(folder.path(), &lists, &set), expected.is_empty(), "{set:?}");
    }
}

/// All Packages files that the host's apt would look at.
#[test]
fn every_relation_of_the_host_reads() {
    let architecture = succeed(Command::new("dpkg").arg("--print-architecture"));
    let mut index = Index::new(architecture.trim().parse().unwrap());
    let format = ["indextargets", "--format", "$(SUITE) $(FILENAME)", "Identifier: Packages"];
    for line in succeed(Command::new("apt-get").args(format)).lines() {
        let (suite, file) = line.split_once(' ').unwrap();
        let text = succeed(Command::new("/usr/lib/apt/apt-helper").args(["cat-file", file]));
        index.add(suite, 500, text.into_bytes()).unwrap();
    }
    assert!(index.len() > 10_000, "run apt-get update first");
    let mut seen = 0;
    for name in index.names().collect::<BTreeSet<_>>() {
        for candidate in index.candidates(name) {
            let record = candidate.record;
            for text in [record.pre_depends, record.depends, record.conflicts, record.breaks, record.replaces] {
                for relation in parse_relations(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}")) {
                    assert_eq!(relation.to_string().parse(), Ok(relation));
                    seen += 1;
                }
            }
            candidate.package().unwrap();
        }
    }
    assert!(seen > 10_000);
}
