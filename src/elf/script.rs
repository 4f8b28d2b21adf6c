//! The first line of a script, which the kernel reads in the place of an interpreter's name.

/// The longest first line of a script that the kernel reads, in bytes (execve(2)).
pub const LONGEST_LINE: u64 = 256;

/// The program that a script's first line names; for `/usr/bin/env`, the one that this looks for, which
/// then has no slash.
pub fn interpreter(text: &[u8]) -> Option<Vec<u8>> {
    let line = text.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let program = words.next()?;
    if program != b"/usr/bin/env" && program != b"/bin/env" {
        return program.starts_with(b"/").then(|| program.to_vec());
    }
    // Its options, and variables that it sets.
    words.find(|word| !word.starts_with(b"-") && !word.contains(&b'=')).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        for (text, expected) in [
            ("#!/bin/sh\nexit", Some("/bin/sh")),
            ("#! /usr/bin/perl -w\n", Some("/usr/bin/perl")),
            ("#!/usr/bin/env python3\n", Some("python3")),
            ("#!/usr/bin/env -S A=b perl -w\n", Some("perl")),
            ("#!/usr/bin/env\n", None),
            ("#!perl\n", None),
            ("#!\n", None),
            ("#!/bin/sh", Some("/bin/sh")),
            ("text", None),
        ] {
            assert_eq!(interpreter(text.as_bytes()), expected.map(|name| name.as_bytes().to_vec()), "{text}");
        }
    }
}
