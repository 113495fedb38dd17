{{/* What every object carries. */}}
{{- define "lockkeeper.labels" -}}
app.kubernetes.io/name: lockkeeper
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* What the controller's pods are found by; never changes. */}}
{{- define "lockkeeper.selector" -}}
app.kubernetes.io/name: lockkeeper
app.kubernetes.io/component: controller
{{- end }}

{{- define "lockkeeper.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/*
The version in which the API server serves MutatingAdmissionPolicy; empty where it does not. A live server says it itself
(only then are kinds known, as apps/v1/Deployment is); what is rendered without one goes by the version of Kubernetes.
*/}}
{{- define "lockkeeper.mutating" -}}
{{- $group := "admissionregistration.k8s.io" -}}
{{- if .Values.pinAtBirth.apiVersion -}}
{{ .Values.pinAtBirth.apiVersion }}
{{- else if .Capabilities.APIVersions.Has (printf "%s/v1/MutatingAdmissionPolicy" $group) -}}
v1
{{- else if .Capabilities.APIVersions.Has (printf "%s/v1beta1/MutatingAdmissionPolicy" $group) -}}
v1beta1
{{- else if and (not (.Capabilities.APIVersions.Has "apps/v1/Deployment")) (semverCompare ">=1.36.0-0" .Capabilities.KubeVersion.Version) -}}
v1
{{- end -}}
{{- end }}
