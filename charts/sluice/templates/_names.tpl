{{/* Names, labels and images. Templates of a component take a dict: root (the context), name (of the component), values (its values). */}}

{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "sluice.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sluice.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end }}

{{- define "sluice.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end }}

{{/* Of the objects of a component: sluice-proxy. */}}
{{- define "sluice.componentname" -}}
{{- printf "%s-%s" (include "sluice.fullname" .root) .name -}}
{{- end }}

{{/* What selects the pods of a component; never changes in the life of a release. */}}
{{- define "sluice.selector" -}}
app.kubernetes.io/name: {{ include "sluice.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .name }}
{{- end }}

{{/* Those of commonLabels go before what selects nothing. */}}
{{- define "sluice.labels" -}}
{{- $usual := dict "helm.sh/chart" (printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_")) "app.kubernetes.io/version" .Chart.AppVersion "app.kubernetes.io/part-of" (include "sluice.name" .) }}
{{- $fixed := dict "app.kubernetes.io/name" (include "sluice.name" .) "app.kubernetes.io/instance" .Release.Name "app.kubernetes.io/managed-by" .Release.Service }}
{{- toYaml (merge $fixed .Values.commonLabels $usual) }}
{{- end }}

{{/* metadata of an object without a component: dict root, name, optionally namespaced (true), labels, annotations. */}}
{{- define "sluice.metadata" -}}
name: {{ .name }}
{{- if .namespaced }}
namespace: {{ default (include "sluice.namespace" .root) .namespace }}
{{- end }}
{{- $labels := merge (dict) (default dict .labels) (include "sluice.labels" .root | fromYaml) }}
{{- with .component }}{{ $_ := set $labels "app.kubernetes.io/component" . }}{{ end }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- $annotations := merge (dict) (default dict .annotations) .root.Values.commonAnnotations }}
{{- if $annotations }}
annotations:
  {{- range $name, $value := $annotations }}
  {{ $name }}: {{ $value | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "sluice.serviceaccount" -}}
{{- if .values.serviceAccount.create -}}
{{- default (include "sluice.componentname" .) .values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .values.serviceAccount.name -}}
{{- end -}}
{{- end }}

{{/* dict root, image (values of it). */}}
{{- define "sluice.image" -}}
{{- $registry := default .image.registry .root.Values.global.imageRegistry -}}
{{- $tag := default .root.Chart.AppVersion .image.tag -}}
{{- $name := .image.repository -}}
{{- if $registry }}{{ $name = printf "%s/%s" $registry .image.repository }}{{ end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $name .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name $tag -}}
{{- end -}}
{{- end }}

{{/* The name under which all controllers are found. */}}
{{- define "sluice.controllerurl" -}}
https://{{ include "sluice.componentname" (dict "root" . "name" "controller") }}.{{ include "sluice.namespace" . }}.svc:{{ .Values.controller.containerPort.publish }}
{{- end }}

{{- define "sluice.priorityclass" -}}
{{- default (include "sluice.fullname" .) .Values.priorityClass.name -}}
{{- end }}
