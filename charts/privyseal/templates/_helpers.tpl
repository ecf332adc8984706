{{/* The name in the label app.kubernetes.io/name. */}}
{{- define "privyseal.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What everything is called. Short enough that "-metrics" still makes the name of a Service. */}}
{{- define "privyseal.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" }}
{{- else if contains (include "privyseal.name" .) .Release.Name }}
{{- .Release.Name | trunc 55 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "privyseal.name" .) | trunc 55 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The namespace of the controller, its keys and its Lease. */}}
{{- define "privyseal.namespace" -}}
{{- default .Release.Namespace .Values.namespace }}
{{- end }}

{{/* The ServiceAccount's name. */}}
{{- define "privyseal.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "privyseal.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The ClusterRole's name. */}}
{{- define "privyseal.clusterRoleName" -}}
{{- default (include "privyseal.fullname" .) .Values.rbac.clusterRoleName }}
{{- end }}

{{/* What never changes over a release's life, since selectors cannot. */}}
{{- define "privyseal.selectorLabels" -}}
app.kubernetes.io/name: {{ include "privyseal.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of an object: ours win over those of the values. Takes a dict with root and, maybe, labels. */}}
{{- define "privyseal.labels" -}}
{{- $root := .root }}
{{- $ours := include "privyseal.selectorLabels" $root | fromYaml }}
{{- $_ := set $ours "app.kubernetes.io/version" ($root.Chart.AppVersion | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- $_ := set $ours "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") }}
{{- merge $ours (.labels | default dict) $root.Values.commonLabels | toYaml }}
{{- end }}

{{/*
The metadata of an object. Takes a dict with root and, maybe: name (default: the full name), clusterScoped, labels,
annotations.
*/}}
{{- define "privyseal.metadata" -}}
{{- $root := .root }}
{{- $annotations := merge dict (.annotations | default dict) $root.Values.commonAnnotations -}}
name: {{ default (include "privyseal.fullname" $root) .name }}
{{- if not .clusterScoped }}
namespace: {{ include "privyseal.namespace" $root }}
{{- end }}
labels:
  {{- include "privyseal.labels" . | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The container's image. A digest wins over a tag. */}}
{{- define "privyseal.image" -}}
{{- $image := .Values.image }}
{{- $repository := $image.repository }}
{{- if $image.registry }}
{{- $repository = printf "%s/%s" (trimSuffix "/" $image.registry) $image.repository }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/* The controller's flags. Where a value is empty the controller's own default stands. */}}
{{- define "privyseal.args" -}}
{{- $args := list }}
{{- range $flag, $value := dict
  "deletion-policy" .Values.deletionPolicy
  "key-prefix" .Values.secretName
  "key-renew-period" .Values.keyrenewperiod
  "key-size" .Values.keySize
  "key-ttl" .Values.keyttl
  "log-format" .Values.logFormat
  "log-level" .Values.logLevel
  "my-cn" .Values.myCN
  "workers" .Values.workers
}}
{{- if ne (toString $value) "" }}
{{- $args = append $args (printf "--%s=%s" $flag (toString $value)) }}
{{- end }}
{{- end }}
{{- $vault := include "privyseal.vaultFlags" . | fromYaml }}
{{- range $flag, $value := $vault }}
{{- if ne (toString $value) "" }}
{{- $args = append $args (printf "--%s=%s" $flag (toString $value)) }}
{{- end }}
{{- end }}
{{- if .Values.keyVault.url }}
{{- range (.Values.keyVault.hsm).versions }}
{{- $args = append $args (printf "--hsm-key-version=%s" .) }}
{{- end }}
{{- end }}
{{- range .Values.escrow.recipients }}
{{- $args = append $args (printf "--escrow-recipient=%s" .) }}
{{- end }}
{{- if .Values.escrow.allowClassical }}
{{- $args = append $args "--escrow-allow-classical" }}
{{- end }}
{{- range .Values.allowMetadata }}
{{- $args = append $args (printf "--allow-metadata=%s" .) }}
{{- end }}
{{- concat $args .Values.extraArgs | toYaml }}
{{- end }}

{{/* Flags of custody, as a YAML map. Without a vault there are none: custody cluster is the controller's default. */}}
{{- define "privyseal.vaultFlags" -}}
{{- $flags := dict }}
{{- if ne .Values.custody "cluster" }}
{{- $_ := set $flags "custody" .Values.custody }}
{{- end }}
{{- with .Values.keyVault }}
{{- if .url }}
{{- $azure := $.Values.azure }}
{{- $_ := set $flags "key-vault-url" .url }}
{{- $_ := set $flags "key-vault-key" .key }}
{{- $_ := set $flags "key-vault-secret" .secret }}
{{- $_ := set $flags "key-vault-poll-interval" .pollInterval }}
{{- $_ := set $flags "key-vault-budget" (toString .budget) }}
{{- with .hsm }}
{{- if .key }}
{{- $_ := set $flags "hsm-key" .key }}
{{- $_ := set $flags "hsm-budget" (toString .budget) }}
{{- $_ := set $flags "hsm-cache" (toString .cache) }}
{{- $_ := set $flags "hsm-cache-ttl" .cacheTtl }}
{{- end }}
{{- end }}
{{- $_ := set $flags "azure-credential" $azure.credential }}
{{- $_ := set $flags "azure-cloud" $azure.cloud }}
{{- if $azure.ca.configMap }}
{{- $_ := set $flags "azure-ca-file" (printf "%s/ca.crt" (include "privyseal.azureCaFolder" $)) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $flags }}
{{- end }}

{{/* Where the ServiceAccount's token for Azure is mounted: not where the webhook of Azure Workload Identity mounts its own. */}}
{{- define "privyseal.azureTokenFolder" -}}
/var/run/secrets/privyseal.dev/azure
{{- end }}

{{/* Where the certificates for calls to Azure are mounted. */}}
{{- define "privyseal.azureCaFolder" -}}
/etc/privyseal/azure-ca
{{- end }}

{{/* Environment of the container with a vault. The client secret comes by no other way, since flags are seen by all. */}}
{{- define "privyseal.azureEnv" -}}
{{- $env := list }}
{{- with .Values.azure }}
{{- range $name, $value := dict
  "AZURE_AUTHORITY_HOST" .authorityHost
  "AZURE_CLIENT_ID" .clientId
  "AZURE_TENANT_ID" .tenantId
}}
{{- if $value }}
{{- $env = append $env (dict "name" $name "value" $value) }}
{{- end }}
{{- end }}
{{- if eq .credential "workload-identity" }}
{{- $file := printf "%s/token" (include "privyseal.azureTokenFolder" $) }}
{{- $env = append $env (dict "name" "AZURE_FEDERATED_TOKEN_FILE" "value" $file) }}
{{- else if eq .credential "client-secret" }}
{{- $ref := dict "name" .clientSecret.secret "key" .clientSecret.key }}
{{- $env = append $env (dict "name" "AZURE_CLIENT_SECRET" "valueFrom" (dict "secretKeyRef" $ref)) }}
{{- end }}
{{- end }}
{{- with $env }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{/* Not empty if the pod asks for a token of its ServiceAccount that Azure takes. */}}
{{- define "privyseal.hasAzureToken" -}}
{{- if and .Values.keyVault.url (eq .Values.azure.credential "workload-identity") }}yes{{ end }}
{{- end }}

{{/* Volumes of the pod with a vault. */}}
{{- define "privyseal.azureVolumes" -}}
{{- if include "privyseal.hasAzureToken" . }}
- name: azure-token
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ .Values.azure.tokenAudience | default "api://AzureADTokenExchange" }}
          expirationSeconds: {{ .Values.azure.tokenExpirationSeconds }}
          path: token
{{- end }}
{{- if and .Values.keyVault.url .Values.azure.ca.configMap }}
- name: azure-ca
  configMap:
    name: {{ .Values.azure.ca.configMap }}
    items:
      - key: {{ .Values.azure.ca.key | quote }}
        path: ca.crt
{{- end }}
{{- end }}

{{/* Where the container has them. */}}
{{- define "privyseal.azureVolumeMounts" -}}
{{- if include "privyseal.hasAzureToken" . }}
- name: azure-token
  mountPath: {{ include "privyseal.azureTokenFolder" . }}
  readOnly: true
{{- end }}
{{- if and .Values.keyVault.url .Values.azure.ca.configMap }}
- name: azure-ca
  mountPath: {{ include "privyseal.azureCaFolder" . }}
  readOnly: true
{{- end }}
{{- end }}

{{/*
Fails if values do not make a custody that can work: better now than a controller that ends as soon as it starts.
Gives nothing.
*/}}
{{- define "privyseal.checkCustody" -}}
{{- $url := .Values.keyVault.url }}
{{- if and (hasPrefix "key-vault-" .Values.custody) (not $url) }}
{{- fail (printf "keyVault.url is empty, and custody %s needs it: set it to the vault's address, such as https://NAME.vault.azure.net" .Values.custody) }}
{{- end }}
{{- if and (.Values.keyVault.hsm).key (not $url) }}
{{- fail "keyVault.url is empty, and keyVault.hsm.key needs it: set it to the vault's address, such as https://NAME.vault.azure.net" }}
{{- end }}
{{- if $url }}
{{- if not (regexMatch "^https://[^/?#@[:space:]]+/?$" $url) }}
{{- fail (printf "keyVault.url is %q: set it to https:// and the vault's host, with nothing behind it, such as https://NAME.vault.azure.net" $url) }}
{{- end }}
{{- $azure := .Values.azure }}
{{- if has $azure.credential (list "workload-identity" "client-secret") }}
{{- range $name := list "clientId" "tenantId" }}
{{- if not (get $azure $name) }}
{{- $of := ternary "the identity that trusts the controller's ServiceAccount" "the application" (eq $azure.credential "workload-identity") }}
{{- fail (printf "azure.%s is empty, and azure.credential %s needs it: set it to the %s of %s" $name $azure.credential (ternary "client id" "tenant's id" (eq $name "clientId")) $of) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (eq $azure.credential "client-secret") (not $azure.clientSecret.secret) }}
{{- fail (printf "azure.clientSecret.secret is empty, and azure.credential client-secret needs it: make a Secret in the namespace %s with the item %s, and set this to its name" (include "privyseal.namespace" .) $azure.clientSecret.key) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A probe of the port "http". Takes a dict with probe and path. */}}
{{- define "privyseal.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
{{ omit .probe "enabled" | toYaml }}
{{- end }}

{{/* Subjects of a RoleBinding, as a list or, as in the peer's chart, as text. */}}
{{- define "privyseal.subjects" -}}
{{- if kindIs "string" . }}
{{- trim . }}
{{- else }}
{{- toYaml . }}
{{- end }}
{{- end }}
