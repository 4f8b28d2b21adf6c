//! Names of documents that follow from what they say.

use serde::Serialize;

use crate::ground::Sha256Hasher;

/// A UUID of version 8 (RFC 9562) from the SHA-256 of a document that has none yet.
pub(super) fn uuid(document: &impl Serialize) -> String {
    let mut hasher = Sha256Hasher::new();
    serde_json::to_writer(&mut hasher, document).expect("a document is plain data, and a hasher takes it");
    let digest = hasher.finish();
    let mut bytes: [u8; 16] = digest.as_bytes()[..16].try_into().expect("a SHA-256 has 32 bytes");
    bytes[6] = 0x80 | bytes[6] & 0x0f;
    bytes[8] = 0x80 | bytes[8] & 0x3f;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A document's bytes: JSON with indentation, a newline at the end.
pub(super) fn bytes(document: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(document).expect("a document is plain data, and memory takes it");
    bytes.push(b'\n');
    bytes
}
