//! Where a vault is, and the ids of what is in it.
//!
//! Everything here is read strictly and by hand: no parser that another program could understand differently stands
//! between the address that was configured and the one that is called. What is stored or answered is compared with the
//! configured vault and name, and only a version is ever taken from it.

use super::ConfigError;
use crate::custody::{Failure, FailureKind};
use std::fmt;

/// An Azure cloud: decides which hosts are vaults and where tokens come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cloud {
    /// Azure, worldwide.
    #[default]
    Public,
    /// Azure Government, United States.
    Government,
    /// Azure operated in China.
    China,
}

impl Cloud {
    /// All clouds.
    pub const ALL: [Self; 3] = [Self::Public, Self::Government, Self::China];

    /// The name in flags.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Government => "government",
            Self::China => "china",
        }
    }

    /// Endings of a vault's host, and of a Managed HSM's.
    fn suffixes(self) -> [&'static str; 2] {
        match self {
            Self::Public => [".vault.azure.net", ".managedhsm.azure.net"],
            Self::Government => [".vault.usgovcloudapi.net", ".managedhsm.usgovcloudapi.net"],
            Self::China => [".vault.azure.cn", ".managedhsm.azure.cn"],
        }
    }
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The address of a vault: `https://HOST`, lower case, without a slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultUrl {
    text: String,
    cloud: Cloud,
    managed_hsm: bool,
}

impl VaultUrl {
    /// Reads what was configured: `https://NAME.vault.azure.net`, or the host of another cloud or of a Managed HSM. With
    /// `emulator` any host and port.
    ///
    /// # Errors
    /// If it is no `https` address of a bare host, or no vault of that cloud.
    pub fn parse(text: &str, cloud: Option<Cloud>, emulator: bool) -> Result<Self, ConfigError> {
        let bad = |why: &'static str| ConfigError::VaultUrl(why);
        let lower = text.to_ascii_lowercase();
        let rest = lower.strip_prefix("https://").ok_or(bad("it must begin with https://"))?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#', '\\', '%', '@']) {
            return Err(bad("it must be https:// and a host, with no user, path, query or escape"));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        if !is_host(host) {
            return Err(bad("its host is no name of letters, digits, hyphens and dots"));
        }
        let text = format!("https://{authority}");
        if emulator {
            if port.is_some_and(|port| !is_port(port)) {
                return Err(bad("its port is no number from 1 to 65535"));
            }
            // 443 is what https means: one address has one text.
            let text = text.strip_suffix(":443").unwrap_or(&text).to_owned();
            return Ok(Self { text, cloud: cloud.unwrap_or_default(), managed_hsm: false });
        }
        if port.is_some() {
            return Err(bad("a vault has no port"));
        }
        let (found, managed_hsm) = cloud_of(host).ok_or(bad(
            "its host is not in vault.azure.net, managedhsm.azure.net or their like of another cloud \
             (a private endpoint keeps that name)",
        ))?;
        match cloud {
            Some(wanted) if wanted != found => Err(ConfigError::OtherCloud { vault: found, given: wanted }),
            _ => Ok(Self { text, cloud: found, managed_hsm }),
        }
    }

    /// `https://HOST`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The cloud that it is in.
    pub fn cloud(&self) -> Cloud {
        self.cloud
    }

    /// Whether it is a Managed HSM: that has keys, and no secrets.
    pub fn is_managed_hsm(&self) -> bool {
        self.managed_hsm
    }

    /// The host without a port, for messages.
    pub fn host(&self) -> &str {
        let authority = self.text.trim_start_matches("https://");
        authority.rsplit_once(':').map_or(authority, |(host, _)| host)
    }

    /// The service for which its tokens are: `https://vault.azure.net`, or its like of another cloud or of Managed HSM.
    pub(super) fn resource(&self) -> String {
        let [vault, hsm] = self.cloud.suffixes();
        format!("https://{}", if self.managed_hsm { hsm } else { vault }.trim_start_matches('.'))
    }

    /// The vault's own name: what `az keyvault` calls it.
    pub fn name(&self) -> &str {
        self.host().split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for VaultUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

fn cloud_of(host: &str) -> Option<(Cloud, bool)> {
    Cloud::ALL.into_iter().find_map(|cloud| {
        let [vault, hsm] = cloud.suffixes();
        let is =
            |suffix| host.strip_suffix(suffix).is_some_and(|name| !name.is_empty() && !name.contains('.'));
        if is(vault) {
            Some((cloud, false))
        } else if is(hsm) {
            Some((cloud, true))
        } else {
            None
        }
    })
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= 253 && host.split('.').all(label)
}

fn is_port(port: &str) -> bool {
    port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// The name of a key or secret in a vault, lower case: Key Vault does not tell upper from lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName(String);

impl ObjectName {
    /// Letters, digits and hyphens, 1 to 127.
    ///
    /// # Errors
    /// If it is something else.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let fits =
            (1..=127).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if fits { Ok(Self(text.to_ascii_lowercase())) } else { Err(ConfigError::ObjectName) }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What kind of object an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// `keys`.
    Keys,
    /// `secrets`.
    Secrets,
}

impl Collection {
    fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Secrets => "secrets",
        }
    }

    /// One of them, for messages.
    pub(super) fn one(self) -> &'static str {
        match self {
            Self::Keys => "key",
            Self::Secrets => "secret",
        }
    }
}

/// A version of one configured key or secret of the configured vault. There is no way to hold one of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionId {
    id: String,
    version: usize,
}

impl VersionId {
    /// Reads a stored id. It must be, byte by byte, what this process would have written for that vault and name.
    ///
    /// # Errors
    /// [`FailureKind::Unconfigured`] if it is of another vault or name, [`FailureKind::Damaged`] if it is no id at all. The
    /// message holds nothing of the text: it is anybody's.
    pub fn stored(
        text: &str,
        vault: &VaultUrl,
        collection: Collection,
        name: &ObjectName,
    ) -> Result<Self, Failure> {
        let prefix = format!("{vault}/{}/{name}/", collection.as_str());
        match text.strip_prefix(&prefix) {
            Some(version) if is_version(version) => Ok(Self { id: text.to_owned(), version: prefix.len() }),
            _ => Err(Failure::new(
                if is_an_id(text, collection) { FailureKind::Unconfigured } else { FailureKind::Damaged },
                format!(
                    "custody.json names no version of {} {name} in vault {}, and no other is ever asked: give the vault \
                     and the name that were configured when the key was made, or restore a backup",
                    collection.one(),
                    vault.host(),
                ),
            )),
        }
    }

    /// Reads an id that the vault answered, in whatever case.
    ///
    /// # Errors
    /// [`FailureKind::Unavailable`] if it is not of that vault and name: the answer is none that a vault gives.
    pub fn answered(
        text: &str,
        vault: &VaultUrl,
        collection: Collection,
        name: &ObjectName,
    ) -> Result<Self, Failure> {
        Self::stored(&text.to_ascii_lowercase(), vault, collection, name).map_err(|_| {
            Failure::new(
                FailureKind::Unavailable,
                format!(
                    "vault {} answered with an id that is not of its {} {name}; is something between us and the vault, \
                     or is --key-vault-url another name of it?",
                    vault.host(),
                    collection.one(),
                ),
            )
        })
    }

    /// The full id: `https://HOST/keys/NAME/VERSION` or `https://HOST/secrets/NAME/VERSION`.
    pub fn as_str(&self) -> &str {
        &self.id
    }

    /// The version alone.
    pub fn version(&self) -> &str {
        &self.id[self.version..]
    }
}

impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.id)
    }
}

/// Whether a text would be an id of that kind in some vault, as a process configured with that would have written it.
fn is_an_id(text: &str, collection: Collection) -> bool {
    let parts: Vec<&str> = text.strip_prefix("https://").unwrap_or_default().split('/').collect();
    let [host, kind, name, version] = parts[..] else { return false };
    let is_host = !host.is_empty()
        && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.:".contains(&b));
    let is_name = ObjectName::parse(name).is_ok_and(|parsed| parsed.as_str() == name);
    is_host && kind == collection.as_str() && is_name && is_version(version)
}

/// Key Vault makes versions of 32 hexadecimal digits.
pub(super) fn is_version(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: &str = "0123456789abcdef0123456789abcdef";

    fn vault() -> VaultUrl {
        VaultUrl::parse("https://team.vault.azure.net", None, false).unwrap()
    }

    #[test]
    fn addresses_of_vaults_have_one_text_and_tell_their_cloud() {
        for (given, text, cloud, hsm) in [
            ("https://team.vault.azure.net", "https://team.vault.azure.net", Cloud::Public, false),
            ("HTTPS://Team.Vault.Azure.NET/", "https://team.vault.azure.net", Cloud::Public, false),
            ("https://t.managedhsm.azure.net", "https://t.managedhsm.azure.net", Cloud::Public, true),
            (
                "https://t.vault.usgovcloudapi.net",
                "https://t.vault.usgovcloudapi.net",
                Cloud::Government,
                false,
            ),
            ("https://t.vault.azure.cn/", "https://t.vault.azure.cn", Cloud::China, false),
        ] {
            let url = VaultUrl::parse(given, None, false).unwrap();
            assert_eq!((url.as_str(), url.cloud(), url.is_managed_hsm()), (text, cloud, hsm), "{given}");
            assert_eq!(VaultUrl::parse(given, Some(cloud), false).unwrap(), url);
        }
        assert!(matches!(
            VaultUrl::parse("https://team.vault.azure.net", Some(Cloud::China), false),
            Err(ConfigError::OtherCloud { vault: Cloud::Public, given: Cloud::China })
        ));
    }

    #[test]
    fn nothing_else_is_an_address_of_a_vault() {
        for bad in [
            "",
            "https://",
            "http://team.vault.azure.net",
            "team.vault.azure.net",
            "https://vault.azure.net",
            "https://.vault.azure.net",
            "https://a.b.vault.azure.net",
            "https://team.vault.azure.net.evil.example",
            "https://evil.example/.vault.azure.net",
            "https://evil.example#.vault.azure.net",
            "https://evil.example?.vault.azure.net",
            "https://evil.example\\.vault.azure.net",
            "https://evilvault.azure.net",
            "https://team@evil.example",
            "https://user:password@team.vault.azure.net",
            "https://team.vault.azure.net:443",
            "https://team.vault.azure.net:8443",
            "https://team.vault.azure.net/keys",
            "https://team.vault.azure.net//",
            "https://team.vault.azure.net?x",
            "https://team%2evault.azure.net",
            "https://team.vault.azure.net ",
            " https://team.vault.azure.net",
            "https://te am.vault.azure.net",
            "https://team.vault.azure.net\n",
            "https://-team.vault.azure.net",
            "https://tеam.vault.azure.net",
            "https://127.0.0.1",
            "https://[::1]",
        ] {
            assert!(VaultUrl::parse(bad, None, false).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_emulator_has_any_host_and_port_and_nothing_more() {
        for (given, text) in [
            ("https://localhost:8443/", "https://localhost:8443"),
            ("https://127.0.0.1:8443", "https://127.0.0.1:8443"),
            ("https://double.test:443", "https://double.test"),
        ] {
            assert_eq!(VaultUrl::parse(given, None, true).unwrap().as_str(), text, "{given}");
        }
        for bad in [
            "http://localhost:8443",
            "https://localhost:0",
            "https://localhost:65536",
            "https://localhost:",
            "https://localhost:+1",
            "https://localhost:1/x",
            "https://u@localhost:1",
        ] {
            assert!(VaultUrl::parse(bad, None, true).is_err(), "{bad}");
        }
    }

    #[test]
    fn object_names_are_key_vaults() {
        assert_eq!(ObjectName::parse("Privyseal-1").unwrap().as_str(), "privyseal-1");
        for bad in ["", "a/b", "..", "a.b", "a_b", "a%2f", "a b", "ä", &"a".repeat(128)] {
            assert!(ObjectName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_ids_of_the_configured_vault_and_name_are_ids() {
        let name = ObjectName::parse("privyseal").unwrap();
        let id = format!("https://team.vault.azure.net/keys/privyseal/{VERSION}");
        let parsed = VersionId::stored(&id, &vault(), Collection::Keys, &name).unwrap();
        assert_eq!((parsed.as_str(), parsed.version()), (id.as_str(), VERSION));

        let upper = VERSION.to_ascii_uppercase();
        for bad in [
            String::new(),
            format!("https://other.vault.azure.net/keys/privyseal/{VERSION}"),
            format!("https://team.vault.azure.net.evil.example/keys/privyseal/{VERSION}"),
            format!("http://team.vault.azure.net/keys/privyseal/{VERSION}"),
            format!("https://team.vault.azure.net:443/keys/privyseal/{VERSION}"),
            format!("https://u:p@team.vault.azure.net/keys/privyseal/{VERSION}"),
            format!("https://team.vault.azure.net/keys/other/{VERSION}"),
            format!("https://team.vault.azure.net/secrets/privyseal/{VERSION}"),
            format!("https://team.vault.azure.net/keys/privyseal-2/{VERSION}"),
            format!("https://team.vault.azure.net/keys/privyseal/../other/{VERSION}"),
            format!("https://team.vault.azure.net/keys/privyseal/%2e%2e/{VERSION}"),
            format!("https://team.vault.azure.net/keys/PRIVYSEAL/{VERSION}"),
            format!("https://team.vault.azure.net/keys/privyseal/{upper}"),
            format!("https://team.vault.azure.net//keys/privyseal/{VERSION}"),
            format!("{id}/"),
            format!("{id}?a=b"),
            format!("{id}#a"),
            format!("{id}\n"),
            format!(" {id}"),
            format!("{id}0"),
            id[..id.len() - 1].to_owned(),
            "https://team.vault.azure.net/keys/privyseal/".to_owned(),
            "https://team.vault.azure.net/keys/privyseal/..".to_owned(),
            "https://team.vault.azure.net/keys/privyseal/0123456789abcdef0123456789abcde%".to_owned(),
        ] {
            let failure = VersionId::stored(&bad, &vault(), Collection::Keys, &name).unwrap_err();
            let elsewhere = ["//other.", ".evil.", ":443/", "/keys/other/", "/privyseal-2/"];
            let is_elsewhere = elsewhere.iter().any(|part| bad.contains(part)) && !bad.contains("..");
            let kind = if is_elsewhere { FailureKind::Unconfigured } else { FailureKind::Damaged };
            assert_eq!(failure.kind(), kind, "{bad}");
            assert!(
                !failure.to_string().contains("evil") && !failure.to_string().contains("other."),
                "{bad}"
            );
        }
    }

    #[test]
    fn what_a_vault_answers_may_be_in_any_case_and_of_no_other_vault() {
        let name = ObjectName::parse("privyseal").unwrap();
        let answered = |text: &str| VersionId::answered(text, &vault(), Collection::Keys, &name);
        let upper = VERSION.to_ascii_uppercase();
        let id = answered(&format!("https://Team.vault.azure.net/keys/PrivySeal/{upper}")).unwrap();
        assert_eq!(id.as_str(), format!("https://team.vault.azure.net/keys/privyseal/{VERSION}"));
        let other = answered(&format!("https://evil.example/keys/privyseal/{VERSION}")).unwrap_err();
        assert_eq!(other.kind(), FailureKind::Unavailable);
    }
}
