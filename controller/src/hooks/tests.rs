//! Hooks over HTTP, as they arrive.

use super::*;
use crate::{
    hosts::{HostPolicy, SystemLookup},
    ports::{Fence, FenceCheck, hints::Hint, lease::Leader},
    registry,
};
use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use jiff::Timestamp;
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};
use tower::ServiceExt as _;

/// Headers, by name.
type Sent<'a> = &'a [(&'a str, &'a str)];

const SECRET: &str = "s3cret";

#[derive(Debug, Default)]
struct World {
    hints: Mutex<Vec<String>>,
    stands_by: AtomicBool,
    leader: Mutex<Option<SocketAddr>>,
}

impl Hints for World {
    fn hint(&self, hint: &Hint) -> usize {
        self.hints.lock().unwrap().push(hint.repository.to_string());
        1
    }
}

impl FenceCheck for World {
    fn holds(&self) -> bool {
        !self.stands_by.load(Ordering::SeqCst)
    }
}

impl Leader for World {
    fn address(&self) -> Option<SocketAddr> {
        *self.leader.lock().unwrap()
    }
}

impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }
}

struct Scene {
    world: Arc<World>,
    desk: Desk,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, format!("{SECRET}\n")).unwrap();
        let text = format!(
            "receivers:\n\
             - {{name: hub, kind: DockerHub, secretFile: {0}}}\n\
             - {{name: github, kind: GitHub, secretFile: {0}}}\n\
             - {{name: registry, kind: Distribution, secretFile: {0}}}\n\
             - {{name: lost, kind: Harbor, secretFile: {0}.none}}\n\
             - {{name: google, kind: ArtifactRegistry, audience: lockkeeper, serviceAccount: push@p}}\n",
            file.display()
        );
        let world = Arc::new(World::default());
        let desk = desk(&text, &world, "http://127.0.0.1:1/certs", HostPolicy::default());
        Self { world, desk, _folder: folder }
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> u16 {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let answer = self.desk.clone().router().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 100).await.unwrap();
        assert!(body.is_empty() || body == format!("{}\n", status.as_u16()).as_bytes(), "{body:?}");
        status.as_u16()
    }

    fn hints(&self) -> Vec<String> {
        std::mem::take(&mut *self.world.hints.lock().unwrap())
    }
}

fn desk(text: &str, world: &Arc<World>, keys: &str, hosts: HostPolicy) -> Desk {
    let _installed_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tls = registry::tls(None).unwrap();
    let lookup: Arc<dyn crate::hosts::Lookup> = Arc::new(SystemLookup);
    let google = Google::new(keys.parse().unwrap(), Arc::new(hosts), &tls, &lookup).unwrap();
    let fence = Fence::new(Arc::clone(world) as _);
    let relay = Relay::new(fence, Arc::clone(world) as _).unwrap();
    let parts = Parts {
        hints: Arc::clone(world) as _,
        google,
        relay,
        clock: Arc::clone(world) as _,
        metrics: Arc::default(),
    };
    Desk::new(Config::parse(text).unwrap(), parts)
}

fn signed(body: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body.as_bytes());
    let hex: Vec<String> = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={}", hex.concat())
}

const HUB: &str = r#"{"repository": {"repo_name": "otel/collector"}}"#;
const PACKAGE: &str = r#"{"registry_package": {"name": "otel", "namespace": "acme"}}"#;

#[tokio::test]
async fn a_proved_hook_is_a_hint_and_the_same_one_again_is_none() {
    let scene = Scene::new();
    assert_eq!(scene.post("/hooks/hub/s3cret", &[], HUB).await, 202);
    assert_eq!(scene.hints(), ["docker.io/otel/collector"]);
    assert_eq!(scene.post("/hooks/hub/s3cret", &[], HUB).await, 202);
    assert_eq!(scene.hints(), Vec::<String>::new());
    let signature = signed(PACKAGE);
    assert_eq!(scene.post("/hooks/github", &[("x-hub-signature-256", &signature)], PACKAGE).await, 202);
    assert_eq!(scene.hints(), ["ghcr.io/acme/otel"]);
}

#[tokio::test]
async fn row_40_what_is_not_proved_or_not_understood_is_answered_and_does_nothing() {
    let scene = Scene::new();
    let other = signed("another body");
    let right = signed(PACKAGE);
    let table: [(&str, Sent<'_>, &str, u16); 12] = [
        ("/hooks/hub", &[], HUB, 401),
        ("/hooks/hub/wrong", &[], HUB, 401),
        ("/hooks/hub/s3cret/more", &[], HUB, 404),
        ("/hooks/hub?token=s3cret", &[], HUB, 401),
        ("/hooks/nobody/s3cret", &[], HUB, 404),
        ("/hooks/github", &[], PACKAGE, 401),
        ("/hooks/github", &[("x-hub-signature-256", &other)], PACKAGE, 401),
        ("/hooks/github", &[("x-hub-signature-256", &right), ("x-hub-signature-256", &right)], PACKAGE, 401),
        ("/hooks/registry", &[("authorization", "Bearer s3cret")], "[1, 2]", 400),
        ("/hooks/registry", &[("authorization", "Bearer s3cret")], "{\"events\": {}}", 202),
        ("/hooks/lost", &[("authorization", "Bearer s3cret")], "{}", 503),
        ("/hooks/google", &[("authorization", "Bearer s3cret")], "{}", 401),
    ];
    for (path, headers, body, status) in table {
        assert_eq!(scene.post(path, headers, body).await, status, "{path} {headers:?} {body}");
    }
    let large = vec![b' '; 100 << 20];
    assert_eq!(scene.post("/hooks/hub/s3cret", &[], large).await, 413);
    assert_eq!(scene.hints(), Vec::<String>::new());
    let get = Request::get("/hooks/hub/s3cret").body(Body::empty()).unwrap();
    assert_eq!(scene.desk.clone().router().oneshot(get).await.unwrap().status(), 405);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let scene = Scene::new();
    let drip = futures::stream::pending::<Result<Bytes, std::io::Error>>();
    assert_eq!(scene.post("/hooks/hub/s3cret", &[], Body::from_stream(drip)).await, 408);
}

#[tokio::test]
async fn a_flood_from_one_receiver_is_limited_and_stops_no_other() {
    let scene = Scene::new();
    let mut statuses = std::collections::BTreeMap::new();
    for n in 0..400 {
        let body = format!(r#"{{"n": {n}, "repository": {{"repo_name": "otel/collector"}}}}"#);
        *statuses.entry(scene.post("/hooks/hub/s3cret", &[], body).await).or_insert(0) += 1;
    }
    assert!(statuses[&202] >= 100 && statuses[&429] > 0, "{statuses:?}");
    let signature = signed(PACKAGE);
    assert_eq!(scene.post("/hooks/github", &[("x-hub-signature-256", &signature)], PACKAGE).await, 202);
}

#[tokio::test]
async fn a_replica_that_stands_by_passes_a_hook_on_to_the_leader_once() {
    let (leader, standby) = (Scene::new(), Scene::new());
    standby.world.stands_by.store(true, Ordering::SeqCst);
    assert_eq!(standby.post("/hooks/hub/s3cret", &[], HUB).await, 503, "nobody leads");

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    *standby.world.leader.lock().unwrap() = Some(listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(leader.desk.clone().serve(listener, stop.clone()));
    let signature = signed(PACKAGE);
    assert_eq!(standby.post("/hooks/github", &[("x-hub-signature-256", &signature)], PACKAGE).await, 202);
    assert_eq!(standby.post("/hooks/hub/s3cret", &[], HUB).await, 202);
    assert_eq!(leader.hints(), ["ghcr.io/acme/otel", "docker.io/otel/collector"]);
    assert_eq!(standby.hints(), Vec::<String>::new());

    // The leader is none any more, and says so instead of passing it on for ever.
    leader.world.stands_by.store(true, Ordering::SeqCst);
    *leader.world.leader.lock().unwrap() = *standby.world.leader.lock().unwrap();
    assert_eq!(standby.post("/hooks/hub/s3cret", &[], r#"{"n": 2}"#).await, 503);
    stop.cancel();
    serving.await.unwrap().unwrap();
}

const NOW: i64 = 1_800_000_000;

mod google_tokens {
    //! Signed by keys of our own; the key server is an imitation of what Google documents.

    use super::*;
    use aws_lc_rs::signature::KeyPair as _;
    use aws_lc_rs::{rand::SystemRandom, rsa, signature};
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::{Value, json};

    struct Issuer {
        key: rsa::KeyPair,
        kid: &'static str,
    }

    impl Issuer {
        fn new(kid: &'static str) -> Self {
            Self { key: rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap(), kid }
        }

        fn jwk(&self) -> Value {
            let (modulus, exponent) = numbers(self.key.public_key().as_ref());
            let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            json!({
                "kty": "RSA", "alg": "RS256", "use": "sig", "kid": self.kid,
                "n": number(modulus),
                "e": number(exponent),
            })
        }

        fn token(&self, header: &Value, claims: &Value) -> String {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let text = format!("{}.{}", part(header), part(claims));
            let mut signed = vec![0; self.key.public_modulus_len()];
            self.key
                .sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signed)
                .unwrap();
            format!("{text}.{}", URL_SAFE_NO_PAD.encode(signed))
        }
    }

    /// Modulus and exponent of a public key of 2,048 bits in DER form (RFC 8017, A.1.1).
    fn numbers(der: &[u8]) -> (&[u8], &[u8]) {
        assert_eq!((der[0], der[1], &der[4..8]), (0x30, 0x82, &[0x02, 0x82, 0x01, 0x01][..]));
        // The first byte of the modulus says that it is not negative.
        (&der[9..265], &der[267..])
    }

    fn claims() -> Value {
        json!({
            "iss": "https://accounts.google.com", "aud": "lockkeeper", "email": "push@p", "email_verified": true,
            "sub": "1", "iat": NOW - 10, "exp": NOW + 3590,
        })
    }

    /// The keys of `issuer`, served over loopback.
    async fn keys(issuer: &Issuer) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, body) = (listener.local_addr().unwrap(), json!({"keys": [issuer.jwk()]}).to_string());
        let router = Router::new().route("/certs", axum::routing::get(move || async move { body }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    #[tokio::test]
    async fn every_claim_counts() {
        let (issuer, stranger) = (Issuer::new("one"), Issuer::new("one"));
        let address = keys(&issuer).await;
        let text = "receivers:\n- {name: google, kind: ArtifactRegistry, audience: lockkeeper, serviceAccount: push@p}\n";
        let world = Arc::new(World::default());
        let hosts = HostPolicy::new([address.to_string()], false).unwrap();
        let desk = desk(text, &world, &format!("http://{address}/certs"), hosts);
        let receiver = &desk.0.receivers["google"].0;
        let check = async |token: String| {
            let headers =
                HeaderMap::from_iter([(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap())]);
            desk.0.parts.google.check(receiver, &headers, world.now()).await
        };
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": "one"});
        assert_eq!(check(issuer.token(&header, &claims())).await, Ok(()));
        for (claim, value, part) in [
            ("iss", json!("https://accounts.example.com"), "issuer"),
            ("aud", json!("another"), "audience"),
            ("email", json!("somebody@p"), "account"),
            ("email_verified", json!(false), "account"),
            ("exp", json!(NOW - 61), "time"),
            ("iat", json!(NOW + 61), "time"),
            ("exp", json!(NOW + 100_000), "time"),
            ("exp", json!("soon"), "claim"),
        ] {
            let mut wrong = claims();
            wrong[claim] = value;
            let error = check(issuer.token(&header, &wrong)).await.unwrap_err();
            assert!(error.contains(part), "{claim}: {error}");
        }
        let error = check(stranger.token(&header, &claims())).await.unwrap_err();
        assert!(error.contains("signature"), "{error}");
        for (header, part) in [
            (json!({"alg": "none", "kid": "one"}), "not signed with RS256"),
            (json!({"alg": "HS256", "kid": "one"}), "not signed with RS256"),
            (json!({"alg": "RS256"}), "names no key"),
            (json!({"alg": "RS256", "kid": "two"}), "unknown"),
        ] {
            let error = check(issuer.token(&header, &claims())).await.unwrap_err();
            assert!(error.contains(part), "{header}: {error}");
        }
        assert!(check("x.y".into()).await.is_err());
    }

    #[tokio::test]
    async fn keys_are_not_read_from_a_host_that_may_not_be_dialled() {
        let issuer = Issuer::new("one");
        let address = keys(&issuer).await;
        let text = "receivers:\n- {name: google, kind: ArtifactRegistry, audience: lockkeeper, serviceAccount: push@p}\n";
        let world = Arc::new(World::default());
        let desk = desk(text, &world, &format!("http://{address}/certs"), HostPolicy::default());
        let header = json!({"alg": "RS256", "kid": "one"});
        let token = format!("Bearer {}", issuer.token(&header, &claims()));
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, token.parse().unwrap())]);
        let receiver = &desk.0.receivers["google"].0;
        let error = desk.0.parts.google.check(receiver, &headers, world.now()).await.unwrap_err();
        assert!(error.contains("unknown"), "{error}");
    }
}
