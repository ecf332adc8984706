variable "custody" {
  description = "Where opening keys live. docs/azure.md says what each protects against, and what not."
  type        = string

  validation {
    condition     = contains(["key-vault-wrapped", "key-vault-secret"], var.custody)
    error_message = "custody is key-vault-wrapped or key-vault-secret."
  }
}

variable "resource_group_name" {
  description = "Resource group of vault and identity. It is there."
  type        = string
}

variable "vault_name" {
  description = "Name of the vault, unique in the whole cloud. It is for Privyseal alone: a vault has one budget of calls and one firewall."
  type        = string
}

variable "identity_name" {
  description = "Name of the user-assigned identity that the controller is in Azure."
  type        = string
  default     = "privyseal"
}

variable "cluster_name" {
  description = "The AKS cluster. It has a managed identity and, if it is there already, an OIDC issuer."
  type        = string
}

variable "cluster_resource_group_name" {
  description = "Resource group of the cluster, if it is another one."
  type        = string
  default     = null
}

variable "create_cluster" {
  description = "Makes the cluster. Otherwise it has to be there."
  type        = bool
  default     = false
}

variable "node_count" {
  description = "Nodes of a new cluster."
  type        = number
  default     = 3
}

variable "node_vm_size" {
  description = "Size of the nodes of a new cluster."
  type        = string
  default     = "Standard_D2as_v5"
}

variable "key_name" {
  description = "key-vault-wrapped: name of the key that wraps."
  type        = string
  default     = "privyseal"
}

variable "key_size" {
  description = "key-vault-wrapped: bits of the key. A start unwraps once for each opening key, so size costs nothing here."
  type        = number
  default     = 3072

  validation {
    condition     = contains([3072, 4096], var.key_size)
    error_message = "key_size is 3072 or 4096."
  }
}

variable "key_in_hardware" {
  description = "key-vault-wrapped: keeps the key in a hardware module, in a vault of the SKU premium."
  type        = bool
  default     = false
}

variable "grant_crypto_officer" {
  description = "key-vault-wrapped: gives whoever runs terraform the role Key Vault Crypto Officer for the vault, which making the key takes."
  type        = bool
  default     = true
}

variable "secret_name" {
  description = "key-vault-secret: name of the secret that holds sealing keys. The publisher key is in the one with \"-publisher\" behind."
  type        = string
  default     = "privyseal-sealing-key"
}

variable "secret_role_scope" {
  description = "key-vault-secret: the role holds for the two secrets, or for the whole vault. Take vault if Azure refuses to bind a role to a secret that is not there yet."
  type        = string
  default     = "secret"

  validation {
    condition     = contains(["secret", "vault"], var.secret_role_scope)
    error_message = "secret_role_scope is secret or vault."
  }
}

variable "public_network_access_enabled" {
  description = "False: the vault is reached by private endpoints alone, which you make, and terraform has to run where it reaches them."
  type        = bool
  default     = true
}

variable "install_flux" {
  description = "Installs Flux in the cluster, and by it the chart."
  type        = bool
  default     = true
}

variable "git_repository_url" {
  description = "Git repository with charts/privyseal and deploy/azure/flux in it, which the cluster can read: https://… or ssh://…."
  type        = string
  default     = ""
}

variable "git_branch" {
  description = "Branch of it."
  type        = string
  default     = "main"
}

variable "image_registry" {
  description = "Registry from which the nodes pull the image privyseal-controller."
  type        = string
  default     = "localhost"
}

variable "azure_cloud" {
  description = "As the controller's --azure-cloud calls it, and as the provider is configured: public, government or china."
  type        = string
  default     = "public"

  validation {
    condition     = contains(["public", "government", "china"], var.azure_cloud)
    error_message = "azure_cloud is public, government or china."
  }
}
