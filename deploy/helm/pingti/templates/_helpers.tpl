{{- define "pingti.labels" -}}
app.kubernetes.io/name: pingti
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "pingti.secret" -}}
{{ required "existingSecret: name the Secret that holds api-key (values.yaml lists its keys)" .Values.existingSecret }}
{{- end }}

{{- define "pingti.claim" -}}
{{ .Values.workspace.existingClaim | default (printf "%s-workspace" .Release.Name) }}
{{- end }}

{{/* What every pod of Pingti's has in common. */}}
{{- define "pingti.pod" -}}
serviceAccountName: {{ .Release.Name }}-pingti
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.images.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "pingti.container" -}}
imagePullPolicy: {{ .Values.images.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: workspace, mountPath: /var/lib/pingti}
{{- end }}

{{- define "pingti.env" -}}
- {name: PINGTI_HOME, value: /var/lib/pingti}
{{- if .Values.valkey.enabled }}
- name: VALKEY_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ include "pingti.secret" . }}, key: valkey-password}}
- {name: PINGTI_REDIS_URL, value: "redis://:$(VALKEY_PASSWORD)@{{ .Release.Name }}-valkey:6379/0"}
{{- else }}
- name: PINGTI_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ include "pingti.secret" . }}, key: redis-url}}
{{- end }}
- name: PINGTI_CALLBACK_SECRET
  valueFrom: {secretKeyRef: {name: {{ include "pingti.secret" . }}, key: callback-secret, optional: true}}
{{- with .Values.workspace.store }}
- {name: PINGTI_STORE, value: {{ . | quote }}}
{{- end }}
{{- with .Values.retrain.timeZone }}
- {name: TZ, value: {{ . | quote }}}
{{- end }}
{{- range $name, $value := .Values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "pingti.shared" -}}
- name: workspace
  persistentVolumeClaim: {claimName: {{ include "pingti.claim" . }}}
{{- end }}

{{/* Where a pod runs and how much it may take; of a component's values. */}}
{{- define "pingti.placed" -}}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
