//! Keys that a vault keeps, for whoever opens with them: no cluster is asked.

use crate::{Azure, Desk, KEY, MACHINE, MACHINE_SECRET, PERSON, SECRET, encoded, told};
use privyseal_tests::entra::TENANT;
use privyseal_tests::key_vault::{CallFault, Role, Trouble};
use serde_json::json;

const VALUE: &str = "canary-plaintext";

/// The key of `NAME.pem` as a Secret whose private half is that version of a vault secret.
fn referring(desk: &Desk, name: &str, id: &str) -> String {
    let custody = json!({"custody": "key-vault-secret", "version": 1, "secret": id});
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
        "metadata": {
            "name": name, "namespace": "privyseal",
            "labels": {"sealedsecrets.bitnami.com/sealed-secrets-key": "active"},
        },
        "data": {
            "tls.crt": encoded(&desk.read(&format!("{name}.pem"))), "tls.key": "",
            "custody.json": encoded(&custody.to_string()),
        },
    })
    .to_string()
}

#[test]
fn the_vault_alone_opens_with_every_enabled_version_of_its_secret() {
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    let (old, new, gone) = (desk.make_key("old"), desk.make_key("new"), desk.make_key("gone"));
    let vault = &azure.vault;
    // As the controller writes it; as people bring it, without a certificate; and what is no key at all.
    vault.put_secret(SECRET, &format!("{}{}", old.0, old.1));
    vault.put_secret(SECRET, &new.1);
    let disabled = vault.put_secret(SECRET, &gone.1);
    vault.set_secret_enabled(SECRET, &disabled, false);
    for name in ["old", "new", "gone"] {
        desk.seal(name, VALUE, &format!("{name}-sealed.yaml"));
    }

    let flags = azure.flags();
    for name in ["old", "new"] {
        let said = desk.does(&format!("unseal {flags} {name}-sealed.yaml --out-file {name}-open.yaml"));
        assert!(!said.contains("warning"), "{said}");
        assert!(desk.read(&format!("{name}-open.yaml")).contains(&encoded(VALUE)));
    }
    let said = desk.fails(&format!("unseal {flags} gone-sealed.yaml"), 1);
    assert!(said.contains("do not open"), "{said}");

    vault.put_secret(SECRET, "no key at all");
    let said = desk.does(&format!("inspect {flags} old-sealed.yaml"));
    assert!(said.contains("(verified)") && said.contains("warning: left out: version "), "{said}");

    // Each command that takes --key.
    desk.seal("old", "another", "other.yaml");
    let said = desk.fails(&format!("diff {flags} old-sealed.yaml other.yaml --show-values"), 1);
    assert!(said.contains("another"), "{said}");
    let said = desk.does(&format!("reseal {flags} --cert new.pem old-sealed.yaml"));
    assert!(said.contains("1 values in 1 files are sealed anew"), "{said}");
    let edit = desk.run_with(
        &format!("edit {flags} --cert new.pem old-sealed.yaml"),
        &[("EDITOR", "sed -i s/canary-plaintext/edited/"), ("VISUAL", "")],
    );
    assert!(edit.status.success(), "{}", told(&edit));
    assert!(desk.does(&format!("unseal {flags} old-sealed.yaml")).contains(&encoded("edited")));
}

#[test]
fn a_key_secret_without_its_private_half_opens_with_the_vault_that_keeps_it_and_with_no_other() {
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    let (_, private) = desk.make_key("key");
    let version = azure.vault.put_secret(SECRET, &private);
    desk.write("kept.json", &referring(&desk, "key", &azure.vault.secret_id(SECRET, &version)));
    desk.seal("key", VALUE, "sealed.yaml");
    let flags = azure.flags();

    let said = desk.fails("unseal --key kept.json sealed.yaml", 2);
    assert!(said.contains("kept by key-vault-secret") && said.contains("give --key-vault URL"), "{said}");
    assert!(desk.does(&format!("unseal --key kept.json {flags} sealed.yaml")).contains(&encoded(VALUE)));
    // One version was got, and nothing was listed.
    assert_eq!((azure.vault.count("getSecret"), azure.vault.count("*")), (1, 1));

    // Where the Secret leads is anybody's word.
    azure.vault.forget_calls();
    let elsewhere = format!("https://evil.vault.azure.net/secrets/{SECRET}/{version}");
    desk.write("evil.json", &referring(&desk, "key", &elsewhere));
    let said = desk.fails(&format!("unseal --key evil.json {flags} sealed.yaml"), 1);
    assert!(said.contains("names no version of secret") && !said.contains("evil.vault"), "{said}");
    assert!(azure.vault.calls().is_empty(), "{:?}", azure.vault.calls());

    // Somebody else's private half behind this certificate.
    let (_, other) = desk.make_key("other");
    let version = azure.vault.put_secret(SECRET, &other);
    desk.write("swapped.json", &referring(&desk, "key", &azure.vault.secret_id(SECRET, &version)));
    let said = desk.fails(&format!("unseal --key swapped.json {flags} sealed.yaml"), 1);
    assert!(said.contains("what its vault keeps"), "{said}");
}

#[test]
fn what_the_vault_refuses_is_left_out_if_another_key_opens_and_an_error_if_none_does() {
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    let (_, private) = desk.make_key("key");
    let version = azure.vault.put_secret(SECRET, &private);
    desk.write("kept.json", &referring(&desk, "key", &azure.vault.secret_id(SECRET, &version)));
    desk.seal("key", VALUE, "sealed.yaml");
    let (vault, flags) = (&azure.vault, azure.flags());
    let kept = format!("unseal --key kept.json {flags} sealed.yaml");
    let alone = format!("unseal {flags} sealed.yaml");

    vault.revoke(PERSON, Role::KeyVaultSecretsOfficer);
    for command in [&kept, &alone] {
        let said = desk.fails(command, 3);
        assert!(said.contains("assign the role Key Vault Secrets User"), "{said}");
        assert!(said.contains("hint: `privyseal doctor azure"), "{said}");
    }
    let said = desk.does(&format!("unseal --key kept.json --key key.yaml {flags} sealed.yaml"));
    assert!(said.contains("warning: left out: kept.json:") && said.contains(&encoded(VALUE)), "{said}");
    vault.grant(PERSON, Role::KeyVaultSecretsUser);

    vault.set_secret_enabled(SECRET, &version, false);
    assert!(desk.fails(&kept, 1).contains("is disabled"));
    assert!(desk.fails(&alone, 1).contains("has no enabled version"));
    vault.set_secret_enabled(SECRET, &version, true);
    assert!(desk.fails(&format!("{alone} --key-vault-secret nobodys"), 1).contains("nobodys"));

    // Too much to do is no refusal.
    let throttled =
        vault.inject(CallFault::new("getSecret", Trouble::Throttled { retry_after: Some(1) }).next(1));
    desk.does(&kept);
    assert_eq!(throttled.hits(), 1);

    vault.untrusted(true);
    assert!(desk.fails(&kept, 3).contains("certificate"));
    vault.untrusted(false);
    vault.outage(true);
    assert!(desk.fails(&alone, 3).contains("cannot be reached"));
    let said =
        desk.fails(&format!("unseal --key kept.json {kept}", kept = kept.trim_start_matches("unseal ")), 3);
    assert!(said.contains("cannot be reached") && said.contains("was not asked for it after that"), "{said}");
    vault.outage(false);
    desk.log_out();
    assert!(desk.fails(&alone, 3).contains("run az login"));
    desk.log_in(&azure);
    desk.does(&alone);
}

#[test]
fn pipelines_use_their_own_credential_and_wrong_flags_are_status_2() {
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    desk.log_out();
    let (_, private) = desk.make_key("key");
    azure.vault.put_secret(SECRET, &private);
    desk.seal("key", VALUE, "sealed.yaml");
    let unseal = format!("unseal {} sealed.yaml --azure-credential client-secret", azure.flags());
    let authority = azure.entra.authority();
    let environment = [
        ("AZURE_TENANT_ID", TENANT),
        ("AZURE_CLIENT_ID", MACHINE),
        ("AZURE_CLIENT_SECRET", MACHINE_SECRET),
        ("AZURE_AUTHORITY_HOST", &authority),
    ];
    let opened = desk.run_with(&unseal, &environment);
    assert!(opened.status.success() && told(&opened).contains(&encoded(VALUE)), "{}", told(&opened));
    let wrong = desk
        .run_with(&unseal, &[&environment[..2], &[("AZURE_CLIENT_SECRET", "x")], &environment[3..]].concat());
    assert_eq!(wrong.status.code(), Some(3), "{}", told(&wrong));
    assert!(told(&wrong).contains("the client secret is wrong"), "{}", told(&wrong));

    assert!(desk.fails(&unseal, 2).contains("--azure-tenant-id"));
    assert!(desk.fails("unseal sealed.yaml --key-vault https://evil.example", 2).contains("--key-vault: "));
    assert!(desk.fails("unseal sealed.yaml", 2).contains("--key-vault <URL>"));
    // Azure's variables alone ask for nothing.
    let files = desk.run_with("unseal --key key.yaml sealed.yaml", &environment);
    assert!(files.status.success(), "{}", told(&files));
    assert!(azure.vault.count("getKey") == 0, "the vault key {KEY} is nobody's business here");
}
