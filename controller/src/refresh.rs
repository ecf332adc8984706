//! Looking at an object anew because somebody asks for it: pure.
//!
//! Who asks changes the value of Flux's annotation `reconcile.fluxcd.io/requestedAt`, to the time as a rule. The next pass
//! opens the object whatever is known of it, and `status.lastHandledReconcileAt` then repeats the value.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_manifest::{SealedSecretStatus, names};

/// The value that asks, if one is there. What is too long or not printable is nobody's time, and is not repeated.
pub(crate) fn requested(object: &ObjectMeta) -> Option<&str> {
    let value = object.annotations.as_ref()?.get(names::REQUESTED_AT)?;
    let is_printable = value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
    Some(value.as_str()).filter(|value| !value.is_empty() && value.len() <= MAX_LEN && is_printable)
}

/// The same, if the status does not repeat it.
pub(crate) fn open_request<'a>(
    object: &'a ObjectMeta,
    status: Option<&SealedSecretStatus>,
) -> Option<&'a str> {
    let handled = status.and_then(|status| status.last_handled_reconcile_at.as_deref());
    requested(object).filter(|requested| handled != Some(requested))
}

const MAX_LEN: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &str) -> ObjectMeta {
        let annotations = [(names::REQUESTED_AT.to_owned(), value.to_owned())].into();
        ObjectMeta { annotations: Some(annotations), ..ObjectMeta::default() }
    }

    #[test]
    fn what_is_short_and_printable_asks() {
        let longest = "x".repeat(128);
        for value in ["2026-11-30T17:00:00.123456789Z", "now", "1 2", &longest] {
            assert_eq!(requested(&object(value)), Some(value));
        }
        for value in ["", &format!("{longest}x"), "a\nb", "a\u{1b}[31m", "tomorrow\u{e9}", "\t"] {
            assert_eq!(requested(&object(value)), None, "{value:?}");
        }
        assert_eq!(requested(&ObjectMeta::default()), None);
    }

    #[test]
    fn a_request_is_open_until_the_status_repeats_it() {
        let status = |value: &str| SealedSecretStatus {
            last_handled_reconcile_at: Some(value.into()),
            ..Default::default()
        };
        assert_eq!(open_request(&object("b"), None), Some("b"));
        assert_eq!(open_request(&object("b"), Some(&SealedSecretStatus::default())), Some("b"));
        assert_eq!(open_request(&object("b"), Some(&status("a"))), Some("b"));
        assert_eq!(open_request(&object("b"), Some(&status("b"))), None);
        assert_eq!(open_request(&ObjectMeta::default(), Some(&status("b"))), None);
    }
}
