// A cluster with an OIDC issuer, on which NetworkPolicies hold. Whatever else a cluster of yours has to have is not here.

param name string
param location string
param nodeCount int
param nodeVmSize string

resource cluster 'Microsoft.ContainerService/managedClusters@2024-09-01' = {
  name: name
  location: location
  sku: {
    name: 'Base'
    tier: 'Standard'
  }
  // The extension microsoft.flux wants a cluster with a managed identity.
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    dnsPrefix: name
    agentPoolProfiles: [
      {
        name: 'system'
        mode: 'System'
        type: 'VirtualMachineScaleSets'
        count: nodeCount
        vmSize: nodeVmSize
        osType: 'Linux'
      }
    ]
    networkProfile: {
      networkPlugin: 'azure'
      networkPluginMode: 'overlay'
      networkDataplane: 'cilium'
      networkPolicy: 'cilium'
    }
    // Entra ID asks it whether a ServiceAccount's token is genuine. The webhook of workload identity
    // (securityProfile.workloadIdentity) is not needed: the chart asks for its token itself.
    oidcIssuerProfile: {
      enabled: true
    }
  }
}
