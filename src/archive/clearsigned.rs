//! The frame of a clearsigned file (RFC 9580, section 7): which bytes are text, which signature.
//!
//! What is cut out here decides only whether a file is acceptable at all, and is the text where
//! `allow-unsigned` says that nobody vouches for it. Signed text always comes from the library that
//! checked the signature.

/// The three lines that make the frame.
const MESSAGE: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END: &[u8] = b"-----END PGP SIGNATURE-----";

/// The longest signature block, in bytes. Three RSA-4096 signatures take 2.5 kB; without a bound a
/// file of thousands of signatures would keep the verifier busy for minutes.
const LONGEST_SIGNATURE: usize = 64 << 10;

/// What a file is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// No line of it belongs to a frame: a plain Release file.
    Plain,
    /// Exactly one clearsigned message and nothing else but white space; its text with the dash
    /// escapes taken out.
    Signed(Vec<u8>),
}

/// Looks at the frame. The error says what is wrong with the file.
pub(super) fn frame(bytes: &[u8]) -> Result<Frame, &'static str> {
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    if !bytes.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"-----")) {
        return Ok(Frame::Plain);
    }
    let mut blank = lines.by_ref().skip_while(|line| line.trim_ascii().is_empty());
    if blank.next().map(<[u8]>::trim_ascii_end) != Some(MESSAGE) {
        return Err("something stands before the signed message");
    }
    for header in lines.by_ref() {
        match header.trim_ascii_end() {
            b"" => break,
            line if line.starts_with(b"Hash: ") => {}
            _ => return Err("the signed message has a header that is not Hash"),
        }
    }
    let mut text = Vec::with_capacity(bytes.len());
    loop {
        let line = lines.next().ok_or("the file ends before its signature")?;
        match line {
            _ if line.trim_ascii_end() == SIGNATURE => break,
            [b'-', b' ', escaped @ ..] => text.extend_from_slice(escaped),
            [b'-', ..] => return Err("the signed text has a line with an unescaped dash"),
            _ => text.extend_from_slice(line),
        }
    }
    let mut size = 0;
    loop {
        let line = lines.next().ok_or("the file ends within its signature")?;
        if line.trim_ascii_end() == END {
            break;
        }
        if line.starts_with(b"-") {
            return Err("the signature block is interrupted");
        }
        size += line.len();
        if size > LONGEST_SIGNATURE {
            return Err("the signature block is longer than 64 KiB");
        }
    }
    match lines.all(|line| line.trim_ascii().is_empty()) {
        true => Ok(Frame::Signed(text)),
        false => Err("something stands after the signed message"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nA: b\n- -x\n-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn frames() {
        let signed = Ok(Frame::Signed(b"A: b\n-x\n".to_vec()));
        let before = Err("something stands before the signed message");
        let after = Err("something stands after the signed message");
        for (file, expected) in [
            (GOOD.to_owned(), &signed),
            (format!("\n \t\n{GOOD}\n\r\n "), &signed),
            (GOOD.replace("-----\n", "----- \r\n"), &signed),
            ("Suite: x\n - ok\n".into(), &Ok(Frame::Plain)),
            (String::new(), &Ok(Frame::Plain)),
            (format!("A: c\n{GOOD}"), &before),
            (format!("\0{GOOD}"), &before),
            (format!("{GOOD}A: c\n"), &after),
            (format!("{GOOD}{GOOD}"), &after),
            (GOOD.replace("- -x", "-x"), &Err("the signed text has a line with an unescaped dash")),
            (GOOD.replace("Hash: SHA256", "Suite: x"), &Err("the signed message has a header that is not Hash")),
            (GOOD.replace("-----END PGP SIGNATURE-----\n", ""), &Err("the file ends within its signature")),
            (
                GOOD.replace("-----BEGIN PGP SIGNATURE-----\n", ""),
                &Err("the signed text has a line with an unescaped dash"),
            ),
            (GOOD.replace("abc", "-----BEGIN PGP MESSAGE-----"), &Err("the signature block is interrupted")),
            (GOOD.replace("abc", &"abc\n".repeat(1 << 15)), &Err("the signature block is longer than 64 KiB")),
        ] {
            assert_eq!(&frame(file.as_bytes()), expected, "{file:.300}");
        }
    }
}
