//! What other tools' resources become. That the result is a valid policy is part of converting.

use super::*;

fn convert(text: &str) -> Result<Option<String>, String> {
    converted(serde_saphyr::from_multiple(text).unwrap())
}

/// The policies, and the whole text for its comments.
fn policies(text: &str) -> (Vec<Value>, String) {
    let text = convert(text).unwrap().unwrap();
    (serde_saphyr::from_multiple(&text).unwrap(), text)
}

fn has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(
            text.lines().any(|line| line.trim_start().starts_with('#') && line.contains(part)),
            "{part}\n{text}"
        );
    }
}

const FLUX: &str = r#"
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageRepository
metadata: {name: podinfo, namespace: flux-system}
spec:
  image: ghcr.io/stefan/podinfo
  interval: 5m0s
  provider: aws
  secretRef: {name: regcred}
  exclusionList: ["^.*-dev$"]
  timeout: 30s
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImagePolicy
metadata: {name: podinfo, namespace: flux-system}
spec:
  imageRepositoryRef: {name: podinfo}
  digestReflectionPolicy: Always
  filterTags: {pattern: '^v(?P<v>.*)$', extract: '$v'}
  policy: {semver: {range: "5.1.x"}}
---
apiVersion: image.toolkit.fluxcd.io/v1
kind: ImageUpdateAutomation
metadata: {name: apps, namespace: flux-system}
spec:
  interval: 30m
  sourceRef: {kind: GitRepository, name: fleet}
  git:
    checkout: {ref: {branch: main}}
    commit: {author: {email: bot@example.com}, messageTemplate: x}
    push: {branch: updates}
  update: {path: ./clusters/prod, strategy: Setters}
"#;

#[test]
fn flux_keeps_its_selection_and_says_where_it_wrote() {
    let (found, text) = policies(FLUX);
    let [policy] = &found[..] else { panic!("{text}") };
    assert_eq!((name(policy), namespace(policy)), ("podinfo", "flux-system"));
    let spec = &policy["spec"];
    assert_eq!(spec["image"], "ghcr.io/stefan/podinfo");
    assert_eq!(spec["interval"], "5m0s");
    assert_eq!(spec["mode"], "Observe");
    assert_eq!(spec["registry"]["secretRef"]["name"], "regcred");
    assert_eq!(spec["select"]["semver"]["range"], "5.1.x");
    assert_eq!(spec["select"]["filterTags"]["extract"], "$v");
    assert_eq!(spec["select"]["ignoreTags"][0], "^.*-dev$");
    has(
        &text,
        &[
            "GitRepository fleet, branch updates, path ./clusters/prod",
            "provider: aws was left out",
            "ImageRepository.spec.timeout (\"30s\") is not carried over",
            "digestReflectionPolicy: Always",
            "ImageUpdateAutomation.spec.git.commit",
            "CHECK: the labels of the pods",
        ],
    );
}

#[test]
fn flux_s_identity_of_a_cloud_is_kept_where_it_had_no_secret() {
    let ecr = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/podinfo";
    let (found, text) =
        policies(&FLUX.replace("  secretRef: {name: regcred}\n", "").replace("ghcr.io/stefan/podinfo", ecr));
    assert_eq!(found[0]["spec"]["registry"], serde_json::json!({"provider": "aws"}));
    has(&text, &["CHECK: the ServiceAccount that the policy acts as signs in by itself"]);
}

#[test]
fn flux_s_other_orders_and_what_is_missing() {
    for (policy, field, value) in
        [("alphabetical: {order: desc}", "alphabetical", "desc"), ("numerical: {}", "numerical", "asc")]
    {
        let (found, _) = policies(&FLUX.replace("semver: {range: \"5.1.x\"}", policy));
        assert_eq!(found[0]["spec"]["select"][field]["order"], value);
    }
    let parts: Vec<&str> = FLUX.split("---").collect();
    assert!(convert(parts[0]).unwrap_err().contains("without an ImagePolicy"));
    assert!(convert(parts[1]).unwrap_err().contains("flux-system/podinfo, which is not in the files"));
    // What Flux would take and no policy can hold is said, not printed.
    let error = convert(&FLUX.replace("5.1.x", ">>1")).unwrap_err();
    assert!(error.contains("no valid ImagePolicy") && error.contains("select.semver.range"), "{error}");
}

#[test]
fn argo_cd_image_updaters_override_from_the_outside_in() {
    let (found, text) = policies(
        r#"
apiVersion: argocd-image-updater.argoproj.io/v1alpha1
kind: ImageUpdater
metadata: {name: updater, namespace: argocd}
spec:
  commonUpdateSettings: {updateStrategy: newest-build, pullSecret: "pullsecret:argocd/reg"}
  writeBackConfig: {method: git, gitConfig: {branch: main, writeBackTarget: "helmvalues:values.yaml"}}
  applicationRefs:
  - namePattern: "shop-*"
    labelSelectors: {matchLabels: {a: b}}
    images:
    - alias: web
      imageName: ghcr.io/acme/web:~1.20
      commonUpdateSettings: {updateStrategy: semver, allowTags: "regexp:^1[.]", ignoreTags: ["*-rc?", "1.2.3"]}
      manifestTargets: {helm: {name: web.image.name, tag: web.image.tag}}
    - alias: api
      imageName: ghcr.io/acme/api
"#,
    );
    let [web, api] = &found[..] else { panic!("{text}") };
    assert_eq!(web["spec"]["image"], "ghcr.io/acme/web");
    assert_eq!(web["spec"]["select"]["semver"]["range"], "~1.20");
    assert_eq!(web["spec"]["select"]["filterTags"]["pattern"], "^1[.]");
    assert_eq!(web["spec"]["select"]["ignoreTags"], serde_json::json!(["^.*-rc.$", "^1\\.2\\.3$"]));
    assert_eq!(web["spec"]["registry"]["secretRef"]["name"], "reg");
    assert!(api["spec"]["select"]["newestBuild"].is_object());
    has(
        &text,
        &[
            "git, branch main, writeBackTarget helmvalues:values.yaml",
            "--helm-values '.web.image'",
            "labelSelectors",
        ],
    );
}

#[test]
fn argo_cd_annotations_of_each_image_are_its_own() {
    let (found, text) = policies(
        r#"
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: shop
  namespace: argocd
  annotations:
    argocd-image-updater.argoproj.io/image-list: "web=nginx:~1.26, ghcr.io/acme/api, log=ghcr.io/acme/log:latest"
    argocd-image-updater.argoproj.io/web.kustomize.image-name: base/web
    argocd-image-updater.argoproj.io/log.update-strategy: digest
    argocd-image-updater.argoproj.io/web.force-update: "true"
    argocd-image-updater.argoproj.io/write-back-method: git:secret:argocd/creds
    argocd-image-updater.argoproj.io/git-branch: main
    argocd-image-updater.argoproj.io/web.unheard-of: "1"
"#,
    );
    assert_eq!(found.len(), 3, "{text}");
    assert_eq!((name(&found[0]), name(&found[1])), ("web", "api"));
    assert_eq!(found[0]["spec"]["select"]["semver"]["range"], "~1.26");
    assert_eq!(found[1]["spec"]["select"]["semver"]["range"], "*");
    assert_eq!(found[2]["spec"]["select"]["digest"]["tag"], "latest");
    has(
        &text,
        &[
            "write-back-method git:secret:argocd/creds, git-branch main",
            "--kustomize --name 'base/web'",
            "force-update",
            "web.unheard-of (\"1\") is not carried over",
        ],
    );
}

#[test]
fn a_warehouse_becomes_a_policy_for_each_image() {
    let (found, text) = policies(
        r"
apiVersion: kargo.akuity.io/v1alpha1
kind: Warehouse
metadata: {name: shop, namespace: kargo-shop}
spec:
  interval: 1m0s
  freightCreationPolicy: Manual
  subscriptions:
  - git: {repoURL: https://git.example.com/shop}
  - image: {repoURL: ghcr.io/acme/web, constraint: ^1.26.0, platform: linux/amd64}
  - image: {repoURL: ghcr.io/acme/api, imageSelectionStrategy: NewestBuild, allowTagsRegexes: [^main-, ^dev-], discoveryLimit: 5}
  - image: {repoURL: ghcr.io/acme/log, imageSelectionStrategy: Digest, constraint: stable, insecureSkipTLSVerify: true}
  - image: {repoURL: ghcr.io/acme/job, imageSelectionStrategy: Lexical, ignoreTags: [a.b], cacheByTag: true}
",
    );
    let [web, api, log, job] = &found[..] else { panic!("{text}") };
    assert_eq!(name(web), "shop-0");
    assert_eq!(web["spec"]["select"]["semver"]["range"], "^1.26.0");
    assert_eq!(web["spec"]["select"]["platforms"][0], "linux/amd64");
    assert_eq!(api["spec"]["select"]["newestBuild"]["discoveryLimit"], 5);
    assert_eq!(api["spec"]["select"]["filterTags"]["pattern"], "(?:^main-)|(?:^dev-)");
    assert_eq!(log["spec"]["select"]["digest"]["tag"], "stable");
    assert_eq!(job["spec"]["select"]["alphabetical"]["order"], "asc");
    assert_eq!(job["spec"]["select"]["ignoreTags"][0], "^a\\.b$");
    has(
        &text,
        &[
            "subscriptions[0] is a git",
            "spec.freightCreationPolicy (\"Manual\") is not carried over",
            "image.cacheByTag",
            "insecureSkipTLSVerify",
            "together as Freight",
            "strictSemvers",
        ],
    );
}

#[test]
fn keel_s_annotations_become_a_policy_on_the_workload() {
    let workload = |rule: &str, image: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: wd\n  namespace: apps\n  labels: {{app: wd}}\n  annotations:\n    \
             keel.sh/policy: '{rule}'\n    keel.sh/trigger: poll\n    keel.sh/pollSchedule: '@every 10m'\n    keel.sh/approvals: '2'\n    \
             keel.sh/notify: chat\nspec:\n  template:\n    spec:\n      containers: [{{name: wd, image: '{image}'}}]\n"
        )
    };
    for (rule, image, field, value) in [
        ("major", "acme/wd:1.4.2", "/semver/range", ">=1.4.2"),
        ("minor", "acme/wd:v1.4.2", "/semver/range", ">=1.4.2 <2.0.0"),
        ("patch", "acme/wd:0.4.2", "/semver/range", ">=0.4.2 <0.5.0"),
        ("all", "acme/wd:1.4.2", "/semver/range", ">=1.4.2-0"),
        ("force", "acme/wd:latest", "/digest/tag", "latest"),
        ("glob:build-*", "acme/wd:build-1", "/filterTags/pattern", "^build-.*$"),
        ("regexp:^(?P<compare>[0-9]+)$", "acme/wd:7", "/filterTags/extract", "${compare}"),
    ] {
        let (found, text) = policies(&workload(rule, image));
        let policy = &found[0];
        assert_eq!(policy["spec"]["select"].pointer(field), Some(&Value::from(value)), "{rule}: {text}");
        assert_eq!(policy["spec"]["interval"], "10m");
        let target = &policy["spec"]["stages"][0]["targets"][0]["workloads"];
        assert_eq!(target["selector"]["matchLabels"]["app"], "wd");
        assert_eq!(target["containers"][0], "wd");
        has(&text, &["approval: {required: 2}", "keel.sh/notify (\"chat\") is not carried over"]);
    }
    assert_eq!(convert(&workload("never", "acme/wd:1.4.2")), Ok(None));
    assert!(convert(&workload("minor", "acme/wd:main")).unwrap_err().contains("counts from a tag"));
    assert!(convert(&workload("fast", "acme/wd:1.2.3")).unwrap_err().contains("\"fast\" is not known"));
}

#[test]
fn nothing_to_convert_is_nothing_and_lists_are_read() {
    assert_eq!(convert("kind: Pod\napiVersion: v1\n"), Ok(None));
    let objects: Vec<Value> = serde_saphyr::from_multiple(FLUX).unwrap();
    let list = serde_json::json!({"kind": "List", "apiVersion": "v1", "items": objects}).to_string();
    assert_eq!(policies(&list).0.len(), 1);
}

#[test]
fn what_comes_in_cannot_leave_its_comment_or_its_text() {
    let hostile = FLUX
        .replace("timeout: 30s", "timeout: \"x\\nspec: {mode: Enforce}\\u2028a: b\"")
        .replace("regcred", "\"a\\\"b: c\"");
    let found = convert(&hostile);
    if let Ok(Some(text)) = &found {
        let policy: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        assert_eq!(policy[0]["spec"]["mode"], "Observe");
    } else {
        // The name of the Secret is none.
        assert!(found.unwrap_err().contains("registry.secretRef"), "refused for another reason");
    }
}
