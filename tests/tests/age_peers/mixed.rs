//! Recipients of several kinds in one file.

use super::peers::{self, AgeEncryption, GoAge, Ours, Peer};
use privyseal_envelope::age::{self, Kind, Recipient, Recipients};
use privyseal_envelope::rsa::{KeySize, OpeningKey};
use privyseal_tests::tools;
use sha2::{Digest as _, Sha256};

/// The weaker recipient would undo what the stronger one is for, so age labels them. What somebody made all the same
/// opens: the harm is done, and whoever holds a key to it can at least read it and seal it anew.
#[test]
fn nobody_seals_to_both_but_by_force_and_all_open_it() {
    let (mut go, mut javascript) = (GoAge::new(), AgeEncryption::new());
    let identities = [Kind::Hybrid, Kind::X25519].map(|kind| go.keygen(kind));
    let recipients = identities.each_ref().map(|identity| Ours.recipient(identity).unwrap());
    let reversed = [recipients[1].clone(), recipients[0].clone()];
    for recipients in [&recipients, &reversed] {
        let refused = go.encrypt(recipients, b"text").unwrap_err();
        assert!(refused.contains("incompatible recipients"), "{refused}");
        let refused = Ours.encrypt(recipients, b"text").unwrap_err();
        assert!(refused.contains("do not mix"), "{refused}");
        // JavaScript's knows no labels, and is the force.
        let file = javascript.encrypt(recipients, b"text").unwrap();
        for identity in &identities {
            for mut reader in peers::all() {
                let name = reader.name();
                assert_eq!(reader.decrypt(identity, &file).as_deref(), Ok(&b"text"[..]), "{name}");
            }
        }
    }
}

/// The official vector of such a file says that it opens.
#[test]
fn the_vector_that_mixes_opens_for_all() {
    let path = tools::repository().join("tests/vectors/age/cctv/testdata/hybrid_and_x25519");
    let vector = std::fs::read(path).unwrap();
    let end = vector.windows(2).position(|two| two == b"\n\n").unwrap();
    let (fields, file) = (std::str::from_utf8(&vector[..end]).unwrap(), &vector[end + 2..]);
    let field = |name: &str| fields.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    assert_eq!(field("expect"), Some("success"));
    for mut reader in peers::all() {
        let text = reader.decrypt(field("identity").unwrap(), file).unwrap();
        let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(field("payload"), Some(digest.as_str()), "{}", reader.name());
    }
}

/// Of a vault's stanza the peers know nothing, and pass over it.
#[test]
fn a_vaults_key_beside_others_keeps_nobody_from_opening() {
    let identity = GoAge::new().keygen(Kind::X25519);
    let recipient: Recipient = Ours.recipient(&identity).unwrap().parse().unwrap();
    let vaults = [0, 1]
        .map(|_| Recipient::KeyVault(OpeningKey::generate(KeySize::Rsa2048).unwrap().sealing_key().clone()));
    let [first, last] = vaults;
    let recipients = Recipients::new([first, recipient, last]).unwrap();
    for to in [recipients.clone(), recipients.without_hints()] {
        let file = age::encrypt(b"text", &to).unwrap();
        for mut reader in peers::all() {
            let name = reader.name();
            assert_eq!(reader.decrypt(&identity, &file).as_deref(), Ok(&b"text"[..]), "{name}");
        }
    }
}
