//! `privyseal doctor azure`: a vault that is well, then ill in one way after the other.

use crate::{Azure, Desk, Finding, KEY, MACHINE, MACHINE_SECRET, PERSON, SECRET, of, told};
use privyseal_tests::entra::{Issuer, TENANT};
use privyseal_tests::key_vault::{CallFault, Role, Trouble, VaultOptions};
use serde_json::Value;

const DAY: i64 = 24 * 3600;

/// The vault's own name, as the commands that cure have it.
fn vault_name(azure: &Azure) -> String {
    azure.vault.url().trim_start_matches("https://").split(['.', ':']).next().unwrap().to_owned()
}

#[track_caller]
fn finds(desk: &Desk, arguments: &str, check: &str, level: &str, status: i32, cure: &str) -> Vec<Finding> {
    let (findings, ended) = desk.doctor(arguments);
    let found = of(&findings, check);
    assert_eq!((found.level.as_str(), ended), (level, status), "{findings:#?}");
    assert!(found.cure.contains(cure), "{cure}: {found:#?}");
    findings
}

#[test]
fn a_vault_that_is_well_is_all_well() {
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    let (certificate, private) = desk.make_key("key");
    azure.vault.put_secret(SECRET, &format!("{certificate}{private}"));
    let versions = azure.vault.secret_versions(SECRET);
    let (findings, status) = desk.doctor(&format!("azure {}", azure.flags()));
    let ill: Vec<_> = findings.iter().filter(|finding| finding.level != "ok").collect();
    assert!(matches!(ill.as_slice(), [one] if one.check == "azure-secret-set") && status == 0, "{ill:#?}");
    for check in [
        "azure-vault",
        "azure-token",
        "azure-tenant",
        "azure-clock",
        "azure-key",
        "azure-key-dates",
        "azure-key-operations",
        "azure-unwrap",
        "azure-secret-list",
        "azure-secret-get",
        "azure-recovery",
    ] {
        of(&findings, check);
    }
    let token = of(&findings, "azure-token");
    assert!(token.what.contains(TENANT) && token.what.contains(PERSON), "{token:?}");
    assert!(of(&findings, "azure-key").what.contains("RSA 2048"));
    // It changed nothing.
    assert_eq!(azure.vault.secret_versions(SECRET), versions);
    assert_eq!(azure.vault.count("setSecret"), 0);
    // And as text.
    let said = desk.does(&format!("doctor azure {}", azure.flags()));
    assert!(said.lines().any(|line| line.starts_with("ok       azure-unwrap         ")), "{said}");

    // The machine's own eyes.
    let authority = azure.entra.authority();
    let environment = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", MACHINE),
        ("AZURE_CLIENT_SECRET", MACHINE_SECRET),
        ("AZURE_AUTHORITY_HOST", &authority),
    ];
    let machine = format!("doctor azure {} --azure-credential client-secret -o json", azure.flags());
    let output = desk.run_with(&machine, &environment);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let said = report["findings"].to_string();
    assert!(output.status.success() && said.contains(MACHINE), "{}", told(&output));
}

#[test]
fn each_illness_of_a_vault_key_has_its_command() {
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    let (vault, name) = (&azure.vault, vault_name(&azure));
    let arguments = format!("azure {} --key-vault-key {KEY}", azure.flags());
    let version = vault.key_versions(KEY).pop().unwrap();
    let at = format!("--vault-name {name} --name {KEY}");

    vault.revoke(PERSON, Role::KeyVaultCryptoServiceEncryptionUser);
    let role =
        "az role assignment create --role 'Key Vault Crypto Service Encryption User' --assignee-object-id ";
    let findings = finds(&desk, &arguments, "azure-key", "problem", 1, role);
    let cure = &of(&findings, "azure-key").cure;
    let scope = format!("--scope \"$(az keyvault show --name {name} --query id -o tsv)/keys/{KEY}\"");
    assert!(cure.contains(&scope), "{cure}");
    // The object id is the one that the token says.
    let object =
        of(&findings, "azure-token").what.split("object ").nth(1).unwrap().split(',').next().unwrap();
    assert!(cure.contains(&format!("--assignee-object-id {object} ")), "{cure}");
    assert_eq!(of(&findings, "azure-unwrap").level, "skipped");
    vault.grant(PERSON, Role::KeyVaultCryptoServiceEncryptionUser);

    vault.set_key_enabled(KEY, &version, false);
    // The double does not even show such a key; what a vault that does would be told is in the unit tests.
    let enable = format!("az keyvault key set-attributes {at} --enabled true");
    finds(&desk, &arguments, "azure-key", "problem", 1, &enable);
    vault.set_key_enabled(KEY, &version, true);

    vault.set_key_times(KEY, &version, None, Some(10 * DAY));
    let rotate = format!("az keyvault key rotate {at}");
    finds(&desk, &arguments, "azure-key-dates", "warning", 0, &rotate);
    vault.set_key_times(KEY, &version, None, Some(-DAY));
    finds(&desk, &arguments, "azure-key-dates", "problem", 1, &rotate);
    vault.set_key_times(KEY, &version, Some(DAY), None);
    let begin = format!("az keyvault key set-attributes {at} --version {version} --not-before ");
    finds(&desk, &arguments, "azure-key-dates", "problem", 1, &begin);
    vault.set_key_times(KEY, &version, None, None);

    vault.set_key_operations(KEY, &version, &["wrapKey", "sign"]);
    let allow =
        format!("az keyvault key set-attributes {at} --version {version} --ops wrapKey sign unwrapKey");
    let findings = finds(&desk, &arguments, "azure-key-operations", "problem", 1, &allow);
    assert_eq!(of(&findings, "azure-unwrap").level, "problem");
    vault.set_key_operations(KEY, &version, &["wrapKey", "unwrapKey"]);

    vault.inject(CallFault::new("getKey", Trouble::Firewall));
    finds(
        &desk,
        &arguments,
        "azure-key",
        "problem",
        1,
        &format!("az keyvault network-rule add --name {name} "),
    );
    vault.clear();
    vault.inject(CallFault::new("unwrapKey", Trouble::Status(503)));
    finds(&desk, &arguments, "azure-unwrap", "problem", 3, "az keyvault show --name");
    vault.clear();

    vault.delete_key(KEY);
    let recover = format!("az keyvault key recover {at}");
    finds(&desk, &arguments, "azure-key", "problem", 1, &recover);
    vault.recover_key(KEY);
    finds(&desk, &arguments, "azure-unwrap", "ok", 0, "");
}

#[test]
fn each_illness_of_a_vault_secret_has_its_command() {
    let azure = Azure::start_with(VaultOptions { purge_protection: false, ..VaultOptions::default() });
    let desk = Desk::new(&azure);
    let (vault, name) = (&azure.vault, vault_name(&azure));
    let arguments = format!("azure {} --key-vault-secret {SECRET}", azure.flags());

    // Before the first key.
    let findings = finds(&desk, &arguments, "azure-secret-get", "skipped", 0, "");
    assert!(findings.iter().all(|finding| finding.check != "azure-key"), "{findings:#?}");

    let (_, private) = desk.make_key("key");
    let version = vault.put_secret(SECRET, &private);
    let purge = format!("az keyvault update --name {name} --enable-purge-protection true");
    finds(&desk, &arguments, "azure-recovery", "warning", 0, &purge);
    finds(&desk, &arguments, "azure-secret-set", "skipped", 0, "az role assignment list --assignee ");

    vault.set_secret_enabled(SECRET, &version, false);
    let enable =
        format!("az keyvault secret set-attributes --vault-name {name} --name {SECRET} --enabled true");
    finds(&desk, &arguments, "azure-secret-get", "problem", 1, &enable);
    // The only one that is enabled: two of one second have no order.
    vault.put_secret(SECRET, "no key");
    finds(&desk, &arguments, "azure-secret-get", "warning", 0, "");

    vault.revoke(PERSON, Role::KeyVaultSecretsOfficer);
    let role = "az role assignment create --role 'Key Vault Secrets Officer' --assignee-object-id ";
    finds(&desk, &arguments, "azure-secret-list", "problem", 1, role);
}

#[test]
fn the_custody_that_is_not_used_is_no_fault_unless_it_is_named() {
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    azure.vault.revoke(PERSON, Role::KeyVaultSecretsOfficer);
    let arguments = format!("azure {}", azure.flags());
    finds(&desk, &arguments, "azure-secret-list", "skipped", 0, "--key-vault-secret");
    finds(&desk, &arguments, "azure-unwrap", "ok", 0, "");
    azure.vault.revoke(PERSON, Role::KeyVaultCryptoServiceEncryptionUser);
    finds(&desk, &arguments, "azure-key", "problem", 1, "az role assignment create");
}

#[test]
fn a_federated_credential_that_does_not_fit_is_cured_with_what_the_token_says() {
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    let issuer = Issuer::new("https://issuer.example/cluster");
    azure.entra.trust(&issuer);
    let (right, wrong) =
        ("system:serviceaccount:privyseal:privyseal", "system:serviceaccount:privyseal:other");
    azure.entra.registered(MACHINE, TENANT, issuer.url(), right);
    let token = desk.file("token").to_string_lossy().into_owned();
    let authority = azure.entra.authority();
    let arguments = format!(
        "azure {} --key-vault-key {KEY} --azure-credential workload-identity --azure-tenant-id {TENANT} --azure-client-id \
         {MACHINE} --azure-federated-token-file {token} --azure-authority-host {authority}",
        azure.flags()
    );
    desk.write("token", &issuer.assertion(wrong));
    let create = format!(
        "az identity federated-credential create --name privyseal --identity-name IDENTITY --resource-group GROUP --issuer {} \
         --subject {wrong} --audiences api://AzureADTokenExchange",
        issuer.url()
    );
    let findings = finds(&desk, &arguments, "azure-token", "problem", 1, &create);
    assert!(of(&findings, "azure-token").what.contains("AADSTS700213"), "{findings:#?}");
    assert!(of(&findings, "azure-token").cure.contains(MACHINE), "{findings:#?}");
    desk.write("token", &issuer.assertion(right));
    finds(&desk, &arguments, "azure-unwrap", "ok", 0, "");
}

#[test]
fn a_way_that_is_blocked_is_told_where_it_is() {
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    let arguments = format!("azure {}", azure.flags());
    azure.vault.outage(true);
    finds(&desk, &arguments, "azure-vault", "problem", 3, "az keyvault show --name");
    azure.vault.outage(false);
    azure.vault.untrusted(true);
    finds(&desk, &arguments, "azure-vault", "problem", 3, "--azure-ca-file");
    azure.vault.untrusted(false);
    desk.log_out();
    let findings =
        finds(&desk, &arguments, "azure-token", "problem", 1, &format!("az login --tenant {TENANT}"));
    assert_eq!(of(&findings, "azure-key").level, "skipped");

    let elsewhere =
        Azure::start_with(VaultOptions { tenant: "other-tenant".to_owned(), ..VaultOptions::default() });
    desk.log_in(&elsewhere);
    let arguments = format!("azure {}", elsewhere.flags());
    finds(&desk, &arguments, "azure-tenant", "problem", 1, "az login --tenant other-tenant");

    assert!(desk.fails("doctor azure", 2).contains("--key-vault"));
}
