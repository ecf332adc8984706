using './main.bicep'

param custody = 'key-vault-wrapped'
param clusterName = 'prod'
param gitRepositoryUrl = 'https://git.example.com/platform/privyseal.git'
param imageRegistry = 'registry.example.com'
