//! A .deb becomes control members, a table of entries and a spool of contents in the cache:
//! sanitised, bounded, in parallel. Knows no globs and no tiers.
//!
//! One pass: the .deb's bytes are hashed while they are decompressed, each file is hashed while it
//! is appended to the spool. Nothing is kept under its name before the .deb's own digest fits. The
//! table appears last; without a whole table that fits its spool, the package is unpacked again.

mod collect;
mod error;
mod kept;
mod layer;
mod limits;
mod stack;
mod table;
mod tar;
mod tarball;

use std::{
    cell::Cell,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
    sync::Arc,
};

use rayon::prelude::*;

pub use error::{Difference, Refusal, UnpackError};
pub use layer::{recall_layer, unpack_layer};
pub use limits::Limits;
pub use stack::{StackError, stack};
pub use tarball::{TarballError, recall_tarball, unpack_tarball};

use self::{
    collect::Stop,
    kept::{Hashed, Keys, Refused},
    table::Table,
    tar::TarError,
};
use crate::{
    cache::Cache,
    debian::deb::{ControlMembers, Deb, DebError, Identity},
    ground::{Event, Observer, RootPath, Sha256, Sha256Hasher, Work, WriteError},
    rootfs::{Attributes, Node, PackageName},
};

/// One unpacked package, before any tier's rules.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// Members of control.tar by name (`control`, `md5sums`, `conffiles`, `postinst` ...), verbatim.
    pub control: ControlMembers,
    /// Entries of data.tar in the order of the archive, one a path (the last one of a path wins, as with dpkg).
    pub entries: Vec<Item>,
}

impl Unpacked {
    /// The digest of all that a tier can take from the package, for the lock: members of control.tar
    /// by name, then the entries in their order. The same .deb has the same one in every version of
    /// debstrata that reads it alike.
    pub fn digest(&self) -> Sha256 {
        let mut hasher = Sha256Hasher::new();
        let mut put = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        for (name, member) in &self.control {
            put(name.as_bytes());
            put(Sha256::of(member).as_bytes());
        }
        for Item { path, attributes, node } in &self.entries {
            let Attributes { mode, uid, gid, xattrs } = attributes;
            put(path.as_bytes());
            put(format!("{mode:o} {uid} {gid}").as_bytes());
            for (name, value) in xattrs {
                put(name);
                put(value);
            }
            match node {
                Node::Directory => put(b"directory"),
                Node::Symlink(target) => {
                    put(b"symlink");
                    put(target);
                }
                Node::File { content, group } => {
                    put(b"file");
                    put(content.sha256.as_bytes());
                    put(group.as_ref().map(|group| group.0.as_bytes().as_slice()).unwrap_or_default());
                }
            }
        }
        hasher.finish()
    }
}

/// One entry of data.tar. Names are final paths of the package, not yet rewritten for merged /usr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it goes.
    pub path: RootPath,
    /// Mode and owner.
    pub attributes: Attributes,
    /// What it is; every name of a hard-linked group carries the content.
    pub node: Node,
}

/// What the index or the lock says about a .deb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Name, version and architecture that its control file must have, letter by letter.
    pub package: Arc<PackageName>,
    /// Bytes of the .deb.
    pub size: u64,
    /// Of the .deb.
    pub sha256: Sha256,
}

impl Expected {
    fn title(&self) -> String {
        let PackageName { name, version, architecture } = &*self.package;
        format!("{name} {version} {architecture}")
    }
}

/// The version of what the cache holds for a package; a change of table, spool or rules raises it.
/// It stands in the keys, and in the table's magic.
const FORMAT: u32 = 2;
/// The cache's kind of derived data.
const KIND: &str = "unpacked";
/// Bytes of the .deb that are read at once.
const READ: usize = 128 << 10;
/// Bytes of data.tar that are decompressed at once.
const DECODED: usize = 256 << 10;
/// Bytes of a table in the cache: what the default ceilings can make of it.
const LONGEST_TABLE: u64 = 1 << 30;

fn keys(sha256: &Sha256) -> Keys {
    let key = |what| format!("{sha256}-{FORMAT}.{what}");
    Keys { table: key("table"), spool: key("spool") }
}

/// What the cache has of this package from an earlier run; the .deb itself is not needed. Only a
/// control file that does not fit `expected` is an error; anything damaged is as if it were not there.
pub fn recall(expected: &Expected, cache: &Cache) -> Result<Option<Unpacked>, UnpackError> {
    let kept = kept::recall(&keys(&expected.sha256), &expected.sha256, cache);
    let Some((table, spool)) = kept else { return Ok(None) };
    check_identity(expected, &table.control)?;
    Ok(Some(table.into_unpacked(spool)))
}

/// Removes what the cache has of a package or tarball. For whoever finds that contents do not have their digest:
/// a table vouches for its spool's size alone, and a power cut can leave zeros. Errors name the path.
pub fn forget(sha256: &Sha256, cache: &Cache) -> Result<(), WriteError> {
    let keys = [keys(sha256), tarball::keys(sha256), layer::keys(sha256)];
    for key in keys.into_iter().flat_map(Keys::all) {
        let path = cache.derived_path(KIND, &key);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(WriteError { path, source }),
            _ => {}
        }
    }
    Ok(())
}

/// Unpacks `deb` into the cache, or recalls what the cache has of it. Advances [`Work::Unpack`] by
/// the .deb's bytes, also where it fails.
///
/// The errors name package and member, or entry; nothing of a refused package stays in the cache.
pub fn unpack(
    deb: &Path,
    expected: &Expected,
    cache: &Cache,
    limits: &Limits,
    observer: &dyn Observer,
) -> Result<Unpacked, UnpackError> {
    let told = Cell::new(0);
    let result = match recall(expected, cache) {
        Ok(None) => unpack_anew(deb, expected, cache, limits, observer, &told),
        Ok(Some(unpacked)) => Ok(unpacked),
        Err(error) => Err(error),
    };
    observer.tell(Event::Advance(Work::Unpack, expected.size.saturating_sub(told.get())));
    result
}

/// Unpacks packages in parallel, begun in the order of `debs`; `done` is told of each as it ends, by its place
/// in `debs`, on the thread that unpacked it.
pub fn unpack_all(
    debs: &[(&Path, &Expected)],
    cache: &Cache,
    limits: &Limits,
    observer: &dyn Observer,
    done: impl Fn(usize, Result<Unpacked, UnpackError>) + Sync,
) {
    observer.tell(Event::Expect(Work::Unpack, debs.iter().map(|(_, expected)| expected.size).sum()));
    // A bridge hands out one package after another; an indexed iterator would give the first half to one
    // thread.
    debs.iter().enumerate().par_bridge().for_each(|(number, (deb, expected))| {
        done(number, unpack(deb, expected, cache, limits, observer));
        // Whoever composes of what is there already needs these threads too.
        rayon::yield_now();
    });
}

fn unpack_anew(
    deb: &Path,
    expected: &Expected,
    cache: &Cache,
    limits: &Limits,
    observer: &dyn Observer,
    told: &Cell<u64>,
) -> Result<Unpacked, UnpackError> {
    let unreadable = |source| UnpackError::Read { package: expected.title(), path: deb.to_owned(), source };
    let changed = |found| UnpackError::Changed { package: expected.title(), path: deb.to_owned(), found };
    let file = File::open(deb).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?.len();
    if found != expected.size {
        return Err(changed(Difference::Size { expected: expected.size, found }));
    }
    let stream = Told { file, size: expected.size, told, observer };
    let reader = BufReader::with_capacity(READ, Hashed::new(stream));
    let changed_bytes = |found| changed(Difference::Sha256 { expected: expected.sha256, found });
    let read = |reader: &mut BufReader<_>, spool: &mut File| read_package(reader, expected, spool, limits);
    kept::keep(cache, &keys(&expected.sha256), reader, &expected.sha256, read, changed_bytes, unreadable)
}

fn read_package(
    reader: &mut BufReader<Hashed<Told<'_>>>,
    expected: &Expected,
    spool: &mut File,
    limits: &Limits,
) -> Result<Table, Refused<UnpackError>> {
    let deb_error = |source| Refused::File(UnpackError::Deb { package: expected.title(), source: Box::new(source) });
    let mut deb = Deb::open(reader, expected.size, &limits.deb).map_err(deb_error)?;
    check_identity(expected, deb.control()).map_err(Refused::File)?;
    let member = deb.data_name().to_owned();
    let data = BufReader::with_capacity(DECODED, deb.data().map_err(deb_error)?);
    let bytes = limits.unpacked_of(expected.size);
    let collected = collect::collect(data, bytes, &expected.sha256, spool, limits);
    let (records, spool_size) = collected.map_err(|stop| match stop {
        Stop::Write(error) => Refused::Write(error),
        Stop::Package(TarError::Read(source)) => deb_error(DebError::Member { member, source }),
        Stop::Package(TarError::Entry { entry, reason }) => {
            let (package, reason) = (expected.title(), Box::new(reason));
            Refused::File(UnpackError::Entry { package, member, entry, reason })
        }
        Stop::Package(TarError::TooMuch { what, limit }) => {
            Refused::File(UnpackError::TooMuch { package: expected.title(), member, what, limit })
        }
    })?;
    let control = deb.finish().map_err(deb_error)?;
    Ok(Table { deb: expected.sha256, spool_size, control, records })
}

fn check_identity(expected: &Expected, control: &ControlMembers) -> Result<(), UnpackError> {
    let text = control.get("control").map(|text| &**text).unwrap_or_default();
    let found = Identity::of_control(text).map_err(|problem| UnpackError::Deb {
        package: expected.title(),
        source: Box::new(DebError::Control { member: "control.tar".to_owned(), problem }),
    })?;
    let PackageName { name, version, architecture } = &*expected.package;
    for (field, expected_value, found) in [
        ("Package", name, found.name),
        ("Version", version, found.version),
        ("Architecture", architecture, found.architecture),
    ] {
        if **expected_value != *found {
            let (package, expected) = (expected.title(), expected_value.to_string());
            return Err(UnpackError::Identity { package, field, expected, found });
        }
    }
    Ok(())
}

/// The .deb's file: every byte that is read is told.
struct Told<'a> {
    file: File,
    size: u64,
    told: &'a Cell<u64>,
    observer: &'a dyn Observer,
}

impl Read for Told<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        // A file that grows meanwhile does not move the bar beyond its end.
        let news = (count as u64).min(self.size - self.told.get());
        self.told.set(self.told.get() + news);
        if news > 0 {
            self.observer.tell(Event::Advance(Work::Unpack, news));
        }
        Ok(count)
    }
}
