//! One value sealed and opened, with the bare operation of aws-lc-rs beside it in the same run:
//! `cargo bench -p privyseal-envelope`.
//!
//! What matters is the ratio of the two: how much the format costs over RSA-OAEP alone.
#![allow(clippy::unwrap_used, reason = "a bench that cannot begin must end")]

use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};
use criterion::{Criterion, criterion_group, criterion_main};
use privyseal_envelope::rsa::{KeySize, OpeningKey};
use privyseal_envelope::{Binding, Name, Namespace, classic};
use std::hint::black_box;

fn value(criterion: &mut Criterion) {
    let binding =
        Binding::Strict { namespace: Namespace::parse("team-a").unwrap(), name: Name::parse("db").unwrap() };
    for (size, bits) in [(KeySize::Rsa2048, 2048), (KeySize::Rsa4096, 4096)] {
        let key = OpeningKey::generate(size).unwrap();
        let label = b"team-a/db";
        let bare = bare(&key);
        let public = OaepPublicEncryptingKey::new(bare.public_key()).unwrap();
        let private = OaepPrivateDecryptingKey::new(bare).unwrap();
        let mut buffer = vec![0; private.min_output_size()];

        let mut group = criterion.benchmark_group(format!("RSA-{bits}"));
        group.bench_function("seal: bare OAEP", |bench| {
            bench.iter(|| {
                public
                    .encrypt(&OAEP_SHA256_MGF1SHA256, black_box(&[7; 32]), &mut buffer, Some(label))
                    .unwrap()
                    .len()
            });
        });
        group.bench_function("seal: classic", |bench| {
            bench.iter(|| classic::seal(black_box(&[7; 64]), key.sealing_key(), &binding).unwrap());
        });

        let sealed = classic::seal(&[7; 64], key.sealing_key(), &binding).unwrap();
        let session_key =
            public.encrypt(&OAEP_SHA256_MGF1SHA256, &[7; 32], &mut buffer, Some(label)).unwrap();
        let rsa_part = session_key.to_vec();
        let mut session_key = vec![0; private.min_output_size()];
        group.bench_function("open: bare OAEP", |bench| {
            bench.iter(|| {
                private
                    .decrypt(&OAEP_SHA256_MGF1SHA256, black_box(&rsa_part), &mut session_key, Some(label))
                    .unwrap()
                    .len()
            });
        });
        group.bench_function("open: classic", |bench| {
            bench.iter(|| classic::open(black_box(&sealed), &key, &binding).ok().unwrap());
        });
        group.finish();
    }
}

/// The same key, as the library has it.
fn bare(key: &OpeningKey) -> PrivateDecryptingKey {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    let pkcs1 = key.to_pkcs1_der().unwrap();
    let pair = aws_lc_rs::rsa::KeyPair::from_der(&pkcs1).unwrap();
    let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
    PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).unwrap()
}

criterion_group!(benches, value);
criterion_main!(benches);
