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
{{- range .Values.escrow.recipients }}
{{- $args = append $args (printf "--escrow-recipient=%s" .) }}
{{- end }}
{{- range .Values.allowMetadata }}
{{- $args = append $args (printf "--allow-metadata=%s" .) }}
{{- end }}
{{- concat $args .Values.extraArgs | toYaml }}
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
