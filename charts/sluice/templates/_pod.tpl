{{/* No version of the chart among the labels: one that changes nothing else would replace all pods. */}}
{{/* What the pods of every component have in common: dict root, name, values, hostNetwork. */}}
{{- define "sluice.podmetadata" -}}
labels:
  {{- toYaml (merge (include "sluice.selector" . | fromYaml) .values.podLabels .root.Values.commonLabels) | nindent 2 }}
annotations:
  {{- toYaml (merge (dict) .values.podAnnotations (dict "kubectl.kubernetes.io/default-container" "sluice")) | nindent 2 }}
{{- end }}

{{/* Of pods that are not root: dict values, sysctls. What the values say goes before what is usual; both lists of sysctls count. */}}
{{- define "sluice.podsecurity" -}}
{{- $said := .values.podSecurityContext }}
{{- $context := merge (dict) $said (dict "runAsNonRoot" true "fsGroup" 65532) }}
{{- with concat (default list .sysctls) (default list $said.sysctls) }}{{ $_ := set $context "sysctls" . }}{{ end }}
{{- toYaml $context }}
{{- end }}

{{- define "sluice.podsettings" -}}
serviceAccountName: {{ include "sluice.serviceaccount" . }}
{{- $secrets := concat .root.Values.imagePullSecrets .root.Values.global.imagePullSecrets }}
{{- with $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .hostNetwork }}
hostNetwork: true
{{- end }}
dnsPolicy: {{ default (ternary "ClusterFirstWithHostNet" "ClusterFirst" (default false .hostNetwork)) .values.dnsPolicy }}
{{- with .values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
{{- if .values.priorityClassName }}
priorityClassName: {{ .values.priorityClassName }}
{{- else if and .root.Values.priorityClass.create (ne .name "edge") }}
priorityClassName: {{ include "sluice.priorityclass" .root }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.extraInitContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Soft by default: a cluster of one node or one zone has to do, too. dict root, name, values, isDaemonSet. */}}
{{- define "sluice.spread" -}}
{{- $labels := dict "matchLabels" (include "sluice.selector" . | fromYaml) }}
{{- $constraints := .values.topologySpreadConstraints }}
{{- if not $constraints }}
{{- $constraints = list }}
{{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
{{- $constraints = append $constraints (dict "maxSkew" 1 "topologyKey" . "whenUnsatisfiable" "ScheduleAnyway" "matchLabelKeys" (list "pod-template-hash")) }}
{{- end }}
{{- end }}
topologySpreadConstraints:
{{- range $constraints }}
  - {{ toYaml (merge (dict) . (dict "labelSelector" $labels)) | nindent 4 | trim }}
{{- end }}
{{- end }}

{{- define "sluice.securitycontext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
capabilities:
  drop: [ALL]
{{- end }}

{{/* Flags of a map, sorted; what is null or empty is a switch. */}}
{{- define "sluice.extraargs" -}}
{{- range $name, $value := .values.extraArgs }}
{{- if or (kindIs "invalid" $value) (eq (toString $value) "") }}
- --{{ $name }}
{{- else if kindIs "float64" $value }}
- {{ printf "--%s=%s" $name (toJson $value) | quote }}
{{- else }}
- {{ printf "--%s=%v" $name $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* dict port, optionally startSeconds. The pages answer quickly; a process that does not for two minutes is stuck, and one that waits for a busy machine must not be made to start again. */}}
{{- define "sluice.probes" -}}
livenessProbe:
  httpGet: { path: /healthz, port: {{ .port }} }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 12
readinessProbe:
  httpGet: { path: /readyz, port: {{ .port }} }
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 6
{{- end }}

{{/* What a component needs that follows controllers: the authority by which it knows them, and the token that they know. */}}
{{- define "sluice.followvolume" -}}
- name: controllers
  projected:
    defaultMode: 0440
    sources:
      - secret:
          name: sluice-authority
          items: [{ key: ca.crt, path: ca.crt }]
      - serviceAccountToken:
          audience: sluice
          expirationSeconds: 3600
          path: token
{{- end }}

{{/* Mounted whole: what is mounted by subPath stays as it was at the start. A pod runs without it, too. */}}
{{- define "sluice.loglevelvolume" -}}
- { name: log-level, configMap: { name: {{ include "sluice.fullname" . }}-log-level, optional: true } }
{{- end }}

{{- define "sluice.loglevelmount" -}}
- { name: log-level, mountPath: /run/log-level, readOnly: true }
{{- end }}
