{{- define "gprune.name" -}}
{{ .Release.Name }}-vllm
{{- end }}

{{- define "gprune.selector" -}}
app.kubernetes.io/name: gprune-vllm
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "gprune.metadata" -}}
name: {{ include "gprune.name" . }}
namespace: {{ .Release.Namespace }}
labels:
  {{- include "gprune.labels" . | nindent 2 }}
{{- end }}

{{- define "gprune.labels" -}}
{{ include "gprune.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "gprune.image" -}}
{{ .Values.image.repository }}
{{- if .Values.image.digest }}@{{ .Values.image.digest }}{{ else }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "gprune.claim" -}}
{{ .Values.modelCache.existingClaim | default (printf "%s-model-cache" .Release.Name) }}
{{- end }}

{{- /* Whether there may be more than one server: "true", or nothing. */ -}}
{{- define "gprune.many" -}}
{{- if or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) }}true{{ end }}
{{- end }}
