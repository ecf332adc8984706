//! The KEM against published vectors, and against the same KEM built on another library.

use super::*;
use aws_lc_rs::{agreement, digest, error::Unspecified, kem, rand};
use hpke::Kem as _;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::{OpModeR, OpModeS};
use serde_json::Value;

/// Gives out the bytes that it was given, once.
struct Prepared(Vec<u8>);

impl RngCore for Prepared {
    fn next_u32(&mut self) -> u32 {
        panic!("the KEM draws bytes only")
    }

    fn next_u64(&mut self) -> u64 {
        panic!("the KEM draws bytes only")
    }

    fn fill_bytes(&mut self, into: &mut [u8]) {
        into.copy_from_slice(&self.0.drain(..into.len()).collect::<Vec<_>>());
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), hpke::rand_core::Error> {
        self.fill_bytes(into);
        Ok(())
    }
}

impl CryptoRng for Prepared {}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).unwrap();
    bytes
}

// === Published vectors ===

const VECTORS: &str = include_str!("../../../../../../tests/vectors/age/kem/hpke-pq.json");

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    let hex = vector[field].as_str().unwrap_or_else(|| panic!("no {field}"));
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn keys_and_secrets_are_those_of_the_published_vectors() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in &vectors {
        assert_eq!(vector["kem_id"], MlKem768X25519::KEM_ID);
        let (private, public) = MlKem768X25519::derive_keypair(&bytes(vector, "ikmR"));
        assert_eq!(private.seed()[..], bytes(vector, "skRm"));
        assert_eq!(public.as_bytes()[..], bytes(vector, "pkRm"));
        assert_eq!(PublicKey::from_bytes(&bytes(vector, "pkRm")).unwrap(), public);

        let mut rng = Prepared(bytes(vector, "ikmE"));
        let (secret, encapsulated) = MlKem768X25519::encap(&public, None, &mut rng).unwrap();
        assert_eq!(encapsulated.0[..], bytes(vector, "enc"));
        assert_eq!(secret.0[..], bytes(vector, "shared_secret"));
        assert!(rng.0.is_empty(), "all that was drawn is used");

        let opened = MlKem768X25519::decap(&private, None, &encapsulated).unwrap();
        assert_eq!(opened.0[..], bytes(vector, "shared_secret"));
    }
}

/// The first of the two is of the very suite that age uses.
#[test]
fn hpke_with_this_kem_seals_as_the_published_vector() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let vector = &vectors[0];
    assert_eq!((&vector["mode"], &vector["kdf_id"], &vector["aead_id"]), (&0.into(), &1.into(), &3.into()));
    let public = PublicKey::from_bytes(&bytes(vector, "pkRm")).unwrap();
    let private = PrivateKey::from_bytes(&bytes(vector, "skRm")).unwrap();
    let info = bytes(vector, "info");

    let (encapsulated, mut sender) = hpke::setup_sender::<ChaCha20Poly1305, HkdfSha256, MlKem768X25519, _>(
        &OpModeS::Base,
        &public,
        &info,
        &mut Prepared(bytes(vector, "ikmE")),
    )
    .unwrap();
    let mut receiver = hpke::setup_receiver::<ChaCha20Poly1305, HkdfSha256, MlKem768X25519>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        &info,
    )
    .unwrap();
    let messages = vector["encryptions"].as_array().unwrap();
    assert_eq!(messages.len(), 10);
    for message in messages {
        let (plaintext, aad) = (bytes(message, "pt"), bytes(message, "aad"));
        let ciphertext = sender.seal(&plaintext, &aad).unwrap();
        assert_eq!(ciphertext, bytes(message, "ct"));
        assert_eq!(receiver.open(&ciphertext, &aad).unwrap(), plaintext);
    }
}

// === Another implementation ===

/// The same KEM on AWS-LC's ML-KEM, X25519 and SHA3. Only the seed's expansion, which AWS-LC lacks, is shared; the
/// vectors hold that.
mod other {
    use super::*;

    pub(super) fn decap(seed: &[u8; 32], encapsulated: &[u8]) -> [u8; 32] {
        let private = PrivateKey::expand(seed);
        let mlkem = kem::DecapsulationKey::new(&kem::ML_KEM_768, &private.mlkem.as_bytes()).unwrap();
        let (ciphertext, share) = encapsulated.split_at(1088);
        let mlkem_secret = mlkem.decapsulate(ciphertext.into()).unwrap();

        let scalar = scalar(seed);
        let point = scalar.compute_public_key().unwrap();
        combine(mlkem_secret.as_ref(), &agree(&scalar, share).unwrap(), share, point.as_ref())
    }

    pub(super) fn encap(public: &[u8]) -> ([u8; 32], Vec<u8>) {
        let (encapsulation_key, point) = public.split_at(1184);
        let mlkem = kem::EncapsulationKey::new(&kem::ML_KEM_768, encapsulation_key).unwrap();
        let (ciphertext, mlkem_secret) = mlkem.encapsulate().unwrap();

        let ephemeral = agreement::PrivateKey::generate(&agreement::X25519).unwrap();
        let share = ephemeral.compute_public_key().unwrap();
        let x25519_secret = agree(&ephemeral, point).unwrap();
        let secret = combine(mlkem_secret.as_ref(), &x25519_secret, share.as_ref(), point);
        (secret, [ciphertext.as_ref(), share.as_ref()].concat())
    }

    /// The X25519 part of the public key. AWS-LC does not tell the other part of a private key that it was given;
    /// that the two fit each other is what encapsulating to the one and decapsulating with the other shows.
    pub(super) fn point(seed: &[u8; 32]) -> Vec<u8> {
        scalar(seed).compute_public_key().unwrap().as_ref().to_vec()
    }

    fn scalar(seed: &[u8; 32]) -> agreement::PrivateKey {
        let mut expanded = [0; 96];
        let mut shake = Shake256::default();
        shake.update(seed);
        shake.finalize_xof().read(&mut expanded);
        agreement::PrivateKey::from_private_key(&agreement::X25519, &expanded[64..]).unwrap()
    }

    fn agree(private: &agreement::PrivateKey, public: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let public = agreement::UnparsedPublicKey::new(&agreement::X25519, public);
        agreement::agree(private, public, Unspecified, |secret| Ok(secret.to_vec()))
    }

    fn combine(mlkem_secret: &[u8], x25519_secret: &[u8], share: &[u8], point: &[u8]) -> [u8; 32] {
        let input =
            [mlkem_secret, x25519_secret, share, point, &[0x5c, 0x2e, 0x2f, 0x2f, 0x5e, 0x5c]].concat();
        digest::digest(&digest::SHA3_256, &input).as_ref().try_into().unwrap()
    }
}

#[test]
fn both_implementations_agree_in_both_directions() {
    for _ in 0..64 {
        let seed = random();
        let private = PrivateKey::expand(&seed);
        assert_eq!(private.public().as_bytes()[MLKEM_PUBLIC_LEN..], other::point(&seed));

        let (secret, encapsulated) =
            MlKem768X25519::encap(private.public(), None, &mut Prepared(random::<64>().to_vec())).unwrap();
        assert_eq!(secret.0[..], other::decap(&seed, &encapsulated.0));

        let (secret, encapsulated) = other::encap(private.public().as_bytes());
        let encapsulated = Encapsulated::from_bytes(&encapsulated).unwrap();
        assert_eq!(MlKem768X25519::decap(&private, None, &encapsulated).unwrap().0[..], secret);
    }
}

/// Implicit rejection gives a secret too, and FIPS 203 says which.
#[test]
fn both_implementations_agree_on_what_was_changed() {
    let seed = random();
    let private = PrivateKey::expand(&seed);
    let (secret, encapsulated) = other::encap(private.public().as_bytes());
    for at in [0, 500, 1087, 1088, 1110] {
        let mut changed = encapsulated.clone();
        changed[at] ^= 1;
        let ours =
            MlKem768X25519::decap(&private, None, &Encapsulated::from_bytes(&changed).unwrap()).unwrap();
        assert_eq!(ours.0[..], other::decap(&seed, &changed), "byte {at}");
        assert_ne!(ours.0[..], secret, "byte {at}");
    }
}

// === What is refused ===

/// The points of low order: RFC 7748, section 7, and their forms above 2^255 - 19 and with the ignored top bit.
pub(in crate::age::hybrid) fn points_of_low_order() -> Vec<[u8; 32]> {
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    let mut p = minus_one;
    p[0] = 0xed;
    let mut p_plus_one = minus_one;
    p_plus_one[0] = 0xee;
    let mut one = [0; 32];
    one[0] = 1;
    let order_8 =
        |hex: &str| -> [u8; 32] { bytes(&serde_json::json!({ "point": hex }), "point").try_into().unwrap() };
    let mut points = vec![
        [0; 32],
        one,
        minus_one,
        p,
        p_plus_one,
        order_8("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        order_8("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ];
    points.extend(points.clone().into_iter().map(|mut point| {
        point[31] |= 0x80;
        point
    }));
    points
}

#[test]
fn a_public_key_of_low_order_is_refused() {
    let good = *PrivateKey::expand(&random()).public().as_bytes();
    assert!(PublicKey::from_bytes(&good).is_ok());
    for point in points_of_low_order() {
        let mut bad = good;
        bad[MLKEM_PUBLIC_LEN..].copy_from_slice(&point);
        assert!(matches!(PublicKey::from_bytes(&bad), Err(HpkeError::ValidationError)), "{point:x?}");
    }
}

#[test]
fn a_share_of_low_order_is_refused() {
    let private = PrivateKey::expand(&random());
    let (_, good) = other::encap(private.public().as_bytes());
    for point in points_of_low_order() {
        let mut bad = good.clone();
        bad[MLKEM_CIPHERTEXT_LEN..].copy_from_slice(&point);
        let bad = Encapsulated::from_bytes(&bad).unwrap();
        assert!(
            matches!(MlKem768X25519::decap(&private, None, &bad), Err(HpkeError::DecapError)),
            "{point:x?}"
        );
    }
}

/// Even if a public key came about in another way than by reading it.
#[test]
fn sealing_to_a_point_of_low_order_fails_too() {
    let mut public = PrivateKey::expand(&random()).public().clone();
    public.x25519 = x25519_dalek::PublicKey::from([0; 32]);
    let sealed = MlKem768X25519::encap(&public, None, &mut Prepared(random::<64>().to_vec()));
    assert!(matches!(sealed, Err(HpkeError::EncapError)));
}

/// FIPS 203, section 7.2: a coefficient is 12 bits wide and must be below q = 3329. AWS-LC refuses the same keys.
#[test]
fn a_coefficient_that_is_not_reduced_is_refused() {
    let good = *PrivateKey::expand(&random()).public().as_bytes();
    // 384 bytes make a polynomial, 3 bytes two coefficients, the first in the low bits.
    for at in [0, 384, 1149] {
        for (value, allowed) in [(0_u16, true), (3328, true), (3329, false), (4095, false)] {
            for second in [false, true] {
                let mut key = good;
                if second {
                    key[at + 1] = (key[at + 1] & 0x0f) | ((value & 0x0f) << 4) as u8;
                    key[at + 2] = (value >> 4) as u8;
                } else {
                    key[at] = (value & 0xff) as u8;
                    key[at + 1] = (key[at + 1] & 0xf0) | (value >> 8) as u8;
                }
                assert_eq!(PublicKey::from_bytes(&key).is_ok(), allowed, "{value} at {at}");
                let other = kem::EncapsulationKey::new(&kem::ML_KEM_768, &key[..1184])
                    .map_err(drop)
                    .and_then(|key| key.encapsulate().map(drop).map_err(drop));
                assert_eq!(other.is_ok(), allowed, "AWS-LC: {value} at {at}");
            }
        }
    }
}

#[test]
fn other_lengths_are_refused() {
    for len in [0, PUBLIC_LEN - 1, PUBLIC_LEN + 1] {
        assert!(PublicKey::from_bytes(&vec![0; len]).is_err(), "{len}");
    }
    for len in [0, ENCAPSULATED_LEN - 1, ENCAPSULATED_LEN + 1] {
        assert!(Encapsulated::from_bytes(&vec![0; len]).is_err(), "{len}");
    }
    for len in [0, SEED_LEN - 1, SEED_LEN + 1] {
        assert!(PrivateKey::from_bytes(&vec![0; len]).is_err(), "{len}");
    }
    assert_eq!(PublicKey::size(), PUBLIC_LEN);
    assert_eq!(PrivateKey::size(), SEED_LEN);
    assert_eq!(Encapsulated::size(), ENCAPSULATED_LEN);
}

#[test]
fn a_sender_is_never_authenticated() {
    let (private, public) = MlKem768X25519::gen_keypair(&mut Prepared(random::<32>().to_vec()));
    let mut rng = Prepared(random::<64>().to_vec());
    assert!(MlKem768X25519::encap(&public, Some((&private, &public)), &mut rng).is_err());
    let (_, encapsulated) = MlKem768X25519::encap(&public, None, &mut rng).unwrap();
    assert!(MlKem768X25519::decap(&private, Some(&public), &encapsulated).is_err());
}

#[test]
fn a_generated_key_is_the_seed_that_was_drawn() {
    let seed = random();
    let (private, public) = MlKem768X25519::gen_keypair(&mut Prepared(seed.to_vec()));
    assert_eq!(private.seed(), &seed);
    assert_eq!(MlKem768X25519::sk_to_pk(&private), public);
    assert!(private == PrivateKey::expand(&seed));
    assert!(private != PrivateKey::expand(&random()));
}
