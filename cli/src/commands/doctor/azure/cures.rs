//! The commands of `az` that cure what is found, with all that is known filled in.
//!
//! They are shown and never run. What cannot be known from here stands in capitals, with the command that says it.

use crate::key_vault::{CredentialKind, KeyVaultOptions};
use privyseal_custody::custody::{Failure, FailureKind};
use privyseal_custody::key_vault::{Assertion, Identity, KeyVault, VaultUrl};

/// What is known for filling in.
pub(super) struct Cures<'a> {
    vault: &'a VaultUrl,
    key: &'a str,
    secret: &'a str,
    client: Option<&'a str>,
    assertion: Option<Assertion>,
    identity: Option<&'a Identity>,
}

/// What a role is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Key,
    Secret,
}

/// Codes of a vault that does not let the address in.
const NETWORK: [&str; 3] = ["ForbiddenByFirewall", "ForbiddenByConnection", "ForbiddenByNsp"];
const AUDIENCE: &str = "api://AzureADTokenExchange";

impl<'a> Cures<'a> {
    pub(super) fn new(
        vault: &'a KeyVault,
        options: &'a KeyVaultOptions,
        assertion: Option<Assertion>,
        identity: Option<&'a Identity>,
    ) -> Self {
        Self {
            vault: vault.vault(),
            key: vault.key_name().as_str(),
            secret: vault.secret_name().as_str(),
            client: options.client_id(),
            assertion,
            identity,
        }
    }

    #[cfg(test)]
    pub(super) fn for_test(vault: &'a VaultUrl) -> Self {
        let (key, secret) = ("privyseal", "privyseal-sealing-key");
        Self { vault, key, secret, client: None, assertion: None, identity: None }
    }

    /// `--vault-name NAME`, or what it is for a Managed HSM.
    fn at(&self) -> String {
        let flag = if self.vault.is_managed_hsm() { "--hsm-name" } else { "--vault-name" };
        format!("{flag} {}", quoted(self.vault.name()))
    }

    pub(super) fn show_vault(&self, query: &str) -> String {
        let name = if self.vault.is_managed_hsm() { "--hsm-name" } else { "--name" };
        format!("az keyvault show {name} {} --query {}", quoted(self.vault.name()), quoted(query))
    }

    /// The vault does not answer.
    pub(super) fn unreachable(&self, failure: &Failure) -> String {
        match failure.kind() {
            FailureKind::Untrusted => {
                "give the root of the proxy, or of the private cloud, with --azure-ca-file FILE".to_owned()
            }
            _ if self.vault.is_managed_hsm() => {
                format!("is it there? {}", self.show_vault("properties.hsmUri"))
            }
            _ => format!(
                "is it there? {}; if it was deleted: az keyvault recover --name {}",
                self.show_vault("properties.vaultUri"),
                quoted(self.vault.name())
            ),
        }
    }

    /// There is no token. `tenant` is the vault's.
    pub(super) fn no_token(
        &self,
        credential: CredentialKind,
        failure: &Failure,
        tenant: Option<&str>,
    ) -> String {
        if failure.kind() != FailureKind::Unauthenticated {
            return "look at DNS, the proxy and network policies between this machine and Microsoft Entra"
                .to_owned();
        }
        let has = |number: &str| failure.code().and_then(|code| code.strip_prefix("AADSTS")) == Some(number);
        match credential {
            CredentialKind::AzureCli => match tenant {
                Some(tenant) => format!("az login --tenant {}", quoted(tenant)),
                None => "az login".to_owned(),
            },
            CredentialKind::ManagedIdentity => format!(
                "az vm identity assign --name VM --resource-group GROUP --identities IDENTITY (az vmss identity assign for a \
                 scale set); {} says the IDENTITY",
                self.list_identity("id")
            ),
            CredentialKind::ClientSecret if has("7000215") || has("7000222") => {
                format!("az ad app credential reset --id {} --append", self.client())
            }
            CredentialKind::ClientSecret => {
                format!("does it exist there? az ad sp show --id {}", self.client())
            }
            CredentialKind::WorkloadIdentity
                if ["700211", "700212", "700213", "70021"].into_iter().any(has) =>
            {
                self.federate()
            }
            CredentialKind::WorkloadIdentity => {
                format!("does it exist there? {}", self.list_identity("{name:name,tenant:tenantId}"))
            }
        }
    }

    /// A federated credential for the service-account token that is at hand.
    fn federate(&self) -> String {
        let known = |text: Option<&String>, placeholder: &str| {
            text.map_or_else(|| placeholder.to_owned(), |text| quoted(text))
        };
        let assertion = self.assertion.as_ref();
        format!(
            "az identity federated-credential create --name privyseal --identity-name IDENTITY --resource-group GROUP --issuer {} \
             --subject {} --audiences {AUDIENCE} (update changes one that is there); {} says IDENTITY and GROUP",
            known(assertion.and_then(|assertion| assertion.issuer.as_ref()), "ISSUER"),
            known(
                assertion.and_then(|assertion| assertion.subject.as_ref()),
                "system:serviceaccount:NAMESPACE:SERVICEACCOUNT"
            ),
            self.list_identity("[name,resourceGroup]")
        )
    }

    fn client(&self) -> String {
        self.client.map_or_else(|| "CLIENT-ID".to_owned(), quoted)
    }

    fn list_identity(&self, what: &str) -> String {
        let client = self.client.unwrap_or("CLIENT-ID");
        format!("az identity list --query {} -o tsv", quoted(&format!("[?clientId=='{client}'].{what}")))
    }

    /// The vault refuses what is asked of an object.
    pub(super) fn refused(&self, failure: &Failure, object: Object) -> String {
        let code = failure.code().unwrap_or_default();
        match failure.kind() {
            FailureKind::Unauthenticated => {
                "look at azure-tenant and azure-clock above; then `az login` anew, or wait for the next token"
                    .to_owned()
            }
            FailureKind::Forbidden if NETWORK.contains(&code) => format!(
                "az keyvault network-rule add --name {} --ip-address ADDRESS (or --subnet SUBNET-ID), with the address by which the \
                 vault sees this machine",
                quoted(self.vault.name())
            ),
            FailureKind::Forbidden if code == "KeyOperationForbidden" => self.allow_unwrap(None, &[]),
            FailureKind::Forbidden => self.assign(object),
            FailureKind::NotFound => match object {
                Object::Key => self.make_key(),
                Object::Secret => format!(
                    "az keyvault secret recover {} --name {}, if it was deleted; else the leader makes it with the first key",
                    self.at(),
                    quoted(self.secret)
                ),
            },
            FailureKind::Disabled => self.enable(object, None),
            FailureKind::Damaged => self.make_key(),
            FailureKind::Throttled => {
                "wait a little; who else asks the vault so often? Its metric ServiceApiHit says".to_owned()
            }
            FailureKind::Unavailable | FailureKind::Untrusted | FailureKind::Unconfigured => {
                self.unreachable(failure)
            }
        }
    }

    /// The role that is missing, for the identity that asks.
    pub(super) fn assign(&self, object: Object) -> String {
        let role = match object {
            _ if self.vault.is_managed_hsm() => "Managed HSM Crypto Service Encryption User",
            Object::Key => "Key Vault Crypto Service Encryption User",
            // Who runs the controller also makes versions; a person who opens does not.
            Object::Secret if self.is_application() => "Key Vault Secrets Officer",
            Object::Secret => "Key Vault Secrets User",
        };
        let (assignee, kind) =
            (self.object_id(), if self.is_application() { "ServicePrincipal" } else { "User" });
        let path = self.path(object);
        if self.vault.is_managed_hsm() {
            return format!(
                "az keyvault role assignment create {} --role {} --assignee-object-id {assignee} \
                 --assignee-principal-type {kind} --scope {}",
                self.at(),
                quoted(role),
                quoted(&path)
            );
        }
        let policy = match object {
            Object::Key => "--key-permissions get unwrapKey",
            Object::Secret if self.is_application() => "--secret-permissions get list set",
            Object::Secret => "--secret-permissions get list",
        };
        let name = quoted(self.vault.name());
        format!(
            "az role assignment create --role {} --assignee-object-id {assignee} --assignee-principal-type {kind} --scope \
             \"{}{}\"; in a vault with access policies: az keyvault set-policy --name {name} --object-id {assignee} {policy}",
            quoted(role),
            self.vault_id(),
            // Of the publisher key too, which is another secret: the whole vault is for Privyseal alone.
            if object == Object::Key { path } else { String::new() },
        )
    }

    /// Who may set secrets, since that is not tried.
    pub(super) fn who_may_set(&self) -> String {
        format!(
            "the controller needs Key Vault Secrets Officer: az role assignment list --assignee {} --scope \"{}\" \
             --include-inherited --include-groups --query '[].roleDefinitionName' -o tsv",
            self.object_id(),
            self.vault_id()
        )
    }

    /// In double quotes, a shell puts the vault's id there.
    fn vault_id(&self) -> String {
        format!("$({} -o tsv)", self.show_vault("id"))
    }

    fn path(&self, object: Object) -> String {
        match object {
            Object::Key => format!("/keys/{}", self.key),
            Object::Secret => format!("/secrets/{}", self.secret),
        }
    }

    fn object_id(&self) -> String {
        let object = self.identity.and_then(|identity| identity.object.as_deref());
        object.map_or_else(|| "OBJECT-ID".to_owned(), quoted)
    }

    fn is_application(&self) -> bool {
        self.identity.is_some_and(|identity| identity.is_application)
    }

    pub(super) fn make_key(&self) -> String {
        let (at, key) = (self.at(), quoted(self.key));
        let kty = if self.vault.is_managed_hsm() { "RSA-HSM" } else { "RSA" };
        format!(
            "az keyvault key create {at} --name {key} --kty {kty} --size 3072 --ops wrapKey unwrapKey; or if it was deleted: az \
             keyvault key recover {at} --name {key}; or --key-vault-key names another one"
        )
    }

    pub(super) fn rotate_key(&self) -> String {
        format!("az keyvault key rotate {} --name {}", self.at(), quoted(self.key))
    }

    /// From now on, so that it may be used.
    pub(super) fn begin_key(&self, version: &str, now: &str) -> String {
        format!(
            "az keyvault key set-attributes {} --name {} --version {} --not-before {}",
            self.at(),
            quoted(self.key),
            quoted(version),
            quoted(now)
        )
    }

    pub(super) fn enable(&self, object: Object, version: Option<&str>) -> String {
        let (one, name) = match object {
            Object::Key => ("key", self.key),
            Object::Secret => ("secret", self.secret),
        };
        let version = version.map_or_else(String::new, |version| format!(" --version {}", quoted(version)));
        format!(
            "az keyvault {one} set-attributes {} --name {}{version} --enabled true",
            self.at(),
            quoted(name)
        )
    }

    /// With what the key may do already.
    pub(super) fn allow_unwrap(&self, version: Option<&str>, allowed: &[String]) -> String {
        let mut operations: Vec<_> = allowed.iter().map(|one| quoted(one)).collect();
        for needed in ["wrapKey", "unwrapKey"] {
            if !operations.iter().any(|one| one == needed) {
                operations.push(needed.to_owned());
            }
        }
        let version = version.map_or_else(String::new, |version| format!(" --version {}", quoted(version)));
        format!(
            "az keyvault key set-attributes {} --name {}{version} --ops {}",
            self.at(),
            quoted(self.key),
            operations.join(" ")
        )
    }

    pub(super) fn protect_from_purge(&self) -> String {
        match self.vault.is_managed_hsm() {
            true => format!(
                "az keyvault update-hsm --hsm-name {} --enable-purge-protection true",
                quoted(self.vault.name())
            ),
            false => format!(
                "az keyvault update --name {} --enable-purge-protection true (it cannot be taken back)",
                quoted(self.vault.name())
            ),
        }
    }
}

/// As a shell takes it for one word and nothing else.
pub(super) fn quoted(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:@%+,".contains(&b);
    match !text.is_empty() && text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_custody::key_vault::Cloud;

    const CLIENT: &str = "11111111-2222-3333-4444-555555555555";

    fn cures<'a>(vault: &'a VaultUrl, identity: Option<&'a Identity>) -> Cures<'a> {
        let assertion = Assertion {
            issuer: Some("https://issuer.example/x y".to_owned()),
            subject: Some("system:serviceaccount:a:b".to_owned()),
            ..Assertion::default()
        };
        Cures {
            vault,
            key: "privyseal",
            secret: "privyseal-sealing-key",
            client: Some(CLIENT),
            assertion: Some(assertion),
            identity,
        }
    }

    fn team() -> VaultUrl {
        VaultUrl::parse("https://team.vault.azure.net", Some(Cloud::Public), false).unwrap()
    }

    fn failure(kind: FailureKind, text: &str) -> Failure {
        Failure::new(kind, text)
    }

    #[test]
    fn a_shell_takes_what_is_filled_in_for_one_word() {
        for (text, word) in [
            ("privyseal-1", "privyseal-1"),
            ("https://x.example/a", "https://x.example/a"),
            ("system:serviceaccount:a:b", "system:serviceaccount:a:b"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(reboot)", "'$(reboot)'"),
            ("`x`;&|", "'`x`;&|'"),
            ("~", "'~'"),
            ("=x", "'=x'"),
        ] {
            assert_eq!(quoted(text), word);
        }
    }

    #[test]
    fn a_missing_role_is_assigned_to_who_asks_for_what_it_asks() {
        let vault = team();
        let application =
            Identity { object: Some("o-1".to_owned()), is_application: true, ..Identity::default() };
        let forbidden = failure(FailureKind::Forbidden, "we may not").with_code("ForbiddenByRbac");
        let key = cures(&vault, Some(&application)).refused(&forbidden, Object::Key);
        assert!(key.starts_with(
            "az role assignment create --role 'Key Vault Crypto Service Encryption User' --assignee-object-id o-1 \
             --assignee-principal-type ServicePrincipal --scope \"$(az keyvault show --name team --query id -o \
             tsv)/keys/privyseal\""
        ), "{key}");
        let secret = cures(&vault, Some(&application)).refused(&forbidden, Object::Secret);
        assert!(secret.contains("'Key Vault Secrets Officer'"), "{secret}");
        let person = Identity { object: Some("o-2".to_owned()), ..Identity::default() };
        let secret = cures(&vault, Some(&person)).refused(&forbidden, Object::Secret);
        assert!(secret.contains("'Key Vault Secrets User'") && secret.contains("type User"), "{secret}");

        let hsm = VaultUrl::parse("https://team.managedhsm.azure.net", None, false).unwrap();
        let key = cures(&hsm, Some(&application)).refused(&forbidden, Object::Key);
        assert_eq!(
            key,
            "az keyvault role assignment create --hsm-name team --role 'Managed HSM Crypto Service Encryption User' \
             --assignee-object-id o-1 --assignee-principal-type ServicePrincipal --scope /keys/privyseal"
        );
    }

    #[test]
    fn each_refusal_has_its_command() {
        let vault = team();
        let cures = cures(&vault, None);
        for (failed, object, begin) in [
            (
                failure(FailureKind::Forbidden, "x").with_code("ForbiddenByFirewall"),
                Object::Key,
                "az keyvault network-rule add --name team ",
            ),
            (
                failure(FailureKind::Forbidden, "x").with_code("KeyOperationForbidden"),
                Object::Key,
                "az keyvault key set-attributes --vault-name team --name privyseal --ops wrapKey unwrapKey",
            ),
            (
                failure(FailureKind::NotFound, "x"),
                Object::Key,
                "az keyvault key create --vault-name team --name privyseal --kty RSA --size 3072 --ops wrapKey unwrapKey",
            ),
            (
                failure(FailureKind::NotFound, "x"),
                Object::Secret,
                "az keyvault secret recover --vault-name team --name privyseal-sealing-key",
            ),
            (
                failure(FailureKind::Disabled, "x"),
                Object::Secret,
                "az keyvault secret set-attributes --vault-name team --name privyseal-sealing-key --enabled true",
            ),
            (
                failure(FailureKind::Unavailable, "x"),
                Object::Key,
                "is it there? az keyvault show --name team --query properties.vaultUri",
            ),
        ] {
            let cure = cures.refused(&failed, object);
            assert!(cure.starts_with(begin), "{failed}: {cure}");
        }
        assert_eq!(
            cures.allow_unwrap(Some("v1"), &["sign".to_owned()]),
            "az keyvault key set-attributes --vault-name team --name privyseal --version v1 --ops sign wrapKey unwrapKey"
        );
    }

    #[test]
    fn a_token_that_is_refused_is_cured_where_it_is_refused() {
        let vault = team();
        let cures = cures(&vault, None);
        let refused =
            |code: &str| failure(FailureKind::Unauthenticated, "x").with_code(&format!("AADSTS{code}"));
        let cure = |credential, code: &str| cures.no_token(credential, &refused(code), Some("t-1"));
        assert_eq!(cure(CredentialKind::AzureCli, "50076"), "az login --tenant t-1");
        let federate = cure(CredentialKind::WorkloadIdentity, "700213");
        assert!(
            federate.contains("--issuer 'https://issuer.example/x y' --subject system:serviceaccount:a:b"),
            "{federate}"
        );
        assert!(
            federate.contains(&format!("'[?clientId=='\\''{CLIENT}'\\''].[name,resourceGroup]'")),
            "{federate}"
        );
        assert_eq!(
            cure(CredentialKind::ClientSecret, "7000222"),
            format!("az ad app credential reset --id {CLIENT} --append")
        );
        assert!(cure(CredentialKind::ManagedIdentity, "1").starts_with("az vm identity assign"));
        let unreachable = failure(FailureKind::Unavailable, "x");
        assert!(cures.no_token(CredentialKind::AzureCli, &unreachable, None).contains("DNS"));
    }
}
