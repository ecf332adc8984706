//! `privyseal doctor azure`
//!
//! ```text
//!   vault (its address, certificate, tenant, clock) ─┬─▶ vault key: role, dates, operations, unwrap, recovery
//!   token (tenant, object id)                       ─┴─▶ vault secret: role, newest version, recovery
//! ```
//!
//! What is asked is what the controller asks, with the same code. What is said of the identity comes from its own token and
//! from the vault, and decides nothing: it fills in the commands that cure what is found.

mod cures;
mod key;
mod secret;

use super::finding::{Check, Finding, Level, Report};
use crate::commands::ReportFormat;
use crate::error::CommandError;
use crate::key_vault::{CredentialKind, KeyVaultOptions};
use crate::network::run_async;
use cures::Cures;
use jiff::{SignedDuration, Timestamp};
use privyseal_custody::custody::{Failure, FailureKind};
use privyseal_custody::key_vault::{Assertion, Identity, KeyVault};
use zeroize::Zeroizing;

/// Look for what is wrong with a Key Vault and the way to it, and say the commands that cure it
///
/// Asks the vault as the controller does, with the credential that is given: whether it answers and its certificate
/// verifies, whether there is a token, of the vault's tenant; of the vault key, whether it may be read, is enabled, within
/// its dates, allows unwrapKey, and unwraps what was wrapped here; of the vault secret, whether its versions may be listed
/// and got; purge protection; and the clock. It changes nothing: whether secrets may be set is therefore not tried.
///
/// With neither --key-vault-key nor --key-vault-secret both are looked at under their usual names, and the one that the
/// custody does not use is no fault.
#[derive(clap::Args)]
#[command(mut_arg("key_vault", |vault| vault.required(true)), after_help = "\
Examples:
  privyseal doctor azure --key-vault https://NAME.vault.azure.net
  privyseal doctor azure --key-vault https://NAME.vault.azure.net --key-vault-key privyseal -o json
  privyseal doctor azure --key-vault https://NAME.vault.azure.net --azure-credential workload-identity \\
    --azure-tenant-id TENANT --azure-client-id CLIENT --azure-federated-token-file token

The last one asks as the controller, with a token of its ServiceAccount: `kubectl create token NAME -n NAMESPACE --audience
api://AzureADTokenExchange > token`.

Exit status: 0 if there is no problem, warnings or not; 1 if there is one; 3 if the vault, or what gives its tokens, cannot
be reached.")]
pub(super) struct Args {
    /// The form of the report
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,

    #[command(flatten)]
    vault: KeyVaultOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let vault = args.vault.open()?.ok_or_else(|| CommandError::input("no vault is named"))?;
    let report = run_async(examine(args, &vault))?;
    match args.output {
        ReportFormat::Text => report.write_text()?,
        ReportFormat::Json => report.write_json()?,
    }
    report.verdict()
}

async fn examine(args: &Args, vault: &KeyVault) -> Report {
    let mut report = Report::default();
    let tenant = vault.tenant().await;
    let reached = tenant.is_ok();
    let identity = vault.identity().await;
    let cures = Cures::new(vault, &args.vault, assertion(args), identity.as_ref().ok());
    report.add(judge_vault(vault, &tenant, &cures));
    note(&mut report, tenant.as_ref().err());
    report.add(judge_token(args.vault.credential_kind(), &identity, tenant.as_ref().ok(), &cures));
    note(&mut report, identity.as_ref().err());
    report.add(judge_tenant(&identity, &tenant, args.vault.credential_kind()));
    report.add(judge_clock(vault.clock_ahead()));

    let (key, secret) = (args.vault.named_key().is_some(), args.vault.named_secret().is_some());
    let both = key == secret;
    if !reached || identity.is_err() {
        let checks = [(key || both, &key::CHECKS[..]), (secret || both, &secret::CHECKS[..])];
        for check in checks.into_iter().filter(|(wanted, _)| *wanted).flat_map(|(_, checks)| checks) {
            report.add(Finding::skipped(*check, "not looked at", "cure what is told above first"));
        }
        return report;
    }
    let start = report.findings_mut().len();
    let (mut of_key, mut of_secret) = (None, None);
    if key || both {
        of_key = Some(key::examine(&mut report, vault, &cures, Timestamp::now()).await);
    }
    let middle = report.findings_mut().len();
    if secret || both {
        of_secret = Some(secret::examine(&mut report, vault, &cures).await);
    }
    // Nobody said which of the two is used: the one that is not there, or not open to us, is then no fault.
    if !key && !secret {
        let findings = report.findings_mut();
        match (of_key, of_secret) {
            (Some(Use::No), Some(Use::Yes)) => excuse(&mut findings[start..middle], "--key-vault-key"),
            (Some(Use::Yes), Some(Use::No)) => excuse(&mut findings[middle..], "--key-vault-secret"),
            _ => {}
        }
    }
    report
}

/// Whether what was looked at is in use, as far as can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It is there.
    Yes,
    /// It is not there, or we may not look.
    No,
    /// Something else is wrong.
    Unknown,
}

impl Use {
    fn of(failure: &Failure) -> Self {
        match failure.kind() {
            FailureKind::NotFound | FailureKind::Forbidden => Self::No,
            _ => Self::Unknown,
        }
    }
}

fn excuse(findings: &mut [Finding], flag: &str) {
    for finding in findings.iter_mut().filter(|finding| finding.level != Level::Ok) {
        finding.level = Level::Skipped;
        finding.cure =
            Some(format!("no fault unless the custody uses it: name it with {flag} to have it judged"));
    }
}

/// Status 3 is for a vault that cannot be asked, not for one that refuses.
fn note(report: &mut Report, failure: Option<&Failure>) {
    let unreachable =
        |kind| matches!(kind, FailureKind::Unavailable | FailureKind::Untrusted | FailureKind::Throttled);
    if failure.is_some_and(|failure| unreachable(failure.kind())) {
        report.vault_is_unreachable();
    }
}

/// What the service-account token says, if there is one and it is used.
fn assertion(args: &Args) -> Option<Assertion> {
    if args.vault.credential_kind() != CredentialKind::WorkloadIdentity {
        return None;
    }
    let text = std::fs::read_to_string(args.vault.federated_token_file()?).map(Zeroizing::new).ok()?;
    Some(Assertion::of_token(&text))
}

fn judge_vault(vault: &KeyVault, tenant: &Result<Option<String>, Failure>, cures: &Cures<'_>) -> Finding {
    match tenant {
        Ok(_) => {
            Finding::ok(Check::AzureVault, format!("{} answers, and its certificate verifies", vault.vault()))
        }
        Err(failure) => Finding::problem(Check::AzureVault, failure.to_string(), cures.unreachable(failure)),
    }
}

fn judge_token(
    credential: CredentialKind,
    identity: &Result<Identity, Failure>,
    tenant: Option<&Option<String>>,
    cures: &Cures<'_>,
) -> Finding {
    match identity {
        Ok(identity) => {
            let said = |what: &str, id: &Option<String>| {
                id.as_ref().map_or_else(String::new, |id| format!(", {what} {id}"))
            };
            Finding::ok(
                Check::AzureToken,
                format!(
                    "{} gives a token{}{}{}",
                    credential.name(),
                    said("tenant", &identity.tenant),
                    said("object", &identity.object),
                    said("client", &identity.client)
                ),
            )
        }
        Err(failure) => {
            let tenant = tenant.and_then(Option::as_deref);
            Finding::problem(
                Check::AzureToken,
                failure.to_string(),
                cures.no_token(credential, failure, tenant),
            )
        }
    }
}

fn judge_tenant(
    identity: &Result<Identity, Failure>,
    tenant: &Result<Option<String>, Failure>,
    credential: CredentialKind,
) -> Finding {
    let ours = identity.as_ref().ok().and_then(|identity| identity.tenant.as_deref());
    let vaults = tenant.as_ref().ok().and_then(Option::as_deref);
    match (ours, vaults) {
        (Some(ours), Some(vaults)) if ours.eq_ignore_ascii_case(vaults) => {
            Finding::ok(Check::AzureTenant, format!("the token is of the vault's tenant, {vaults}"))
        }
        (Some(ours), Some(vaults)) => Finding::problem(
            Check::AzureTenant,
            format!("the token is of tenant {ours}, and the vault takes those of {vaults}"),
            match credential {
                CredentialKind::AzureCli => {
                    format!("az login --tenant {}", cures::quoted(vaults))
                }
                _ => format!(
                    "use an identity of the vault's tenant (--azure-tenant-id {}); `az keyvault update` moves no vault to \
                     another one",
                    cures::quoted(vaults)
                ),
            },
        ),
        _ => Finding::skipped(
            Check::AzureTenant,
            "the tenants of token and vault are not known",
            "cure what is told above first",
        ),
    }
}

fn judge_clock(ahead: Option<SignedDuration>) -> Finding {
    let Some(ahead) = ahead else {
        return Finding::skipped(
            Check::AzureClock,
            "no answer of the vault told its time",
            "compare the clocks by hand",
        );
    };
    let seconds = ahead.as_secs().abs();
    let what = || format!("this machine's clock and the vault's are {seconds} s apart");
    let cure = "set the clock by NTP, such as by `timedatectl set-ntp true`: a token is refused if it seems to be from the \
                future, or past its end";
    if seconds <= CLOCK_TOLERANCE {
        Finding::ok(Check::AzureClock, "this machine's clock agrees with the vault's")
    } else if seconds <= TOKEN_TOLERANCE {
        Finding::warning(Check::AzureClock, what(), cure)
    } else {
        Finding::problem(Check::AzureClock, what(), cure)
    }
}

/// What happens when a key or secret is deleted: `Recoverable`, `Recoverable+Purgeable`, `Purgeable`, …
fn judge_recovery(what: &str, level: Option<&str>, cures: &Cures<'_>) -> Finding {
    match level {
        None => Finding::skipped(
            Check::AzureRecovery,
            format!("the vault does not say what happens when {what} is deleted"),
            format!("look at it: {}", cures.show_vault("properties")),
        ),
        Some(level) if level.contains("Purgeable") => Finding::warning(
            Check::AzureRecovery,
            format!(
                "{what} can be destroyed for good before its time ({}): who purges it takes every opening key with it",
                crate::error::Shown(level)
            ),
            cures.protect_from_purge(),
        ),
        Some(_) => Finding::ok(
            Check::AzureRecovery,
            format!("{what} can be recovered when it is deleted, and nobody can purge it before its time"),
        ),
    }
}

/// In seconds, as for the API server.
const CLOCK_TOLERANCE: i64 = 30;
/// In seconds: what Entra and Key Vault allow for.
const TOKEN_TOLERANCE: i64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    fn tenants(ours: Option<&str>, vaults: Option<&str>, credential: CredentialKind) -> Finding {
        let identity = Identity { tenant: ours.map(str::to_owned), ..Identity::default() };
        judge_tenant(&Ok(identity), &Ok(vaults.map(str::to_owned)), credential)
    }

    #[test]
    fn another_tenant_is_cured_by_logging_in_to_the_vaults() {
        use CredentialKind::{AzureCli, WorkloadIdentity};
        assert_eq!(tenants(Some("T-1"), Some("t-1"), AzureCli).level, Level::Ok);
        let other = tenants(Some("t-2"), Some("t-1"), AzureCli);
        assert_eq!((other.level, other.cure.as_deref()), (Level::Problem, Some("az login --tenant t-1")));
        assert!(
            tenants(Some("t-2"), Some("t-1"), WorkloadIdentity)
                .cure
                .unwrap()
                .contains("--azure-tenant-id t-1")
        );
        assert_eq!(tenants(None, Some("t-1"), AzureCli).level, Level::Skipped);
        assert_eq!(tenants(Some("t-1"), None, AzureCli).level, Level::Skipped);
    }

    #[test]
    fn a_clock_that_is_off_is_told_before_tokens_are_refused_for_it() {
        let level = |seconds| judge_clock(Some(SignedDuration::from_secs(seconds))).level;
        assert_eq!([level(0), level(30), level(-30)], [Level::Ok; 3]);
        assert_eq!([level(31), level(-300)], [Level::Warning; 2]);
        assert_eq!([level(301), level(-100_000)], [Level::Problem; 2]);
        assert_eq!(judge_clock(None).level, Level::Skipped);
    }

    #[test]
    fn what_the_custody_may_not_use_is_excused() {
        let mut findings =
            [Finding::problem(Check::AzureKey, "gone", "x"), Finding::ok(Check::AzureKey, "y")];
        excuse(&mut findings, "--key-vault-key");
        assert_eq!(findings.each_ref().map(|finding| finding.level), [Level::Skipped, Level::Ok]);
        assert!(findings[0].cure.as_ref().unwrap().contains("--key-vault-key"));
    }
}
