//! What `--help` shows at its end: each command at work. Constants only.

pub const TOP: &str = "\
Examples:
  lockkeeper get -A                                    where every policy stands
  lockkeeper explain otel -n platform                  why it stands there, and the command that ends the wait
  lockkeeper plan -f policy.yaml                       what a policy would do here, before it exists
  kubectl lockkeeper get -n platform                   the same as a kubectl plugin (installed as kubectl-lockkeeper)

Exit codes:
  0 done
  1 it could not be done
  2 the arguments or an input are wrong
  3 nothing matched
  4 refused, nothing was written
  5 --timeout passed
  6 plan or check found something to put right";

pub const RUN: &str = "\
Examples:
  lockkeeper run                                       in the cluster, as its ServiceAccount
  lockkeeper run --kubeconfig ~/.kube/config --log-format human
  lockkeeper run --allow-host registry.local:5000      a registry on a private network over plain HTTP";

pub const GET: &str = "\
Examples:
  lockkeeper get                                       the policies of the context's namespace, one line each
  lockkeeper get otel -o wide                          one policy, a line for every stage
  lockkeeper get -A -l team=edge --watch               go on showing what changes
  lockkeeper get otel -o json | jq '.status.stages[].phase'";

pub const EXPLAIN: &str = "\
Examples:
  lockkeeper explain otel -n platform                  why this release, why not that tag, and what ends each wait
  lockkeeper explain otel --all-tags                   every tag that the registry lists now, each with its reason
  lockkeeper explain otel -o json | jq -r '.stages[] | select(.command) | .command'";

pub const APPROVE: &str = "\
Examples:
  lockkeeper approve otel -n platform                  what waits for approval, in every stage that waits
  lockkeeper approve otel --stage prod --digest 0.29.0 --reason 'release notes read'
  lockkeeper approve otel --dry-run                    the Intervention as YAML, to be kept in Git";

pub const ADOPT: &str = "\
Examples:
  lockkeeper adopt otel --stage prod --digest 0.28.0 --reason 'what the older half runs is known to be good'";

pub const HOLD: &str = "\
Examples:
  lockkeeper hold otel -n platform --reason 'load test' --until 2h
  lockkeeper hold otel --stage prod --reason 'until the incident is understood'
  lockkeeper hold --all -n platform --reason 'change freeze' --until 2027-01-02T08:00:00Z
  lockkeeper hold --all -n lockkeeper-system --reason 'everything in this cluster'";

pub const RESUME: &str = "\
Examples:
  lockkeeper resume otel -n platform --reason 'load test is over'
  lockkeeper resume otel --stage prod
  lockkeeper resume --all -n platform";

pub const PROMOTE: &str = "\
Examples:
  lockkeeper promote otel --stage prod --digest 0.29.1 --skip Soak,Window --reason 'CVE-2026-1234'
  lockkeeper promote otel --stage prod --digest sha256:… --reason 'the tag was moved; this is the one that is meant'";

pub const ROLLBACK: &str = "\
Examples:
  lockkeeper rollback otel -n platform --stage prod --reason 'spans are lost'
  lockkeeper rollback otel --stage prod --digest 0.29.0 --reason 'refused if prod runs something else by now'";

pub const QUARANTINE: &str = "\
Examples:
  lockkeeper quarantine otel -n platform --digest 0.29.0 --reason 'panics under our traffic'
  lockkeeper quarantine -n platform --digest sha256:… --reason 'advisory of the publisher'";

pub const UNQUARANTINE: &str = "\
Examples:
  lockkeeper unquarantine 0-29-0-2f6a01b3c4d5 -n platform
  lockkeeper unquarantine 0.29.0 -n platform           by the tag that it holds back";

pub const HISTORY: &str = "\
Examples:
  lockkeeper history otel -n platform --since 24h
  lockkeeper history otel --release 0.29.0             one release: when it entered, was found bad, and was gone
  lockkeeper history otel --release 0.29.0 -o markdown > report.md";

pub const CHECK: &str = "\
Examples:
  lockkeeper check                                     exit code 6 says that something is bad
  lockkeeper check -o json | jq '.findings[] | select(.health != \"Good\")'";

pub const PLAN: &str = "\
Examples:
  lockkeeper plan -f policy.yaml                       exit code 6 says that something is in the way
  kubectl get lkp otel -o yaml | lockkeeper plan -f -";

pub const SELECT: &str = "\
Examples:
  lockkeeper select ghcr.io/example/app --semver '>=1.2 <2'
  lockkeeper select nginx --semver '*' --filter '^(\\d+\\.\\d+\\.\\d+)-alpine$' --extract '$1'
  git tag | lockkeeper select --tags - --semver '^1'   a list, one tag a line; no registry is asked
  lockkeeper select -f policy.yaml -o json             as a policy says; JSON lists may have dates:
                                                       [{\"tag\": \"main-7\", \"created\": \"2026-11-22T12:00:00Z\"}]
  lockkeeper select nginx --semver '^1' --quarantined 1.27.1
                                                       what would be taken if those contents were quarantined
  (kubectl get lkp otel -o yaml; echo ---; kubectl get quar -o yaml) | lockkeeper select -f -
                                                       as the cluster's policy and Quarantines say
  exit code 3 says that nothing matched, 2 that the policy or the list is wrong

Ages and the platforms of nodes are the cluster's to know: explain --all-tags and plan show them.";

pub const RESOLVE: &str = "\
Examples:
  lockkeeper resolve nginx:1.27                        digest, contents, platforms
  lockkeeper resolve --offline -o json index.docker.io/nginx [::1]:5000/app@sha256:…
  kubectl get pods -o jsonpath='{..image}' | tr ' ' '\\n' | lockkeeper resolve --offline -";

pub const EDIT: &str = "\
Examples:
  lockkeeper edit values.yaml --helm-values '.sidecar.image' --image ghcr.io/example/app:1.2@sha256:…
  lockkeeper edit deploy.yaml --path '.spec.template.spec.containers[?(@.name==\"otel\")].image' --value otel:0.31
  lockkeeper edit kustomization.yaml --kustomize --image ghcr.io/example/app:1.2@sha256:… --name app --write
  lockkeeper edit clusters/prod --marker platform:otel --image otel:0.31@sha256:… --write
  lockkeeper edit -f policy.yaml --stage prod --image otel:0.31@sha256:… | git apply
  lockkeeper edit - --path .image.tag --value 1.20 --stdout < values.yaml > new.yaml

Prints the difference, --stdout the new file; --write replaces all files, or none. Exit code 0: edited, or so already
(then nothing is printed); 4: a file is refused, with line and reason; 3: no marker; 2: wrong arguments.";

pub const EJECT: &str = "\
Examples:
  lockkeeper eject otel --stage prod deploy/prod              manifests: every container that has the image
  lockkeeper eject otel --stage prod kustomization.yaml --kustomize --write
  lockkeeper eject otel --stage prod values.yaml --helm-values .sidecar.image | git apply

Prints the difference, --stdout the new file; --write replaces all files, or none. Nothing in the cluster changes. Exit code
0: edited, or so already; 3: the stage holds no release, or the files do not have the image; 4: a file is refused.";

pub const CONVERT: &str = "\
Examples:
  lockkeeper convert flux/*.yaml > policies.yaml       Flux: the ImageRepositories and ImagePolicies together
  kubectl get applications -n argocd -o yaml | lockkeeper convert -
  kubectl get deploy -A -o yaml | lockkeeper convert - | kubectl apply --dry-run=server -f -

What differs is a comment at its place; read them, and CHECK the targets. Exit code 3: nothing to convert.";

pub const SIMULATE: &str = "\
Examples:
  lockkeeper simulate examples/incident.yaml";

pub const CRD: &str = "\
Examples:
  lockkeeper crd | kubectl apply --server-side -f -";

pub const COMPLETION: &str = "\
Examples:
  source <(lockkeeper completion bash)                 for this shell
  lockkeeper completion zsh > \"${fpath[1]}/_lockkeeper\"
  lockkeeper completion fish > ~/.config/fish/completions/lockkeeper.fish
  lockkeeper completion powershell >> $PROFILE
  ln -s \"$(command -v lockkeeper)\" /usr/local/bin/kubectl_complete-lockkeeper     for kubectl lockkeeper";
