//! The least CPU time that a composition can take: SHA-256 of the .debs, decompression of what is
//! in them, SHA-256 and gzip (libdeflate, level 6) of the tar, each once, on one thread. Every core does the same
//! at the same time, and the mean counts: cores that share caches, memory and a power budget are slower together
//! than alone, and a composition has them all at work.
//!
//! Usage: `floor DEBS-FOLDER TAR...`. Prints seconds of CPU time a line: `sha256-debs`, `unpack`,
//! `sha256-tar`, `gzip-tar`, `total`, and `floor`, the total divided by the cores.

use std::{
    error::Error,
    fs::{self, File},
    io::{self, Read},
    path::PathBuf,
};

use debstrata::ground::Sha256Hasher;

/// CPU time of this thread, in seconds (Linux: Documentation/scheduler/sched-stats.rst).
fn cpu() -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}

/// A part of the work: its name, and how many bytes it passed.
type Part<'a> = (&'static str, &'a (dyn Fn() -> Result<u64, Box<dyn Error>> + Sync));

/// The CPU seconds and bytes of each part, one after the other, on this thread.
fn timed(parts: &[Part<'_>]) -> Result<Vec<(f64, u64)>, String> {
    let one = |(_, work): &Part<'_>| -> Result<(f64, u64), Box<dyn Error>> {
        let before = cpu()?;
        let bytes = work()?;
        Ok((cpu()? - before, bytes))
    };
    parts.iter().map(|part| one(part).map_err(|error| error.to_string())).collect()
}

fn hash(paths: &[PathBuf]) -> Result<u64, Box<dyn Error>> {
    let mut bytes = 0;
    for path in paths {
        bytes += in_pieces(path, |piece| {
            let mut hasher = Sha256Hasher::new();
            hasher.update(piece);
            std::hint::black_box(hasher.finish());
            Ok(())
        })?;
    }
    Ok(bytes)
}

/// Hands a file on in pieces of 4 MiB, the largest member of a layer; its size.
fn in_pieces(path: &PathBuf, mut each: impl FnMut(&[u8]) -> Result<(), Box<dyn Error>>) -> Result<u64, Box<dyn Error>> {
    let mut file = File::open(path)?;
    let mut piece = Vec::with_capacity(4 << 20);
    let mut bytes = 0;
    loop {
        piece.clear();
        (&mut file).take(4 << 20).read_to_end(&mut piece)?;
        if piece.is_empty() {
            return Ok(bytes);
        }
        bytes += piece.len() as u64;
        each(&piece)?;
    }
}

fn unpack(debs: &[PathBuf]) -> Result<u64, Box<dyn Error>> {
    let mut bytes = 0;
    for deb in debs {
        let mut package = debpkg::DebPkg::parse(File::open(deb)?)?;
        // The library hands out its members in order only.
        package.control()?;
        let mut data = package.data()?.into_inner();
        bytes += io::copy(&mut data, &mut io::sink())?;
    }
    Ok(bytes)
}

fn gzip(tars: &[PathBuf]) -> Result<u64, Box<dyn Error>> {
    let level = libdeflater::CompressionLvl::new(6).map_err(|_| "no level 6")?;
    let mut compressor = libdeflater::Compressor::new(level);
    let mut out = Vec::new();
    let mut bytes = 0;
    for tar in tars {
        bytes += in_pieces(tar, |piece| {
            out.resize(compressor.gzip_compress_bound(piece.len()), 0);
            compressor.gzip_compress(piece, &mut out)?;
            Ok(())
        })?;
    }
    Ok(bytes)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths = std::env::args_os().skip(1).filter(|argument| argument != "--bench").map(PathBuf::from);
    let Some(folder) = paths.next() else {
        println!("usage: floor DEBS-FOLDER TAR...");
        return Ok(());
    };
    let tars: Vec<PathBuf> = paths.collect();
    let mut debs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            debs.push(path);
        }
    }
    debs.sort();
    let parts: [Part<'_>; 4] = [
        ("sha256-debs", &|| hash(&debs)),
        ("unpack", &|| unpack(&debs)),
        ("sha256-tar", &|| hash(&tars)),
        ("gzip-tar", &|| gzip(&tars)),
    ];
    let cores = std::thread::available_parallelism()?.get();
    let each: Vec<Vec<(f64, u64)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(|| timed(&parts))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?)
            .collect::<Result<_, String>>()
    })?;
    let mut total = 0.0;
    for (at, (name, _)) in parts.iter().enumerate() {
        let seconds = each.iter().map(|times| times[at].0).sum::<f64>() / cores as f64;
        total += seconds;
        println!("{name}\t{seconds:.3}\t{:.0} MB/s", each[0][at].1 as f64 / 1e6 / seconds);
    }
    println!("total\t{total:.3}");
    println!("floor\t{:.3}", total / cores as f64);
    Ok(())
}
