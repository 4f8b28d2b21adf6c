//! OpenPGP keys made for a test, and what is signed with them.

use std::{
    io::Write as _,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use sequoia_openpgp::{
    Cert, Packet,
    cert::{CertBuilder, CertRevocationBuilder, CipherSuite},
    crypto::KeyPair,
    serialize::{
        Serialize as _, SerializeInto as _,
        stream::{Message, Signer},
    },
    types::{HashAlgorithm, ReasonForRevocation},
};

/// When all test keys were made.
const MADE: &str = "2020-01-01T00:00:00Z";

fn time(moment: Timestamp) -> SystemTime {
    SystemTime::try_from(moment).unwrap()
}

/// A key with its secret.
#[derive(Clone)]
pub struct Key(pub Cert);

impl Key {
    /// Ed25519: the primary key certifies, a subkey signs.
    pub fn new(name: &str) -> Self {
        Self::made(name, CipherSuite::Cv25519, None)
    }

    /// RSA, as Debian's archive keys.
    pub fn rsa(name: &str) -> Self {
        Self::made(name, CipherSuite::RSA2k, None)
    }

    /// One that expires.
    pub fn expiring(name: &str, end: Timestamp) -> Self {
        let life = time(end).duration_since(time(MADE.parse().unwrap())).unwrap();
        Self::made(name, CipherSuite::Cv25519, Some(life))
    }

    fn made(name: &str, suite: CipherSuite, life: Option<Duration>) -> Self {
        let (cert, _) = CertBuilder::new()
            .set_creation_time(time(MADE.parse().unwrap()))
            .set_cipher_suite(suite)
            .set_validity_period(life)
            .add_userid(format!("{name} <{name}@example.org>"))
            .add_signing_subkey()
            .generate()
            .unwrap();
        Self(cert)
    }

    /// This key, revoked as compromised.
    pub fn revoked(&self) -> Self {
        self.revoked_as(ReasonForRevocation::KeyCompromised, "2025-01-01T00:00:00Z".parse().unwrap())
    }

    /// This key, retired by its owner at a moment.
    pub fn retired(&self, moment: Timestamp) -> Self {
        self.revoked_as(ReasonForRevocation::KeyRetired, moment)
    }

    fn revoked_as(&self, reason: ReasonForRevocation, moment: Timestamp) -> Self {
        let mut primary = self.0.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
        let revocation = CertRevocationBuilder::new()
            .set_signature_creation_time(time(moment))
            .unwrap()
            .set_reason_for_revocation(reason, b"")
            .unwrap()
            .build(&mut primary, &self.0, None)
            .unwrap();
        Self(self.0.clone().insert_packets(vec![Packet::from(revocation)]).unwrap().0)
    }

    /// The primary key's fingerprint, as a lock has it.
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint().to_hex()
    }

    /// The id of the signing subkey, 16 hexadecimal digits.
    pub fn signing_id(&self) -> String {
        self.0.keys().last().unwrap().key().keyid().to_hex()
    }

    /// The public key, ASCII-armoured.
    pub fn armoured(&self) -> Vec<u8> {
        self.0.clone().strip_secret_key_material().armored().to_vec().unwrap()
    }

    /// The public key, binary.
    pub fn binary(&self) -> Vec<u8> {
        self.0.clone().strip_secret_key_material().to_vec().unwrap()
    }

    /// With its secret, as nobody should put it into a keyring.
    pub fn secret(&self) -> Vec<u8> {
        self.0.as_tsk().to_vec().unwrap()
    }

    fn pair(&self) -> KeyPair {
        self.0.keys().secret().last().unwrap().key().clone().into_keypair().unwrap()
    }
}

/// `text` clearsigned by all `signers` at a moment, with SHA-512.
pub fn clearsign(text: &str, signers: &[Key], moment: Timestamp) -> Vec<u8> {
    clearsign_with(text, signers, moment, HashAlgorithm::SHA512)
}

/// `text` clearsigned with some other digest.
pub fn clearsign_with(text: &str, signers: &[Key], moment: Timestamp, hash: HashAlgorithm) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (first, others) = signers.split_first().expect("somebody signs");
    let mut signer = Signer::new(Message::new(&mut bytes), first.pair()).unwrap();
    for other in others {
        signer = signer.add_signer(other.pair()).unwrap();
    }
    let signer = signer.cleartext().hash_algo(hash).unwrap().creation_time(time(moment));
    let mut message = signer.build().unwrap();
    message.write_all(text.as_bytes()).unwrap();
    message.finalize().unwrap();
    bytes
}
