{{/* What everything is called, and its labels. */}}

{{- define "landseries.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels that select a component's pods: (list $ "component") */}}
{{- define "landseries.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Chart.Name }}
app.kubernetes.io/instance: {{ $root.Release.Name | quote }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* All labels of a component: (list $ "component") */}}
{{- define "landseries.labels" -}}
{{- $root := index . 0 -}}
{{ include "landseries.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end }}

{{/* An image: (list $ "name") */}}
{{- define "landseries.image" -}}
{{- $root := index . 0 -}}
{{ $root.Values.image.registry }}/{{ index . 1 }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}
{{- end }}

{{/* A service's settings over the defaults, as YAML: (list $ "service") */}}
{{- define "landseries.settings" -}}
{{- $root := index . 0 -}}
{{ toYaml (mergeOverwrite (deepCopy $root.Values.defaults) (deepCopy (index $root.Values.services (index . 1) | default dict))) }}
{{- end }}

{{- define "landseries.brokerSecret" -}}
{{- if .Values.rabbitmq.enabled }}{{ include "landseries.name" . }}-broker{{ else }}{{ required "broker.existingSecret: name the secret with the broker's passwords, or set rabbitmq.enabled to try out" .Values.broker.existingSecret }}{{ end }}
{{- end }}

{{- define "landseries.adminSecret" -}}
{{- if .Values.rabbitmq.enabled }}{{ include "landseries.name" . }}-broker-admin{{ else }}{{ required "broker.adminSecret: name the secret with `user` and `password` of an administrator, or set topology.enabled to false" .Values.broker.adminSecret }}{{ end }}
{{- end }}

{{- define "landseries.storeSecret" -}}
{{- if .Values.minio.enabled }}{{ include "landseries.name" . }}-store{{ else }}{{ required "store.existingSecret: name the secret with `accessKey` and `secretKey`, or set minio.enabled to try out" .Values.store.existingSecret }}{{ end }}
{{- end }}

{{- define "landseries.brokerUrl" -}}
{{- if .Values.rabbitmq.enabled }}amqp://{{ include "landseries.name" . }}-rabbitmq:5672{{ else }}{{ required "broker.url: write amqp(s)://HOST[:PORT], or set rabbitmq.enabled to try out" .Values.broker.url }}{{ end }}
{{- end }}

{{- define "landseries.managementUrl" -}}
{{- if .Values.rabbitmq.enabled }}http://{{ include "landseries.name" . }}-rabbitmq:15672{{ else }}{{ .Values.broker.managementUrl }}{{ end }}
{{- end }}

{{/* The same from another namespace. */}}
{{- define "landseries.managementUrlAnywhere" -}}
{{- if .Values.rabbitmq.enabled }}http://{{ include "landseries.name" . }}-rabbitmq.{{ .Release.Namespace }}.svc:15672{{ else }}{{ .Values.broker.managementUrl }}{{ end }}
{{- end }}

{{- define "landseries.storeUrl" -}}
{{- if .Values.minio.enabled }}http://{{ include "landseries.name" . }}-minio:9000{{ else }}{{ required "store.url: write http(s)://HOST[:PORT], or set minio.enabled to try out" .Values.store.url }}{{ end }}
{{- end }}

{{/* Who logs in to the broker, as YAML with `secret`, `key`, and `user` where it is known: (list $ "service"), "operator" or "admin" */}}
{{- define "landseries.login" -}}
{{- $root := index . 0 -}}
{{- $who := index . 1 -}}
{{- if eq $who "admin" -}}
secret: {{ include "landseries.adminSecret" $root | quote }}
key: password
{{- if $root.Values.rabbitmq.enabled }}
user: landseries-admin
{{- end }}
{{- else -}}
secret: {{ include "landseries.brokerSecret" $root | quote }}
{{- if $root.Values.broker.user }}
key: password
user: {{ $root.Values.broker.user | quote }}
{{- else }}
key: landseries-{{ $who }}
user: landseries-{{ $who }}
{{- end }}
{{- end }}
{{- end }}

{{/* The port that a URL means. */}}
{{- define "landseries.port" -}}
{{- $parts := splitList "://" (trim .) -}}
{{- $port := regexFind ":[0-9]+$" (splitList "/" (last $parts) | first) | trimPrefix ":" -}}
{{- $port | default (get (dict "amqp" "5672" "amqps" "5671" "http" "80" "https" "443") (first $parts)) -}}
{{- end }}
