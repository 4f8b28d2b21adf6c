//! Base64 with padding (RFC 4648 section 4).

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes as text.
pub fn to_base64(bytes: &[u8]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at) & 63) as usize];
            out.push(if at <= chunk.len() { digit.into() } else { '=' });
        }
    }
    out
}

/// Text as bytes; `None` where it is no base64. Padding may be missing.
pub fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for chunk in digits.as_bytes().chunks(4) {
        let mut word = 0_u32;
        for at in 0..4 {
            let value = match chunk.get(at) {
                Some(digit) => DIGITS.iter().position(|known| known == digit)?,
                None => 0,
            };
            word = word << 6 | u32::try_from(value).ok()?;
        }
        let [_, bytes @ ..] = word.to_be_bytes();
        out.extend_from_slice(bytes.get(..chunk.len().saturating_sub(1))?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rfc_s_examples_both_ways() {
        for (text, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(to_base64(text.as_bytes()), encoded);
            assert_eq!(from_base64(encoded).as_deref(), Some(text.as_bytes()));
            assert_eq!(from_base64(encoded.trim_end_matches('=')).as_deref(), Some(text.as_bytes()));
        }
        for wrong in ["Z", "Zm9v=Zg", "Zm 9v", "Zg===", "Zm9*", "é"] {
            assert_eq!(from_base64(wrong), None, "{wrong}");
        }
    }
}
