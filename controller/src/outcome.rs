//! What came of one pass over a SealedSecret. One fixed list of reasons feeds conditions, events and metrics alike.

use privyseal_envelope::KeyId;

/// One row for each reason. All that is known of a reason follows from its row, so none can be left out anywhere.
macro_rules! reasons {
    ($($(#[$meaning:meta])+ $reason:ident: $class:ident,)+) => {
        /// Why an object is in the state that it is in. The words are part of the interface: people alert on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Reason {
            $($(#[$meaning])+ $reason,)+
        }

        impl Reason {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$reason,)+];

            /// The word itself.
            pub(crate) const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => stringify!($reason),)+
                }
            }

            /// What happens next.
            pub(crate) const fn class(self) -> Class {
                match self {
                    $(Self::$reason => Class::$class,)+
                }
            }
        }
    };
}

reasons! {
    /// The Secret is what the SealedSecret asks for.
    Unsealed: Done,
    /// Classic: a value does not open with any key; why is not known.
    NotOpened: Stalled,
    /// Age: none of our keys is among the recipients of a value.
    NotARecipient: Stalled,
    /// Age: a value was sealed for another object or item than the one where it stands.
    BindingDiffers: Stalled,
    /// Age: a value is not as it was sealed.
    Altered: Stalled,
    /// A value is not base64 or no age file, an item's name is none, or the object lacks a name.
    Malformed: Stalled,
    /// The object is not a SealedSecret that this release understands.
    InvalidObject: Stalled,
    /// It would take more private operations than one object may cost.
    TooExpensive: Stalled,
    /// It uses `spec.template.data`.
    TemplateUnsupported: Stalled,
    /// It uses the deprecated `spec.data`.
    LegacyDataUnsupported: Stalled,
    /// The template asks for a type, label, annotation or name that is refused.
    Refused: Stalled,
    /// A Secret of that name exists and belongs to somebody else.
    TargetNotOwned: Stalled,
    /// The Secret is immutable and would have to change.
    TargetImmutable: Stalled,
    /// The Secret has another type, which the API server never changes.
    TargetTypeDiffers: Stalled,
    /// The API server finds the Secret invalid.
    TargetInvalid: Stalled,
    /// The Secret belongs to an earlier SealedSecret of the same name and is about to be collected.
    TargetBeingCollected: Retry,
    /// There is no opening key.
    NoKeys: Retry,
    /// A key that it may need is waited for: its vault does not answer, or refuses for now.
    KeyVaultUnavailable: Retry,
    /// A key that it may need is not to be had from its vault until somebody acts.
    KeyVaultRefuses: Stalled,
    /// The API server forbids what is needed.
    Forbidden: Retry,
    /// The API server did not do what was asked, and may do so later.
    ApiUnavailable: Retry,
}

impl Reason {
    /// Whether a key that is not there now might open the object after all.
    pub(crate) const fn may_lack_a_key(self) -> bool {
        matches!(self, Self::NotOpened | Self::NotARecipient)
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Nothing: it is done.
    Done,
    /// Nothing, until the object, a key or the Secret changes.
    Stalled,
    /// It is tried again, for ever.
    Retry,
}

/// The end of one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Why.
    pub reason: Reason,
    /// A sentence that says what to do. It holds no byte of a value and names no other namespace.
    pub message: String,
    /// What a restart may believe, when the Secret is right.
    pub proof: Option<Proof>,
}

/// That the Secret was right at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The marker for the status.
    pub marker: String,
    /// The keys that opened the values, sorted.
    pub opened_with: Vec<KeyId>,
}

impl Outcome {
    /// A failure.
    pub(crate) fn failed(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), proof: None }
    }
}

/// A name from a manifest, fit to be shown: control characters escaped, length bounded.
pub(crate) fn shown(name: &str) -> String {
    let mut out: String = name.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if name.chars().nth(MAX_SHOWN).is_some() {
        out.push('…');
    }
    out
}

/// At most a handful of names, the rest counted.
pub(crate) fn shown_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let mut names = names.into_iter();
    let mut text = names.by_ref().take(MAX_LISTED).map(shown).collect::<Vec<_>>().join(", ");
    match names.count() {
        0 => {}
        more => text.push_str(&format!(" and {more} more")),
    }
    text
}

const MAX_SHOWN: usize = 80;
const MAX_LISTED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_camel_case() {
        let words: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(words.iter().all(|word| word.bytes().all(|b| b.is_ascii_alphabetic())));
    }

    #[test]
    fn every_reason_has_a_row_in_the_documentation() {
        let documentation = include_str!("../../docs/status.md");
        for reason in Reason::ALL {
            let class = match reason.class() {
                Class::Done => "done",
                Class::Stalled => "stalled",
                Class::Retry => "retried",
            };
            let row = format!("\n| `{}` | {class} |", reason.as_str());
            assert!(documentation.contains(&row), "{row}");
        }
    }

    #[test]
    fn names_are_escaped_and_bounded() {
        assert_eq!(shown("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 81);
        let many: Vec<_> = (0..20).map(|n| n.to_string()).collect();
        assert_eq!(shown_list(many.iter().map(String::as_str)), "0, 1, 2, 3, 4, 5, 6, 7 and 12 more");
    }
}
