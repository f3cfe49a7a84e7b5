{{/* Values that cannot be together end with a sentence; those that are odd become a warning of NOTES.txt. */}}
{{- define "sluice.checks" -}}
{{- with .Values.proxy }}
{{- if and .autoscaling.enabled .keda.enabled }}
{{- fail "proxy.autoscaling and proxy.keda would both scale the proxies: enable one of them." }}
{{- end }}
{{- if and (eq .kind "DaemonSet") (or .autoscaling.enabled .keda.enabled) }}
{{- fail "proxy.kind DaemonSet runs one pod on each node and cannot be scaled: use kind Deployment, or disable proxy.autoscaling and proxy.keda." }}
{{- end }}
{{- if and .autoscaling.enabled (not (or .autoscaling.targetCPUUtilizationPercentage .autoscaling.targetMemoryUtilizationPercentage .autoscalingTemplate)) }}
{{- fail "proxy.autoscaling has nothing to scale by: give targetCPUUtilizationPercentage, targetMemoryUtilizationPercentage or proxy.autoscalingTemplate." }}
{{- end }}
{{- if and .keda.enabled (not .keda.triggers) }}
{{- fail "proxy.keda has nothing to scale by: give proxy.keda.triggers." }}
{{- end }}
{{- if and .hostPort.enabled .hostNetwork }}
{{- fail "proxy.hostNetwork opens proxy.containerPort on the node already: disable proxy.hostPort." }}
{{- end }}
{{- if and .enabled .service.enabled (not (or .service.enableHttp .service.enableHttps $.Values.tcp $.Values.udp)) }}
{{- fail "proxy.service has no port left: enable enableHttp or enableHttps, or disable proxy.service." }}
{{- end }}
{{- if lt (int .terminationGracePeriodSeconds) (add (int .drainDelaySeconds) 10 | int) }}
{{- fail (printf "proxy.terminationGracePeriodSeconds (%d) leaves no time after proxy.drainDelaySeconds (%d): it must be at least 10 seconds more." (int .terminationGracePeriodSeconds) (int .drainDelaySeconds)) }}
{{- end }}
{{- if gt (int .terminationGracePeriodSeconds) 1728000 }}
{{- fail (printf "proxy.terminationGracePeriodSeconds (%d) is more than a proxy can wait: at most 1728000." (int .terminationGracePeriodSeconds)) }}
{{- end }}
{{- range $transport := list "tcp" "udp" }}
{{- range $port, $target := index $.Values $transport }}
{{- if or (not (regexMatch "^[0-9]+$" $port)) (gt (int $port) 65535) (lt (int $port) 1) }}
{{- fail (printf "%s.%s: a port is a number from 1 to 65535." $transport $port) }}
{{- end }}
{{- if and (eq $transport "tcp") (has (int $port) (list (int $.Values.proxy.containerPort.http) (int $.Values.proxy.containerPort.https) (int $.Values.proxy.containerPort.admin))) }}
{{- fail (printf "tcp.%s: proxy.containerPort has this port already." $port) }}
{{- end }}
{{- if and (eq $transport "tcp") $.Values.proxy.service.enabled (has (int $port) (list (int $.Values.proxy.service.ports.http) (int $.Values.proxy.service.ports.https))) }}
{{- fail (printf "tcp.%s: proxy.service.ports has this port already." $port) }}
{{- end }}
{{- $name := include "sluice.l4portname" (dict "root" $ "port" $port "transport" $transport) }}
{{- if gt (len $name) 15 }}
{{- fail (printf "portNamePrefix: %s is longer than the 15 characters that the name of a port may have." $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $path, $labels := dict "commonLabels" .Values.commonLabels "controller.podLabels" .Values.controller.podLabels "proxy.podLabels" .Values.proxy.podLabels "edge.podLabels" .Values.edge.podLabels }}
{{- range $name := list "name" "instance" "component" "managed-by" }}
{{- if hasKey $labels (printf "app.kubernetes.io/%s" $name) }}
{{- fail (printf "%s: app.kubernetes.io/%s says whose an object is, and Services find pods by it: use another label, or nameOverride for the name." $path $name) }}
{{- end }}
{{- end }}
{{- end }}
{{- range (lookup "apps/v1" "Deployment" (include "sluice.namespace" .) "").items }}
{{- $labels := default dict .metadata.labels }}
{{- $isController := and (hasPrefix "sluice-" (default "" (index $labels "helm.sh/chart"))) (eq "controller" (default "" (index $labels "app.kubernetes.io/component"))) }}
{{- if and $isController (ne $.Release.Name (default "" (index $labels "app.kubernetes.io/instance"))) }}
{{- fail (printf "Release %s is in namespace %s already. Both would keep their keys in the same Secrets, and the end of one would be that of the other: give each release a namespace of its own." (index $labels "app.kubernetes.io/instance") .metadata.namespace) }}
{{- end }}
{{- end }}
{{- if and .Values.edge.enabled .Values.controller.scope.enabled }}
{{- fail "edge.enabled needs all namespaces, or an address could be given twice: disable controller.scope." }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
{{- fail "metrics.serviceMonitor and metrics.podMonitor would both collect every sample: enable one of them." }}
{{- end }}
{{- if regexMatch "^[a-z]+://[^/@]*:[^/@]+@" .Values.redis.url }}
{{- fail "redis.url: everybody who may see pods would see the password in it: keep it in a Secret, and name that in redis.existingSecret." }}
{{- end }}
{{- if and (not .Values.redis.url) (or .Values.redis.existingSecret.name .Values.redis.existingCa.name) }}
{{- fail "redis.existingSecret and redis.existingCa are for a Redis: give redis.url." }}
{{- end }}
{{- end }}

{{- define "sluice.warnings" -}}
{{- with .Values.proxy }}
{{- if and .enabled .hostNetwork (include "sluice.lowports" $) }}
- proxy.hostNetwork: ports below 1024 ({{ include "sluice.lowports" $ | trim }}) can be opened by root only, unless
  net.ipv4.ip_unprivileged_port_start of the nodes says otherwise. proxy.hostPort opens them without.
{{- end }}
{{- if and .enabled .hostNetwork $.Values.controller.hostNetwork (eq (int .containerPort.admin) (int $.Values.controller.containerPort.admin)) }}
- controller.hostNetwork and proxy.hostNetwork: port {{ .containerPort.admin }} of a node would be the admin port of both, so no node runs both. Another
  proxy.containerPort.admin lets it.
{{- end }}
{{- if and .enabled (not .service.enabled) (not .hostPort.enabled) (not .hostNetwork) }}
- Nothing leads to the proxies: enable proxy.service, proxy.hostPort or proxy.hostNetwork.
{{- end }}
{{- if and .enabled (eq .kind "Deployment") (eq (int .replicaCount) 1) (not .autoscaling.enabled) (not .keda.enabled) }}
- There is one proxy: while its node is emptied or lost, nothing is served.
{{- end }}
{{- $min := .podDisruptionBudget.minAvailable }}
{{- if and .podDisruptionBudget.enabled (not (kindIs "invalid" $min)) (not (kindIs "string" $min)) (gt (int .replicaCount) 1) (ge (int $min) (int .replicaCount)) }}
- proxy.podDisruptionBudget.minAvailable is all there are: no node with a proxy can be emptied.
{{- end }}
{{- end }}
{{- with .Values.controller }}
{{- $hasService := and $.Values.proxy.enabled $.Values.proxy.service.enabled }}
{{- if and (not .statusAddress) (or (not .publishService.enabled) (not (or .publishService.pathOverride $hasService))) }}
- Ingresses get no address, which external-dns and others wait for: enable controller.publishService or give controller.statusAddress.
{{- end }}
{{- end }}
{{- if and .Values.edge.enabled (eq .Values.edge.services "all") (not .Values.edge.controllers) }}
- edge.services is all: without kube-proxy no name is resolved before the edges work, so they need edge.controllers, and
  controllers need controller.apiServer.
{{- end }}
{{- if and .Values.edge.enabled (not .Values.crds.enabled) }}
- The edge takes its addresses from AddressPools, and crds.enabled is false: install charts/sluice/files/crds.yaml yourself.
{{- end }}
{{- if .Values.crds.enabled }}
{{- with include "sluice.ownerofcrd" (dict "root" . "name" "addresspools.sluice.dev") }}
- The definitions of AddressPool and the others are there already and belong to {{ . }}: this release neither changes nor
  upgrades them. To let it, upgrade once more after
  kubectl label --overwrite crd {{ include "sluice.crdnames" $ }} app.kubernetes.io/managed-by=Helm
  kubectl annotate --overwrite crd {{ include "sluice.crdnames" $ }} meta.helm.sh/release-name={{ $.Release.Name }} meta.helm.sh/release-namespace={{ $.Release.Namespace }}
{{- end }}
{{- end }}
{{- end }}
