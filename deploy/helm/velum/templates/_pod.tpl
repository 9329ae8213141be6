{{- define "velum.shared" -}}
{{- if or (gt (int .Values.replicas) 1) (gt (int .Values.workers) 0) }}true{{ end }}
{{- end }}

{{- define "velum.labels" -}}
app.kubernetes.io/name: velum
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "velum.selector" -}}
app.kubernetes.io/name: velum
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /* What pods of the service and of workers have in common: root, component, args, port. */ -}}
{{- define "velum.pod" -}}
{{- $root := .root }}
metadata:
  labels:
    {{- include "velum.selector" . | nindent 4 }}
spec:
  serviceAccountName: {{ $root.Release.Name }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 40
  {{- with $root.Values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $root.Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: velum
      image: "{{ $root.Values.image.repository }}:{{ $root.Values.image.tag | default $root.Chart.AppVersion }}"
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{ toJson .args }}
      ports:
        - name: {{ .port }}
          containerPort: {{ .containerPort }}
      env:
        - name: VELUM_BMW_FOLDER
          value: /data/jsonFiles
        - name: VELUM_BMW_VIDEOS
          value: /data/anonymized_video
        # Inference APIs of the cluster have private addresses; the network policy says which are reached.
        - name: VELUM_REMOTE_PRIVATE
          value: "true"
        # A pod sees all cores of its node, and would start a thread for each.
        - name: VELUM_THREADS
          valueFrom:
            resourceFieldRef:
              resource: limits.cpu
        - name: VELUM_SERVICE_PARALLEL
          valueFrom:
            resourceFieldRef:
              resource: limits.cpu
        - name: VELUM_JOBS_SCRATCH_DIR
          value: /tmp/work
        {{- if gt (int $root.Values.workers) 0 }}
        - name: VELUM_JOBS_IN_PROCESS
          value: "false"
        {{- end }}
        {{- with $root.Values.ingress.host }}
        - name: VELUM_ACCESS_HOSTS
          value: {{ . | quote }}
        {{- end }}
        {{- if $root.Values.keysSecret }}
        - name: VELUM_ACCESS_KEYS
          value: /keys/keys.json
        {{- end }}
        {{- range $name, $value := $root.Values.settings }}
        - name: {{ $name }}
          value: {{ $value | quote }}
        {{- end }}
      {{- with $root.Values.settingsSecret }}
      envFrom:
        - secretRef:
            name: {{ . }}
      {{- end }}
      resources: {{- toYaml $root.Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: ["ALL"]
      volumeMounts:
        - name: data
          mountPath: /data
        - name: tmp
          mountPath: /tmp
        {{- if $root.Values.keysSecret }}
        - name: keys
          mountPath: /keys
          readOnly: true
        {{- end }}
      {{- if eq .component "service" }}
      startupProbe:
        httpGet:
          path: /health/live
          port: http
        periodSeconds: 2
        failureThreshold: 60
      livenessProbe:
        httpGet:
          path: /health/live
          port: http
        periodSeconds: 15
        timeoutSeconds: 5
      readinessProbe:
        httpGet:
          path: /health/ready
          port: http
        periodSeconds: 5
        timeoutSeconds: 5
      lifecycle:
        preStop:
          # Until it is told everywhere that this pod ends, requests still arrive.
          exec:
            command: ["sleep", "5"]
      {{- end }}
  volumes:
    - name: data
      {{- if include "velum.shared" $root }}
      emptyDir:
        sizeLimit: {{ $root.Values.volume.size }}
      {{- else }}
      persistentVolumeClaim:
        claimName: {{ $root.Values.volume.existingClaim | default $root.Release.Name }}
      {{- end }}
    # Uploads and work in progress.
    - name: tmp
      emptyDir:
        sizeLimit: {{ $root.Values.scratchSize }}
    {{- with $root.Values.keysSecret }}
    - name: keys
      secret:
        secretName: {{ . }}
    {{- end }}
{{- end }}
