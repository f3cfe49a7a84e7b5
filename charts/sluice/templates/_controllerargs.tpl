{{- define "sluice.controllerargs" -}}
{{- $namespace := include "sluice.namespace" . }}
{{- $fullname := include "sluice.fullname" . }}
{{- with .Values.controller -}}
- --controller-namespace={{ $namespace }}
- --leader-election-id={{ $fullname }}-controller
- --ingress-class={{ .ingressClassResource.name }}
- --controller-class={{ .ingressClassResource.controllerValue }}
{{- range .adoptControllerClass }}
- --adopt-controller-class={{ . }}
{{- end }}
{{- if .watchIngressWithoutClass }}
- --watch-ingress-without-class
{{- end }}
- --proxy-service-account={{ $namespace }}/{{ include "sluice.serviceaccount" (dict "root" $ "name" "proxy" "values" $.Values.proxy) }}
- --configmap={{ $namespace }}/{{ $fullname }}
{{- if $.Values.tcp }}
- --tcp-services-configmap={{ $namespace }}/{{ $fullname }}-tcp
{{- end }}
{{- if $.Values.udp }}
- --udp-services-configmap={{ $namespace }}/{{ $fullname }}-udp
{{- end }}
{{- with .defaultSslCertificate }}
- --default-ssl-certificate={{ . }}
{{- end }}
{{- with .defaultBackendService }}
- --default-backend-service={{ . }}
{{- end }}
{{- if .statusAddress }}
{{- range .statusAddress }}
- --publish-address={{ . }}
{{- end }}
{{- else if and .publishService.enabled (or .publishService.pathOverride (and $.Values.proxy.enabled $.Values.proxy.service.enabled)) }}
- --publish-service={{ default (printf "%s/%s-proxy" $namespace $fullname) .publishService.pathOverride }}
{{- end }}
{{- $ports := ternary $.Values.proxy.hostPort.ports $.Values.proxy.service.ports $.Values.proxy.hostPort.enabled }}
{{- if and $.Values.proxy.hostNetwork (not $.Values.proxy.service.enabled) }}
{{- $ports = $.Values.proxy.containerPort }}
{{- end }}
- --public-http-port={{ $ports.http }}
- --public-https-port={{ $ports.https }}
{{- if .scope.enabled }}
{{- range default (list $namespace) .scope.namespaces }}
- --namespace={{ . }}
{{- end }}
{{- end }}
{{- if $.Values.edge.enabled }}
- --edge
- --load-balancer-class={{ $.Values.edge.loadBalancerClass }}
{{- if $.Values.edge.watchServiceWithoutClass }}
- --watch-service-without-class
{{- end }}
- --edge-service-account={{ $namespace }}/{{ include "sluice.serviceaccount" (dict "root" $ "name" "edge" "values" $.Values.edge) }}
{{- end }}
{{- if .admissionWebhooks.enabled }}
- --webhook-port={{ .admissionWebhooks.port }}
- --webhook-service={{ $namespace }}/{{ $fullname }}-admission
- --webhook-configuration={{ include "sluice.webhookname" $ }}
{{- end }}
- --publish-port={{ .containerPort.publish }}
- --admin-port={{ .containerPort.admin }}
- --log-level-file=/run/log-level/controller
{{- end }}
{{- end }}

{{- define "sluice.webhookname" -}}
{{- printf "%s-%s" (include "sluice.namespace" .) (include "sluice.fullname" .) -}}
{{- end }}
