//! Layers: promised bytes, equality whatever the threads and the cache, cuts, damage.
//! Whether strangers read them: tests/oracle_layer.rs. Round trips: tests/layer_round_trip.rs.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::PathBuf,
    sync::{Arc, LazyLock, Mutex},
};

use debstrata::{
    cache::{Cache, CacheError},
    ground::{RootPath, Sha256, Silent},
    layer::{Emitted, FORMAT_VERSION, Form, LayerError, MemberStore, NoStore, Sink, emit},
    rootfs::{Attributes, Content, Entry, LinkGroup, Node, Origin, Spool},
};

type Changes = Vec<(RootPath, Entry)>;

/// Keeps records in memory.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<Sha256, Vec<u8>>>);

impl MemberStore for Memory {
    fn get(&self, key: &Sha256) -> Result<Option<Vec<u8>>, CacheError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }

    fn put(&self, key: &Sha256, record: &[u8]) -> Result<(), CacheError> {
        self.0.lock().unwrap().insert(*key, record.to_vec());
        Ok(())
    }
}

fn path(text: &str) -> RootPath {
    RootPath::from_absolute(text.as_bytes()).unwrap()
}

fn entry(node: Node, mode: u16) -> Entry {
    Entry { node, attributes: Attributes::new(mode, 0, 0), origin: Origin::Implied }
}

fn file(bytes: impl Into<Arc<[u8]>>) -> Entry {
    entry(Node::File { content: Content::from_bytes(bytes), group: None }, 0o644)
}

/// Bytes that compress to about half, the same for the same seed.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..) & 0x0f).take(size).collect()
}

/// Adds the folders above, sorts.
fn tree(entries: impl IntoIterator<Item = (RootPath, Entry)>) -> Changes {
    let mut all: BTreeMap<RootPath, Entry> = entries.into_iter().collect();
    for path in all.keys().cloned().collect::<Vec<_>>() {
        for folder in path.ancestors() {
            all.entry(folder).or_insert_with(|| entry(Node::Directory, 0o755));
        }
    }
    all.into_iter().collect()
}

/// All that the dialect has, small.
fn sampler() -> Changes {
    let linked = |group| entry(Node::File { content: Content::from_bytes(*b"linked\n"), group }, 0o4755);
    let group = Some(LinkGroup(Sha256::of(b"group")));
    let mut capable = file(*b"#!/bin/true\n");
    capable.attributes.xattrs.insert((*b"security.capability").into(), [1, 0, 0, 2, 0, 4, 0, 0].as_slice().into());
    let mut rich = file(*b"");
    rich.attributes.uid = 3_000_000;
    rich.attributes.gid = u32::MAX;
    let mut home = entry(Node::Directory, 0o700);
    (home.attributes.uid, home.attributes.gid) = (65532, 65532);
    tree([
        (path("/etc/passwd"), file(*b"root:x:0:0:root:/root:/sbin/nologin\n")),
        (path("/home/nonroot"), home),
        (path("/tmp"), entry(Node::Directory, 0o1777)),
        (path("/usr/bin/a"), linked(group)),
        (path("/usr/bin/b"), linked(group)),
        (path("/usr/bin/capable"), capable),
        (path("/usr/lib/full"), file(noise(1, 512))),
        (path("/usr/lib/over"), file(noise(2, 513))),
        (path("/usr/lib/rich"), rich),
        (path("/usr/share/Főtanúsítvány.crt"), file(*b"cert\n")),
        (path(&format!("/usr/share/{}/ő", "long".repeat(30))), file(*b"deep\n")),
        (path("/usr/share/link"), entry(Node::Symlink((*b"../bin//a").into()), 0o777)),
        (path("/usr/share/far"), entry(Node::Symlink("/far".repeat(30).into_bytes().into()), 0o777)),
    ])
}

/// Small files, one that is cut inside, middling ones.
fn large() -> Changes {
    static ONCE: LazyLock<Changes> = LazyLock::new(make_large);
    ONCE.clone()
}

fn make_large() -> Changes {
    let small =
        (0..900u64).map(|at| (path(&format!("/usr/share/{at:03}/file")), file(noise(at, (at * 37 % 9000) as usize))));
    let middle =
        (0..12u64).map(|at| (path(&format!("/usr/lib/{at}.so")), file(noise(1000 + at, 40_000 * at as usize))));
    let big = [(path("/opt/big"), file(noise(7, 5 << 20))), (path("/opt/bigger"), file(noise(8, (8 << 20) - 512)))];
    tree(small.chain(middle).chain(big))
}

fn emit_all(changes: &[(RootPath, Entry)], store: &dyn MemberStore) -> Result<(Emitted, Vec<Vec<u8>>), LayerError> {
    let mut outs = vec![Vec::new(); Form::ALL.len()];
    let mut sinks: Vec<Sink> = Form::ALL
        .iter()
        .zip(&mut outs)
        .map(|(form, out)| Sink { form: *form, path: PathBuf::from(form.extension()), out })
        .collect();
    let emitted = emit(changes, 0, &mut sinks, store, &Silent)?;
    Ok((emitted, outs))
}

#[test]
fn promised_bytes() {
    let (emitted, _) = emit_all(&sampler(), &NoStore).unwrap();
    let (large, _) = emit_all(&large(), &NoStore).unwrap();
    let got: Vec<String> = [emitted, large]
        .iter()
        .flat_map(|emitted| emitted.blobs.iter())
        .map(|blob| format!("{} {} {}", blob.form.extension(), blob.size, blob.digest))
        .collect();
    assert_eq!(FORMAT_VERSION, 2);
    assert_eq!(
        got,
        [
            "tar 20992 3264c6f3ebe2f066c8338d7212ba2a6ac0a92836cc7c28cb2edbc5bd16b79882",
            "tar.gz 1492 a61340301457887033969dd812d774755b8094f1fd69b4638c99fb647ea50910",
            "tar.zst 1409 506048498c02fed34a5fee411d4ac2000ab45c6da5b2fbc03e320fe5bf7a8a3f",
            "tar 21256704 8420fa0b2883a2d256bbc748e2f4d1fae43e0fe533c3ba051ccdaa4cfe082b81",
            "tar.gz 10272630 93a7dffa4eeeb6e5ad9a06e7fd3101ab466771be254e5455108b73eca5bc90a5",
            "tar.zst 10460477 94282ebf0227bcb7fed51f354b7faa1eb9dbebec368a6eefcf37f558763824d0",
        ],
        "\nBytes of a layer have changed. If that was not meant, it is a bug, or a compressor's new version.\n\
         If it was: raise FORMAT_VERSION, describe the change in docs/layer-format.md and CHANGELOG.md\n\
         (every diff_id changes for every user), then put the new digests here."
    );
}

#[test]
fn the_forms_hold_the_same_tar_and_the_digests_are_theirs() {
    for changes in [sampler(), large(), Vec::new()] {
        let (emitted, outs) = emit_all(&changes, &NoStore).unwrap();
        let tar = &outs[0];
        assert_eq!(emitted.diff_id.0, Sha256::of(tar));
        assert_eq!(emitted.size, tar.len() as u64);
        for ((blob, out), form) in emitted.blobs.iter().zip(&outs).zip(Form::ALL) {
            assert_eq!((blob.form, blob.digest, blob.size), (form, Sha256::of(out), out.len() as u64));
        }
        let mut plain = Vec::new();
        flate2::read::MultiGzDecoder::new(&*outs[1]).read_to_end(&mut plain).unwrap();
        assert!(plain == *tar);
        assert!(zstd::decode_all(&*outs[2]).unwrap() == *tar);
        // RFC 1952: no flags, no time, no compression hint, unknown system.
        assert_eq!(outs[1][..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    }
}

#[test]
fn bytes_do_not_depend_on_threads_or_store() {
    let changes = large();
    let (expected, outs) = emit_all(&changes, &NoStore).unwrap();
    let memory = Memory::default();
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path()).unwrap();
    let stores: [&dyn MemberStore; 3] = [&NoStore, &memory, &cache];
    for threads in [1, 2, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for store in stores {
            let (emitted, again) = pool.install(|| emit_all(&changes, store)).unwrap();
            assert_eq!((emitted.diff_id, &emitted.blobs), (expected.diff_id, &expected.blobs));
            assert!(again == outs);
        }
    }
    for store in &stores[1..] {
        assert_eq!(emit_all(&changes, *store).unwrap().0.reused, 2 * expected.members, "all are kept");
    }
}

#[test]
fn a_damaged_record_is_made_again() {
    let changes = large();
    let memory = Memory::default();
    let (expected, outs) = emit_all(&changes, &memory).unwrap();
    for (at, record) in memory.0.lock().unwrap().values_mut().enumerate() {
        match at % 4 {
            0 => record.truncate(record.len() / 2),
            1 => *record.last_mut().unwrap() ^= 1,
            2 => record.clear(),
            _ => {}
        }
    }
    let (emitted, again) = emit_all(&changes, &memory).unwrap();
    assert!(again == outs);
    assert!(emitted.reused > 0 && emitted.reused < expected.members * 2);
    assert_eq!(emit_all(&changes, &memory).unwrap().0.reused, 2 * expected.members, "and replaced");
}

/// The sizes of the gzip members of a blob, before compression.
fn members(mut blob: &[u8]) -> Vec<usize> {
    let mut sizes = Vec::new();
    while !blob.is_empty() {
        let mut raw = Vec::new();
        flate2::bufread::GzDecoder::new(&mut blob).read_to_end(&mut raw).unwrap();
        sizes.push(raw.len());
    }
    sizes
}

#[test]
fn members_have_at_most_4_mib_and_are_rarely_small() {
    let (emitted, outs) = emit_all(&large(), &NoStore).unwrap();
    let sizes = members(&outs[1]);
    assert_eq!(sizes.len(), emitted.members);
    assert!(sizes.iter().all(|size| *size <= 1 << 20), "{sizes:?}");
    assert!(sizes.contains(&(1 << 20)), "a large file is cut inside: {sizes:?}");
    // A large file cuts off what comes before it.
    assert!(sizes.iter().filter(|size| **size < 200 << 10).count() <= 2, "{sizes:?}");
}

#[test]
fn an_edit_touches_few_members() {
    let memory = Memory::default();
    let changes = large();
    let (all, _) = emit_all(&changes, &memory).unwrap();
    for (edited, bytes) in [
        ("/usr/share/450/file", noise(1, 10)),
        ("/usr/share/000/file", noise(2, 700_000)),
        ("/usr/lib/3.so", noise(3, 120_001)),
        ("/opt/big", noise(4, 5 << 20)),
        ("/aaa/new", noise(5, 5)),
    ] {
        let (size, mut after) = (bytes.len(), changes.clone());
        after.retain(|(old, _)| *old != path(edited));
        after.push((path(edited), file(bytes)));
        let (emitted, _) = emit_all(&tree(after), &memory).unwrap();
        let touched = 2 * emitted.members - emitted.reused;
        // Its own members (a MiB each at most), and the neighbours whose cuts it moves.
        let own = size.div_ceil(1 << 20);
        assert!(touched <= 2 * (own + 3), "{edited}: {touched} of {} compressed members", 2 * all.members);
    }
}

#[test]
fn hard_links_point_to_the_first_name_and_keep_no_content() {
    let (_, outs) = emit_all(&sampler(), &NoStore).unwrap();
    let mut archive = tar::Archive::new(&*outs[0]);
    let mut seen = Vec::new();
    for found in archive.entries().unwrap() {
        let found = found.unwrap();
        if found.path_bytes().starts_with(b"usr/bin/") {
            let link = found.link_name_bytes().map(|link| String::from_utf8(link.into_owned()).unwrap());
            seen.push((String::from_utf8(found.path_bytes().into_owned()).unwrap(), found.size(), link));
        }
    }
    let expected = [("usr/bin/", 0, None), ("usr/bin/a", 7, None), ("usr/bin/b", 0, Some("usr/bin/a".to_owned()))];
    let expected: Vec<_> = expected.into_iter().map(|(name, size, link)| (name.to_owned(), size, link)).collect();
    assert_eq!(seen[..3], expected);
}

#[test]
fn names_of_a_link_group_that_differ_are_files_of_their_own() {
    let group = Some(LinkGroup(Sha256::of(b"group")));
    let file = |bytes: &[u8], mode| entry(Node::File { content: Content::from_bytes(bytes), group }, mode);
    let changes = tree([
        (path("/a"), file(b"one", 0o644)),
        (path("/b"), file(b"two", 0o644)),
        (path("/c"), file(b"one", 0o600)),
        (path("/d"), file(b"one", 0o644)),
    ]);
    let (_, outs) = emit_all(&changes, &NoStore).unwrap();
    let kinds: Vec<u8> = tar::Archive::new(&*outs[0])
        .entries()
        .unwrap()
        .map(|found| found.unwrap().header().entry_type().as_byte())
        .collect();
    assert_eq!(kinds, *b"50001");
}

#[test]
fn a_damaged_spool_is_named_and_never_kept() {
    for (size, name) in [(5000, "small"), (5 << 20, "cut inside")] {
        let folder = tempfile::tempdir().unwrap();
        let spool = folder.path().join("spool");
        let bytes = noise(3, size);
        let write = |damage: bool| {
            let mut all = [b"before".as_slice(), &bytes].concat();
            if damage {
                *all.last_mut().unwrap() ^= 1;
            }
            std::fs::write(&spool, all).unwrap();
        };
        let content = Content::in_spool(
            Arc::new(Spool::new(spool.clone())),
            6,
            size as u64,
            Sha256::of(&bytes),
            libdeflater::crc32(&bytes),
        );
        let changes = tree([(path("/usr/x"), entry(Node::File { content, group: None }, 0o644))]);
        let memory = Memory::default();
        write(true);
        match emit_all(&changes, &memory).unwrap_err() {
            LayerError::Damaged { path, spool: named } => assert_eq!((path.as_str(), named), ("/usr/x", spool.clone())),
            other => panic!("{name}: {other:?}"),
        }
        // What the failed run left in the store must not shape the next one's bytes.
        write(false);
        let (emitted, outs) = emit_all(&changes, &memory).unwrap();
        assert!(outs == emit_all(&changes, &NoStore).unwrap().1, "{name}");
        assert_eq!(emitted.diff_id.0, Sha256::of(&outs[0]));
        // A spool that is too short or gone.
        std::fs::File::create(&spool).unwrap().write_all(b"before").unwrap();
        assert!(matches!(emit_all(&changes, &memory), Err(LayerError::Read { .. })), "{name}");
        std::fs::remove_file(&spool).unwrap();
        assert!(matches!(emit_all(&changes, &memory), Err(LayerError::Read { .. })), "{name}");
    }
}

#[test]
fn what_no_tar_can_say_is_refused() {
    let mut odd = file(*b"");
    odd.attributes.xattrs.insert((*b"user.a=b").into(), (*b"").into());
    let link = |target: &[u8]| entry(Node::Symlink(target.into()), 0o777);
    for bad in [odd, link(b"a\0b"), link(b"")] {
        let error = emit_all(&tree([(path("/x"), bad)]), &NoStore).unwrap_err();
        assert!(matches!(&error, LayerError::Inexpressible { path, .. } if path == "/x"), "{error}");
    }
}

/// Forms of one member agree in all that a record says of its bytes.
#[test]
fn a_record_under_another_name_is_not_used() {
    let changes = tree([(path("/x"), file(noise(1, 100_000)))]);
    let store = Memory::default();
    let (good, _) = emit_all(&changes, &store).unwrap();
    {
        let mut records = store.0.lock().unwrap();
        let mut values: Vec<_> = records.values().cloned().collect();
        assert!(values.len() > 1);
        values.rotate_left(1);
        for (slot, value) in records.values_mut().zip(values) {
            *slot = value;
        }
    }
    let (again, _) = emit_all(&changes, &store).unwrap();
    assert_eq!(again.blobs, good.blobs);
}

/// Whoever unpacks a layer takes such a name for an order to delete (OCI image-spec, layer.md, "Whiteouts").
#[test]
fn names_of_whiteouts_are_refused() {
    for name in ["/etc/.wh.passwd", "/etc/.wh..wh..opq", "/.wh.", "/a/.wh.b/c"] {
        for node in [file(*b""), entry(Node::Symlink((*b"x").into()), 0o777), entry(Node::Directory, 0o755)] {
            let error = emit_all(&tree([(path(name), node)]), &NoStore).unwrap_err();
            assert!(matches!(&error, LayerError::Inexpressible { .. }), "{error}");
            assert!(error.to_string().contains("delete"), "{error}");
        }
    }
    emit_all(&tree([(path("/etc/wh.passwd"), file(*b"")), (path("/x.wh.y"), file(*b""))]), &NoStore).unwrap();
}

#[test]
fn disorder_is_refused() {
    let folder = || entry(Node::Directory, 0o755);
    let orphan = vec![(RootPath::root(), folder()), (path("/a/b"), file(*b""))];
    let twice = vec![(RootPath::root(), folder()), (path("/a"), folder()), (path("/a"), folder())];
    let backwards = vec![(RootPath::root(), folder()), (path("/b"), folder()), (path("/a"), folder())];
    let below_file = vec![(RootPath::root(), folder()), (path("/a"), file(*b"")), (path("/a/b"), folder())];
    for changes in [orphan, twice, backwards, below_file] {
        assert!(matches!(emit_all(&changes, &NoStore), Err(LayerError::Disorder { .. })), "{changes:?}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut sinks = [Sink { form: Form::TarGz, path: "out/x.tar.gz".into(), out: &mut Full }];
    let error = emit(&large(), 0, &mut sinks, &NoStore, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "cannot write out/x.tar.gz");
}
