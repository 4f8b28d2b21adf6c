//! The pipeline: members made on all threads, taken in order into diff_id, digests and outputs.

use libdeflater::Crc;

use super::{
    Blob, Emitted, Form, LayerError, MemberStore, Sink, cut,
    member::{Made, Shop},
    ordered::in_order,
    tar::Tar,
};
use crate::{
    ground::{DiffId, Event, Observer, RootPath, Sha256Hasher, Work},
    rootfs::Entry,
};

/// Writes the layer that adds `changes` (sorted by path, every entry's folder before it, the root's
/// entry first) to all sinks at once, with `mtime` (seconds since 1970) on every entry.
///
/// The bytes follow from `changes` and `mtime` alone: not from the number of threads, nor from what
/// `store` holds. Every content is read once and compared with its CRC-32. A damaged one is an
/// error, after parts of the layer were written: the sinks are then to be thrown away.
pub fn emit(
    changes: &[(RootPath, Entry)],
    mtime: u64,
    sinks: &mut [Sink],
    store: &dyn MemberStore,
    observer: &dyn Observer,
) -> Result<Emitted, LayerError> {
    let tar = Tar::new(changes, mtime)?;
    let (members, size) = cut::members(&tar)?;
    observer.tell(Event::Expect(Work::Emit, size));
    let shop = Shop::new(&tar, sinks.iter().map(|sink| sink.form).collect(), store);
    // Enough that threads never wait for the oldest member, at most 1 MiB and its compressed forms each.
    let window = 2 * rayon::current_num_threads() + 1;
    let mut writer = Writer::new(&tar, sinks);
    in_order(
        &members,
        window,
        |member| shop.make(member),
        |made| {
            let made: Made = made?;
            writer.take(&made)?;
            observer.tell(Event::Advance(Work::Emit, made.raw.len() as u64));
            shop.recycle(made.raw);
            Ok::<(), LayerError>(())
        },
    )?;
    let (diff_id, blobs, reused) = writer.finish();
    Ok(Emitted { diff_id, size, blobs, members: members.len(), reused })
}

/// How many bytes of tar [`emit`] would write; no content is read.
pub fn tar_size(changes: &[(RootPath, Entry)], mtime: u64) -> Result<u64, LayerError> {
    Ok(cut::members(&Tar::new(changes, mtime)?)?.1)
}

/// Takes members in order.
struct Writer<'a, 'b> {
    tar: &'a Tar<'a>,
    sinks: &'a mut [Sink<'b>],
    diff_id: Sha256Hasher,
    size: u64,
    /// Digest and size of each compressed form so far.
    packed: Vec<(Sha256Hasher, u64)>,
    /// The CRC-32 so far of a content that lies in several members.
    split: Crc,
    reused: usize,
}

impl<'a, 'b> Writer<'a, 'b> {
    fn new(tar: &'a Tar<'a>, sinks: &'a mut [Sink<'b>]) -> Self {
        let packed = sinks.iter().map(|_| (Sha256Hasher::new(), 0)).collect();
        Self { tar, sinks, diff_id: Sha256Hasher::new(), size: 0, packed, split: Crc::new(), reused: 0 }
    }

    fn take(&mut self, made: &Made) -> Result<(), LayerError> {
        for part in &made.split {
            self.split.update(&made.raw[part.range.clone()]);
            if part.last {
                self.tar.verify(part.at, std::mem::take(&mut self.split).sum())?;
            }
        }
        self.diff_id.update(&made.raw);
        self.size += made.raw.len() as u64;
        self.reused += made.reused;
        for ((sink, packed), (digest, size)) in self.sinks.iter_mut().zip(&made.packed).zip(&mut self.packed) {
            let bytes = match sink.form {
                Form::Tar => &made.raw,
                Form::TarGz | Form::TarZst => {
                    digest.update(packed);
                    *size += packed.len() as u64;
                    packed
                }
            };
            sink.out.write_all(bytes).map_err(|source| LayerError::Write { path: sink.path.clone(), source })?;
        }
        Ok(())
    }

    fn finish(self) -> (DiffId, Vec<Blob>, usize) {
        let diff_id = DiffId(self.diff_id.finish());
        let tar = Blob { form: Form::Tar, digest: diff_id.0, size: self.size };
        let blobs = self
            .sinks
            .iter()
            .zip(self.packed)
            .map(|(sink, (digest, size))| match sink.form {
                Form::Tar => tar,
                form => Blob { form, digest: digest.finish(), size },
            })
            .collect();
        (diff_id, blobs, self.reused)
    }
}
