#!/usr/bin/env bash
# Everything that Privyseal needs in Azure, by commands of az: what main.bicep makes, step by step, for who wants to see
# each one. It can be run again: what is there stays.
#
#   ./create.sh --custody key-vault-wrapped --resource-group RG --vault NAME --cluster NAME \
#       --git-url https://… --image-registry registry.example.com [--dry-run]
#
# Needs bash 4 or later, az 2.60 or later without extensions, and `az login` as somebody who may make all this and assign
# roles: Contributor, and User Access Administrator or Role Based Access Control Administrator. It takes no right to the
# vault's keys and secrets.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: create.sh --custody C --resource-group RG --vault NAME --cluster NAME [more]

  --custody C               key-vault-wrapped or key-vault-secret
  --resource-group RG       of vault and identity; made if it is not there
  --location L              region of what is made (westeurope)
  --vault NAME              unique in the whole cloud; for Privyseal alone
  --identity NAME           of the user-assigned identity (privyseal)
  --cluster NAME            the AKS cluster
  --cluster-resource-group  its resource group (that of the vault)
  --create-cluster          makes the cluster; otherwise it has to be there
  --key NAME                key-vault-wrapped: the key that wraps (privyseal)
  --key-size BITS           3072 or 4096 (3072)
  --secret NAME             key-vault-secret: the secret with sealing keys (privyseal-sealing-key)
  --secret-role-scope S     secret or vault: take vault if Azure refuses to bind a role to a secret that is
                            not there yet (secret)
  --git-url URL             Git repository with charts/privyseal and deploy/azure/flux. Without it Flux is not
                            installed, and what the chart needs is printed
  --git-branch B            (main)
  --image-registry R        from which the nodes pull privyseal-controller (localhost)
  --dry-run                 prints the commands and runs none, as if nothing was there
USAGE
}

# --- What is wanted ---

custody='' resource_group='' location=westeurope vault='' identity=privyseal cluster='' cluster_resource_group=''
create_cluster=no key=privyseal key_size=3072 secret=privyseal-sealing-key secret_role_scope=secret
git_url='' git_branch=main image_registry=localhost dry_run=no
# What Azure answers.
issuer='' client_id='' principal_id='' tenant_id='' by_roles='' vault_id='' vault_url='' azure='' cluster_id=''

die() {
    printf 'create.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

while [ $# -gt 0 ]; do
    case $1 in
        --create-cluster) create_cluster=yes ;;
        --dry-run) dry_run=yes ;;
        --help | -h)
            usage
            exit 0
            ;;
        --custody | --resource-group | --location | --vault | --identity | --cluster | --cluster-resource-group | \
            --key | --key-size | --secret | --secret-role-scope | --git-url | --git-branch | --image-registry)
            [ $# -ge 2 ] || die "$1 wants a value" 2
            name=${1#--}
            # Nothing that would have to be quoted in JSON or could be taken for an option.
            [[ $2 =~ ^[A-Za-z0-9][A-Za-z0-9._:/@~+-]*$ ]] || die "$1: $2 is no value for it" 2
            printf -v "${name//-/_}" '%s' "$2"
            shift
            ;;
        *)
            usage >&2
            die "$1: no such option" 2
            ;;
    esac
    shift
done

for name in custody resource_group vault cluster; do
    [ -n "${!name}" ] || die "--${name//_/-} is missing; --help shows all options" 2
done
case $custody in key-vault-wrapped | key-vault-secret) ;; *) die "--custody is key-vault-wrapped or key-vault-secret" 2 ;; esac
case $secret_role_scope in secret | vault) ;; *) die "--secret-role-scope is secret or vault" 2 ;; esac
case $key_size in 3072 | 4096) ;; *) die "--key-size is 3072 or 4096" 2 ;; esac
: "${cluster_resource_group:=$resource_group}"

# The chart's release in deploy/azure/flux makes a ServiceAccount of this name in this namespace.
subject=system:serviceaccount:privyseal:privyseal
audience=api://AzureADTokenExchange
# Key Vault Crypto Service Encryption User: read a key's public half, wrap, unwrap.
crypto_service_encryption_user=e147488a-f6f5-4113-8e2d-b22465e65bf6
# Key Vault Secrets Officer: read and write secrets. Secrets User (4633458b-17de-408a-b874-0445c86b69e6) reads only, and the
# leader writes each new sealing key as a new version.
secrets_officer=b86a8fe4-44ce-4948-aee5-eccb2c155cd7

# --- How commands are run ---

# Does something; a dry run prints it.
run() {
    if [ "$dry_run" = yes ]; then
        printf '%q ' "$@"
        printf '\n'
    else
        printf '+ %s\n' "$*" >&2
        "$@" >/dev/null
    fi
}

# Asks for something and keeps the answer in a variable: ask VARIABLE COMMAND…. A dry run prints it, and the variable's
# name in capitals stands for the answer.
ask() {
    local variable=$1
    shift
    if [ "$dry_run" = yes ]; then
        printf '%q ' "$@"
        printf '\n'
        printf -v "$variable" '%s' "${variable^^}"
    else
        local answer
        answer=$("$@")
        [ -n "$answer" ] || die "no answer: $*"
        printf -v "$variable" '%s' "$answer"
    fi
}

# True if a command finds something. In a dry run nothing is there.
there() {
    [ "$dry_run" = no ] && "$@" >/dev/null 2>&1
}

# Waits until a resource of Azure's resource manager is made: made WHAT URL.
made() {
    local state
    for _ in {1..120}; do
        ask state az rest --method get --url "$2" --query properties.provisioningState --output tsv
        case $state in
            Succeeded | STATE) return 0 ;;
            Failed | Canceled) die "$1: $state; az rest --method get --url '$2' tells why" ;;
        esac
        sleep 10
    done
    die "$1 is not done after 20 minutes; az rest --method get --url '$2' tells why"
}

# --- The cluster ---

if ! there az group show --name "$resource_group"; then
    run az group create --name "$resource_group" --location "$location" --output none
fi

if [ "$create_cluster" = yes ] && ! there az aks show --resource-group "$cluster_resource_group" --name "$cluster"; then
    # With an OIDC issuer, which Entra ID asks whether a ServiceAccount's token is genuine, and with a network on which
    # NetworkPolicies hold. --enable-workload-identity is not needed: that is the webhook, and the chart asks for its token
    # itself.
    run az aks create --resource-group "$cluster_resource_group" --name "$cluster" --location "$location" \
        --node-count 3 --node-vm-size Standard_D2as_v5 --tier standard --enable-managed-identity \
        --network-plugin azure --network-plugin-mode overlay --network-dataplane cilium \
        --enable-oidc-issuer --no-ssh-key --output none
else
    # Cannot be switched off again, and disturbs nothing.
    run az aks update --resource-group "$cluster_resource_group" --name "$cluster" --enable-oidc-issuer --output none
fi
ask issuer az aks show --resource-group "$cluster_resource_group" --name "$cluster" \
    --query oidcIssuerProfile.issuerUrl --output tsv

# --- Who the controller is ---

run az identity create --resource-group "$resource_group" --name "$identity" --location "$location" --output none
ask client_id az identity show --resource-group "$resource_group" --name "$identity" --query clientId --output tsv
ask principal_id az identity show --resource-group "$resource_group" --name "$identity" --query principalId --output tsv
ask tenant_id az identity show --resource-group "$resource_group" --name "$identity" --query tenantId --output tsv

# Whoever can get a token of this ServiceAccount with this audience is the identity: whoever may create pods, or tokens, in
# the namespace. So the namespace is the controller's alone.
run az identity federated-credential create --resource-group "$resource_group" --identity-name "$identity" \
    --name "privyseal-$cluster" --issuer "$issuer" --subject "$subject" --audiences "$audience" --output none

# --- The vault ---

if there az keyvault show --name "$vault" --resource-group "$resource_group"; then
    # A vault of yours: roles have to count in it, and nobody may destroy it for good. To switch to roles ends the access
    # policies of everybody else, so that is not done here.
    ask by_roles az keyvault show --name "$vault" --resource-group "$resource_group" \
        --query properties.enableRbacAuthorization --output tsv
    [ "$by_roles" = true ] ||
        die "the vault $vault goes by access policies; take another, or: az keyvault update --name $vault --enable-rbac-authorization true"
    run az keyvault update --name "$vault" --resource-group "$resource_group" --enable-purge-protection true --output none
else
    # A deleted vault keeps its name, and its keys may be what opens your SealedSecrets.
    if there az keyvault show-deleted --name "$vault" --location "$location"; then
        die "a vault $vault was deleted; bring it back: az keyvault recover --name $vault --location $location"
    fi
    # Roles, no access policies: a role can hold for one key. Purge protection cannot be switched off again.
    run az keyvault create --name "$vault" --resource-group "$resource_group" --location "$location" \
        --enable-rbac-authorization true --enable-purge-protection true --retention-days 90 --output none
fi
ask vault_id az keyvault show --name "$vault" --resource-group "$resource_group" --query id --output tsv
ask vault_url az keyvault show --name "$vault" --resource-group "$resource_group" --query properties.vaultUri --output tsv

# --- The key, and what the controller may ---

# Binds a role of the controller: bind ROLE SCOPE. That it is bound already is no error.
bind() {
    run az role assignment create --role "$1" --assignee-object-id "$principal_id" \
        --assignee-principal-type ServicePrincipal --scope "$2" --output none
}

if [ "$custody" = key-vault-wrapped ]; then
    # Through Azure's resource manager: `az keyvault key create` would want a role that can use the vault's keys. It makes a
    # key that is not there, and never changes one that is. A new version each year; the controller then wraps anew by
    # itself.
    run az rest --method put --url "$vault_id/keys/$key?api-version=2023-07-01" --output none --body \
        "{\"properties\":{\"kty\":\"RSA\",\"keySize\":$key_size,\"keyOps\":[\"wrapKey\",\"unwrapKey\"],\
\"rotationPolicy\":{\"attributes\":{\"expiryTime\":\"P2Y\"},\"lifetimeActions\":[\
{\"trigger\":{\"timeAfterCreate\":\"P1Y\"},\"action\":{\"type\":\"rotate\"}},\
{\"trigger\":{\"timeBeforeExpiry\":\"P60D\"},\"action\":{\"type\":\"notify\"}}]}}}"
    bind "$crypto_service_encryption_user" "$vault_id/keys/$key"
elif [ "$secret_role_scope" = vault ]; then
    bind "$secrets_officer" "$vault_id"
else
    # The leader makes the secrets. To make them here would take a value, which would be a version that is no key.
    bind "$secrets_officer" "$vault_id/secrets/$secret"
    bind "$secrets_officer" "$vault_id/secrets/$secret-publisher"
fi

# --- Flux, and what it installs ---

ask azure az cloud show --query name --output tsv
case $azure in
    AzureUSGovernment) cloud=government ;;
    AzureChinaCloud) cloud=china ;;
    *) cloud=public ;;
esac

if [ -z "$git_url" ]; then
    cat <<VALUES
Values of the chart:
  custody=$custody
  keyVault.url=$vault_url
  keyVault.key=$key
  keyVault.secret=$secret
  azure.clientId=$client_id
  azure.tenantId=$tenant_id
  azure.cloud=$cloud
VALUES
    exit 0
fi

# By `az rest`, since `az k8s-extension` and `az k8s-configuration` are extensions of az, and the latter knows no postBuild.
run az provider register --namespace Microsoft.KubernetesConfiguration --wait
ask cluster_id az aks show --resource-group "$cluster_resource_group" --name "$cluster" --query id --output tsv
configuration=$cluster_id/providers/Microsoft.KubernetesConfiguration

run az rest --method put --url "$configuration/extensions/flux?api-version=2023-05-01" --output none --body \
    '{"properties":{"extensionType":"microsoft.flux","autoUpgradeMinorVersion":true}}'
made "the extension microsoft.flux" "$configuration/extensions/flux?api-version=2023-05-01"

# scope: the chart makes cluster roles. namespace: the extension lets Flux's objects refer to their own namespace alone, so
# GitRepository and HelmRelease share this one; it is not the controller's, since whoever may change them there would hold
# the keys. prune: what is taken out of Git stays in the cluster, because with the namespace the keys would go.
# substitute: deploy/azure/flux uses these, and no others.
run az rest --method put --url "$configuration/fluxConfigurations/privyseal?api-version=2025-04-01" --output none --body \
    "{\"properties\":{\"scope\":\"cluster\",\"namespace\":\"privyseal-flux\",\"sourceKind\":\"GitRepository\",\
\"gitRepository\":{\"url\":\"$git_url\",\"repositoryRef\":{\"branch\":\"$git_branch\"},\
\"syncIntervalInSeconds\":300,\"timeoutInSeconds\":180},\
\"kustomizations\":{\"controller\":{\"path\":\"./deploy/azure/flux\",\"prune\":false,\"wait\":true,\
\"syncIntervalInSeconds\":600,\"retryIntervalInSeconds\":60,\"timeoutInSeconds\":1200,\
\"postBuild\":{\"substitute\":{\
\"privyseal_custody\":\"$custody\",\
\"privyseal_key_vault_url\":\"$vault_url\",\
\"privyseal_key_vault_key\":\"$key\",\
\"privyseal_key_vault_secret\":\"$secret\",\
\"privyseal_client_id\":\"$client_id\",\
\"privyseal_tenant_id\":\"$tenant_id\",\
\"privyseal_azure_cloud\":\"$cloud\",\
\"privyseal_image_registry\":\"$image_registry\"}}}}}}"
made "the Flux configuration" "$configuration/fluxConfigurations/privyseal?api-version=2025-04-01"
