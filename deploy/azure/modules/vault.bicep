// The vault, the key that wraps, and the controller's role: for that key or those secrets, and nothing else.

param name string
param location string
param custody string
param principalId string
param keyName string
param keySize int
param keyInHardware bool
param secretName string
param secretRoleScope string
param publicNetworkAccess string

var wrapped = custody == 'key-vault-wrapped'

// Key Vault Crypto Service Encryption User: read a key's public half, wrap, unwrap.
var cryptoServiceEncryptionUser = 'e147488a-f6f5-4113-8e2d-b22465e65bf6'
// Key Vault Secrets Officer: read and write secrets. Secrets User (4633458b-17de-408a-b874-0445c86b69e6) reads only, and the
// leader writes each new sealing key as a new version.
var secretsOfficer = 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  properties: {
    tenantId: subscription().tenantId
    sku: {
      family: 'A'
      name: keyInHardware ? 'premium' : 'standard'
    }
    // Roles, no access policies: a role can hold for one key.
    enableRbacAuthorization: true
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    // Cannot be switched off again. Without it whoever may purge can destroy every opening key for good.
    enablePurgeProtection: true
    publicNetworkAccess: publicNetworkAccess
  }
}

// Made through the resource provider: whoever deploys needs no role that could use the key.
resource key 'Microsoft.KeyVault/vaults/keys@2023-07-01' = if (wrapped) {
  parent: vault
  name: keyName
  properties: {
    kty: keyInHardware ? 'RSA-HSM' : 'RSA'
    keySize: keySize
    keyOps: [
      'wrapKey'
      'unwrapKey'
    ]
    // A new version each year; the controller then wraps anew by itself. An older version unwraps as long as it is enabled,
    // also after it expired, but an expired newest version would not wrap.
    rotationPolicy: {
      attributes: {
        expiryTime: 'P2Y'
      }
      lifetimeActions: [
        {
          trigger: {
            timeAfterCreate: 'P1Y'
          }
          action: {
            type: 'rotate'
          }
        }
        {
          trigger: {
            timeBeforeExpiry: 'P60D'
          }
          action: {
            type: 'notify'
          }
        }
      ]
    }
  }
}

resource roleOnKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (wrapped) {
  name: guid(vault.id, keyName, principalId, cryptoServiceEncryptionUser)
  scope: key
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', cryptoServiceEncryptionUser)
  }
}

// The leader makes the secrets. To make them here would take a value, which would be a version that is no key.
resource sealingKey 'Microsoft.KeyVault/vaults/secrets@2023-07-01' existing = {
  parent: vault
  name: secretName
}

resource publisherKey 'Microsoft.KeyVault/vaults/secrets@2023-07-01' existing = {
  parent: vault
  name: '${secretName}-publisher'
}

resource roleOnSealingKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!wrapped && secretRoleScope == 'secret') {
  name: guid(vault.id, secretName, principalId, secretsOfficer)
  scope: sealingKey
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsOfficer)
  }
}

resource roleOnPublisherKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!wrapped && secretRoleScope == 'secret') {
  name: guid(vault.id, '${secretName}-publisher', principalId, secretsOfficer)
  scope: publisherKey
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsOfficer)
  }
}

resource roleOnVault 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!wrapped && secretRoleScope == 'vault') {
  name: guid(vault.id, principalId, secretsOfficer)
  scope: vault
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', secretsOfficer)
  }
}

output url string = vault.properties.vaultUri
