//! How fast layers are written, beside the bare compressor.
//!
//! Usage: `layer FOLDER [MB]`. Takes the files of a folder (at most so many MB, 500 without) as the
//! content of a layer and prints a line for each way of writing it: wall seconds, CPU seconds,
//! MB of tar a CPU second, bytes written.

use std::{
    collections::BTreeMap,
    error::Error,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Instant,
};

use debstrata::{
    cache::CacheError,
    ground::{RootPath, Sha256, Silent},
    layer::{Emitted, Form, MemberStore, NoStore, Sink, emit},
    rootfs::{Attributes, Content, Entry, Node, Origin, Spool},
};

type Tree = BTreeMap<RootPath, Entry>;

#[derive(Default)]
struct Memory(Mutex<BTreeMap<Sha256, Vec<u8>>>);

impl MemberStore for Memory {
    fn get(&self, key: &Sha256) -> Result<Option<Vec<u8>>, CacheError> {
        Ok(self.0.lock().expect("nobody panics").get(key).cloned())
    }

    fn put(&self, key: &Sha256, record: &[u8]) -> Result<(), CacheError> {
        self.0.lock().expect("nobody panics").insert(*key, record.to_vec());
        Ok(())
    }
}

fn entry(node: Node) -> Entry {
    Entry { node, attributes: Attributes::new(0o755, 0, 0), origin: Origin::Implied }
}

/// Adds what is in `folder`, every file its own spool; stops when `left` bytes are used up.
fn collect(top: &Path, folder: &Path, tree: &mut Tree, left: &mut u64) -> Result<(), Box<dyn Error>> {
    let path = |path: &Path| {
        RootPath::from_archive(path.strip_prefix(top)?.as_os_str().as_bytes()).map_err(Box::<dyn Error>::from)
    };
    tree.insert(path(folder)?, entry(Node::Directory));
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    found.sort();
    for below in found {
        let meta = fs::symlink_metadata(&below)?;
        if meta.is_dir() {
            collect(top, &below, tree, left)?;
        } else if meta.is_file() && meta.len() <= *left {
            *left -= meta.len();
            let mut bytes = Vec::new();
            File::open(&below)?.read_to_end(&mut bytes)?;
            let spool = Arc::new(Spool::new(below.clone()));
            let content =
                Content::in_spool(spool, 0, bytes.len() as u64, Sha256::of(&bytes), libdeflater::crc32(&bytes));
            tree.insert(path(&below)?, entry(Node::File { content, group: None }));
        }
    }
    Ok(())
}

/// User and system time of this process, in seconds (proc_pid_stat(5), fields 14 and 15; a tick is
/// 10 ms on every Linux).
fn cpu() -> Result<f64, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/self/stat")?;
    let after = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = after.split_whitespace().skip(11).take(2).map(|word| word.parse::<u64>().unwrap_or(0)).sum();
    Ok(ticks as f64 / 100.0)
}

/// Counts what it is given.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn timed(name: &str, size: u64, work: impl FnOnce() -> Result<u64, Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
    let (cpu_before, before) = (cpu()?, Instant::now());
    let written = work()?;
    let (wall, cpu) = (before.elapsed().as_secs_f64(), cpu()? - cpu_before);
    println!("{name}\t{wall:.2} s\t{cpu:.2} s CPU\t{:.0} MB/s\t{written} bytes", size as f64 / 1e6 / cpu);
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).filter(|argument| argument != "--bench");
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        println!("usage: layer FOLDER [MB]");
        return Ok(());
    };
    let mut left = match arguments.next() {
        Some(number) => number.to_string_lossy().parse::<u64>()? * 1_000_000,
        None => 500_000_000,
    };
    let mut tree = Tree::new();
    collect(&folder, &folder, &mut tree, &mut left)?;
    let changes: Vec<(RootPath, Entry)> = tree.into_iter().collect();

    let write = |forms: &[Form], store: &dyn MemberStore| -> Result<Emitted, Box<dyn Error>> {
        let mut outs: Vec<Count> = forms.iter().map(|_| Count(0)).collect();
        let mut sinks: Vec<Sink> = forms
            .iter()
            .zip(&mut outs)
            .map(|(form, out)| Sink { form: *form, path: form.extension().into(), out })
            .collect();
        Ok(emit(&changes, 0, &mut sinks, store, &Silent)?)
    };
    let mut tar = Vec::new();
    let mut sinks = [Sink { form: Form::Tar, path: "tar".into(), out: &mut tar }];
    let emitted = emit(&changes, 0, &mut sinks, &NoStore, &Silent)?;
    let size = emitted.size;
    println!(
        "{} entries, {size} bytes of tar, {} members, {} threads",
        changes.len(),
        emitted.members,
        rayon::current_num_threads()
    );

    let level = libdeflater::CompressionLvl::new(6).map_err(|_| "no level 6")?;
    timed("libdeflate 6, one thread, whole", size, || {
        let mut compressor = libdeflater::Compressor::new(level);
        let mut out = vec![0; compressor.gzip_compress_bound(tar.len())];
        Ok(compressor.gzip_compress(&tar, &mut out)? as u64)
    })?;
    timed("zstd 3, one thread, whole", size, || Ok(zstd::bulk::compress(&tar, 3)?.len() as u64))?;
    drop(tar);
    let sum = |emitted: Emitted| emitted.blobs.iter().map(|blob| blob.size).sum();
    timed("tar", size, || Ok(sum(write(&[Form::Tar], &NoStore)?)))?;
    timed("tar.gz", size, || Ok(sum(write(&[Form::TarGz], &NoStore)?)))?;
    timed("tar.zst", size, || Ok(sum(write(&[Form::TarZst], &NoStore)?)))?;
    let memory = Memory::default();
    timed("tar.gz, cold store", size, || Ok(sum(write(&[Form::TarGz], &memory)?)))?;
    timed("tar.gz, warm store", size, || Ok(sum(write(&[Form::TarGz], &memory)?)))?;
    Ok(())
}
