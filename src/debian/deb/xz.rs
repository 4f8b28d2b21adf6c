//! .xz data whose blocks say how long they are (The .xz File Format 1.2.1, section 3.1), as `xz` and
//! dpkg-deb write them on several threads: the blocks are decoded side by side and read in order.
//!
//! Each block becomes an .xz file of its own, which liblzma decodes and checks. What holds the blocks
//! together (headers of streams, index, footer, padding) is read and checked here. Anything else, a
//! single block included, goes to liblzma as it is.

use std::{
    collections::VecDeque,
    io::{self, BufRead, Chain, Cursor, Read, Take},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
};

use libdeflater::Crc;
use xz2::stream::{CONCATENATED, Stream};

use super::decode::Lzma;
use crate::ground::{Sha256Hasher, put_leb128, work_until};

const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
/// Bytes of a stream's header, and of its footer.
const HEADER: usize = 12;
/// Bytes of an index with one record and of the footer, at most: a block with no more behind it is the
/// only one.
const SMALLEST_REST: u64 = 28 + 12;
/// Block flags: both sizes are there.
const SIZES: u8 = 0xc0;
/// Bytes of a check by its number (section 2.1.1.2).
const CHECKS: [u64; 16] = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64];

/// Bytes of blocks that may be held ahead of their readers, of all packages together: three of what
/// `xz -6` makes. A package that finds nothing left of it decodes its next block as it reads.
const AHEAD: u64 = 96 << 20;
/// What is left of [`AHEAD`]. Memory is the process's, and so is its bound.
static LEFT: AtomicU64 = AtomicU64::new(AHEAD);

/// A share of [`AHEAD`].
struct Share(u64);

impl Share {
    fn take(bytes: u64) -> Option<Self> {
        let taken = LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.ok().map(|_| Self(bytes))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        LEFT.fetch_add(self.0, Ordering::Relaxed);
    }
}

/// The decoded bytes of `body`, an .xz file of `size` bytes; a decoder that needs more than `memory`
/// bytes is an error when it is read.
pub(super) fn decode<'a>(mut body: impl BufRead + 'a, size: u64, memory: u64) -> io::Result<Box<dyn Read + 'a>> {
    // What is read to find out, for liblzma in case it is wanted whole.
    let mut seen = Vec::new();
    let header = match Header::read(&mut body, &mut seen)? {
        Some(flags) => Block::read(&mut body, flags, &mut seen)?,
        None => None,
    };
    match header {
        Some(block) if block.total().is_some_and(|total| total + (HEADER as u64 + SMALLEST_REST) < size) => {
            Ok(Box::new(Blocks::new(body, block, memory)))
        }
        _ => Ok(Box::new(Lzma::new(
            Stream::new_stream_decoder(memory, CONCATENATED)?,
            Cursor::new(seen).chain(body),
            memory,
        ))),
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the compressed data is damaged")
}

fn at_end(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => {
            io::Error::new(io::ErrorKind::UnexpectedEof, "premature end of the compressed data")
        }
        _ => error,
    }
}

/// Stream flags.
type Flags = [u8; 2];

/// A stream's header.
struct Header;

impl Header {
    /// The flags of a stream's header (section 2.1.1); `None` where `body` has no such header. All that
    /// was read is appended to `seen`.
    fn read(body: &mut impl BufRead, seen: &mut Vec<u8>) -> io::Result<Option<Flags>> {
        let before = seen.len();
        body.take(HEADER as u64).read_to_end(seen)?;
        let header = &seen[before..];
        Ok(match header {
            [magic @ .., 0, kind, a, b, c, d]
                if *magic == MAGIC
                    && *kind < 16
                    && libdeflater::crc32(&[0, *kind]) == u32::from_le_bytes([*a, *b, *c, *d]) =>
            {
                Some([0, *kind])
            }
            _ => None,
        })
    }

    /// A stream's header with these flags.
    fn write(flags: Flags) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..6].copy_from_slice(&MAGIC);
        header[6..8].copy_from_slice(&flags);
        header[8..].copy_from_slice(&libdeflater::crc32(&flags).to_le_bytes());
        header
    }
}

/// A block's header and what it says (section 3.1).
struct Block {
    flags: Flags,
    /// The header, verbatim; liblzma checks it.
    header: Vec<u8>,
    compressed: u64,
    uncompressed: u64,
}

impl Block {
    /// The header of a block that says both sizes, `None` where anything else follows: an index, the
    /// end, a block without sizes. All that was read is appended to `seen`.
    fn read(body: &mut impl BufRead, flags: Flags, seen: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let Some(first) = body.fill_buf()?.first().copied().filter(|first| *first != 0) else { return Ok(None) };
        let before = seen.len();
        let length = (u64::from(first) + 1) * 4;
        body.take(length).read_to_end(seen)?;
        let header = seen[before..].to_vec();
        let Some([_, block_flags, rest @ ..]) = (header.len() as u64 == length).then_some(&*header) else {
            return Ok(None);
        };
        if block_flags & SIZES != SIZES {
            return Ok(None);
        }
        let mut rest = rest;
        let (Some(compressed), Some(uncompressed)) = (number(&mut rest)?, number(&mut rest)?) else {
            return Ok(None);
        };
        Ok(Some(Self { flags, header, compressed, uncompressed }))
    }

    fn check(&self) -> u64 {
        CHECKS[usize::from(self.flags[1] & 15)]
    }

    /// Without the padding (section 4.3).
    fn unpadded(&self) -> Option<u64> {
        self.compressed.checked_add(self.header.len() as u64 + self.check())
    }

    /// Bytes of the whole block.
    fn total(&self) -> Option<u64> {
        self.unpadded()?.checked_next_multiple_of(4)
    }

    /// Bytes of the block behind its header.
    fn rest(&self) -> Option<u64> {
        self.total()?.checked_sub(self.header.len() as u64)
    }

    /// Its line of the index.
    fn record(&self) -> io::Result<Vec<u8>> {
        let mut record = Vec::new();
        put_leb128(&mut record, self.unpadded().ok_or_else(damaged)?);
        put_leb128(&mut record, self.uncompressed);
        Ok(record)
    }

    /// What stands before the block's own bytes, and what behind them, where it is a file of its own.
    fn frame(&self) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let before = [&Header::write(self.flags)[..], &self.header].concat();
        let mut after = vec![0, 1];
        after.extend(self.record()?);
        after.resize(after.len().next_multiple_of(4), 0);
        after.extend(libdeflater::crc32(&after).to_le_bytes());
        let size = u32::try_from(after.len() / 4 - 1).expect("an index of one record is short");
        let words = [&size.to_le_bytes()[..], &self.flags].concat();
        after.extend(libdeflater::crc32(&words).to_le_bytes());
        after.extend(words);
        after.extend(FOOTER_MAGIC);
        Ok((before, after))
    }
}

/// A multibyte integer (section 1.2), shortest form; `None` at the end of the input.
fn number(input: &mut impl Read) -> io::Result<Option<u64>> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let mut byte = [0];
        if input.read(&mut byte)? == 0 {
            return Ok(None);
        }
        value |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] & 0x80 == 0 {
            return if byte[0] == 0 && shift > 0 { Err(damaged()) } else { Ok(Some(value)) };
        }
    }
    Err(damaged())
}

/// The blocks of a stream that were seen, to be compared with its index.
struct Records {
    count: u64,
    bytes: u64,
    digest: Sha256Hasher,
}

impl Records {
    fn new() -> Self {
        Self { count: 0, bytes: 0, digest: Sha256Hasher::new() }
    }

    fn add(&mut self, block: &Block) -> io::Result<()> {
        let record = block.record()?;
        self.count += 1;
        self.bytes += record.len() as u64;
        self.digest.update(&record);
        Ok(())
    }

    /// Reads a stream's index and footer (sections 4 and 2.1.2) and compares them with its blocks.
    fn check_end(self, body: &mut impl BufRead, flags: Flags) -> io::Result<()> {
        let mut index = Summed { body, crc: Crc::new(), bytes: 0 };
        let mut kind = [0];
        index.read_exact(&mut kind).map_err(at_end)?;
        if number(&mut index)? != Some(self.count) {
            return Err(damaged());
        }
        let mut digest = Sha256Hasher::new();
        let mut left = self.bytes;
        let mut piece = [0; 4096];
        while left > 0 {
            let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let piece = &mut piece[..most];
            index.read_exact(piece).map_err(at_end)?;
            digest.update(piece);
            left -= most as u64;
        }
        let mut padding = vec![0; (index.bytes.next_multiple_of(4) - index.bytes) as usize];
        index.read_exact(&mut padding).map_err(at_end)?;
        let (sum, bytes) = (index.crc.sum(), index.bytes + 4);
        let mut end = [0; 4 + HEADER];
        body.read_exact(&mut end).map_err(at_end)?;
        let [a, b, c, d, footer @ ..] = end;
        let mut wanted = [0; HEADER];
        let Ok(size) = u32::try_from(bytes / 4 - 1) else { return Err(damaged()) };
        wanted[4..8].copy_from_slice(&size.to_le_bytes());
        wanted[8..10].copy_from_slice(&flags);
        let footer_sum = libdeflater::crc32(&wanted[4..10]);
        wanted[..4].copy_from_slice(&footer_sum.to_le_bytes());
        wanted[10..].copy_from_slice(&FOOTER_MAGIC);
        let whole = digest.finish() == self.digest.finish()
            && padding.iter().all(|byte| *byte == 0)
            && [a, b, c, d] == sum.to_le_bytes()
            && footer == wanted;
        if whole { Ok(()) } else { Err(damaged()) }
    }
}

/// Passes over the padding behind a stream (section 2.2); the flags of the next one, `None` at the end.
fn next_stream(body: &mut impl BufRead) -> io::Result<Option<Flags>> {
    let mut zeros = 0_u64;
    loop {
        let bytes = body.fill_buf()?;
        let count = bytes.iter().take_while(|byte| **byte == 0).count();
        let more = bytes.get(count).is_some();
        let ended = bytes.is_empty();
        body.consume(count);
        zeros += count as u64;
        if (more || ended) && !zeros.is_multiple_of(4) {
            return Err(damaged());
        }
        if ended {
            return Ok(None);
        }
        if more {
            return Header::read(body, &mut Vec::new())?.ok_or_else(damaged).map(Some);
        }
    }
}

/// Reads all of a stream's end and counts and sums what passes by.
struct Summed<'a, R> {
    body: &'a mut R,
    crc: Crc,
    bytes: u64,
}

impl<R: Read> Read for Summed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(buffer)?;
        self.crc.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}

/// A block that is decoded ahead.
struct Ahead {
    receive: Receiver<thread::Result<io::Result<Vec<u8>>>>,
    share: Share,
}

type Alone<R> = Lzma<Chain<Chain<Cursor<Vec<u8>>, Take<R>>, Cursor<Vec<u8>>>>;

/// Where the bytes that are read next come from.
enum Now<R> {
    Nothing,
    /// A block that was decoded ahead, and its share of memory.
    Whole(Cursor<Vec<u8>>, #[expect(dead_code, reason = "given back with the bytes")] Share),
    /// A block that is decoded as it is read.
    Alone(Box<Alone<R>>),
    /// Streams whose blocks do not say how long they are.
    Rest(Box<Lzma<Chain<Cursor<Vec<u8>>, R>>>),
}

struct Blocks<R> {
    /// Not there while a block is decoded as it is read.
    body: Option<R>,
    /// Of the stream that is being read.
    flags: Flags,
    memory: u64,
    /// The block whose header was read last; `None` behind the last one.
    next: Option<Block>,
    /// Of a stream whose first block does not say how long it is, what was read.
    rest: Option<Vec<u8>>,
    ahead: VecDeque<Ahead>,
    records: Records,
    now: Now<R>,
}

impl<R: BufRead> Blocks<R> {
    fn new(body: R, first: Block, memory: u64) -> Self {
        Self {
            body: Some(body),
            flags: first.flags,
            memory,
            next: Some(first),
            rest: None,
            ahead: VecDeque::new(),
            records: Records::new(),
            now: Now::Nothing,
        }
    }

    /// Turns to the next block; false at the end.
    fn turn(&mut self) -> io::Result<bool> {
        if let Now::Alone(decoder) = std::mem::replace(&mut self.now, Now::Nothing) {
            let (before, _) = decoder.into_inner().into_inner();
            let (_, block) = before.into_inner();
            if block.limit() > 0 {
                return Err(damaged());
            }
            self.body = Some(block.into_inner());
            self.proceed()?;
        }
        while self.ahead.len() <= rayon::current_num_threads() && self.start_ahead()? {
            self.proceed()?;
        }
        if let Some(Ahead { receive, share }) = self.ahead.pop_front() {
            let block =
                work_until(&receive).expect("the block's task sends").unwrap_or_else(|panic| resume_unwind(panic))?;
            self.now = Now::Whole(Cursor::new(block), share);
            return Ok(true);
        }
        if let Some(seen) = self.rest.take() {
            let body = self.body.take().expect("no block is being read");
            let stream = Stream::new_stream_decoder(self.memory, CONCATENATED)?;
            self.now = Now::Rest(Box::new(Lzma::new(stream, Cursor::new(seen).chain(body), self.memory)));
            return Ok(true);
        }
        let Some(block) = self.next.take() else { return Ok(false) };
        self.records.add(&block)?;
        let (before, after) = block.frame()?;
        let body = self.body.take().expect("no block is being read").take(block.rest().ok_or_else(damaged)?);
        let stream = Stream::new_stream_decoder(self.memory, 0)?;
        let input = Cursor::new(before).chain(body).chain(Cursor::new(after));
        self.now = Now::Alone(Box::new(Lzma::new(stream, input, self.memory)));
        Ok(true)
    }

    /// Gives the next block to the pool, if there is one and memory for it.
    fn start_ahead(&mut self) -> io::Result<bool> {
        let Some(block) = self.next.take_if(|_| rayon::current_num_threads() > 1) else { return Ok(false) };
        let share = block.rest().and_then(|rest| Share::take(rest.checked_add(block.uncompressed)?));
        let Some(share) = share else {
            self.next = Some(block);
            return Ok(false);
        };
        self.records.add(&block)?;
        let (mut file, after) = block.frame()?;
        let rest = block.rest().ok_or_else(damaged)?;
        let body = self.body.as_mut().expect("no block is being read");
        if body.take(rest).read_to_end(&mut file)? as u64 != rest {
            return Err(at_end(io::ErrorKind::UnexpectedEof.into()));
        }
        file.extend(after);
        let (send, receive) = channel();
        let (memory, uncompressed) = (self.memory, block.uncompressed);
        rayon::spawn_fifo(move || {
            let decoded = catch_unwind(AssertUnwindSafe(|| whole(&file, uncompressed, memory)));
            // Nobody listens any more after an error.
            let _ = send.send(decoded);
        });
        self.ahead.push_back(Ahead { receive, share });
        Ok(true)
    }

    /// Reads the next block's header, over the end of a stream and the beginning of another.
    fn proceed(&mut self) -> io::Result<()> {
        let body = self.body.as_mut().expect("no block is being read");
        loop {
            match body.fill_buf()?.first() {
                None => return Err(at_end(io::ErrorKind::UnexpectedEof.into())),
                Some(0) => {}
                Some(_) => {
                    let mut seen = Header::write(self.flags).to_vec();
                    match Block::read(body, self.flags, &mut seen)? {
                        Some(block) => self.next = Some(block),
                        None if self.records.count == 0 => self.rest = Some(seen),
                        None => {
                            let text = "a block does not say how long it is, though the ones before it do";
                            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                        }
                    }
                    return Ok(());
                }
            }
            std::mem::replace(&mut self.records, Records::new()).check_end(body, self.flags)?;
            match next_stream(body)? {
                None => return Ok(()),
                Some(flags) => self.flags = flags,
            }
        }
    }
}

fn whole(file: &[u8], uncompressed: u64, memory: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(uncompressed).map_err(|_| damaged())?);
    let stream = Stream::new_stream_decoder(memory, 0)?;
    Lzma::new(stream, file, memory).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl<R: BufRead> Read for Blocks<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = match &mut self.now {
                Now::Nothing => 0,
                Now::Whole(bytes, _) => bytes.read(buffer)?,
                Now::Alone(decoder) => decoder.read(buffer)?,
                Now::Rest(decoder) => return decoder.read(buffer),
            };
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if !self.turn()? {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xz2::{bufread::XzDecoder, stream::Check};

    use super::*;

    /// An .xz file of one block for each piece, with sizes in the headers as threaded encoders write.
    fn encode(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut file = Vec::new();
        let (mut records, mut flags) = (Vec::new(), [0, 4]);
        for piece in pieces {
            let stream = Stream::new_easy_encoder(1, Check::Crc64).unwrap();
            let mut one = Vec::new();
            xz2::bufread::XzEncoder::new_stream(&piece[..], stream).read_to_end(&mut one).unwrap();
            flags = [one[6], one[7]];
            let end = one.len() - HEADER;
            let index = 4 * (u32::from_le_bytes(one[end + 4..end + 8].try_into().unwrap()) as usize + 1);
            let mut record = &one[end - index + 2..];
            let unpadded = number(&mut record).unwrap().unwrap_or_default();
            let old = (usize::from(one[HEADER]) + 1) * 4;
            if unpadded == 0 || piece.is_empty() {
                continue;
            }
            let mut header = vec![0, one[HEADER + 1] | SIZES];
            put_leb128(&mut header, unpadded - old as u64 - 8);
            put_leb128(&mut header, piece.len() as u64);
            header.extend(&one[HEADER + 2..HEADER + 5]);
            header.resize(header.len().next_multiple_of(4), 0);
            header[0] = (header.len() / 4) as u8;
            header.extend(libdeflater::crc32(&header).to_le_bytes());
            put_leb128(&mut records, unpadded - old as u64 + header.len() as u64);
            put_leb128(&mut records, piece.len() as u64);
            file.push([&header[..], &one[HEADER + old..end - index]].concat());
        }
        let mut index = vec![0];
        put_leb128(&mut index, file.len() as u64);
        index.extend(records);
        index.resize(index.len().next_multiple_of(4), 0);
        index.extend(libdeflater::crc32(&index).to_le_bytes());
        let words = [&(index.len() as u32 / 4 - 1).to_le_bytes()[..], &flags].concat();
        let footer = [&libdeflater::crc32(&words).to_le_bytes()[..], &words, &FOOTER_MAGIC].concat();
        [&Header::write(flags)[..], &file.concat(), &index, &footer].concat()
    }

    fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let piece = (any::<u8>(), 0..5_000_usize).prop_map(|(seed, length)| {
            (0..length).map(|at| (at / 7) as u8 ^ seed.wrapping_mul(at as u8)).collect::<Vec<u8>>()
        });
        proptest::collection::vec(piece, 0..7)
    }

    fn ours(file: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        decode(file, file.len() as u64, 256 << 20)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn plain(file: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let stream = Stream::new_stream_decoder(256 << 20, CONCATENATED)?;
        XzDecoder::new_stream(file, stream).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn in_pool<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn blocks_are_read_in_order_in_any_pool(pieces in pieces(), more in pieces(), padding in 0..3_usize) {
            let mut file = encode(&pieces);
            file.resize(file.len() + 4 * padding, 0);
            file.extend(encode(&more));
            let plain = Stream::new_easy_encoder(1, Check::Crc32).unwrap();
            xz2::bufread::XzEncoder::new_stream(&b"a block without sizes"[..], plain).read_to_end(&mut file).unwrap();
            file.extend(encode(&more));
            let wanted = [&pieces.concat(), &more.concat(), &b"a block without sizes"[..], &more.concat()].concat();
            for threads in [1, 2, 5] {
                prop_assert!(in_pool(threads, || ours(&file)).unwrap() == wanted);
            }
        }

        /// What liblzma refuses as a whole is refused block by block too, and what it takes is equal.
        #[test]
        fn damage_is_judged_as_liblzma_judges_it(pieces in pieces(), at in any::<prop::sample::Index>(), byte in 1..=255_u8) {
            let mut file = encode(&pieces);
            let at = at.index(file.len());
            file[at] ^= byte;
            for threads in [1, 3] {
                match (in_pool(threads, || ours(&file)), plain(&file)) {
                    (Ok(ours), Ok(plain)) => prop_assert!(ours == plain),
                    (Err(_), Err(_)) => {}
                    (ours, plain) => prop_assert!(false, "byte {at}: {:?} but {:?}", ours.is_ok(), plain.is_ok()),
                }
            }
            let file = encode(&pieces);
            prop_assert_eq!(in_pool(2, || ours(&file[..at])).is_ok(), plain(&file[..at]).is_ok());
        }
    }

    #[test]
    fn without_memory_ahead_it_is_slower_but_the_same() {
        let pieces: Vec<Vec<u8>> = (0..9).map(|at| vec![at; 300_000]).collect();
        let file = encode(&pieces);
        let all = Share::take(LEFT.load(Ordering::Relaxed));
        let read = in_pool(2, || ours(&file)).unwrap();
        drop(all);
        assert!(read == pieces.concat());
        assert!(in_pool(2, || ours(&file)).unwrap() == pieces.concat());
    }

    #[test]
    fn a_block_that_claims_to_be_huge_is_no_allocation() {
        let mut block = vec![0, SIZES];
        put_leb128(&mut block, 8);
        put_leb128(&mut block, (1 << 62) - 1);
        block.extend([0x21, 1, 0]);
        block.resize(block.len().next_multiple_of(4), 0);
        block[0] = (block.len() / 4) as u8;
        block.extend(libdeflater::crc32(&block).to_le_bytes());
        let file = [&Header::write([0, 4])[..], &block, &[0; 400]].concat();
        assert!(in_pool(2, || ours(&file)).is_err());
    }
}
