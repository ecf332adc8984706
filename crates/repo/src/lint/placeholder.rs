//! What stands where a secret will be, and is none: references that a tool resolves later, and words that say so.

/// Whether a value is a reference or a reminder rather than a secret. It errs to the side of a reference only where a
/// tool's own syntax says so.
pub(super) fn is_placeholder(value: &str) -> bool {
    let value = value.trim();
    value.is_empty()
        || is_template(value)
        // Argo CD Vault Plugin: <path:…>, and <key> with the path in an annotation.
        || value.starts_with('<') && value.ends_with('>') && !value.contains('\n')
        // SOPS, value by value.
        || value.starts_with("ENC[") && value.ends_with(']')
        // vals and helm-secrets, Bank-Vaults, 1Password.
        || ["ref+", "secretref+", "op://"].iter().any(|scheme| value.starts_with(scheme))
        || (value.starts_with("vault:") || value.starts_with(">>vault:")) && value.contains('#')
        || is_reminder(value)
}

/// Whether something is filled in before the cluster sees it: Helm and Go templates, Flux' substitution, envsubst.
pub(super) fn is_template(value: &str) -> bool {
    if value.contains("{{") {
        return true;
    }
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let inside = &rest[start + 2..];
        let name_len = inside.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        if name_len > 0 && inside[name_len..].starts_with(['}', ':', '=', '-', '/', '#', '%']) {
            return true;
        }
        rest = inside;
    }
    // `$NAME`, and nothing else.
    value.strip_prefix('$').is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
}

fn is_reminder(value: &str) -> bool {
    const WORDS: [&str; 12] = [
        "changeme",
        "changethis",
        "replaceme",
        "replacethis",
        "placeholder",
        "redacted",
        "todo",
        "tobereplaced",
        "fillmein",
        "dummy",
        "example",
        "none",
    ];
    let letters: String =
        value.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let filler = value.chars().all(|c| "*x.-_X".contains(c));
    filler || WORDS.contains(&letters.as_str())
}

/// Whether anybody may read it by its nature: certificates without a key.
pub(super) fn is_public(value: &str) -> bool {
    let value = value.trim_start();
    value.starts_with("-----BEGIN CERTIFICATE-----") && !value.contains("PRIVATE KEY")
}

/// Whether the name of an item says that it is secret.
pub(super) fn sounds_secret(item: &str) -> bool {
    let words = words(item);
    let Some(last) = words.last() else { return false };
    let before = words.len().checked_sub(2).and_then(|index| words.get(index)).map(String::as_str);
    match last.as_str() {
        "password" | "passwd" | "passphrase" | "pwd" | "token" | "secret" | "apikey" | "credentials" => true,
        "key" => matches!(before, Some("api" | "private" | "access" | "secret" | "encryption" | "signing")),
        _ => false,
    }
}

/// `DB_ADMIN-passwordHash` is four words and more.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_lower = false;
    let mut fresh = true;
    for character in name.chars() {
        if !character.is_ascii_alphanumeric() {
            fresh = true;
            continue;
        }
        if fresh || was_lower && character.is_ascii_uppercase() {
            words.push(String::new());
        }
        fresh = false;
        was_lower = character.is_ascii_lowercase();
        if let Some(word) = words.last_mut() {
            word.push(character.to_ascii_lowercase());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_from_secrets() {
        for reference in [
            "",
            "  \n",
            "<path:secret/data/db#password>",
            "<password>",
            "ENC[AES256_GCM,data:abc=,iv:x,tag:y,type:str]",
            "ref+vault://secret/db#/password",
            "vault:secret/data/db#password",
            "op://vault/item/field",
            "${DB_PASSWORD}",
            "${DB_PASSWORD:=none}",
            "postgres://app:${DB_PASSWORD}@db/app",
            "$DB_PASSWORD",
            "{{ .Values.password | b64enc }}",
            "changeme",
            "CHANGE-ME",
            "<REPLACE_ME>",
            "REPLACE_ME",
            "****",
            "xxxx",
            "...",
        ] {
            assert!(is_placeholder(reference), "{reference}");
        }
        for secret in [
            "hunter2",
            "pa$$word",
            "$2y$10$abcdefghijklmnopqrstuv",
            "a${b",
            "${",
            "${!}",
            "changeme1234!",
            "<a",
            "x<y>",
            "vault: my password",
            "$Ecret",
            "-----BEGIN PRIVATE KEY-----",
        ] {
            assert!(!is_placeholder(secret), "{secret}");
        }
    }

    #[test]
    fn the_last_word_of_a_name_tells_what_it_is() {
        for name in ["password", "db-password", "DB_PASSWORD", "dbPassword", "API_KEY", "privateKey", "token"]
        {
            assert!(sounds_secret(name), "{name}");
        }
        for name in
            ["username", "passwordHash", "TOKEN_URL", "secretName", "key", "url", "config.yaml", "monkey", ""]
        {
            assert!(!sounds_secret(name), "{name}");
        }
    }

    #[test]
    fn certificates_are_public_and_keys_are_not() {
        assert!(is_public("-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----\n"));
        assert!(!is_public("-----BEGIN CERTIFICATE-----\nMII\n-----BEGIN PRIVATE KEY-----\n"));
        assert!(!is_public("hunter2"));
    }
}
