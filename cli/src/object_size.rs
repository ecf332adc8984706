//! The warning for an object whose size nears what may be stored of it.

use crate::error::Shown;
use crate::speech;
use privyseal_manifest::SealedSecret;
use privyseal_repo::size;

/// Warns of an object that was just sealed, if it is that large; `place` says which it is.
pub(crate) fn warn(place: &str, object: &SealedSecret) {
    if let Some(tight) = size::tight(object) {
        speech::warning(format_args!("{}: {tight}: {}", Shown(place), tight.bound.cure()));
    }
}
