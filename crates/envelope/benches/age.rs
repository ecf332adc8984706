//! One value of the age format sealed and opened, with the age crate's own operation beside it in the same run:
//! `cargo bench -p privyseal-envelope --bench age`.
//!
//! What matters is the ratio of the two: what binding line, hints, bounds and the strict reading of headers cost. The
//! hybrid recipient, which the age crate does not have, is ours on both sides.
#![allow(clippy::unwrap_used, reason = "a bench that cannot begin must end")]

use age_core::format::{FileKey, Stanza};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use privyseal_envelope::age::{BindingLine, File, Identity, Kind, Recipient, Recipients, Rewrap, seal};
use privyseal_envelope::rsa::{KeySize, OpeningKey};
use privyseal_envelope::{Binding, Item, Name, Namespace, SealedValue, classic};
use std::collections::HashSet;
use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::iter;
use std::time::Duration;

const SIZES: [(usize, &str); 2] = [(64, "64 B"), (4096, "4 KiB")];

fn binding() -> (Binding, Item) {
    let (namespace, name) = (Namespace::parse("team-a").unwrap(), Name::parse("db").unwrap());
    (Binding::Strict { namespace, name }, Item::parse("password").unwrap())
}

fn new(kind: Kind) -> Identity {
    match kind {
        Kind::Hybrid => Identity::generate_hybrid().unwrap(),
        _ => Identity::generate_x25519(),
    }
}

fn recipients(identities: &[Identity]) -> Recipients {
    Recipients::new(identities.iter().map(Identity::recipient)).unwrap()
}

fn group<'a>(criterion: &'a mut Criterion, name: impl Into<String>) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(50);
    group
}

fn value(criterion: &mut Criterion) {
    for kind in [Kind::X25519, Kind::Hybrid] {
        for count in [1, 5] {
            let identities: Vec<_> = iter::repeat_with(|| new(kind)).take(count).collect();
            let mut group = group(criterion, format!("{kind}, {count} recipients"));
            for (size, name) in SIZES {
                sealing(&mut group, &identities, size, name);
                opening(&mut group, &identities, size, name);
            }
            header(&mut group, &identities);
            group.finish();
        }
    }
}

fn sealing(group: &mut BenchmarkGroup<'_, WallTime>, identities: &[Identity], size: usize, name: &str) {
    let (binding, item) = binding();
    let to = recipients(identities);
    let keys: Vec<_> = to.iter().cloned().collect();
    let bare: Vec<_> = keys.iter().map(as_age).collect();
    let plaintext = vec![7; size];
    group.bench_function(format!("seal {name}: bare age"), |bench| {
        bench.iter(|| bare_encrypt(black_box(&plaintext), &bare));
    });
    group.bench_function(format!("seal {name}"), |bench| {
        bench.iter(|| seal(black_box(&plaintext), &to, &binding, &item).unwrap());
    });
    let quiet = to.clone().without_hints();
    group.bench_function(format!("seal {name}: without hints"), |bench| {
        bench.iter(|| seal(black_box(&plaintext), &quiet, &binding, &item).unwrap());
    });
}

/// With the last of the recipients' identities, which costs a private operation for each stanza.
fn opening(group: &mut BenchmarkGroup<'_, WallTime>, identities: &[Identity], size: usize, name: &str) {
    let (binding, item) = binding();
    let (to, identity) = (recipients(identities), identities.last().unwrap());
    let keys: Vec<_> = to.iter().cloned().collect();
    let plaintext = vec![7; size];
    let bare = bare_encrypt(&plaintext, &keys.iter().map(as_age).collect::<Vec<_>>());
    group.bench_function(format!("open {name}: bare age"), |bench| {
        bench.iter(|| bare_decrypt(black_box(&bare), identity));
    });
    let sealed = seal(&plaintext, &to, &binding, &item).unwrap();
    group.bench_function(format!("open {name}: bare age, our file"), |bench| {
        bench.iter(|| bare_decrypt(black_box(sealed.as_bytes()), identity));
    });
    group.bench_function(format!("open {name}"), |bench| {
        bench.iter(|| open(black_box(&sealed), iter::once(identity), &binding, &item));
    });
}

fn header(group: &mut BenchmarkGroup<'_, WallTime>, identities: &[Identity]) {
    let (binding, item) = binding();
    let sealed = seal(&[7; 64], &recipients(identities), &binding, &item).unwrap();
    group.bench_function("header: parse", |bench| {
        bench.iter(|| File::parse(black_box(&sealed)).unwrap().recipients().count());
    });
    let file = File::parse(&sealed).unwrap();
    let unwrapped = file.unwrap(&identities[0]).unwrap().unwrap();
    group.bench_function("open 64 B: file key known", |bench| {
        bench.iter(|| file.open(black_box(&unwrapped.file_key), &binding, &item).ok().unwrap().plaintext);
    });
    let opened = file.open(&unwrapped.file_key, &binding, &item).ok().unwrap();
    let (place, successor) = (file.recipients().next().unwrap(), new(identities[0].kind()).recipient());
    let change = Rewrap { replace: vec![(place, &successor)], ..Rewrap::default() };
    group.bench_function("rewrap for one", |bench| {
        bench.iter(|| opened.rewrap(black_box(&change)).unwrap());
    });
    // A keyring of ten keys that no hint orders, the right one last.
    let kind = identities[0].kind();
    let mut ring: Vec<_> = iter::repeat_with(|| new(kind)).take(9).collect();
    ring.push(identities.last().unwrap().to_text().trim_end().parse().ok().unwrap());
    group.bench_function("open 64 B: the last of ten keys", |bench| {
        bench.iter(|| open(black_box(&sealed), ring.iter(), &binding, &item));
    });
}

fn open<'a>(
    value: &SealedValue,
    keys: impl Iterator<Item = &'a Identity>,
    binding: &Binding,
    item: &Item,
) -> usize {
    let file = File::parse(value).unwrap();
    let unwrapped = keys.into_iter().find_map(|key| file.unwrap(key).unwrap()).unwrap();
    file.open(&unwrapped.file_key, binding, item).ok().unwrap().plaintext.expose().len()
}

/// As large as a header may be, of stanzas that nobody knows: whoever can seal can make one.
fn large_header(criterion: &mut Criterion) {
    let (identity, (binding, item)) = (Identity::generate_x25519(), binding());
    let crowd = Crowd(identity.recipient());
    let payload = format!("{}\nhunter2", BindingLine { binding: binding.clone(), item: item.clone() });
    let file = bare_encrypt(payload.as_bytes(), &[&crowd]);
    let value = SealedValue::from_base64(&BASE64_STANDARD.encode(file)).unwrap();
    let mut group = group(criterion, "a header of 64 kB");
    group.bench_function("open: bare age", |bench| {
        bench.iter(|| bare_decrypt(black_box(value.as_bytes()), &identity));
    });
    group.bench_function("open", |bench| {
        bench.iter(|| open(black_box(&value), iter::once(&identity), &binding, &item));
    });
    group.finish();
}

struct Crowd(Recipient);

impl age::Recipient for Crowd {
    fn wrap_file_key(&self, key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let (mut stanzas, labels) = as_age(&self.0).wrap_file_key(key)?;
        stanzas.push(Stanza { tag: "other".to_owned(), args: Vec::new(), body: vec![7; 47_500] });
        Ok((stanzas, labels))
    }
}

/// What everything is measured against: the format that is taken by default.
fn classic_value(criterion: &mut Criterion) {
    let key = OpeningKey::generate(KeySize::Rsa4096).unwrap();
    let (binding, _) = binding();
    let mut group = group(criterion, "RSA-4096");
    group.bench_function("seal 64 B", |bench| {
        bench.iter(|| classic::seal(black_box(&[7; 64]), key.sealing_key(), &binding).unwrap());
    });
    let sealed = classic::seal(&[7; 64], key.sealing_key(), &binding).unwrap();
    group.bench_function("open 64 B", |bench| {
        bench.iter(|| classic::open(black_box(&sealed), &key, &binding).ok().unwrap());
    });
    group.finish();
}

fn as_age(recipient: &Recipient) -> &dyn age::Recipient {
    match recipient {
        Recipient::Hybrid(recipient) => recipient,
        Recipient::X25519(recipient) => recipient,
        Recipient::KeyVault(_) => unreachable!("there is none here"),
    }
}

fn bare_encrypt(plaintext: &[u8], recipients: &[&dyn age::Recipient]) -> Vec<u8> {
    let encryptor = age::Encryptor::with_recipients(recipients.iter().copied()).unwrap();
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).unwrap();
    writer.write_all(plaintext).unwrap();
    writer.finish().unwrap();
    file
}

fn bare_decrypt(file: &[u8], identity: &Identity) -> Vec<u8> {
    let identity: &dyn age::Identity = match identity {
        Identity::Hybrid(identity) => identity,
        Identity::X25519(identity) => identity,
    };
    let mut plaintext = Vec::new();
    let decryptor = age::Decryptor::new_buffered(file).unwrap();
    decryptor.decrypt(iter::once(identity)).unwrap().read_to_end(&mut plaintext).unwrap();
    plaintext
}

criterion_group!(benches, value, large_header, classic_value);
criterion_main!(benches);
