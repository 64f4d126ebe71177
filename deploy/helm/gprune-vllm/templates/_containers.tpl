{{- define "gprune.container" -}}
image: {{ include "gprune.image" . }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - name: model-cache
    mountPath: /cache
  - name: temporary
    mountPath: /tmp
  - name: shared-memory
    mountPath: /dev/shm
{{- end }}

{{- define "gprune.server" -}}
{{ include "gprune.container" . }}
args:
  - {{ .Values.model }}
  - --max-model-len={{ int .Values.maxModelLen }}
  - --shutdown-timeout={{ .Values.shutdownTimeout }}
  {{- if gt (int .Values.tensorParallelSize) 1 }}
  - --tensor-parallel-size={{ .Values.tensorParallelSize }}
  {{- end }}
  {{- if .Values.mirror }}
  # Offline, vLLM would name its metrics after the folder.
  - --served-model-name={{ .Values.model }}
  {{- end }}
  {{- with .Values.extraArguments }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
envFrom:
  - configMapRef:
      name: {{ .Release.Name }}-settings
  - secretRef:
      name: {{ .Release.Name }}-secrets
      optional: true
ports:
  - name: http
    containerPort: 8000
startupProbe:
  {{- include "gprune.health" . | nindent 2 }}
  periodSeconds: 10
  failureThreshold: {{ mul 6 .Values.startMinutes }}
readinessProbe:
  {{- include "gprune.health" . | nindent 2 }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
livenessProbe:
  {{- include "gprune.health" . | nindent 2 }}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
lifecycle:
  preStop:
    exec:
      # Until no client is sent here any more. Only then is vLLM told to finish what it has.
      command: [sleep, "10"]
resources:
  requests:
    {{- toYaml .Values.resources.requests | nindent 4 }}
  limits:
    {{- toYaml .Values.resources.limits | nindent 4 }}
    nvidia.com/gpu: {{ .Values.tensorParallelSize | quote }}
{{- end }}

{{- define "gprune.health" -}}
httpGet:
  path: /health
  port: http
{{- end }}

{{- define "gprune.fetchModel" -}}
{{ include "gprune.container" . }}
command: [hf, download, {{ .Values.model }}]
env:
  - name: HF_ENDPOINT
    value: {{ .Values.mirror }}
envFrom:
  - secretRef:
      name: {{ .Release.Name }}-secrets
      optional: true
resources:
  requests:
    cpu: "1"
    memory: 4Gi
  limits:
    cpu: "2"
    memory: 8Gi
{{- end }}
