// Flux in the cluster, and what it installs: deploy/azure/flux of a Git repository.

param clusterName string
param gitRepositoryUrl string
param gitBranch string
param substitute object

resource cluster 'Microsoft.ContainerService/managedClusters@2024-09-01' existing = {
  name: clusterName
}

resource extension 'Microsoft.KubernetesConfiguration/extensions@2023-05-01' = {
  name: 'flux'
  scope: cluster
  properties: {
    extensionType: 'microsoft.flux'
    autoUpgradeMinorVersion: true
  }
}

resource configuration 'Microsoft.KubernetesConfiguration/fluxConfigurations@2025-04-01' = {
  name: 'privyseal'
  scope: cluster
  properties: {
    // The chart makes cluster roles.
    scope: 'cluster'
    // The extension lets Flux's objects refer to their own namespace alone, so GitRepository and HelmRelease share this one.
    // It is not the controller's: whoever may change them there would hold the keys.
    namespace: 'privyseal-flux'
    sourceKind: 'GitRepository'
    gitRepository: {
      url: gitRepositoryUrl
      repositoryRef: {
        branch: gitBranch
      }
      syncIntervalInSeconds: 300
      timeoutInSeconds: 180
    }
    kustomizations: {
      controller: {
        path: './deploy/azure/flux'
        // What is taken out of Git stays in the cluster: with the namespace the keys would go.
        prune: false
        wait: true
        syncIntervalInSeconds: 600
        retryIntervalInSeconds: 60
        timeoutInSeconds: 1200
        postBuild: {
          substitute: substitute
        }
      }
    }
  }
  dependsOn: [
    extension
  ]
}
