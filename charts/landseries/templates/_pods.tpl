{{/* Parts of every pod of ours: what it may do, where broker and store are, and the secrets that open them. */}}

{{- define "landseries.podSecurity" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext: {{ toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "landseries.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Variables of a container: (dict "root" $ "login" {...} "management" bool) */}}
{{- define "landseries.env" -}}
{{- $root := .root -}}
- {name: LANDSERIES_BROKER_URL, value: {{ include "landseries.brokerUrl" $root | quote }}}
- {name: LANDSERIES_BROKER_VHOST, value: {{ $root.Values.broker.vhost | quote }}}
{{- if .login.user }}
- {name: LANDSERIES_BROKER_USER, value: {{ .login.user | quote }}}
{{- else }}
- name: LANDSERIES_BROKER_USER
  valueFrom: {secretKeyRef: {name: {{ .login.secret | quote }}, key: user}}
{{- end }}
- {name: LANDSERIES_BROKER_PASSWORD_FILE, value: /secrets/broker/{{ .login.key }}}
{{- if and .management (include "landseries.managementUrl" $root) }}
- {name: LANDSERIES_BROKER_MANAGEMENT_URL, value: {{ include "landseries.managementUrl" $root | quote }}}
{{- end }}
{{- if $root.Values.broker.caSecret }}
- {name: LANDSERIES_BROKER_CA_FILE, value: /secrets/broker-ca/ca.crt}
{{- end }}
- {name: LANDSERIES_STORE_URL, value: {{ include "landseries.storeUrl" $root | quote }}}
- {name: LANDSERIES_STORE_BUCKET, value: {{ $root.Values.store.bucket | quote }}}
- {name: LANDSERIES_STORE_REGION, value: {{ $root.Values.store.region | quote }}}
- {name: LANDSERIES_STORE_PATH_STYLE, value: {{ $root.Values.store.pathStyle | quote }}}
- {name: LANDSERIES_STORE_ACCESS_KEY_FILE, value: /secrets/store/accessKey}
- {name: LANDSERIES_STORE_SECRET_KEY_FILE, value: /secrets/store/secretKey}
{{- if $root.Values.store.caSecret }}
- {name: LANDSERIES_STORE_CA_FILE, value: /secrets/store-ca/ca.crt}
{{- end }}
{{- end }}

{{/* Where a container finds them and may write: (dict "root" $ "component" "..." "archive" bool) */}}
{{- define "landseries.mounts" -}}
- {name: broker, mountPath: /secrets/broker, readOnly: true}
- {name: store, mountPath: /secrets/store, readOnly: true}
{{- if .root.Values.broker.caSecret }}
- {name: broker-ca, mountPath: /secrets/broker-ca, readOnly: true}
{{- end }}
{{- if .root.Values.store.caSecret }}
- {name: store-ca, mountPath: /secrets/store-ca, readOnly: true}
{{- end }}
- {name: {{ include "landseries.name" .root }}-{{ .component }}-scratch, mountPath: /tmp}
{{- if and .archive .root.Values.archive.existingClaim }}
- {name: archive, mountPath: {{ .root.Values.archive.mountPath | quote }}, readOnly: true}
{{- end }}
{{- end }}

{{/* The volumes behind: (dict "root" $ "component" "..." "login" {...} "scratch" "10Gi" "archive" bool) */}}
{{- define "landseries.volumes" -}}
{{- $root := .root -}}
{{ include "landseries.secretVolume" (list "broker" .login.secret .login.key) }}
{{ include "landseries.secretVolume" (list "store" (include "landseries.storeSecret" $root) "accessKey" "secretKey") }}
{{- with $root.Values.broker.caSecret }}
{{ include "landseries.secretVolume" (list "broker-ca" . "ca.crt") }}
{{- end }}
{{- with $root.Values.store.caSecret }}
{{ include "landseries.secretVolume" (list "store-ca" . "ca.crt") }}
{{- end }}
- name: {{ include "landseries.name" $root }}-{{ .component }}-scratch
  emptyDir: {sizeLimit: {{ .scratch }}}
{{- if and .archive $root.Values.archive.existingClaim }}
- name: archive
  persistentVolumeClaim: {claimName: {{ $root.Values.archive.existingClaim | quote }}, readOnly: true}
{{- end }}
{{- end }}

{{/* A volume with some keys of a secret, as files of their names: (list "volume" "secret" "key"...). Podman wants `optional` to be said. */}}
{{- define "landseries.secretVolume" -}}
- name: {{ index . 0 }}
  secret:
    secretName: {{ index . 1 | quote }}
    optional: false
    defaultMode: 0440
    items:
      {{- range slice . 2 }}
      - {key: {{ . | quote }}, path: {{ . | quote }}}
      {{- end }}
{{- end }}

{{/* A worker's pod: (dict "root" $ "service" "..." "settings" {...} "job" bool) */}}
{{- define "landseries.workerPod" -}}
{{- $root := .root -}}
{{- $settings := .settings -}}
{{- $archive := has .service (list "fetcher" "assessor") -}}
{{- $login := include "landseries.login" (list $root .service) | fromYaml -}}
metadata:
  labels: {{ include "landseries.labels" (list $root .service) | nindent 4 }}
    landseries/worker: "true"
  {{- with $settings.podAnnotations }}
  annotations: {{ toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "landseries.podSecurity" $root | nindent 2 }}
  terminationGracePeriodSeconds: {{ add $settings.graceS 15 }}
  {{- if .job }}
  restartPolicy: Never
  {{- end }}
  {{- with $settings.runtimeClassName }}
  runtimeClassName: {{ . | quote }}
  {{- end }}
  {{- with $settings.priorityClassName }}
  priorityClassName: {{ . | quote }}
  {{- end }}
  {{- with $settings.nodeSelector }}
  nodeSelector: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.tolerations }}
  tolerations: {{ toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.affinity }}
  affinity: {{ toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: worker
      image: {{ include "landseries.image" (list $root .service) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args:
        - worker
        - {{ .service }}
        - --threads={{ $settings.threads }}
        - --grace-s={{ $settings.graceS }}
        - --lease-s={{ $settings.leaseS }}
        - --log-json
        {{- if .job }}
        - --max-messages=1
        - --exit-when-idle
        {{- end }}
      env:
        {{- include "landseries.env" (dict "root" $root "login" $login) | nindent 8 }}
        {{- with $settings.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $settings.envFrom }}
      envFrom: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- if $root.Values.podman.enabled }}
      livenessProbe: {{ include "landseries.podmanProbe" "from urllib.request import urlopen; urlopen(\"http://127.0.0.1:8080/healthz\", timeout=5)" | nindent 8 }}
      {{- else }}
      ports: [{name: health, containerPort: 8080}]
      startupProbe: {httpGet: {path: /healthz, port: health}, periodSeconds: 1, failureThreshold: 120}
      livenessProbe: {httpGet: {path: /healthz, port: health}, periodSeconds: 20, timeoutSeconds: 10}
      {{- if not .job }}
      readinessProbe: {httpGet: {path: /readyz, port: health}, periodSeconds: 5, timeoutSeconds: 5}
      {{- end }}
      {{- end }}
      securityContext: {{ include "landseries.containerSecurity" $root | nindent 8 }}
      resources:
        {{- $resources := deepCopy $settings.resources }}
        {{- if $settings.gpus }}
        {{- $_ := set $resources "limits" (merge (dict $settings.gpuResource $settings.gpus) ($resources.limits | default dict)) }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      volumeMounts: {{ include "landseries.mounts" (dict "root" $root "component" .service "archive" $archive) | nindent 8 }}
  volumes: {{ include "landseries.volumes" (dict "root" $root "component" .service "archive" $archive "scratch" $settings.scratchSize "login" $login) | nindent 4 }}
{{- end }}

{{/* A probe as podman takes it: it knows no other kind than liveness, has no `curl` in our images for `httpGet`, and hands an `exec`'s words to a shell. The Python to run, without single quotes */}}
{{- define "landseries.podmanProbe" -}}
exec: {command: [python3, -c, {{ printf "'%s'" . | quote }}]}
initialDelaySeconds: 60
periodSeconds: 20
timeoutSeconds: 10
{{- end }}

{{/* What KEDA looks at: (list $ "service" settings). Over HTTP, where unacknowledged messages count too: a worker at its unit is no idle worker. */}}
{{- define "landseries.trigger" -}}
{{- $root := index . 0 -}}
- type: rabbitmq
  metadata:
    protocol: http
    host: {{ required "broker.managementUrl: KEDA asks the management API; write http(s)://HOST[:PORT]" ($root.Values.keda.managementUrl | default (include "landseries.managementUrlAnywhere" $root)) | quote }}
    vhostName: {{ $root.Values.broker.vhost | quote }}
    queueName: landseries.{{ index . 1 }}
    mode: QueueLength
    value: {{ (index . 2).messagesPerReplica | quote }}
  authenticationRef: {name: {{ include "landseries.name" $root }}-broker}
{{- end }}

