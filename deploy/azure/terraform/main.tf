# Everything that Privyseal needs in Azure: vault, identity, role, and Flux, which installs the chart from Git.
# main.bicep makes the same.

locals {
  wrapped                = var.custody == "key-vault-wrapped"
  cluster_resource_group = coalesce(var.cluster_resource_group_name, var.resource_group_name)

  # The chart's release in deploy/azure/flux makes a ServiceAccount of this name in this namespace.
  namespace       = "privyseal"
  service_account = "privyseal"

  # Key Vault Crypto Service Encryption User: read a key's public half, wrap, unwrap.
  crypto_service_encryption_user = "e147488a-f6f5-4113-8e2d-b22465e65bf6"
  # Key Vault Secrets Officer: read and write secrets. Secrets User (4633458b-17de-408a-b874-0445c86b69e6) reads only, and
  # the leader writes each new sealing key as a new version.
  secrets_officer = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"
  # Key Vault Crypto Officer: makes keys, sets their rotation policy, and uses them.
  crypto_officer = "14b46e9e-c2b7-41b4-b07b-48a6ebf60603"

  role_definitions = "/subscriptions/${data.azurerm_client_config.current.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"
}

data "azurerm_client_config" "current" {}

data "azurerm_resource_group" "this" {
  name = var.resource_group_name
}

# --- The cluster ---

# On it NetworkPolicies hold. Whatever else a cluster of yours has to have is not here.
resource "azurerm_kubernetes_cluster" "new" {
  count = var.create_cluster ? 1 : 0

  name                = var.cluster_name
  resource_group_name = local.cluster_resource_group
  location            = data.azurerm_resource_group.this.location
  dns_prefix          = var.cluster_name
  sku_tier            = "Standard"

  default_node_pool {
    name       = "system"
    node_count = var.node_count
    vm_size    = var.node_vm_size
  }

  node_provisioning_profile {
    mode = "Manual"
  }

  # The extension microsoft.flux wants a cluster with a managed identity.
  identity {
    type = "SystemAssigned"
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_data_plane  = "cilium"
    network_policy      = "cilium"
  }

  # Entra ID asks it whether a ServiceAccount's token is genuine. The webhook of workload identity is not needed: the
  # chart asks for its token itself.
  oidc_issuer_enabled = true
}

data "azurerm_kubernetes_cluster" "this" {
  name                = var.cluster_name
  resource_group_name = local.cluster_resource_group

  depends_on = [azurerm_kubernetes_cluster.new]
}

# --- Who the controller is ---

resource "azurerm_user_assigned_identity" "controller" {
  name                = var.identity_name
  resource_group_name = data.azurerm_resource_group.this.name
  location            = data.azurerm_resource_group.this.location
}

# Whoever can get a token of this ServiceAccount with this audience is the identity: whoever may create pods, or tokens,
# in the namespace. So the namespace is the controller's alone.
resource "azurerm_federated_identity_credential" "controller" {
  name                      = "privyseal-${var.cluster_name}"
  user_assigned_identity_id = azurerm_user_assigned_identity.controller.id
  issuer                    = data.azurerm_kubernetes_cluster.this.oidc_issuer_url
  subject                   = "system:serviceaccount:${local.namespace}:${local.service_account}"
  audience                  = ["api://AzureADTokenExchange"]
}

# --- The vault ---

resource "azurerm_key_vault" "this" {
  name                = var.vault_name
  resource_group_name = data.azurerm_resource_group.this.name
  location            = data.azurerm_resource_group.this.location
  tenant_id           = data.azurerm_client_config.current.tenant_id
  sku_name            = var.key_in_hardware ? "premium" : "standard"

  # Roles, no access policies: a role can hold for one key.
  rbac_authorization_enabled = true
  soft_delete_retention_days = 90
  # Cannot be switched off again. Without it whoever may purge can destroy every opening key for good.
  purge_protection_enabled      = true
  public_network_access_enabled = var.public_network_access_enabled

  lifecycle {
    prevent_destroy = true
  }
}

# The provider makes keys in the vault itself, not through Azure's resource manager as main.bicep does. So whoever runs
# terraform needs a role for that, and no lesser one is built in: it can also unwrap. Without grant_crypto_officer they
# have it otherwise, for the time of the run. Azure needs some minutes until it knows the role: if the key is refused with
# 403, apply again.
resource "azurerm_role_assignment" "maker_of_key" {
  count = local.wrapped && var.grant_crypto_officer ? 1 : 0

  scope              = azurerm_key_vault.this.id
  principal_id       = data.azurerm_client_config.current.object_id
  role_definition_id = "${local.role_definitions}/${local.crypto_officer}"
}

resource "azurerm_key_vault_key" "wrapping" {
  count = local.wrapped ? 1 : 0

  name         = var.key_name
  key_vault_id = azurerm_key_vault.this.id
  key_type     = var.key_in_hardware ? "RSA-HSM" : "RSA"
  key_size     = var.key_size
  key_opts     = ["wrapKey", "unwrapKey"]

  # A new version each year; the controller then wraps anew by itself. An older version unwraps as long as it is enabled,
  # also after it expired, but an expired newest version would not wrap.
  rotation_policy {
    expire_after         = "P2Y"
    notify_before_expiry = "P60D"

    automatic {
      time_after_creation = "P1Y"
    }
  }

  lifecycle {
    prevent_destroy = true
  }

  depends_on = [azurerm_role_assignment.maker_of_key]
}

# --- What the controller may ---

resource "azurerm_role_assignment" "key" {
  count = local.wrapped ? 1 : 0

  scope              = azurerm_key_vault_key.wrapping[0].resource_versionless_id
  principal_id       = azurerm_user_assigned_identity.controller.principal_id
  principal_type     = "ServicePrincipal"
  role_definition_id = "${local.role_definitions}/${local.crypto_service_encryption_user}"
}

locals {
  # The leader makes the secrets. To make them here would take a value, which would be a version that is no key, and would
  # be in terraform's state.
  secret_scopes = var.secret_role_scope == "vault" ? [azurerm_key_vault.this.id] : [
    "${azurerm_key_vault.this.id}/secrets/${var.secret_name}",
    "${azurerm_key_vault.this.id}/secrets/${var.secret_name}-publisher",
  ]
}

resource "azurerm_role_assignment" "secrets" {
  count = local.wrapped ? 0 : length(local.secret_scopes)

  scope              = local.secret_scopes[count.index]
  principal_id       = azurerm_user_assigned_identity.controller.principal_id
  principal_type     = "ServicePrincipal"
  role_definition_id = "${local.role_definitions}/${local.secrets_officer}"
}

# --- Flux, and what it installs ---

resource "azurerm_kubernetes_cluster_extension" "flux" {
  count = var.install_flux ? 1 : 0

  name           = "flux"
  cluster_id     = data.azurerm_kubernetes_cluster.this.id
  extension_type = "microsoft.flux"
}

resource "azurerm_kubernetes_flux_configuration" "privyseal" {
  count = var.install_flux ? 1 : 0

  name       = "privyseal"
  cluster_id = data.azurerm_kubernetes_cluster.this.id
  # The chart makes cluster roles.
  scope = "cluster"
  # The extension lets Flux's objects refer to their own namespace alone, so GitRepository and HelmRelease share this one.
  # It is not the controller's: whoever may change them there would hold the keys.
  namespace = "privyseal-flux"

  git_repository {
    url                      = var.git_repository_url
    reference_type           = "branch"
    reference_value          = var.git_branch
    sync_interval_in_seconds = 300
    timeout_in_seconds       = 180
  }

  kustomizations {
    name = "controller"
    path = "./deploy/azure/flux"
    # What is taken out of Git stays in the cluster: with the namespace the keys would go.
    garbage_collection_enabled = false
    wait                       = true
    sync_interval_in_seconds   = 600
    retry_interval_in_seconds  = 60
    timeout_in_seconds         = 1200

    post_build {
      # deploy/azure/flux uses these, and no others.
      substitute = {
        privyseal_custody          = var.custody
        privyseal_key_vault_url    = azurerm_key_vault.this.vault_uri
        privyseal_key_vault_key    = var.key_name
        privyseal_key_vault_secret = var.secret_name
        privyseal_client_id        = azurerm_user_assigned_identity.controller.client_id
        privyseal_tenant_id        = azurerm_user_assigned_identity.controller.tenant_id
        privyseal_azure_cloud      = var.azure_cloud
        privyseal_image_registry   = var.image_registry
      }
    }
  }

  depends_on = [
    azurerm_kubernetes_cluster_extension.flux,
    azurerm_federated_identity_credential.controller,
    azurerm_role_assignment.key,
    azurerm_role_assignment.secrets,
  ]
}
