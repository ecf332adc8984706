output "key_vault_url" {
  description = "Value keyVault.url of the chart."
  value       = azurerm_key_vault.this.vault_uri
}

output "client_id" {
  description = "Value azure.clientId of the chart."
  value       = azurerm_user_assigned_identity.controller.client_id
}

output "tenant_id" {
  description = "Value azure.tenantId of the chart."
  value       = azurerm_user_assigned_identity.controller.tenant_id
}
