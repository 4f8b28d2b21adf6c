//! Damaged packages: whatever the bytes, an answer in bounded time, and no panic.

use crate::{
    Bench,
    builder::{Head, Tar, ar, control_tar, gz, xz, zst},
};

fn data() -> Vec<u8> {
    let long = format!("usr/{}\0", "n".repeat(150));
    Tar::new()
        .dir("./")
        .dir("./usr/")
        .push(&Head { name: b"././@LongLink", flag: b'L', body: long.as_bytes(), ..Head::default() })
        .file("short", b"long")
        .pax(&[("path", b"usr/pax"), ("SCHILY.xattr.user.x", b"\n")])
        .file("short", &[b'p'; 1000])
        .hardlink("./usr/h", "usr/pax")
        .symlink("./usr/s", "h")
        .finish()
}

#[test]
fn mutants_of_every_kind() {
    let (control, data) = (control_tar(), data());
    let bases = [
        ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &data)]),
        ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &gz(&control)), ("data.tar.gz", &gz(&data))]),
        ar(&[("debian-binary", b"2.0\n"), ("control.tar.xz", &xz(&control)), ("data.tar.xz", &xz(&data))]),
        ar(&[("debian-binary", b"2.0\n"), ("control.tar.zst", &zst(&control)), ("data.tar.zst", &zst(&data))]),
    ];
    let bench = {
        let mut bench = Bench::new();
        bench.limits.unpacked = 1 << 20;
        bench.limits.deb.control = 1 << 20;
        bench
    };
    let mut random = fastrand::Rng::with_seed(7);
    let mut refused = 0;
    for number in 0..2000 {
        let mut deb = bases[number % bases.len()].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..deb.len());
            match random.u8(..7) {
                0 => deb.truncate(at.max(1)),
                1 => deb[at] ^= 1 << random.u8(..8),
                2 => deb[at] = random.u8(..),
                3 => deb.insert(at, random.u8(..)),
                4 => {
                    deb.remove(at);
                }
                5 => {
                    let end = (at + random.usize(1..600)).min(deb.len());
                    let piece = deb[at..end].to_vec();
                    let to = random.usize(..=deb.len());
                    deb.splice(to..to, piece);
                }
                _ => {
                    // A number in a header, made huge; its checksum mended where it is a tar's.
                    let end = (at + 12).min(deb.len());
                    deb[at..end].fill([b'7', b'9', 0xff, 0x80][random.usize(..4)]);
                }
            }
            if deb.len() < 2 {
                break;
            }
        }
        if number % 8 == 0 {
            mend(&mut deb);
        }
        refused += usize::from(bench.unpack(&deb).is_err());
    }
    assert!(refused > 1000, "only {refused} were refused");
}

/// Gives the tar headers of an uncompressed package right checksums, so that what lies behind the
/// checksum is reached.
fn mend(deb: &mut [u8]) {
    let magic = *b"ustar  \0";
    for at in 0..deb.len().saturating_sub(512) {
        if deb[at + 257..at + 265] == magic {
            let header = &mut deb[at..at + 512];
            header[148..156].fill(b' ');
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
