{{- /*
What pins pods at birth, in three objects without apiVersion: the controller chooses by what the API server serves (ADR 0029).
All of them leave the same pods and namespaces alone.
*/}}
{{- define "lockkeeper.pinAtBirth.namespaces" -}}
{{- with .Values.pinAtBirth.namespaceSelector.matchLabels }}
matchLabels:
  {{- toYaml . | nindent 2 }}
{{- end }}
matchExpressions:
  - {key: kubernetes.io/metadata.name, operator: NotIn, values: [{{ append .Values.pinAtBirth.excludeNamespaces .Release.Namespace | uniq | join ", " }}]}
  - {key: lockkeeper.dev/ignore, operator: DoesNotExist}
  {{- with .Values.pinAtBirth.namespaceSelector.matchExpressions }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- /*
The API server itself gives tag and digest of the namespace's ImagePins to every new pod, also while the controller is
down.

Per container the image keeps its own repository and gets `:tag@digest` (`@digest` alone where the pin has no tag).
Left alone: mirror pods of static pods; pods and namespaces with the label lockkeeper.dev/ignore; kube-system and the
controller's own namespace. With failurePolicy `Ignore`, the default, a mistake here never keeps a pod from being
born; the controller sees what was born without its pin and puts it right.

controller/core/src/birth.rs does the same for the webhook; tests/tests/birth/table.json is played to both.
*/}}
{{- define "lockkeeper.pinAtBirth.policy" -}}
kind: MutatingAdmissionPolicy
metadata:
  name: lockkeeper-pin-at-birth
  labels:
    {{- include "lockkeeper.labels" . | nindent 4 }}
spec:
  failurePolicy: {{ .Values.pinAtBirth.failurePolicy }}
  # Containers that a webhook injects later are pinned, too.
  reinvocationPolicy: IfNeeded
  paramKind: {apiVersion: lockkeeper.dev/v1alpha1, kind: ImagePin}
  matchConstraints:
    resourceRules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  matchConditions:
    - name: not-mirror
      expression: >-
        !(has(object.metadata.annotations) && 'kubernetes.io/config.mirror' in object.metadata.annotations)
    - name: not-ignored
      expression: >-
        !(has(object.metadata.labels) && 'lockkeeper.dev/ignore' in object.metadata.labels)
    - name: labels
      expression: >-
        has(object.metadata.labels)
        && params.spec.matchLabels.all(k, k in object.metadata.labels && object.metadata.labels[k] == params.spec.matchLabels[k])
  variables:
    - name: suffix
      expression: "(has(params.spec.tag) ? ':' + params.spec.tag : '') + '@' + params.spec.digest"
    # The new image of each container, '' for one that is left alone. The repository is the image without digest and
    # tag; a colon before the last slash belongs to a port. An image without tag means :latest.
    - name: main
      expression: >-
        object.spec.containers.map(c,
          has(c.image)
          && (!has(params.spec.containers) || c.name in params.spec.containers)
          && c.image.split('@')[0].find('^(.*/)?[^:/]+') in params.spec.repositories
          && (!has(params.spec.onlyTags)
              || (!c.image.contains('@')
                  && (c.image.find(':[^:/@]+$') == '' ? ':latest' : c.image.find(':[^:/@]+$')).substring(1) in params.spec.onlyTags))
          ? c.image.split('@')[0].find('^(.*/)?[^:/]+') + variables.suffix
          : '')
    - name: init
      expression: >-
        !has(object.spec.initContainers) ? [] : object.spec.initContainers.map(c,
          has(c.image)
          && (!has(params.spec.containers) || c.name in params.spec.containers)
          && c.image.split('@')[0].find('^(.*/)?[^:/]+') in params.spec.repositories
          && (!has(params.spec.onlyTags)
              || (!c.image.contains('@')
                  && (c.image.find(':[^:/@]+$') == '' ? ':latest' : c.image.find(':[^:/@]+$')).substring(1) in params.spec.onlyTags))
          ? c.image.split('@')[0].find('^(.*/)?[^:/]+') + variables.suffix
          : '')
  mutations:
    - patchType: JSONPatch
      jsonPatch:
        expression: >-
          variables.main.transformList(i, image, image != '' && image != object.spec.containers[i].image,
            JSONPatch{op: 'replace', path: '/spec/containers/' + string(i) + '/image', value: image})
          + variables.init.transformList(i, image, image != '' && image != object.spec.initContainers[i].image,
            JSONPatch{op: 'replace', path: '/spec/initContainers/' + string(i) + '/image', value: image})
          + (!(variables.main.exists(i, image, image != '' && image != object.spec.containers[i].image)
               || variables.init.exists(i, image, image != '' && image != object.spec.initContainers[i].image))
            ? []
            : has(object.metadata.annotations)
            ? [JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('lockkeeper.dev/pinned-by'), value: params.metadata.name}]
            : [JSONPatch{op: 'add', path: '/metadata/annotations', value: {'lockkeeper.dev/pinned-by': params.metadata.name}}])
{{- end }}

{{- define "lockkeeper.pinAtBirth.binding" -}}
kind: MutatingAdmissionPolicyBinding
metadata:
  name: lockkeeper-pin-at-birth
  labels:
    {{- include "lockkeeper.labels" . | nindent 4 }}
spec:
  policyName: lockkeeper-pin-at-birth
  # The parameters are all ImagePins of the pod's own namespace; where there is none, nothing happens.
  paramRef: {selector: {}, parameterNotFoundAction: Allow}
  matchResources:
    namespaceSelector:
      {{- include "lockkeeper.pinAtBirth.namespaces" . | trim | nindent 6 }}
{{- end }}

{{- /*
Where the API server serves no MutatingAdmissionPolicy. Always `Ignore`: a pod must be born while no replica answers. The
controller fills in by what its certificate is believed.
*/}}
{{- define "lockkeeper.pinAtBirth.webhook" -}}
kind: MutatingWebhookConfiguration
metadata:
  name: lockkeeper-pin-at-birth
  labels:
    {{- include "lockkeeper.labels" . | nindent 4 }}
webhooks:
  - name: pin-at-birth.lockkeeper.dev
    failurePolicy: Ignore
    reinvocationPolicy: IfNeeded
    matchPolicy: Equivalent
    sideEffects: None
    timeoutSeconds: 2
    admissionReviewVersions: [v1]
    rules:
      - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods], scope: Namespaced}
    objectSelector:
      matchExpressions:
        - {key: lockkeeper.dev/ignore, operator: DoesNotExist}
    namespaceSelector:
      {{- include "lockkeeper.pinAtBirth.namespaces" . | trim | nindent 6 }}
    clientConfig:
      service: {name: lockkeeper-webhook, namespace: {{ .Release.Namespace }}, port: 443, path: /pin-at-birth}
{{- end }}
