//! MLKEM768-X25519, also called X-Wing: the KEM of the hybrid recipient.
//!
//! ```text
//! seed (32)  ──SHAKE256──▶  ML-KEM-768 seed (64) | X25519 scalar (32)
//! public key   = ML-KEM-768 encapsulation key (1184) | X25519 point (32)
//! encapsulated = ML-KEM-768 ciphertext (1088)        | X25519 share (32)
//! secret       = SHA3-256(ML-KEM secret | X25519 secret | share | point | label)
//! ```
//!
//! Sources: draft-ietf-hpke-pq-03 with the drafts that it builds on, as put together on <https://filippo.io/hpke-pq>
//! (called "the note" below), and draft-connolly-cfrg-xwing-kem, which has the same bytes; FIPS 203; RFC 7748.
//! What is here is the KEM alone; the `hpke` crate makes RFC 9180 of it.
//!
//! Seeds, expanded keys and shared secrets that this module holds are wiped. What it cannot wipe: copies that the
//! compiler makes when it moves a value on the stack, and what ml-kem, sha3 and hpke leave there while they compute
//! (sponge states, the re-encrypted message, HKDF's pseudorandom key). None of it outlives the call on the heap.

use aws_lc_rs::constant_time;
use hpke::generic_array::typenum::{Sum, U32, U96, U192, U1024};
use hpke::kem::SharedSecret;
use hpke::rand_core::{CryptoRng, RngCore};
use hpke::{Deserializable, HpkeError, Serializable};
use ml_kem::kem::Decapsulate as _;
use ml_kem::{B32, EncapsulateDeterministic as _, EncodedSizeUser as _, KemCore, MlKem768};
use sha3::digest::{ExtendableOutput as _, FixedOutput as _, Update as _, XofReader as _};
use sha3::{Sha3_256, Shake256};
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of a private key: the seed that everything is expanded from ("Nsk").
pub(super) const SEED_LEN: usize = 32;
/// Bytes of a public key ("Npk").
pub(super) const PUBLIC_LEN: usize = MLKEM_PUBLIC_LEN + X25519_LEN;
/// Bytes of an encapsulated key ("Nenc").
pub(super) const ENCAPSULATED_LEN: usize = MLKEM_CIPHERTEXT_LEN + X25519_LEN;

const MLKEM_PUBLIC_LEN: usize = 1184;
const MLKEM_CIPHERTEXT_LEN: usize = 1088;
const MLKEM_SEED_LEN: usize = 64;
const X25519_LEN: usize = 32;

/// The note's "Label" of this KEM: `\.//^\`.
const LABEL: &[u8; 6] = br"\.//^\";

type DecapsulationKey = <MlKem768 as KemCore>::DecapsulationKey;
type EncapsulationKey = <MlKem768 as KemCore>::EncapsulationKey;

/// The KEM as `hpke` wants it.
pub(super) struct MlKem768X25519;

/// A public key that was checked: its ML-KEM part is canonical, and its X25519 part contributes.
#[derive(Clone)]
pub(super) struct PublicKey {
    bytes: [u8; PUBLIC_LEN],
    mlkem: EncapsulationKey,
    x25519: x25519_dalek::PublicKey,
}

impl PublicKey {
    pub(super) fn as_bytes(&self) -> &[u8; PUBLIC_LEN] {
        &self.bytes
    }
}

/// A private key, expanded: opening costs a decapsulation and no key generation.
///
/// Wiped on drop, part by part: `Zeroizing`, ml-kem's and x25519-dalek's own `Drop`.
#[derive(Clone)]
pub(super) struct PrivateKey {
    seed: Zeroizing<[u8; SEED_LEN]>,
    mlkem: DecapsulationKey,
    x25519: x25519_dalek::StaticSecret,
    public: PublicKey,
}

impl PrivateKey {
    /// The note's `expandKey`. Every seed is a private key.
    pub(super) fn expand(seed: &[u8; SEED_LEN]) -> Self {
        let mut expanded = Zeroizing::new([0; MLKEM_SEED_LEN + X25519_LEN]);
        let mut shake = Shake256::default();
        shake.update(seed);
        shake.finalize_xof().read(expanded.as_mut());

        // FIPS 203, algorithm 16, `ML-KEM.KeyGen_internal`: the seed is `d` and then `z`.
        let (d, z) = (secret_of(&expanded[..32]), secret_of(&expanded[32..64]));
        let (mlkem, encapsulation_key) = MlKem768::generate_deterministic(&d, &z);
        let x25519 = x25519_dalek::StaticSecret::from(*part(&expanded[64..]));
        let point = x25519_dalek::PublicKey::from(&x25519);

        let mut bytes = [0; PUBLIC_LEN];
        bytes[..MLKEM_PUBLIC_LEN].copy_from_slice(&encapsulation_key.as_bytes());
        bytes[MLKEM_PUBLIC_LEN..].copy_from_slice(point.as_bytes());
        let public = PublicKey { bytes, mlkem: encapsulation_key, x25519: point };
        Self { seed: Zeroizing::new(*seed), mlkem, x25519, public }
    }

    pub(super) fn seed(&self) -> &[u8; SEED_LEN] {
        &self.seed
    }

    pub(super) fn public(&self) -> &PublicKey {
        &self.public
    }
}

/// An encapsulated key of the right length. Nothing else can be told of it without the private key.
#[derive(Clone)]
pub(super) struct Encapsulated([u8; ENCAPSULATED_LEN]);

impl hpke::Kem for MlKem768X25519 {
    type PublicKey = PublicKey;
    type PrivateKey = PrivateKey;
    type EncappedKey = Encapsulated;
    type NSecret = U32;

    const KEM_ID: u16 = 0x647a;

    fn sk_to_pk(private: &PrivateKey) -> PublicKey {
        private.public.clone()
    }

    /// The note's `DeriveKeyPair`: draft-ietf-hpke-pq-03's one-stage `LabeledDerive` with SHAKE256.
    fn derive_keypair(ikm: &[u8]) -> (PrivateKey, PublicKey) {
        const KEY_LABEL: &[u8] = b"DeriveKeyPair";
        let mut shake = Shake256::default();
        shake.update(ikm);
        shake.update(b"HPKE-v1KEM");
        shake.update(&Self::KEM_ID.to_be_bytes());
        shake.update(&(KEY_LABEL.len() as u16).to_be_bytes());
        shake.update(KEY_LABEL);
        shake.update(&(SEED_LEN as u16).to_be_bytes());
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        shake.finalize_xof().read(seed.as_mut());
        let private = PrivateKey::expand(&seed);
        let public = private.public.clone();
        (private, public)
    }

    /// The note's `GenerateKeyPair`, which takes the seed as it was drawn and derives nothing from it.
    fn gen_keypair<R: CryptoRng + RngCore>(rng: &mut R) -> (PrivateKey, PublicKey) {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        rng.fill_bytes(seed.as_mut());
        let private = PrivateKey::expand(&seed);
        let public = private.public.clone();
        (private, public)
    }

    /// The note's `Encaps`. One draw of 64 bytes: ML-KEM's message, then the ephemeral scalar.
    fn encap<R: CryptoRng + RngCore>(
        recipient: &PublicKey,
        sender: Option<(&PrivateKey, &PublicKey)>,
        rng: &mut R,
    ) -> Result<(SharedSecret<Self>, Encapsulated), HpkeError> {
        // No KEM of draft-ietf-hpke-pq authenticates the sender.
        if sender.is_some() {
            return Err(HpkeError::EncapError);
        }
        let mut drawn = Zeroizing::new([0; 64]);
        rng.fill_bytes(drawn.as_mut());

        let message = secret_of(&drawn[..32]);
        let (ciphertext, mut mlkem_secret) =
            recipient.mlkem.encapsulate_deterministic(&message).map_err(|()| HpkeError::EncapError)?;
        let mlkem_secret = Secret::take(&mut mlkem_secret);

        let ephemeral = x25519_dalek::StaticSecret::from(*part(&drawn[32..]));
        let share = x25519_dalek::PublicKey::from(&ephemeral);
        let x25519_secret = ephemeral.diffie_hellman(&recipient.x25519);
        // Cannot be: a recipient of low order is refused when it is read.
        if !x25519_secret.was_contributory() {
            return Err(HpkeError::EncapError);
        }

        let mut encapsulated = [0; ENCAPSULATED_LEN];
        encapsulated[..MLKEM_CIPHERTEXT_LEN].copy_from_slice(&ciphertext);
        encapsulated[MLKEM_CIPHERTEXT_LEN..].copy_from_slice(share.as_bytes());
        let secret = combine(&mlkem_secret, &x25519_secret, share.as_bytes(), recipient.x25519.as_bytes());
        Ok((secret, Encapsulated(encapsulated)))
    }

    /// The note's `Decaps`. ML-KEM rejects implicitly: what was made for another key gives another secret, not an
    /// error. The one error is an X25519 share of low order, which no sender makes.
    fn decap(
        private: &PrivateKey,
        sender: Option<&PublicKey>,
        encapsulated: &Encapsulated,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::DecapError);
        }
        let (ciphertext, share) = encapsulated.0.split_at(MLKEM_CIPHERTEXT_LEN);
        let share = x25519_dalek::PublicKey::from(*part(share));
        let x25519_secret = private.x25519.diffie_hellman(&share);
        // RFC 7748, section 6.1: an all-zero secret is one that the sender's share alone has decided.
        if !x25519_secret.was_contributory() {
            return Err(HpkeError::DecapError);
        }
        let ciphertext = ciphertext.try_into().map_err(|_| HpkeError::DecapError)?;
        let mut mlkem_secret = private.mlkem.decapsulate(ciphertext).map_err(|()| HpkeError::DecapError)?;
        let mlkem_secret = Secret::take(&mut mlkem_secret);
        Ok(combine(&mlkem_secret, &x25519_secret, share.as_bytes(), private.public.x25519.as_bytes()))
    }
}

/// The combiner. ML-KEM's ciphertext need not be hashed: its secret is bound to it (X-Wing's own argument).
fn combine(
    mlkem_secret: &Secret,
    x25519_secret: &x25519_dalek::SharedSecret,
    share: &[u8; X25519_LEN],
    point: &[u8; X25519_LEN],
) -> SharedSecret<MlKem768X25519> {
    let mut hash = Sha3_256::default();
    hash.update(&mlkem_secret.0);
    hash.update(x25519_secret.as_bytes());
    hash.update(share);
    hash.update(point);
    hash.update(LABEL);
    let mut secret = SharedSecret::default();
    hash.finalize_into(&mut secret.0);
    secret
}

/// 32 secret bytes in ml-kem's own array type, wiped on drop.
struct Secret(B32);

impl Secret {
    /// Moves a secret that ml-kem returned to where it will be wiped.
    fn take(from: &mut B32) -> Self {
        let this = Self(*from);
        from.as_mut_slice().zeroize();
        this
    }
}

impl std::ops::Deref for Secret {
    type Target = B32;

    fn deref(&self) -> &B32 {
        &self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

fn secret_of(bytes: &[u8]) -> Secret {
    Secret((*part(bytes)).into())
}

/// 32 bytes whose number the caller has settled.
fn part(bytes: &[u8]) -> &[u8; 32] {
    bytes.try_into().expect("the caller cuts 32 bytes out of an array")
}

impl Deserializable for PublicKey {
    fn from_bytes(encoded: &[u8]) -> Result<Self, HpkeError> {
        let bytes: [u8; PUBLIC_LEN] =
            encoded.try_into().map_err(|_| HpkeError::IncorrectInputLength(PUBLIC_LEN, encoded.len()))?;
        let (encapsulation_key, point) = bytes.split_at(MLKEM_PUBLIC_LEN);

        // FIPS 203, section 7.2, the modulus check: ml-kem reduces coefficients silently, so what it writes again
        // differs from what was read if one of them was not below q.
        let mlkem = EncapsulationKey::from_bytes(
            encapsulation_key.try_into().map_err(|_| HpkeError::ValidationError)?,
        );
        if mlkem.as_bytes().as_slice() != encapsulation_key {
            return Err(HpkeError::ValidationError);
        }

        // A point of low order gives the all-zero secret with every scalar (RFC 7748, section 6.1: clamping makes
        // scalars multiples of the cofactor), and no other point gives it with any. Refused here, so that sealing
        // has no way to fail.
        let x25519 = x25519_dalek::PublicKey::from(*part(point));
        let any_scalar = x25519_dalek::StaticSecret::from([1; 32]);
        if !any_scalar.diffie_hellman(&x25519).was_contributory() {
            return Err(HpkeError::ValidationError);
        }
        Ok(Self { bytes, mlkem, x25519 })
    }
}

impl Serializable for PublicKey {
    type OutputSize = Sum<U1024, U192>;

    fn write_exact(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.bytes);
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicKey(MLKEM768-X25519)")
    }
}

impl Deserializable for PrivateKey {
    fn from_bytes(encoded: &[u8]) -> Result<Self, HpkeError> {
        let seed =
            encoded.try_into().map_err(|_| HpkeError::IncorrectInputLength(SEED_LEN, encoded.len()))?;
        Ok(Self::expand(seed))
    }
}

impl Serializable for PrivateKey {
    type OutputSize = U32;

    fn write_exact(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(self.seed.as_ref());
    }
}

impl PartialEq for PrivateKey {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(self.seed.as_ref(), other.seed.as_ref()).is_ok()
    }
}

impl Eq for PrivateKey {}

impl Deserializable for Encapsulated {
    fn from_bytes(encoded: &[u8]) -> Result<Self, HpkeError> {
        let bytes = encoded
            .try_into()
            .map_err(|_| HpkeError::IncorrectInputLength(ENCAPSULATED_LEN, encoded.len()))?;
        Ok(Self(bytes))
    }
}

impl Serializable for Encapsulated {
    type OutputSize = Sum<U1024, U96>;

    fn write_exact(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0);
    }
}

#[cfg(test)]
pub(super) mod tests;
