{{/* 15 characters at most: "prefix-5432-tcp". dict root, port, transport. */}}
{{- define "sluice.l4portname" -}}
{{- $prefix := .root.Values.portNamePrefix -}}
{{- if $prefix }}{{ $prefix }}-{{ end }}{{ .port }}-{{ .transport -}}
{{- end }}

{{/* Not empty: a port is opened for which a process needs a permission. */}}
{{- define "sluice.lowports" -}}
{{- $ports := concat (keys .Values.tcp) (keys .Values.udp) (list .Values.proxy.containerPort.http .Values.proxy.containerPort.https) -}}
{{- range $ports }}{{ if lt (int .) 1024 }}{{ . }} {{ end }}{{ end -}}
{{- end }}
