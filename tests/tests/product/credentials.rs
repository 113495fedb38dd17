//! `registry.secretRef`: a registry that asks for a user and a password is read with the Secret's.
//!
//! The pods pull from a mirror that asks nobody: the simulated kubelet knows no pull secrets.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::install::{apply_object, install, start_controller_with};
use e2e::programs::{self, Target};
use e2e::scene::Scene;
use e2e::{Bed, PATIENCE, Part, Settings, eventually, ports, run};
use reqwest::StatusCode;
use serde_json::json;

use crate::pods;

const USER: &str = "lockkeeper";
const PASSWORD: &str = "correct horse";
/// What `htpasswd -nbB` makes of the two.
const HTPASSWD: &str = "lockkeeper:$2b$04$Rgi7aKkKWPkZf5eUOvj8uOaOqq1gpYzGVCwJkfRul6MMQXJKFSOoC\n";

/// Starts a registry that serves what the bed's registry holds, to those who say who they are. Returns its host, too.
async fn locked_registry(bed: &Bed) -> Result<(Part, String)> {
    let host = format!("127.0.0.1:{}", ports::free()?);
    let (storage, users) = (bed.folder().join("registry"), bed.folder().join("htpasswd"));
    std::fs::write(&users, HTPASSWD)?;
    let config = json!({
        "version": "0.1",
        "storage": {"filesystem": {"rootdirectory": storage}},
        "http": {"addr": host},
        "auth": {"htpasswd": {"realm": "a test", "path": users}},
    });
    // JSON is YAML.
    let file = bed.folder().join("locked-registry.yaml");
    std::fs::write(&file, config.to_string())?;
    let program = programs::folder(Target::ControlPlane).await?.join("registry");
    let args = vec!["serve".to_owned(), file.display().to_string()];
    let part =
        Part::new("locked registry", program, args, Vec::new(), bed.logs().join("locked-registry.log"));
    part.start().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    eventually("the locked registry refuses strangers", PATIENCE, async || {
        part.check().await?;
        let answer = http.get(format!("http://{host}/v2/")).send().await?;
        ensure!(answer.status() == StatusCode::UNAUTHORIZED, "{}", answer.status());
        Ok(())
    })
    .await?;
    Ok((part, host))
}

fn secret(namespace: &str, host: &str, password: &str) -> serde_json::Value {
    let auth = STANDARD.encode(format!("{USER}:{password}"));
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json!({"auths": {host: {"auth": auth}}}).to_string()},
    })
}

#[test]
fn a_registry_that_asks_for_a_password_is_read_with_the_secret() {
    run("a_registry_that_asks_for_a_password_is_read_with_the_secret", async |_| -> Result<()> {
        // The controller is told which hosts on loopback it may speak to, so it is one of this test's own.
        let bed = Bed::start(Settings::default()).await?;
        bed.kubelet().await?;
        install(&bed).await?;
        let (registry, host) = locked_registry(&bed).await?;
        let controller = start_controller_with(&bed, "lockkeeper", &["--allow-host", &host]).await?;
        let admin = bed.admin().await?;
        let namespace = "credentials";
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        apply_object(&admin, object).await?;
        let scene = Scene::on(&bed, admin, namespace.to_owned(), &controller).await?;
        let reader =
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "registry-reader"}});
        let (mut role, mut binding) = (reader.clone(), reader);
        role["kind"] = json!("Role");
        role["rules"] = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["registry"], "verbs": ["get"]}]);
        binding["kind"] = json!("RoleBinding");
        binding["roleRef"] =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "registry-reader"});
        binding["subjects"] = json!([{"kind": "ServiceAccount", "name": "promoter", "namespace": namespace}]);
        scene.apply(role).await?;
        scene.apply(binding).await?;

        let old = pods(&scene, 2).await?;
        scene.apply(secret(namespace, &host, "wrong")).await?;
        let mut policy = scene.policy(&Scene::pods_target());
        policy["spec"]["image"] = json!(format!("{host}/{namespace}/otel"));
        policy["spec"]["pullFrom"] = json!([old.repository]);
        policy["spec"]["registry"] = json!({"insecure": true, "secretRef": {"name": "registry"}});
        scene.apply(policy).await?;
        let status = scene
            .until("otel", "a wrong password is said to be wrong", |status| {
                let (_, _, message) = status.condition("Ready");
                ensure!(
                    message.contains("401") || message.to_lowercase().contains("credential"),
                    "{message}"
                );
                Ok(())
            })
            .await?;
        ensure!(!status.0.to_string().contains("wrong\""), "the password is shown: {:#}", status.0);
        scene.not_written_again("pods", 0, "nothing is known of the releases").await?;

        scene.apply(secret(namespace, &host, PASSWORD)).await?;
        scene.holds(&old.digest).await?;
        let new = scene.push("0.28.1").await?;
        scene.holds(&new.digest).await?;
        let pods = scene.all_run(&new.digest, 2).await?;
        for pod in pods {
            let image = e2e::scene::image(&pod);
            ensure!(image.starts_with(&old.repository), "a pin keeps the pod's own repository: {image}");
        }
        let log = controller.log()?;
        let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
        ensure!(!log.contains(PASSWORD) && !log.contains(&auth), "the password is in the log");
        scene.finish().await?;
        controller.terminate().await?;
        registry.stop().await?;
        bed.stop().await
    });
}
