{{/* Servers inside, for trying out, and pods that run once: of kinds that the cluster has, or podman. */}}

{{/* The volume with a server's data: (list $ "server"). Without a claim it is gone with the pod. */}}
{{- define "landseries.dataVolume" -}}
{{- if (index (index . 0).Values (index . 1)).volumeSize }}data{{ else }}{{ include "landseries.name" (index . 0) }}-{{ index . 1 }}-data{{ end }}
{{- end }}

{{/* A server of one node: (list $ "server" "the pod's spec") */}}
{{- define "landseries.server" -}}
{{- $root := index . 0 -}}
{{- $server := index . 1 -}}
{{- $values := index $root.Values $server -}}
{{- $name := printf "%s-%s" (include "landseries.name" $root) $server -}}
{{- $volume := include "landseries.dataVolume" (list $root $server) -}}
{{- $pod := index . 2 | fromYaml -}}
{{- $data := dict "name" $volume "emptyDir" dict -}}
{{- if and $values.volumeSize $root.Values.podman.enabled -}}
{{- $data = dict "name" $volume "persistentVolumeClaim" (dict "claimName" (printf "data-%s-0" $name)) -}}
{{- end -}}
{{- if or $root.Values.podman.enabled (not $values.volumeSize) -}}
{{- $_ := set $pod "volumes" (append $pod.volumes $data) -}}
{{- end -}}
{{- if $root.Values.podman.enabled -}}
apiVersion: v1
kind: Pod
metadata:
  # Podman finds pods by their names, as a cluster finds Services.
  name: {{ $name }}
  labels: {{ include "landseries.labels" (list $root $server) | nindent 4 }}
spec: {{ toYaml $pod | nindent 2 }}
{{- else -}}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels: {{ include "landseries.labels" (list $root $server) | nindent 4 }}
spec:
  serviceName: {{ $name }}
  selector:
    matchLabels: {{ include "landseries.selector" (list $root $server) | nindent 6 }}
  template:
    metadata:
      labels: {{ include "landseries.labels" (list $root $server) | nindent 8 }}
    spec: {{ toYaml $pod | nindent 6 }}
  {{- if $values.volumeSize }}
  volumeClaimTemplates:
    - metadata: {name: data}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $values.storageClass }}
        storageClassName: {{ . | quote }}
        {{- end }}
        resources: {requests: {storage: {{ $values.volumeSize }}}}
  {{- end }}
{{- end }}
{{- end }}
