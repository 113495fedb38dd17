//! What the chart becomes, without a cluster.

use anyhow::{Context as _, Result, ensure};
use e2e::helm::{Helm, chart};
use serde_json::{Value, json};

use crate::{alone, find, objects};

async fn render(values: &[&str]) -> Result<Vec<Value>> {
    let mut args = Vec::new();
    for value in values {
        args.extend(["--set", value]);
    }
    objects(&Helm::alone().await?.template(&chart(), &args).await?)
}

fn kinds(objects: &[Value]) -> Vec<&str> {
    objects.iter().filter_map(|object| object["kind"].as_str()).collect()
}

#[test]
fn lint_has_nothing_to_say() {
    alone(async {
        let said = Helm::alone().await?.run(&["lint", "--strict", &chart().display().to_string()]).await?;
        ensure!(!said.contains("[WARNING]") && !said.contains("[ERROR]"), "{said}");
        Ok(())
    });
}

#[test]
fn the_controller_is_asked_to_run_as_nobody_in_particular() {
    alone(async {
        let all = render(&[]).await?;
        let deployment = find(&all, "Deployment", "lockkeeper")?;
        let pod = &deployment["spec"]["template"]["spec"];
        ensure!(deployment["spec"]["replicas"] == 2);
        ensure!(
            pod["securityContext"]
                == json!({"runAsNonRoot": true, "runAsUser": 65534, "runAsGroup": 65534, "seccompProfile": {"type": "RuntimeDefault"}})
        );
        let container = &pod["containers"][0];
        ensure!(
            container["securityContext"]
                == json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
        );
        ensure!(container["livenessProbe"].is_object() && container["readinessProbe"].is_object());
        ensure!(container["resources"]["limits"]["memory"].is_string());
        let spread = pod["topologySpreadConstraints"].as_array().context("no spread")?;
        let selector = &deployment["spec"]["selector"];
        ensure!(
            spread.len() == 2 && spread.iter().all(|one| one["labelSelector"] == *selector),
            "{spread:?}"
        );
        for (kind, pointer) in
            [("PodDisruptionBudget", "/spec/selector"), ("NetworkPolicy", "/spec/podSelector")]
        {
            let found = find(&all, kind, "lockkeeper")?.pointer(pointer);
            ensure!(found == Some(selector), "{kind} is about other pods: {found:?}");
        }
        Ok(())
    });
}

#[test]
fn a_trusted_root_of_ones_own_is_mounted_where_the_controller_reads_it() {
    alone(async {
        let without = render(&[]).await?;
        let pod = &find(&without, "Deployment", "lockkeeper")?["spec"]["template"]["spec"];
        ensure!(pod["volumes"].is_null() && pod["containers"][0]["volumeMounts"].is_null(), "{pod}");
        for more in [
            &["controller.sigstoreTrustedRoot=our-root"][..],
            &[
                "controller.sigstoreTrustedRoot=our-root",
                "hooks.receivers[0].name=hub",
                "hooks.receivers[0].kind=DockerHub",
                "hooks.receivers[0].secretName=hub-hook",
            ],
        ] {
            let all = render(more).await?;
            let pod = &find(&all, "Deployment", "lockkeeper")?["spec"]["template"]["spec"];
            let args = pod["containers"][0]["args"].as_array().context("no arguments")?;
            let named = args.iter().filter_map(|arg| arg.as_str()?.strip_prefix("--sigstore-trusted-root="));
            let files: Vec<&str> = named.collect();
            let mounts = pod["containers"][0]["volumeMounts"].as_array().context("no mounts")?;
            let mount = mounts.iter().find(|mount| mount["name"] == "sigstore").context("not mounted")?;
            let folder = mount["mountPath"].as_str().unwrap_or_default();
            ensure!(files == [format!("{folder}/trusted_root.json")] && mount["readOnly"] == true, "{mount}");
            let volumes = pod["volumes"].as_array().context("no volumes")?;
            let volume = volumes.iter().find(|volume| volume["name"] == "sigstore").context("no volume")?;
            ensure!(
                volume["configMap"]["name"] == "our-root" && volumes.len() == mounts.len(),
                "{volumes:?}"
            );
        }
        Ok(())
    });
}

#[test]
fn nothing_comes_in_but_for_metrics_and_nothing_goes_out_but_to_known_ports() {
    alone(async {
        let all = render(&["networkPolicy.egressPorts={443,5000}"]).await?;
        let spec = &find(&all, "NetworkPolicy", "lockkeeper")?["spec"];
        ensure!(spec["policyTypes"] == json!(["Ingress", "Egress"]));
        ensure!(
            spec["ingress"]
                == json!([
                    {"ports": [{"port": "http", "protocol": "TCP"}], "from": [{"namespaceSelector": {}}]},
                    {"ports": [{"port": "webhook", "protocol": "TCP"}]},
                ])
        );
        let ports: Vec<i64> = spec["egress"][0]["ports"]
            .as_array()
            .context("no ports")?
            .iter()
            .filter_map(|port| port["port"].as_i64())
            .collect();
        ensure!(ports == [53, 53, 443, 5000], "{ports:?}");
        let closed = render(&["networkPolicy.metricsFrom=null", "pinAtBirth.webhook.enabled=false"]).await?;
        ensure!(find(&closed, "NetworkPolicy", "lockkeeper")?["spec"]["ingress"] == json!([]));
        Ok(())
    });
}

#[test]
fn receivers_of_hooks_come_with_their_secrets_and_a_service() {
    alone(async {
        let none = render(&[]).await?;
        ensure!(find(&none, "Service", "lockkeeper-hooks").is_err(), "nobody asked for hooks");
        let all = render(&[
            "hooks.receivers[0].name=hub,hooks.receivers[0].kind=DockerHub,hooks.receivers[0].secretName=hub-hook",
            "hooks.receivers[1].name=gar,hooks.receivers[1].kind=ArtifactRegistry,hooks.receivers[1].audience=a,hooks.receivers[1].serviceAccount=s",
        ])
        .await?;
        let config = all.iter().find(|object| object["kind"] == "ConfigMap").context("no ConfigMap")?;
        let text = config["data"]["receivers.yaml"].as_str().context("no file")?;
        let receivers: Value = serde_saphyr::from_str(text)?;
        ensure!(
            receivers
                == json!({"receivers": [
                    {"name": "hub", "kind": "DockerHub", "secretFile": "/etc/lockkeeper/hook-secrets/hub/token"},
                    {"name": "gar", "kind": "ArtifactRegistry", "audience": "a", "serviceAccount": "s"},
                ]}),
            "{receivers}"
        );
        let pod = &find(&all, "Deployment", "lockkeeper")?["spec"]["template"]["spec"];
        let args = pod["containers"][0]["args"].to_string();
        ensure!(args.contains("--hooks=/etc/lockkeeper/hooks/receivers.yaml"), "{args}");
        let volumes = pod["volumes"].to_string();
        ensure!(
            volumes.contains("hub-hook")
                && volumes.contains(config["metadata"]["name"].as_str().context("no name")?),
            "{volumes}"
        );
        let mounts = pod["containers"][0]["volumeMounts"].to_string();
        ensure!(
            mounts.contains("/etc/lockkeeper/hook-secrets/hub") && mounts.contains("/etc/lockkeeper/hooks"),
            "{mounts}"
        );
        let ingress = find(&all, "NetworkPolicy", "lockkeeper")?["spec"]["ingress"].as_array();
        let ports = json!([{"port": "hooks", "protocol": "TCP"}]);
        ensure!(ingress.is_some_and(|all| all.iter().any(|one| one["ports"] == ports)), "{ingress:?}");
        find(&all, "Service", "lockkeeper-hooks")?;
        Ok(())
    });
}

#[test]
fn those_who_are_told_come_with_their_secrets() {
    alone(async {
        let all = render(&[
            "notify.receivers[0].name=ops,notify.receivers[0].service=pagerDuty,notify.receivers[0].secretName=ops-pager",
            "notify.receivers[1].name=chat,notify.receivers[1].service=slack,notify.receivers[1].secretName=s,notify.receivers[1].events[0]=Blocked",
        ])
        .await?;
        let ours = |object: &&Value| {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            object["kind"] == "ConfigMap" && name.starts_with("lockkeeper-notify-")
        };
        let config = all.iter().find(ours).context("no ConfigMap")?;
        let text = config["data"]["receivers.yaml"].as_str().context("no file")?;
        let receivers: Value = serde_saphyr::from_str(text)?;
        let folder = "/etc/lockkeeper/notify-secrets";
        ensure!(
            receivers
                == json!({"receivers": [
                    {"name": "ops", "service": "pagerDuty", "secretFolder": format!("{folder}/ops")},
                    {"name": "chat", "service": "slack", "secretFolder": format!("{folder}/chat"), "events": ["Blocked"]},
                ]}),
            "{receivers}"
        );
        let pod = &find(&all, "Deployment", "lockkeeper")?["spec"]["template"]["spec"];
        let args = pod["containers"][0]["args"].to_string();
        ensure!(args.contains("--notify=/etc/lockkeeper/notify/receivers.yaml"), "{args}");
        let (volumes, mounts) =
            (pod["volumes"].to_string(), pod["containers"][0]["volumeMounts"].to_string());
        let named = config["metadata"]["name"].as_str().context("no name")?;
        ensure!(volumes.contains("ops-pager") && volumes.contains(named), "{volumes}");
        ensure!(
            mounts.contains(&format!("{folder}/ops")) && mounts.contains("/etc/lockkeeper/notify\""),
            "{mounts}"
        );
        Ok(())
    });
}

#[test]
fn repositories_are_cached_in_a_folder_of_the_size_that_is_given() {
    alone(async {
        let all = render(&["controller.gitCache=2Gi"]).await?;
        let pod = &find(&all, "Deployment", "lockkeeper")?["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        ensure!(container["args"].to_string().contains("--git-cache=/var/cache/lockkeeper"), "{container:#}");
        ensure!(
            container["volumeMounts"] == json!([{"name": "git-cache", "mountPath": "/var/cache/lockkeeper"}]),
            "{container:#}"
        );
        let volume = json!([{"name": "git-cache", "emptyDir": {"sizeLimit": "2Gi"}}]);
        ensure!(pod["volumes"] == volume, "{pod:#}");
        let none = render(&[]).await?;
        let pod = &find(&none, "Deployment", "lockkeeper")?["spec"]["template"]["spec"];
        ensure!(!pod.to_string().contains("git-cache"), "{pod:#}");
        Ok(())
    });
}

#[test]
fn rights_have_no_wildcard_and_no_secret() {
    alone(async {
        let all = render(&["serviceMonitor.enabled=true"]).await?;
        for role in
            all.iter().filter(|object| ["Role", "ClusterRole"].map(Value::from).contains(&object["kind"]))
        {
            let rules = role["rules"].as_array().context("no rules")?;
            // One Secret, by its name, in its own namespace: the webhook's certificates.
            let certificates = |rule: &&Value| {
                role["kind"] == "Role" && rule["resourceNames"] == json!(["lockkeeper-webhook"])
            };
            let text: String =
                rules.iter().filter(|rule| !certificates(rule)).map(Value::to_string).collect();
            for word in ["*", "secrets", "escalate", "bind", "nonResourceURLs"] {
                ensure!(!text.contains(&format!("\"{word}\"")), "{}: {word}", role["metadata"]["name"]);
            }
            if role["metadata"]["name"] != "lockkeeper-impersonate" {
                ensure!(!text.contains("impersonate"), "{role}");
            }
        }
        Ok(())
    });
}

#[test]
fn impersonation_is_narrowed_to_namespaces() {
    alone(async {
        let all = render(&["rbac.impersonateIn={platform,shop}"]).await?;
        let bindings: Vec<(&Value, &Value)> = all
            .iter()
            .filter(|object| object["roleRef"]["name"] == "lockkeeper-impersonate")
            .map(|object| (&object["kind"], &object["metadata"]["namespace"]))
            .collect();
        let wanted = [(json!("RoleBinding"), json!("platform")), (json!("RoleBinding"), json!("shop"))];
        ensure!(bindings == wanted.each_ref().map(|(kind, namespace)| (kind, namespace)), "{bindings:?}");
        Ok(())
    });
}

#[test]
fn without_a_controller_kinds_policies_and_roles_are_left() {
    alone(async {
        let all = render(&["controller.enabled=false"]).await?;
        let mut found: Vec<&str> = kinds(&all);
        found.sort_unstable();
        found.dedup();
        let wanted = [
            "ClusterRole",
            "CustomResourceDefinition",
            "MutatingAdmissionPolicy",
            "MutatingAdmissionPolicyBinding",
            "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        ];
        ensure!(found == wanted, "{found:?}");
        for role in all.iter().filter(|object| object["kind"] == "ClusterRole") {
            ensure!(
                role["metadata"]["labels"].to_string().contains("aggregate-to-"),
                "a right for nobody: {role}"
            );
        }
        Ok(())
    });
}

#[test]
fn what_an_older_api_server_does_not_serve_is_not_sent_to_it() {
    alone(async {
        let helm = Helm::alone().await?;
        let group = "admissionregistration.k8s.io";
        let beta = format!("{group}/v1beta1/MutatingAdmissionPolicy");
        let stable = format!("{group}/v1/MutatingAdmissionPolicy");
        // A live API server tells helm all its kinds; then the version of Kubernetes is not asked.
        let live = ["--api-versions", "apps/v1/Deployment"];
        for (args, wanted) in [
            (vec!["--kube-version", "1.36.3"], Some("v1")),
            (vec!["--kube-version", "1.35.0"], None),
            ([&live[..], &["--kube-version", "1.36.3"]].concat(), None),
            ([&live[..], &["--api-versions", &beta]].concat(), Some("v1beta1")),
            ([&live[..], &["--api-versions", &beta, "--api-versions", &stable]].concat(), Some("v1")),
            (vec!["--kube-version", "1.35.0", "--set", "pinAtBirth.apiVersion=v1beta1"], Some("v1beta1")),
        ] {
            let all = objects(&helm.template(&chart(), &args).await?)?;
            let versions = |all: &[Value]| -> Vec<String> {
                let kind = |object: &&Value| {
                    object["kind"].as_str().is_some_and(|kind| kind.starts_with("MutatingAdmission"))
                };
                let found = all.iter().filter(kind).filter_map(|object| object["apiVersion"].as_str());
                found.map(str::to_owned).collect()
            };
            // Who asks; what pins at birth is made by the controller, and rendered only where none runs.
            let wanted =
                |count| wanted.map_or_else(Vec::new, |version| vec![format!("{group}/{version}"); count]);
            ensure!(versions(&all) == wanted(2), "{args:?}: {:?}", versions(&all));
            let alone = [&args[..], &["--set", "controller.enabled=false"]].concat();
            let alone = versions(&objects(&helm.template(&chart(), &alone).await?)?);
            ensure!(alone == wanted(4), "{args:?}: {alone:?}");
            // Who asks is looked at everywhere.
            find(&all, "ValidatingAdmissionPolicy", "lockkeeper-interventions")?;
        }
        Ok(())
    });
}

#[test]
fn values_reach_what_they_are_about() {
    alone(async {
        let all = render(&[
            "controller.workloadKinds={argoproj.io/v1alpha1/Rollout/rollouts:/spec/template/spec}",
            "controller.allowHosts={registry:5000}",
            "controller.denyPrivateHosts=true",
            "image.digest=sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            "hostNetwork=true",
            "pinAtBirth.failurePolicy=Fail",
            "pinAtBirth.namespaceSelector.matchLabels.env=prod",
            "pinAtBirth.excludeNamespaces={kube-system,mine}",
        ])
        .await?;
        let pod = &find(&all, "Deployment", "lockkeeper")?["spec"]["template"]["spec"];
        let args = pod["containers"][0]["args"].to_string();
        for arg in [
            "--workload-kinds=argoproj.io/v1alpha1/Rollout/rollouts:/spec/template/spec",
            "--allow-host=registry:5000",
            "--deny-private-hosts",
        ] {
            ensure!(args.contains(arg), "{args}");
        }
        let image = pod["containers"][0]["image"].as_str().unwrap_or_default();
        ensure!(image.contains(":0.1.0@sha256:aaaa"), "{image}");
        ensure!(pod["hostNetwork"] == true && pod["dnsPolicy"] == "ClusterFirstWithHostNet");
        // A pod that surges would find the ports of its node taken, and the rollout would never end.
        let strategy = &find(&all, "Deployment", "lockkeeper")?["spec"]["strategy"];
        let one_by_one =
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}});
        ensure!(*strategy == one_by_one, "{strategy}");
        let rules = find(&all, "ClusterRole", "lockkeeper-controller")?["rules"].to_string();
        ensure!(
            rules.contains(
                r#"{"apiGroups":["argoproj.io"],"resources":["rollouts"],"verbs":["list","watch"]}"#
            ),
            "{rules}"
        );
        ensure!(args.contains("--webhook-addr=0.0.0.0:8443"), "{args}");
        let (policy, binding, webhook) =
            (at_birth(&all, "policy")?, at_birth(&all, "binding")?, at_birth(&all, "webhook")?);
        ensure!(policy["spec"]["failurePolicy"] == "Fail");
        let hook = &webhook["webhooks"][0];
        ensure!(hook["failurePolicy"] == "Ignore", "pods are born while no replica answers");
        ensure!(hook["namespaceSelector"] == binding["spec"]["matchResources"]["namespaceSelector"]);
        let selector = &binding["spec"]["matchResources"]["namespaceSelector"];
        ensure!(selector["matchLabels"] == json!({"env": "prod"}));
        ensure!(
            selector["matchExpressions"][0]["values"] == json!(["kube-system", "mine", "lockkeeper-system"])
        );
        Ok(())
    });
}

/// What the controller is told of one of the objects that pin pods at birth.
fn at_birth(all: &[Value], what: &str) -> Result<Value> {
    let map = find(all, "ConfigMap", "lockkeeper-pin-at-birth")?;
    let text = map["data"][what].as_str().with_context(|| format!("nothing of {what}"))?;
    serde_saphyr::from_str(text).context(what.to_owned())
}

#[test]
fn nothing_pins_at_birth_where_the_values_say_so() {
    alone(async {
        let off = render(&["pinAtBirth.enabled=false"]).await?;
        ensure!(find(&off, "ConfigMap", "lockkeeper-pin-at-birth")?["data"] == json!({"enabled": "false"}));
        let no_webhook = render(&["pinAtBirth.webhook.enabled=false"]).await?;
        ensure!(at_birth(&no_webhook, "policy").is_ok() && at_birth(&no_webhook, "webhook").is_err());
        for all in [off, no_webhook] {
            ensure!(find(&all, "Service", "lockkeeper-webhook").is_err(), "a Service of nothing");
            let pod = &find(&all, "Deployment", "lockkeeper")?["spec"]["template"]["spec"];
            ensure!(!pod.to_string().contains("webhook"), "{pod}");
        }
        Ok(())
    });
}

#[test]
fn alerts_and_dashboard_are_what_the_files_say() {
    alone(async {
        let all =
            render(&["alerts.enabled=true", "alerts.labels.team=platform", "dashboard.enabled=true"]).await?;
        let rule = find(&all, "PrometheusRule", "lockkeeper")?;
        let file = std::fs::read_to_string(chart().join("files/alerts.yaml"))?;
        ensure!(rule["spec"] == serde_saphyr::from_str::<Value>(&file)?, "{:#}", rule["spec"]);
        ensure!(rule["metadata"]["labels"]["team"] == "platform", "{:#}", rule["metadata"]);
        let board = find(&all, "ConfigMap", "lockkeeper-dashboard")?;
        let text = board["data"]["lockkeeper.json"].as_str().context("no dashboard")?;
        let file = std::fs::read_to_string(chart().join("files/dashboard.json"))?;
        let [given, wanted] = [text, &file].map(serde_json::from_str::<Value>);
        ensure!(given? == wanted?, "{text}");
        let none = render(&[]).await?;
        ensure!(find(&none, "PrometheusRule", "lockkeeper").is_err(), "only where it is asked for");
        Ok(())
    });
}
