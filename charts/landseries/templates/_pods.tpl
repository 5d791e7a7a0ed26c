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

{{/* Variables of a container: (dict "root" $ "user" "..." "userSecret" "..." "management" bool) */}}
{{- define "landseries.env" -}}
{{- $root := .root -}}
- {name: LANDSERIES_BROKER_URL, value: {{ include "landseries.brokerUrl" $root | quote }}}
- {name: LANDSERIES_BROKER_VHOST, value: {{ $root.Values.broker.vhost | quote }}}
{{- if .userSecret }}
- name: LANDSERIES_BROKER_USER
  valueFrom: {secretKeyRef: {name: {{ .userSecret }}, key: user}}
{{- else }}
- {name: LANDSERIES_BROKER_USER, value: {{ .user | quote }}}
{{- end }}
- {name: LANDSERIES_BROKER_PASSWORD_FILE, value: /secrets/broker-password}
{{- if and .management (include "landseries.managementUrl" $root) }}
- {name: LANDSERIES_BROKER_MANAGEMENT_URL, value: {{ include "landseries.managementUrl" $root | quote }}}
{{- end }}
{{- if $root.Values.broker.caSecret }}
- {name: LANDSERIES_BROKER_CA_FILE, value: /secrets/broker-ca.crt}
{{- end }}
- {name: LANDSERIES_STORE_URL, value: {{ include "landseries.storeUrl" $root | quote }}}
- {name: LANDSERIES_STORE_BUCKET, value: {{ $root.Values.store.bucket | quote }}}
- {name: LANDSERIES_STORE_REGION, value: {{ $root.Values.store.region | quote }}}
- {name: LANDSERIES_STORE_PATH_STYLE, value: {{ $root.Values.store.pathStyle | quote }}}
- {name: LANDSERIES_STORE_ACCESS_KEY_FILE, value: /secrets/store-access-key}
- {name: LANDSERIES_STORE_SECRET_KEY_FILE, value: /secrets/store-secret-key}
{{- if $root.Values.store.caSecret }}
- {name: LANDSERIES_STORE_CA_FILE, value: /secrets/store-ca.crt}
{{- end }}
{{- end }}

{{/* Where a container finds them and may write: (dict "archive" bool "root" $) */}}
{{- define "landseries.mounts" -}}
- {name: secrets, mountPath: /secrets, readOnly: true}
- {name: scratch, mountPath: /tmp}
{{- if and .archive .root.Values.archive.existingClaim }}
- {name: archive, mountPath: {{ .root.Values.archive.mountPath | quote }}, readOnly: true}
{{- end }}
{{- end }}

{{/* The volumes behind: (dict "root" $ "secret" "..." "key" "..." "scratch" "10Gi" "archive" bool) */}}
{{- define "landseries.volumes" -}}
{{- $root := .root -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      - secret: {name: {{ .secret }}, items: [{key: {{ .key | quote }}, path: broker-password}]}
      - secret:
          name: {{ include "landseries.storeSecret" $root }}
          items: [{key: accessKey, path: store-access-key}, {key: secretKey, path: store-secret-key}]
      {{- with $root.Values.broker.caSecret }}
      - secret: {name: {{ . }}, items: [{key: ca.crt, path: broker-ca.crt}]}
      {{- end }}
      {{- with $root.Values.store.caSecret }}
      - secret: {name: {{ . }}, items: [{key: ca.crt, path: store-ca.crt}]}
      {{- end }}
- name: scratch
  emptyDir: {sizeLimit: {{ .scratch }}}
{{- if and .archive $root.Values.archive.existingClaim }}
- name: archive
  persistentVolumeClaim: {claimName: {{ $root.Values.archive.existingClaim }}, readOnly: true}
{{- end }}
{{- end }}

{{/* A worker's pod: (dict "root" $ "service" "..." "settings" {...} "job" bool) */}}
{{- define "landseries.workerPod" -}}
{{- $root := .root -}}
{{- $settings := .settings -}}
{{- $archive := has .service (list "fetcher" "assessor") -}}
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
  runtimeClassName: {{ . }}
  {{- end }}
  {{- with $settings.priorityClassName }}
  priorityClassName: {{ . }}
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
      image: {{ include "landseries.image" (list $root .service) }}
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
        {{- include "landseries.env" (dict "root" $root "user" (include "landseries.brokerUser" (list $root .service))) | nindent 8 }}
        {{- with $settings.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with $settings.envFrom }}
      envFrom: {{ toYaml . | nindent 8 }}
      {{- end }}
      ports: [{name: health, containerPort: 8080}]
      startupProbe: {httpGet: {path: /healthz, port: health}, periodSeconds: 1, failureThreshold: 120}
      livenessProbe: {httpGet: {path: /healthz, port: health}, periodSeconds: 20, timeoutSeconds: 10}
      {{- if not .job }}
      readinessProbe: {httpGet: {path: /readyz, port: health}, periodSeconds: 5, timeoutSeconds: 5}
      {{- end }}
      securityContext: {{ include "landseries.containerSecurity" $root | nindent 8 }}
      resources:
        {{- $resources := deepCopy $settings.resources }}
        {{- if $settings.gpus }}
        {{- $_ := set $resources "limits" (merge (dict $settings.gpuResource $settings.gpus) ($resources.limits | default dict)) }}
        {{- end }}
        {{- toYaml $resources | nindent 8 }}
      volumeMounts: {{ include "landseries.mounts" (dict "root" $root "archive" $archive) | nindent 8 }}
  volumes:
    {{- include "landseries.volumes" (dict "root" $root "archive" $archive "scratch" $settings.scratchSize "secret" (include "landseries.brokerSecret" $root) "key" (include "landseries.passwordKey" (list $root .service))) | nindent 4 }}
{{- end }}

{{/* What KEDA looks at: (list $ "service" settings). Over HTTP, where unacknowledged messages count too: a worker at its unit is no idle worker. */}}
{{- define "landseries.trigger" -}}
{{- $root := index . 0 -}}
- type: rabbitmq
  metadata:
    protocol: http
    host: {{ required "broker.managementUrl: KEDA asks the management API; write http(s)://HOST[:PORT]" ($root.Values.keda.managementUrl | default (include "landseries.managementUrl" $root)) | quote }}
    vhostName: {{ $root.Values.broker.vhost | quote }}
    queueName: landseries.{{ index . 1 }}
    mode: QueueLength
    value: {{ (index . 2).messagesPerReplica | quote }}
  authenticationRef: {name: {{ include "landseries.name" $root }}-broker}
{{- end }}

{{/* The volume of a server in the cluster, which outlives the release: its values */}}
{{- define "landseries.claim" -}}
{{- if .volumeSize -}}
volumeClaimTemplates:
  - metadata: {name: data}
    spec:
      accessModes: [ReadWriteOnce]
      {{- with .storageClass }}
      storageClassName: {{ . }}
      {{- end }}
      resources: {requests: {storage: {{ .volumeSize }}}}
{{- end }}
{{- end }}
