//! What `--help` shows at its end: each command at work. Constants only.

pub const TOP: &str = "\
Examples:
  lockkeeper get -A                                    where every policy stands
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

pub const PLAN: &str = "\
Examples:
  lockkeeper plan -f policy.yaml                       exit code 6 says that something is in the way
  kubectl get lkp otel -o yaml | lockkeeper plan -f -";

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
