//! A registry that is opened by the identity of a policy's ServiceAccount: the token is the API server's own, who may make it is
//! RBAC's to say, and the registry is a real one. Amazon is an imitation made after its documentation.
//!
//! The registry has Amazon's name: the controller reaches it through the policy's proxy, which leads everything to where
//! this test wants it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::bed::Settings;
use e2e::install::{apply_object, install, start_controller_with};
use e2e::scene::Scene;
use e2e::{Bed, Test, run};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::locked::{Login, Registries};

/// What the registry is called.
pub const HOST: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

/// Amazon's token services, as they are documented.
#[derive(Default)]
struct Amazon {
    /// The tokens that came in.
    tokens: Mutex<Vec<String>>,
}

async fn answer(State(amazon): State<Arc<Amazon>>, headers: HeaderMap, body: String) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if header("x-amz-target") == "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken" {
        if !header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=ASIAEXAMPLE/")
            || header("x-amz-security-token") != "session"
        {
            return StatusCode::FORBIDDEN.into_response();
        }
        let expires = jiff::Timestamp::now().as_second() + 12 * 3600;
        let token = Login::first().basic(false);
        let data = json!([{"authorizationToken": token, "expiresAt": expires}]);
        return axum::Json(json!({"authorizationData": data})).into_response();
    }
    let asked: Vec<(String, String)> = form(&body);
    let said = |name: &str| asked.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
    let Some(token) = said("WebIdentityToken").filter(|_| said("RoleArn").as_deref() == Some(ROLE)) else {
        return (StatusCode::FORBIDDEN, "<Code>AccessDenied</Code>").into_response();
    };
    amazon.tokens.lock().unwrap_or_else(PoisonError::into_inner).push(token);
    "<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
     <SessionToken>session</SessionToken></Credentials>"
        .into_response()
}

fn form(body: &str) -> Vec<(String, String)> {
    reqwest::Url::parse(&format!("http://form/?{body}"))
        .map(|url| url.query_pairs().into_owned().collect())
        .unwrap_or_default()
}

/// A proxy: what is to be a tunnel leads to the registry, everything else to Amazon's token services.
async fn proxy(registry: String, amazon: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let at = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(lead(stream, registry.clone(), amazon));
        }
    });
    Ok(at)
}

async fn lead(mut from: TcpStream, registry: String, amazon: SocketAddr) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    let mut to = if head.starts_with(b"CONNECT ") {
        from.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        TcpStream::connect(registry).await?
    } else {
        let mut to = TcpStream::connect(amazon).await?;
        to.write_all(&head).await?;
        to
    };
    tokio::io::copy_bidirectional(&mut from, &mut to).await?;
    Ok(())
}

/// What a token says, without a look at its signature.
fn claims(token: &str) -> Result<Value> {
    let middle = token.split('.').nth(1).context("no JWT")?;
    Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(middle)?)?)
}

/// What the account has to be allowed, besides the token.
fn rules(with_token: bool) -> Value {
    let rule = |resource: &str, names: &[&str], verb: &str| json!({"apiGroups": [""], "resources": [resource], "resourceNames": names, "verbs": [verb]});
    let mut rules =
        vec![rule("secrets", &["proxy", "authority"], "get"), rule("serviceaccounts", &["promoter"], "get")];
    rules.extend(with_token.then(|| rule("serviceaccounts/token", &["promoter"], "create")));
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "registry-reader"},
        "rules": rules})
}

#[test]
fn a_policy_signs_in_to_a_cloud_as_its_own_service_account_if_its_namespace_allows_it() {
    run(
        "a_policy_signs_in_to_a_cloud_as_its_own_service_account_if_its_namespace_allows_it",
        async |_: &Test| -> Result<()> {
            let bed = Bed::start(Settings { scheduler: false, ..Settings::default() }).await?;
            install(&bed).await?;
            let registries = Registries::start(&bed).await?;
            let amazon = Arc::new(Amazon::default());
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let services = listener.local_addr()?;
            let router = axum::Router::new().fallback(answer).with_state(Arc::clone(&amazon));
            tokio::spawn(async move { axum::serve(listener, router).await });
            let proxy = proxy(registries.host(false).to_owned(), services).await?;
            let endpoint = |host: &str| format!("{host}.eu-west-1.amazonaws.com=http://{services}");
            let (sts, ecr) = (endpoint("sts"), endpoint("api.ecr"));
            let (allowed, through) = (services.to_string(), proxy.to_string());
            let args = [
                ["--cloud-endpoint", &sts],
                ["--cloud-endpoint", &ecr],
                ["--allow-host", &allowed],
                ["--allow-host", &through],
            ];
            let controller = start_controller_with(&bed, "lockkeeper", args.as_flattened()).await?;

            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}});
            apply_object(&bed.admin().await?, namespace).await?;
            let scene = Scene::on(&bed, bed.admin().await?, "shop".to_owned(), &controller).await?;
            let pushed = scene.push("0.28.0").await?;
            prepare(&scene, &registries, proxy).await?;
            scene
                .until("otel", "it is said which right is missing", |status| {
                    let text = status.0.to_string();
                    ensure!(text.contains("may not create serviceaccounts/token"), "not yet");
                    Ok(())
                })
                .await?;
            scene.apply(rules(true)).await?;
            let status = scene
                .until("otel", "the release is found", |status| {
                    ensure!(status.0["candidate"]["digest"] == pushed.digest.as_str(), "not yet");
                    Ok(())
                })
                .await?;
            ensure!(status.0["candidate"]["tag"] == "0.28.0", "{:#}", status.0);

            let tokens = amazon.tokens.lock().unwrap_or_else(PoisonError::into_inner).clone();
            ensure!(!tokens.is_empty(), "nobody signed in");
            let log = controller.log()?;
            for token in tokens {
                let claims = claims(&token)?;
                ensure!(claims["sub"] == "system:serviceaccount:shop:promoter", "{claims:#}");
                ensure!(claims["aud"] == json!(["sts.amazonaws.com"]), "{claims:#}");
                ensure!(!log.contains(&token), "a token is in the log");
            }
            ensure!(!log.contains(&Login::first().basic(false)), "a password is in the log");
            scene.finish().await?;
            controller.terminate().await?;
            registries.stop().await?;
            bed.stop().await
        },
    );
}

/// Everything but the right to a token.
async fn prepare(scene: &Scene<'_>, registries: &Registries, proxy: SocketAddr) -> Result<()> {
    let annotations = json!({"eks.amazonaws.com/role-arn": ROLE});
    let metadata = json!({"name": "promoter", "annotations": annotations});
    scene.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})).await?;
    scene.apply(rules(false)).await?;
    let group = "rbac.authorization.k8s.io";
    scene
        .apply(json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "registry-reader"},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "registry-reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "promoter"}]}))
        .await?;
    scene.apply(registries.certificates()).await?;
    scene
        .apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "proxy"},
            "stringData": {"address": format!("http://{proxy}")}}))
        .await?;
    let mut policy = scene.policy(&Scene::pods_target());
    policy["spec"]["image"] = json!(format!("{HOST}/{}/otel", scene.namespace));
    policy["spec"]["registry"] = json!({
        "provider": "aws", "certSecretRef": {"name": "authority"}, "proxySecretRef": {"name": "proxy"},
    });
    scene.apply(policy).await.map(drop)
}
