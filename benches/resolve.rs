//! How fast wishes are resolved, given a loaded index.
//!
//! Usage: `resolve PACKAGES ARCHITECTURE [WISHES] [SEED]`. `PACKAGES` is an unpacked Packages file.
//! Resolves so many wishes (1,000 without) of one to six packages taken at random and prints one line:
//! seconds to read the file, seconds for all wishes, milliseconds of the slowest, packages chosen.

use std::{error::Error, fs, time::Instant};

use debstrata::{
    archive::Index,
    resolve::{Dependencies, Preferences, Question, Wish, resolve},
};

fn main() -> Result<(), Box<dyn Error>> {
    // `cargo bench` adds an argument of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [file, architecture, rest @ ..] = arguments.as_slice() else {
        return Err("usage: resolve PACKAGES ARCHITECTURE [WISHES] [SEED]".into());
    };
    let number = |at: usize, default: u64| rest.get(at).map_or(Ok(default), |text| text.parse());
    let (wishes, mut random) = (number(0, 1_000)?, fastrand::Rng::with_seed(number(1, 1)?));
    let text = fs::read(file)?;
    let start = Instant::now();
    let mut index = Index::new(architecture.parse()?);
    index.add("bench/suite", 500, text)?;
    let reading = start.elapsed();
    let names: Vec<&str> = index.names().collect();
    let (mut packages, mut slowest) = (0, 0.0f64);
    let start = Instant::now();
    for _ in 0..wishes {
        let names: Vec<_> = (0..random.usize(1..=6)).map(|_| names[random.usize(..names.len())]).collect();
        let wishes: Result<_, _> =
            names.iter().map(|name| name.parse().map(|relation| Wish { relation, span: 0..0 })).collect();
        let (dependencies, omit) = (Dependencies::All, Vec::new());
        let question = Question { architecture: index.architecture(), wishes: wishes?, dependencies, omit };
        let one = Instant::now();
        let answer = resolve(&question, &index, &[], &Preferences::default());
        slowest = slowest.max(one.elapsed().as_secs_f64());
        packages += answer.map_or(0, |answer| answer.packages.len());
    }
    let (reading, all) = (reading.as_secs_f64(), start.elapsed().as_secs_f64());
    println!(
        "reading {reading:.3} s, {wishes} wishes {all:.3} s, slowest {:.1} ms, {packages} packages",
        slowest * 1e3
    );
    Ok(())
}
