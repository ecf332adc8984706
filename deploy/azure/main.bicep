// Everything that Privyseal needs in Azure: vault, identity, role, and Flux, which installs the chart from Git.
//
//   az deployment group create --resource-group RG --template-file main.bicep --parameters example.bicepparam
//
// Run again it changes what differs, with one exception: Key Vault's resource provider makes a key that is not there and
// never changes one that is. README.md says what was checked and what was not.

targetScope = 'resourceGroup'

@description('Where opening keys live. docs/azure.md says what each protects against, and what not.')
@allowed([
  'key-vault-wrapped'
  'key-vault-secret'
])
param custody string

@description('Region of all that is made.')
param location string = resourceGroup().location

@description('Name of the vault, unique in the whole cloud. It is for Privyseal alone: a vault has one budget of calls and one firewall.')
@minLength(3)
@maxLength(24)
param vaultName string = 'privyseal-${uniqueString(resourceGroup().id)}'

@description('Name of the user-assigned identity that the controller is in Azure.')
param identityName string = 'privyseal'

@description('The AKS cluster. It has a managed identity and, if it is there already, an OIDC issuer.')
param clusterName string

@description('Resource group of the cluster.')
param clusterResourceGroup string = resourceGroup().name

@description('Makes the cluster. Otherwise it has to be there.')
param createCluster bool = false

@description('Nodes of a new cluster.')
@minValue(1)
param nodeCount int = 3

@description('Size of the nodes of a new cluster.')
param nodeVmSize string = 'Standard_D2as_v5'

@description('key-vault-wrapped: name of the key that wraps.')
param keyName string = 'privyseal'

@description('key-vault-wrapped: bits of the key. A start unwraps once for each opening key, so size costs nothing here.')
@allowed([
  3072
  4096
])
param keySize int = 3072

@description('key-vault-wrapped: keeps the key in a hardware module, in a vault of the SKU premium.')
param keyInHardware bool = false

@description('key-vault-secret: name of the secret that holds sealing keys. The publisher key is in the one with "-publisher" behind.')
@maxLength(117)
param secretName string = 'privyseal-sealing-key'

@description('key-vault-secret: the role holds for the two secrets, or for the whole vault. Take vault if Azure refuses to bind a role to a secret that is not there yet.')
@allowed([
  'secret'
  'vault'
])
param secretRoleScope string = 'secret'

@description('Disabled: the vault is reached by private endpoints alone, which you make.')
@allowed([
  'Enabled'
  'Disabled'
])
param publicNetworkAccess string = 'Enabled'

@description('Installs Flux in the cluster, and by it the chart.')
param installFlux bool = true

@description('Git repository with charts/privyseal and deploy/azure/flux in it, which the cluster can read: https://… or ssh://….')
param gitRepositoryUrl string = ''

@description('Branch of it.')
param gitBranch string = 'main'

@description('Registry from which the nodes pull the image privyseal-controller.')
param imageRegistry string = 'localhost'

// The chart's release in deploy/azure/flux makes a ServiceAccount of this name in this namespace.
var namespace = 'privyseal'
var serviceAccount = 'privyseal'

// As the controller's --azure-cloud calls it.
var clouds = {
  AzureCloud: 'public'
  AzureUSGovernment: 'government'
  AzureChinaCloud: 'china'
}

module newCluster 'modules/cluster.bicep' = if (createCluster) {
  name: 'privyseal-cluster'
  scope: resourceGroup(clusterResourceGroup)
  params: {
    name: clusterName
    location: location
    nodeCount: nodeCount
    nodeVmSize: nodeVmSize
  }
}

module identity 'modules/identity.bicep' = {
  name: 'privyseal-identity'
  params: {
    name: identityName
    location: location
    clusterName: clusterName
    clusterResourceGroup: clusterResourceGroup
    namespace: namespace
    serviceAccount: serviceAccount
  }
  dependsOn: [
    newCluster
  ]
}

module vault 'modules/vault.bicep' = {
  name: 'privyseal-vault'
  params: {
    name: vaultName
    location: location
    custody: custody
    principalId: identity.outputs.principalId
    keyName: keyName
    keySize: keySize
    keyInHardware: keyInHardware
    secretName: secretName
    secretRoleScope: secretRoleScope
    publicNetworkAccess: publicNetworkAccess
  }
}

module flux 'modules/flux.bicep' = if (installFlux) {
  name: 'privyseal-flux'
  scope: resourceGroup(clusterResourceGroup)
  params: {
    clusterName: clusterName
    gitRepositoryUrl: gitRepositoryUrl
    gitBranch: gitBranch
    // deploy/azure/flux uses these, and no others.
    substitute: {
      privyseal_custody: custody
      privyseal_key_vault_url: vault.outputs.url
      privyseal_key_vault_key: keyName
      privyseal_key_vault_secret: secretName
      privyseal_client_id: identity.outputs.clientId
      privyseal_tenant_id: identity.outputs.tenantId
      privyseal_azure_cloud: clouds[environment().name]
      privyseal_image_registry: imageRegistry
    }
  }
}

output keyVaultUrl string = vault.outputs.url
output clientId string = identity.outputs.clientId
output tenantId string = identity.outputs.tenantId
