//! Signatures of images in the form that cosign reads: "simple signing" by an ECDSA key of the curve
//! P-256 (cosign, specs/SIGNATURE_SPEC.md). The same key and image give the same bytes (RFC 6979).

use p256::{
    SecretKey,
    ecdsa::{DerSignature, SigningKey, signature::Signer as _},
    pkcs8::DecodePrivateKey as _,
};
use serde::Serialize;

use super::{
    artifact::{Artifact, finish},
    spec::{self, Config, Descriptor, Digest, Execution, Manifest, RootFs, Texts},
};
use crate::ground::{Class, DiffId, Failure, to_base64};

/// What the signed document is.
const PAYLOAD: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// What its artifact is, for the list of referrers.
const ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
/// The annotation that holds the signature.
const SIGNATURE: &str = "dev.cosignproject.cosign/signature";
/// The longest key file taken, in bytes.
pub const LONGEST_KEY: u64 = 16 << 10;

/// A key cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum KeyError {
    /// It is no PEM of a private key.
    #[error("{from} is no private key in PEM form (PKCS #8 or SEC 1) of the curve P-256")]
    #[diagnostic(
        code(debstrata::image::key),
        help("make one with `openssl ecparam -name prime256v1 -genkey -noout -out key.pem`")
    )]
    NoKey {
        /// The file or variable.
        from: String,
    },
    /// It is encrypted.
    #[error("{from} is an encrypted key")]
    #[diagnostic(
        code(debstrata::image::encrypted_key),
        help("sign with the program that can decrypt it: --sign-with 'cosign sign --key KEY {{}}'")
    )]
    Encrypted {
        /// The file or variable.
        from: String,
    },
}

impl Failure for KeyError {
    fn class(&self) -> Class {
        Class::User
    }
}

/// A private key. Never shown.
pub struct Key(SigningKey);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Reads a key, PKCS #8 or SEC 1 in PEM; `from` is how messages call it.
    pub fn parse(pem: &[u8], from: &str) -> Result<Self, KeyError> {
        let no_key = || KeyError::NoKey { from: from.to_owned() };
        let text = std::str::from_utf8(pem).map_err(|_| no_key())?;
        if text.contains("ENCRYPTED") {
            return Err(KeyError::Encrypted { from: from.to_owned() });
        }
        // OpenSSL writes the curve's name in front of a SEC 1 key.
        let text = text.find("-----BEGIN EC PRIVATE KEY-----").and_then(|at| text.get(at..)).unwrap_or(text).trim();
        let secret = SecretKey::from_pkcs8_pem(text).or_else(|_| SecretKey::from_sec1_pem(text));
        Ok(Self(SigningKey::from(secret.map_err(|_| no_key())?)))
    }

    /// The ASN.1 form of the signature over SHA-256 of `message`.
    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.0.sign(message);
        signature.as_bytes().to_vec()
    }
}

#[derive(Serialize)]
struct Payload<'a> {
    critical: Critical<'a>,
    optional: Option<()>,
}

#[derive(Serialize)]
struct Critical<'a> {
    identity: Identity<'a>,
    image: Signed<'a>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Identity<'a> {
    docker_reference: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Signed<'a> {
    docker_manifest_digest: &'a Digest,
}

/// The document that is signed: that `digest` may be called `repository` (`registry.example.org/team/cc`).
pub fn payload(repository: &str, digest: &Digest) -> Vec<u8> {
    spec::bytes(&Payload {
        critical: Critical {
            identity: Identity { docker_reference: repository },
            image: Signed { docker_manifest_digest: digest },
            kind: "cosign container image signature",
        },
        optional: None,
    })
}

/// The signature of an image, to be stored in its repository under [`signature_tag`], beside those that
/// `others` has, the manifest that is there; `None`: it has this one already.
pub fn sign(key: &Key, repository: &str, subject: &Descriptor, others: Option<&Manifest>) -> Option<Artifact> {
    let payload = payload(repository, &subject.digest);
    let mut layer = Descriptor::of(PAYLOAD, &payload);
    let signature = to_base64(&key.sign(&payload));
    layer.annotations = Texts::from([(SIGNATURE.to_owned(), signature)]);
    let mut layers = others.map(|others| others.layers.clone()).unwrap_or_default();
    if layers.contains(&layer) {
        return None;
    }
    layers.push(layer.clone());
    let diff_ids = layers.iter().map(|layer| DiffId(layer.digest.0)).collect();
    // Cosign wants the config of an image, with the payloads as its layers.
    let config = spec::bytes(&Config {
        created: None,
        architecture: String::new(),
        variant: None,
        os: String::new(),
        config: Execution::default(),
        rootfs: RootFs { kind: "layers".to_owned(), diff_ids },
        history: Vec::new(),
    });
    let config = (Descriptor::of(spec::CONFIG, &config), config);
    Some(finish(subject, ARTIFACT, config, layers, vec![(layer, payload)]))
}

/// The tag under which cosign looks for signatures of a digest.
pub fn signature_tag(subject: &Digest) -> String {
    let Digest(sha256) = subject;
    format!("sha256-{sha256}.sig")
}

#[cfg(test)]
mod tests {
    use p256::{
        ecdsa::{VerifyingKey, signature::Verifier as _},
        pkcs8::{EncodePrivateKey as _, LineEnding},
    };

    use super::*;
    use crate::ground::from_base64;

    fn pems() -> (String, String) {
        let secret = SecretKey::from_slice(&[7; 32]).unwrap();
        let sec1 = secret.to_sec1_pem(LineEnding::LF).unwrap().to_string();
        (sec1, secret.to_pkcs8_pem(LineEnding::LF).unwrap().to_string())
    }

    #[test]
    fn both_forms_of_a_key_sign_alike_and_always_the_same() {
        // As `openssl ecparam -genkey` writes it in front.
        let (sec1, pkcs8) = pems();
        let parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
        let subject = Descriptor::of(spec::INDEX, b"index");
        let sec1 = Key::parse(format!("{parameters}{sec1}").as_bytes(), "a").unwrap();
        let signed = sign(&sec1, "registry.example.org/cc", &subject, None).unwrap();
        let pkcs8 = Key::parse(pkcs8.as_bytes(), "b").unwrap();
        assert_eq!(sign(&pkcs8, "registry.example.org/cc", &subject, None).unwrap(), signed);
        // It goes beside the signatures of others, once.
        let first: Manifest = serde_json::from_slice(&signed.manifest).unwrap();
        assert_eq!(sign(&pkcs8, "registry.example.org/cc", &subject, Some(&first)), None);
        let second = sign(&pkcs8, "registry.example.org/other", &subject, Some(&first)).unwrap();
        let second: Manifest = serde_json::from_slice(&second.manifest).unwrap();
        assert_eq!((second.layers.len(), &second.layers[0]), (2, &first.layers[0]));
        let (layer, payload) = &signed.blobs[1];
        assert_eq!(
            std::str::from_utf8(payload).unwrap(),
            format!(
                "{{\"critical\":{{\"identity\":{{\"docker-reference\":\"registry.example.org/cc\"}},\
                 \"image\":{{\"docker-manifest-digest\":\"{}\"}},\
                 \"type\":\"cosign container image signature\"}},\"optional\":null}}",
                subject.digest
            )
        );
        let signature = from_base64(&layer.annotations[SIGNATURE]).unwrap();
        let signature = DerSignature::try_from(signature.as_slice()).unwrap();
        let verifying = VerifyingKey::from(&sec1.0);
        assert!(verifying.verify(payload, &signature).is_ok());
        assert!(verifying.verify(b"other", &signature).is_err());
        assert_eq!(format!("{sec1:?}"), "Key(..)");
    }

    #[test]
    fn what_is_no_key_is_refused_by_name() {
        for (pem, expected) in [
            ("", "k is no private key in PEM form (PKCS #8 or SEC 1) of the curve P-256"),
            ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "k is no private key"),
            (&pems().0[..60], "k is no private key"),
            ("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAA==\n", "k is an encrypted key"),
        ] {
            let error = Key::parse(pem.as_bytes(), "k").unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
