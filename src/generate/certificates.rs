//! Certificates of the bundle: PEM to DER, and what of them names and stores need.

use icu_normalizer::DecomposingNormalizerBorrowed;
use x509_parser::{
    asn1_rs::{Any, FromDer as _, Tag},
    certificate::X509Certificate,
    x509::X509Name,
};

/// One certificate.
pub(super) struct Certificate {
    pub(super) der: Vec<u8>,
    /// notBefore in milliseconds since 1970.
    pub(super) not_before: i64,
    /// The subject as Java's `X500Principal.CANONICAL` spells it.
    pub(super) canonical: String,
    /// The subject as OpenSSL hashes it: every string in UTF-8, without outer and double blanks, in
    /// small letters; the outer SEQUENCE's head left out.
    pub(super) hashed: Vec<u8>,
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// All certificates of a PEM text (RFC 7468), in their order.
pub(super) fn read(pem: &[u8]) -> Result<Vec<Certificate>, &'static str> {
    let text = std::str::from_utf8(pem).map_err(|_| "it is no text")?;
    let mut certificates = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(BEGIN) {
        let body = &rest[at + BEGIN.len()..];
        let end = body.find(END).ok_or("a certificate has no end")?;
        let der = base64(&body[..end]).ok_or("a certificate is no base64")?;
        certificates.push(certificate(der)?);
        rest = &body[end + END.len()..];
    }
    Ok(certificates)
}

fn certificate(der: Vec<u8>) -> Result<Certificate, &'static str> {
    let (rest, parsed) = X509Certificate::from_der(&der).map_err(|_| "a certificate is no X.509")?;
    if !rest.is_empty() {
        return Err("something follows a certificate");
    }
    let not_before =
        parsed.validity().not_before.timestamp().checked_mul(1000).ok_or("a certificate's date is absurd")?;
    let canonical = canonical(parsed.subject())?;
    let hashed = hashed(parsed.subject())?;
    Ok(Certificate { not_before, canonical, hashed, der })
}

/// RFC 4648, blanks and line breaks skipped.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut held, mut bits) = (0_u32, 0);
    for c in text.bytes().filter(|c| !c.is_ascii_whitespace() && *c != b'=') {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// A string of a name as text, where its type is one of those that are compared by their text.
fn text(value: &Any<'_>) -> Option<String> {
    match value.tag() {
        Tag::PrintableString | Tag::Utf8String | Tag::Ia5String | Tag::VisibleString | Tag::NumericString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        Tag::T61String => Some(value.data.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let units = value.data.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        Tag::UniversalString => {
            let points =
                value.data.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]));
            points.map(char::from_u32).collect()
        }
        _ => None,
    }
}

/// Attributes that Java writes by a keyword in a canonical name (RFC 2253, section 2.3).
const KEYWORDS: [(&str, &str); 9] = [
    ("2.5.4.3", "cn"),
    ("2.5.4.6", "c"),
    ("2.5.4.7", "l"),
    ("2.5.4.8", "st"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "o"),
    ("2.5.4.11", "ou"),
    ("0.9.2342.19200300.100.1.25", "dc"),
    ("0.9.2342.19200300.100.1.1", "uid"),
];

/// `javax.security.auth.x500.X500Principal.getName(CANONICAL)`: the last RDN first, keywords for few
/// types; what is Printable or UTF8 in small letters, with single blanks, in NFKD; all else as `#` and DER in hexadecimal.
fn canonical(name: &X509Name<'_>) -> Result<String, &'static str> {
    let mut rdns = Vec::new();
    for rdn in name.iter_rdn() {
        let mut parts = Vec::new();
        for attribute in rdn.iter() {
            let oid = attribute.attr_type().to_id_string();
            let keyword = KEYWORDS.iter().find(|(known, _)| *known == oid).map(|(_, keyword)| *keyword);
            let value = attribute.attr_value();
            let plain = matches!(value.tag(), Tag::PrintableString | Tag::Utf8String);
            let value = match text(value).filter(|_| plain && keyword.is_some()) {
                Some(text) => canonical_value(&text),
                None => format!("#{}", hexadecimal(&der_of(value)?)),
            };
            parts.push(format!("{}={value}", keyword.unwrap_or(&oid)));
        }
        parts.sort();
        rdns.push(parts.join("+"));
    }
    rdns.reverse();
    Ok(rdns.join(","))
}

fn canonical_value(text: &str) -> String {
    let mut escaped = String::new();
    let mut chars = text.chars().peekable();
    let mut last_blank = false;
    while let Some(c) = chars.next() {
        let blank = c == ' ' || c == '\n';
        if blank && (last_blank || escaped.is_empty() || chars.clone().all(|c| c == ' ' || c == '\n')) {
            continue;
        }
        if ",+<>;\"\\".contains(c) || (c == '#' && escaped.is_empty()) {
            escaped.push('\\');
        }
        escaped.push(c);
        last_blank = blank;
    }
    let small = escaped.to_uppercase().to_lowercase();
    DecomposingNormalizerBorrowed::new_nfkd().normalize(&small).into_owned()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// X.690, 8.1.3.
fn encoded(tag: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    if data.len() < 128 {
        bytes.push(data.len() as u8);
    } else {
        let length: Vec<_> = data.len().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        bytes.push(0x80 | length.len() as u8);
        bytes.extend(length);
    }
    bytes.extend_from_slice(data);
    bytes
}

fn der_of(value: &Any<'_>) -> Result<Vec<u8>, &'static str> {
    let number = u8::try_from(value.tag().0).ok().filter(|number| *number < 31).ok_or("a name has an odd value")?;
    let class = (value.class() as u8) << 6 | u8::from(value.header.is_constructed()) << 5;
    Ok(encoded(class | number, value.data))
}

/// `x509_name_canon` of OpenSSL, whose digest names the hashed links.
fn hashed(name: &X509Name<'_>) -> Result<Vec<u8>, &'static str> {
    let mut whole = Vec::new();
    for rdn in name.iter_rdn() {
        let mut attributes = Vec::new();
        for attribute in rdn.iter() {
            let value = match text(attribute.attr_value()) {
                Some(text) => {
                    let blank = |c: char| " \t\n\r\x0b\x0c".contains(c);
                    let words: Vec<_> = text.split(blank).filter(|word| !word.is_empty()).collect();
                    encoded(0x0c, words.join(" ").to_ascii_lowercase().as_bytes())
                }
                None => der_of(attribute.attr_value())?,
            };
            let oid = encoded(6, attribute.attr_type().as_bytes());
            attributes.push(encoded(0x30, &[oid, value].concat()));
        }
        // DER orders the members of a SET.
        attributes.sort();
        whole.extend(encoded(0x31, &attributes.concat()));
    }
    Ok(whole)
}
