//! Sealing of whole Secrets, for every command that does: whom for, each found once, and what is said when it fails.

use crate::documents::{Located, collect};
use crate::error::CommandError;
use crate::key_source::{Choice, Keys, SealingOptions, Target};
use jiff::Timestamp;
use privyseal_envelope::Scope;
use privyseal_manifest::{SealedSecret, Secret, names};
use privyseal_seal::{BindingError, SealError, Sealing};

/// A choice, whom it led to, and the keys of these.
pub(crate) type Chosen<'a> = (&'a Choice, Target, Keys);

/// What many files share is found, checked and told once.
pub(crate) fn find_each_once<'a>(
    options: &SealingOptions,
    choices: &'a [Choice],
    now: Timestamp,
) -> Result<Vec<Chosen<'a>>, CommandError> {
    let mut finder = options.finder(now);
    let first = choices.iter().enumerate().filter(|(index, choice)| !choices[..*index].contains(choice));
    collect(first.map(|(_, choice)| {
        let target = options.find(&mut finder, choice, false)?;
        let keys = target.keys(None, now)?;
        Ok((choice, target, keys))
    }))
}

/// What a command says of Secrets that lack what their values are bound to.
pub(crate) struct Advice {
    /// No name.
    pub(crate) no_name: &'static str,
    /// No namespace, and a scope that needs one.
    pub(crate) no_namespace: &'static str,
}

/// Seals a Secret. `asked` is the scope that was asked for; `ruled` is for Secrets that name none.
pub(crate) fn seal(
    secret: &Located<Secret>,
    keys: &Keys,
    asked: Option<Scope>,
    ruled: Option<Scope>,
    advice: &Advice,
) -> Result<SealedSecret, CommandError> {
    let own = secret.object.metadata.annotations.as_ref().is_some_and(names::names_scope);
    let how = Sealing { to: keys.seal_to(), scope: asked.or(ruled.filter(|_| !own)), allow_empty: false };
    privyseal_seal::seal(&secret.object, &how).map_err(|error| cannot_seal(secret, &error, advice))
}

fn cannot_seal(secret: &Located<Secret>, error: &SealError, advice: &Advice) -> CommandError {
    let this = CommandError::input(secret.message(error));
    match error {
        SealError::Binding(BindingError::NoName) if secret.object.metadata.generate_name.is_some() => {
            this.hint(format!("generateName gives no name to seal for: {}", advice.no_name))
        }
        SealError::Binding(BindingError::NoName) => this.hint(advice.no_name),
        SealError::Binding(BindingError::NoNamespace { .. }) => this.hint(advice.no_namespace),
        SealError::Crypto(_) => CommandError::failed(secret.message(error)),
        _ => this,
    }
}
