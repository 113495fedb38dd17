use super::{review::NoAnswer, *};
use crate::ports::birth::Serving;
use axum::http::Request;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockkeeper_core::pin::PinSpec;
use serde_json::{Value, json};
use std::{collections::BTreeMap, path::Path, sync::Mutex};
use tower::ServiceExt;

/// Pins of one namespace, and a certificate.
#[derive(Default)]
struct Known {
    pins: Option<Vec<(String, PinSpec)>>,
    serving: Mutex<Option<Arc<Serving>>>,
}

impl Births for Known {
    fn pins(&self, namespace: &str) -> Option<Vec<(String, PinSpec)>> {
        let pins = self.pins.clone()?;
        Some(if namespace == "shop" { pins } else { Vec::new() })
    }

    fn serving(&self) -> Option<Arc<Serving>> {
        self.serving.lock().unwrap().clone()
    }
}

/// The table that the API server is asked, too.
fn table() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/tests/birth/table.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn known() -> Known {
    let pins: BTreeMap<String, PinSpec> = serde_json::from_value(table()["pins"].clone()).unwrap();
    Known { pins: Some(pins.into_iter().collect()), ..Known::default() }
}

fn review_of(pod: &Value, namespace: &str) -> Vec<u8> {
    let request = json!({"uid": "u", "namespace": namespace, "operation": "CREATE", "object": pod});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    review.to_string().into_bytes()
}

/// The pod as the API server would store it after the answer.
fn born(pod: &Value, namespace: &str, known: &Known) -> Value {
    let answer: Value =
        serde_json::from_str(&review::answer(&review_of(pod, namespace), known).unwrap()).unwrap();
    assert_eq!((&answer["response"]["uid"], &answer["response"]["allowed"]), (&json!("u"), &json!(true)));
    let mut pod = pod.clone();
    if let Some(patch) = answer["response"]["patch"].as_str() {
        let patch: json_patch::Patch = serde_json::from_slice(&STANDARD.decode(patch).unwrap()).unwrap();
        json_patch::patch(&mut pod, &patch).unwrap();
    }
    pod
}

#[test]
fn the_table_is_what_becomes_of_new_pods() {
    let (table, known) = (table(), known());
    let pods = table["pods"].as_array().unwrap();
    assert!(pods.len() > 30);
    for case in pods {
        let pod = json!({"metadata": case["metadata"], "spec": case["spec"]});
        let born = born(&pod, "shop", &known);
        let images = |list: &str| -> Value {
            let all = born["spec"][list].as_array().into_iter().flatten();
            all.map(|container| container["image"].clone()).collect()
        };
        let becomes = &case["becomes"];
        assert_eq!(images("containers"), becomes["containers"], "{}", case["why"]);
        assert_eq!(images("initContainers"), becomes["initContainers"], "{}", case["why"]);
        let by = &born["metadata"]["annotations"]["lockkeeper.dev/pinned-by"];
        let any = becomes["pinnedBy"] == "*" && by.is_string();
        assert!(any || *by == becomes["pinnedBy"], "{}: {by}", case["why"]);
        // Nothing else changes, and another namespace's pins are another namespace's.
        for (key, value) in pod["metadata"]["annotations"].as_object().into_iter().flatten() {
            assert_eq!(&born["metadata"]["annotations"][key], value, "{}", case["why"]);
        }
        assert_eq!(super::tests::born(&pod, "elsewhere", &known), pod, "{}", case["why"]);
    }
}

#[test]
fn what_is_no_review_of_a_pod_has_no_answer() {
    let known = known();
    for text in [
        "",
        "{}",
        "[]",
        r#"{"request": {"uid": "u"}}"#,
        r#"{"request": {"uid": "u", "object": {"spec": {"containers": 1}}}}"#,
    ] {
        assert!(matches!(review::answer(text.as_bytes(), &known), Err(NoAnswer::Malformed(_))), "{text}");
    }
    let odd = json!({"metadata": {}, "spec": {"containers": [{"name": "c"}]}});
    assert_eq!(born(&odd, "shop", &known), odd, "a container without an image is somebody else's matter");
}

#[tokio::test]
async fn a_call_that_cannot_be_answered_is_an_error_and_never_a_refusal() {
    let pod = json!({"metadata": {"labels": {"app": "digest"}}, "spec": {"containers": []}});
    let status = async |known: Known, method: &str, body: Vec<u8>| {
        let request = Request::builder().method(method).uri(WEBHOOK_PATH).body(Body::from(body)).unwrap();
        router(Arc::new(known)).oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!(status(known(), "POST", review_of(&pod, "shop")).await, 200);
    assert_eq!(status(Known::default(), "POST", review_of(&pod, "shop")).await, 503);
    assert_eq!(status(known(), "POST", b"no".to_vec()).await, 400);
    assert_eq!(status(known(), "GET", Vec::new()).await, 405);
    assert_eq!(status(known(), "POST", vec![b' '; MOST + 1]).await, 413);
}

/// A certificate for `localhost` and the authority that signed it.
fn certificate() -> (Serving, rustls::RootCertStore) {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = parameters.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap().pem();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    (Serving { certificate, key: key.serialize_pem() }, roots)
}

/// Shakes hands; the error says why not.
async fn shakes(address: SocketAddr, roots: &rustls::RootCertStore) -> std::io::Result<()> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(address).await?;
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.map(drop)
}

#[tokio::test]
async fn a_rotated_certificate_is_shown_at_once_and_without_one_nobody_is_served() {
    let known = Arc::new(known());
    let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(listener, Arc::clone(&known) as _, stop.clone()));
    let ((first, believed), (second, believed_then)) = (certificate(), certificate());
    assert!(shakes(address, &believed).await.is_err(), "there is no certificate yet");
    // Somebody who never shakes hands holds up nobody.
    let silent = tokio::net::TcpStream::connect(address).await.unwrap();
    *known.serving.lock().unwrap() = Some(Arc::new(first));
    shakes(address, &believed).await.unwrap();
    assert!(shakes(address, &believed_then).await.is_err());
    *known.serving.lock().unwrap() = Some(Arc::new(second));
    shakes(address, &believed_then).await.unwrap();
    *known.serving.lock().unwrap() = Some(Arc::new(Serving { certificate: "no".into(), key: "no".into() }));
    assert!(shakes(address, &believed_then).await.is_err(), "what cannot be read is not shown");
    drop(silent);
    stop.cancel();
    server.await.unwrap().unwrap();
}
