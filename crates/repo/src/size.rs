//! Whether an object is near what may be stored of it. Each recipient of the age format costs something in each value.

use privyseal_envelope::age::File;
use privyseal_envelope::{Format, SealedValue};
use privyseal_manifest::SealedSecret;
use std::fmt;

/// An object that is near a bound, or beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tight {
    /// The object as JSON, in bytes.
    pub bytes: usize,
    /// Which bound.
    pub bound: Bound,
    /// How many values of it are of the age format.
    pub age_values: usize,
    /// The most recipients that one of these has.
    pub recipients: usize,
}

/// What bounds the size of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// All annotations of one object together: `kubectl apply` on the client's side, and Argo CD, keep a copy of the object in
    /// one.
    Annotations,
    /// What etcd takes in one request, by default (`--max-request-bytes`).
    Etcd,
}

impl Bound {
    /// In bytes.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Annotations => 256 << 10,
            Self::Etcd => 3 << 19,
        }
    }

    /// What to do about an object that is near it.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Annotations => "apply on the server's side, as Flux does, or make several Secrets of it",
            Self::Etcd => "make several Secrets of it",
        }
    }
}

/// From where on a bound is near: four fifths of it.
pub const fn near(bound: usize) -> usize {
    bound / 5 * 4
}

/// What an object is near to: the worst of it. `None` for almost all.
pub fn tight(sealed: &SealedSecret) -> Option<Tight> {
    let bytes = serde_json::to_vec(sealed).map_or(0, |json| json.len());
    let bound = [Bound::Etcd, Bound::Annotations].into_iter().find(|bound| bytes > near(bound.bytes()))?;
    let values = sealed.spec.encrypted_data.values().filter_map(|text| SealedValue::from_base64(text).ok());
    let values = values.filter(|value| value.format() == Format::Age);
    let counts: Vec<_> =
        values.map(|value| File::parse(&value).map_or(0, |file| file.recipients().count())).collect();
    let recipients = counts.iter().copied().max().unwrap_or(0);
    Some(Tight { bytes, bound, age_values: counts.len(), recipients })
}

impl Tight {
    /// Whether it is beyond the bound.
    pub fn is_over(&self) -> bool {
        self.bytes > self.bound.bytes()
    }
}

impl fmt::Display for Tight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, bound, age_values, recipients } = self;
        write!(f, "the object is {bytes} bytes")?;
        if *age_values > 0 {
            write!(
                f,
                " ({age_values} values of the age format for up to {recipients} recipients; a post-quantum one costs some 2 kB in \
                 each)"
            )?;
        }
        f.write_str(if self.is_over() { "; " } else { ", and " })?;
        let most = bound.bytes();
        match bound {
            Bound::Annotations => {
                write!(
                    f,
                    "`kubectl apply` and Argo CD keep a copy in an annotation, which takes at most {most}"
                )
            }
            Bound::Etcd => write!(f, "etcd takes at most {most} by default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::age::{Identity, Recipients, seal};
    use privyseal_envelope::{Binding, Item};

    fn object(values: impl IntoIterator<Item = String>) -> SealedSecret {
        let mut sealed = SealedSecret::new("db", Default::default());
        let values = values.into_iter().enumerate().map(|(number, value)| (format!("v{number}"), value));
        sealed.spec.encrypted_data = values.collect();
        sealed
    }

    /// One value, so that the whole object has so many bytes.
    fn of_size(bytes: usize) -> SealedSecret {
        let rest = serde_json::to_vec(&object([String::new()])).unwrap().len();
        object(["A".repeat(bytes - rest)])
    }

    #[test]
    fn bounds_are_near_from_four_fifths_on() {
        for (bytes, expected) in [
            (near(256 << 10), None),
            (near(256 << 10) + 1, Some((Bound::Annotations, false))),
            (256 << 10, Some((Bound::Annotations, false))),
            ((256 << 10) + 1, Some((Bound::Annotations, true))),
            (near(3 << 19), Some((Bound::Annotations, true))),
            (near(3 << 19) + 1, Some((Bound::Etcd, false))),
            ((3 << 19) + 1, Some((Bound::Etcd, true))),
        ] {
            let tight = tight(&of_size(bytes));
            assert_eq!(tight.map(|tight| (tight.bound, tight.is_over())), expected, "{bytes}");
            assert!(tight.is_none_or(|tight| tight.bytes == bytes));
        }
    }

    #[test]
    fn it_says_what_makes_it_large() {
        let keys = std::iter::repeat_with(|| Identity::generate_hybrid().unwrap().recipient());
        let to = Recipients::new(keys.take(5)).unwrap();
        let item = Item::parse("v").unwrap();
        let value = seal(b"v", &to, &Binding::ClusterWide, &item).unwrap().to_base64();
        let told = tight(&object(vec![value; 20])).unwrap().to_string();
        assert!(told.contains("(20 values of the age format for up to 5 recipients;"), "{told}");
        let told = tight(&of_size(256 << 10)).unwrap().to_string();
        assert!(!told.contains("recipients"), "{told}");
    }
}
