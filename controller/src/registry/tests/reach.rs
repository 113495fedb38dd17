//! Which hosts are reached, and how: host policy, redirects, realms, TLS.

use std::net::IpAddr;
use std::sync::Arc;

use axum::response::Response;
use serde_json::json;

use super::support::*;
use crate::hosts::{Class, HostPolicy};
use crate::ports::{Certificates, Credential, Proxy, Registry as _, RegistryAccess, RegistryError};
use crate::registry::{OciRegistry, Options};

type Script = Box<dyn Fn(&Asked) -> Response + Send + Sync>;

const YEARS: i32 = 2100;

fn tags(_: &Asked) -> Response {
    json_body(&json!({"tags": ["1.0"]}))
}

fn over_tls(access: RegistryAccess) -> RegistryAccess {
    RegistryAccess { insecure: false, ..access }
}

/// Loopback with the parts that public, private and forbidden addresses have elsewhere.
fn classes(address: IpAddr) -> Class {
    match address.to_string().as_str() {
        "127.0.0.2" | "127.0.0.4" => Class::Public,
        "127.0.0.3" => Class::Private,
        _ => Class::Never("a loopback address"),
    }
}

/// A client that trusts the shared authority; with `classes` nothing need be listed.
fn trusting(allowed: &[&str], deny_private: bool, names: Arc<Names>) -> OciRegistry {
    let hosts = HostPolicy::new(allowed, deny_private).unwrap().with_classes(classes);
    let options = Options { extra_roots: Some(Authority::shared().pem.clone()), ..Options::default() };
    OciRegistry::with_lookup(Arc::new(hosts), options, names).unwrap()
}

async fn tls_fake(ip: &str, port: u16, script: impl Fn(&Asked) -> Response + Send + Sync + 'static) -> Fake {
    let names = [ip, "registry.test", "realm.test"];
    Fake::start_tls(ip, port, Authority::shared().server(&names, YEARS), script).await
}

async fn tags_by_name(client: &OciRegistry, name: &str, fake: &Fake) -> Result<Vec<String>, RegistryError> {
    let repository = format!("{name}:{}/team/app", fake.at.port()).parse().unwrap();
    client.tags(&over_tls(signed_in("u", "p")), &repository).await.map(|listing| texts(&listing))
}

#[tokio::test]
async fn row_22_plain_http_needs_policy_and_installation() {
    let fake = Fake::start(REGISTRY, tags).await;
    let repository = fake.repository("team/app");
    let listed = client(&[&fake]);
    assert!(listed.tags(&anonymous(), &repository).await.is_ok());

    let unlisted = trusting(&[], false, Names::new(&[]));
    let failed = unlisted.tags(&anonymous(), &repository).await.unwrap_err();
    assert!(
        failed.reason == "HostDenied" && failed.message.contains(&format!("--allow-host {}", fake.at)),
        "{failed}"
    );

    // Without `insecure` it is TLS or nothing.
    let failed = listed.tags(&over_tls(anonymous()), &repository).await.unwrap_err();
    assert!(failed.reason == "Unreachable" && failed.message.contains("TLS"), "{failed}");
    assert_eq!(fake.log().len(), 1);
}

#[tokio::test]
async fn row_23_row_24_forbidden_hosts_are_not_dialled_in_any_spelling() {
    let canary = Fake::start("127.0.0.1", tags).await;
    let client = OciRegistry::new(Arc::new(HostPolicy::default()), Options::default()).unwrap();
    let port = canary.at.port();
    for host in [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "0177.0.0.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
        "[::]",
        "127.1",
    ] {
        let repository = format!("{host}:{port}/team/app").parse().unwrap();
        for access in [anonymous(), over_tls(anonymous())] {
            let failed = client.tags(&access, &repository).await.unwrap_err();
            assert_eq!(failed.reason, "HostDenied", "{host}: {failed}");
            assert!(failed.message.contains("--allow-host"), "{failed}");
        }
    }
    assert_eq!(canary.log().len(), 0);
}

#[tokio::test]
async fn row_23_redirects_links_and_realms_obey_the_policy() {
    let canary = Fake::start(CANARY, tags).await;
    let evil = format!("http://{}/v2/token", canary.at);
    let scripts: Vec<Script> = vec![
        {
            let evil = evil.clone();
            Box::new(move |_| respond(307, &[("location", &evil)], ""))
        },
        {
            let evil = evil.clone();
            Box::new(move |_| respond(401, &[("www-authenticate", &format!("Bearer realm=\"{evil}\""))], ""))
        },
        Box::new(move |_| respond(307, &[("location", "http://169.254.169.254/latest/meta-data")], "")),
    ];
    for script in scripts {
        let fake = Fake::start(REGISTRY, script).await;
        let failed =
            client(&[&fake]).tags(&signed_in("u", "p"), &fake.repository("team/app")).await.unwrap_err();
        assert_eq!(failed.reason, "HostDenied", "{failed}");
    }
    assert_eq!(canary.log().len(), 0);
}

#[tokio::test]
async fn row_25_a_name_that_answers_differently_the_next_time_gains_nothing() {
    let close = |_: &Asked| respond(200, &[("connection", "close")], "{\"tags\": [\"1.0\"]}");
    let fake = tls_fake(REGISTRY, 0, close).await;
    let canary = tls_fake(CANARY, fake.at.port(), tags).await;
    let client = trusting(&[], false, Names::new(&[("registry.test", &[&[REGISTRY], &[CANARY]])]));
    assert!(tags_by_name(&client, "registry.test", &fake).await.is_ok());
    let failed = tags_by_name(&client, "registry.test", &fake).await.unwrap_err();
    assert_eq!(failed.reason, "HostDenied", "{failed}");
    let allow = format!("--allow-host registry.test:{}", fake.at.port());
    assert!(failed.message.contains("resolves to a loopback") && failed.message.contains(&allow), "{failed}");

    // Of several addresses only those that may be dialled are.
    let client = trusting(&[], false, Names::new(&[("registry.test", &[&[CANARY, REGISTRY]])]));
    assert!(tags_by_name(&client, "registry.test", &fake).await.is_ok());
    assert_eq!((fake.log().len(), canary.log().len(), canary.first_bytes().len()), (2, 0, 0));
}

#[tokio::test]
async fn row_23_private_addresses_are_the_installations_choice() {
    let fake = tls_fake("127.0.0.3", 0, tags).await;
    let names = || Names::new(&[("registry.test", &[&["127.0.0.3"]])]);
    assert!(tags_by_name(&trusting(&[], false, names()), "registry.test", &fake).await.is_ok());
    for host in ["registry.test", "127.0.0.3"] {
        let failed = tags_by_name(&trusting(&[], true, names()), host, &fake).await.unwrap_err();
        assert!(failed.reason == "HostDenied" && failed.message.contains("private"), "{failed}");
        assert!(tags_by_name(&trusting(&[host], true, names()), host, &fake).await.is_ok());
    }
    assert_eq!(fake.log().len(), 3);
}

/// A registry that takes tokens of the realm `https://<host>:<port>/token`.
async fn registry_of(realm: &str) -> Fake {
    let value = format!("Bearer realm=\"{realm}\",service=\"s\"");
    tls_fake(REGISTRY, 0, move |asked| match asked.authorization() {
        "Bearer good" => tags(asked),
        _ => respond(401, &[("www-authenticate", &value)], ""),
    })
    .await
}

#[tokio::test]
async fn row_27_a_private_realm_on_another_host_gets_no_credential() {
    let realm = tls_fake("127.0.0.3", 0, |asked| {
        json_body(&json!({"token": if asked.authorization().is_empty() { "anonymous" } else { "good" }}))
    })
    .await;
    let port = realm.at.port();
    let names = || Names::new(&[("realm.test", &[&["127.0.0.3"]])]);
    for host in ["127.0.0.3", "realm.test"] {
        let fake = registry_of(&format!("https://{host}:{port}/token")).await;
        let failed = tags_by_name(&trusting(&[], false, names()), REGISTRY, &fake).await.unwrap_err();
        assert_eq!(failed.reason, "AuthFailed", "{failed}");
        assert!(failed.message.contains(&format!("--allow-host {host}:{port}")), "{failed}");
        assert!(realm.log().iter().all(|asked| asked.authorization().is_empty()));

        // Not even dialled where private addresses are denied.
        let before = realm.log().len();
        let failed = tags_by_name(&trusting(&[], true, names()), REGISTRY, &fake).await.unwrap_err();
        assert_eq!((failed.reason, realm.log().len()), ("HostDenied", before), "{failed}");
    }
    // The installation may say that it is meant.
    let fake = registry_of(&format!("https://realm.test:{port}/token")).await;
    let listed = trusting(&[&format!("realm.test:{port}")], true, names());
    assert_eq!(tags_by_name(&listed, REGISTRY, &fake).await.unwrap(), ["1.0"]);
    assert!(!realm.log().last().unwrap().authorization().is_empty());
}

#[tokio::test]
async fn row_27_the_own_host_and_public_realms_get_the_credential() {
    let good = |asked: &Asked| {
        assert!(asked.authorization().starts_with("Basic "));
        json_body(&json!({"token": "good"}))
    };
    let public = tls_fake("127.0.0.4", 0, good).await;
    let own = tls_fake(REGISTRY, 0, good).await;
    for realm in [&public, &own] {
        let fake = registry_of(&format!("https://{}/token", realm.at)).await;
        let client = trusting(&[], true, Names::new(&[]));
        assert_eq!(tags_by_name(&client, REGISTRY, &fake).await.unwrap(), ["1.0"]);
        assert_eq!(realm.log().len(), 1);
    }
}

#[tokio::test]
async fn row_27_an_identity_token_goes_to_no_private_realm_on_another_host() {
    let realm = Fake::start("127.0.0.3", |_| json_body(&json!({"token": "good"}))).await;
    let fake = registry_of(&format!("http://{}/token", realm.at)).await;
    let identity = RegistryAccess { credential: Some(Credential::Identity("c4n4ry".into())), ..anonymous() };
    // The registry is listed, the realm is not: over plain HTTP it is not asked at all.
    let allowed = [fake.at.to_string()];
    let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
    let client = trusting(&allowed, false, Names::new(&[]));
    assert!(client.tags(&identity, &fake.repository("team/app")).await.is_err());
    assert!(realm.log().iter().all(|asked| !asked.body.contains("c4n4ry")), "{:?}", realm.log());
}

#[tokio::test]
async fn row_27_a_realm_without_tls_is_refused() {
    let plain = Fake::start(REGISTRY, |_| json_body(&json!({"token": "good"}))).await;
    let fake = registry_of(&format!("http://{}/token", plain.at)).await;
    let listed = trusting(&[REGISTRY], false, Names::new(&[]));
    let failed = tags_by_name(&listed, REGISTRY, &fake).await.unwrap_err();
    assert!(failed.reason == "BadAnswer" && failed.message.contains("not https"), "{failed}");
    assert_eq!(plain.log().len(), 0);
}

#[tokio::test]
async fn r21_a_redirect_never_leaves_tls() {
    let plain = Fake::start(REGISTRY, tags).await;
    let location = format!("http://{}/x", plain.at);
    let fake = tls_fake(REGISTRY, 0, move |_| respond(301, &[("location", &location)], "")).await;
    let listed = trusting(&[REGISTRY], false, Names::new(&[]));
    for access in [over_tls(anonymous()), over_tls(signed_in("u", "p"))] {
        let failed = listed.tags(&access, &fake.repository("team/app")).await.unwrap_err();
        assert!(failed.reason == "BadAnswer" && failed.message.contains("from TLS to http"), "{failed}");
    }
    assert_eq!(plain.log().len(), 0);
}

#[tokio::test]
async fn r21_redirects_are_counted_and_must_lead_somewhere() {
    let fake = Fake::start(REGISTRY, |asked| {
        let n: u32 = asked.path().rsplit('/').next().unwrap().parse().unwrap_or(0);
        respond(302, &[("location", &format!("/hop/{}", n + 1))], "")
    })
    .await;
    let failed = client(&[&fake]).tags(&anonymous(), &fake.repository("team/app")).await.unwrap_err();
    assert!(failed.message.contains("more than 5 times"), "{failed}");
    assert_eq!(fake.log().len(), 6);

    for headers in [&[][..], &[("location", "http://")], &[("location", "ftp://127.0.0.2/x")]] {
        let fake = Fake::start(REGISTRY, move |_| respond(302, headers, "")).await;
        let failed = client(&[&fake]).tags(&anonymous(), &fake.repository("team/app")).await.unwrap_err();
        assert!(matches!(failed.reason, "BadAnswer" | "HostDenied"), "{failed}");
        assert_eq!(fake.log().len(), 1);
    }
}

#[tokio::test]
async fn r22_certificates_that_are_not_trusted_end_it_without_plain_text() {
    let trusted = tls_fake(REGISTRY, 0, tags).await;
    let expired = Fake::start_tls(REGISTRY, 0, Authority::shared().server(&[REGISTRY], 2001), tags).await;
    let other_name =
        Fake::start_tls(REGISTRY, 0, Authority::shared().server(&["other.test"], YEARS), tags).await;
    // The authority was swapped for a new one of the same name.
    let swapped = Fake::start_tls(REGISTRY, 0, Authority::new().server(&[REGISTRY], YEARS), tags).await;
    let client = trusting(&[REGISTRY], false, Names::new(&[]));
    assert_eq!(tags_by_name(&client, REGISTRY, &trusted).await.unwrap(), ["1.0"]);
    for fake in [&expired, &other_name, &swapped] {
        let failed = tags_by_name(&client, REGISTRY, fake).await.unwrap_err();
        assert_eq!(failed.reason, "TLSUntrusted", "{failed}");
        assert!(failed.message.contains(&fake.at.to_string()), "{failed}");
        assert_eq!(fake.log().len(), 0);
        let first = fake.first_bytes();
        assert!(!first.is_empty() && first.iter().all(|byte| *byte == 0x16), "{first:?}");
    }
}

#[test]
fn extra_certificates_that_are_none_are_refused() {
    for pem in [&b""[..], b"no pem", b"-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"] {
        let options = Options { extra_roots: Some(pem.to_vec()), ..Options::default() };
        let failed = OciRegistry::new(Arc::new(HostPolicy::default()), options).unwrap_err();
        assert_eq!(failed.reason, "TLSUntrusted", "{failed}");
    }
}

fn with(certificates: Certificates) -> RegistryAccess {
    RegistryAccess { certificates, ..over_tls(signed_in("u", "p")) }
}

#[tokio::test]
async fn r22_a_policys_own_authority_is_believed_by_it_alone_and_may_be_swapped() {
    let (old, new) = (Authority::new(), Authority::new());
    let fake = Fake::start_tls(REGISTRY, 0, old.server(&[REGISTRY], YEARS), tags).await;
    let client = trusting(&[REGISTRY], false, Names::new(&[]));
    let repository = fake.repository("team/app");
    let believing = |authority: &Authority| {
        with(Certificates { authority: Some(authority.pem.clone()), ..Certificates::default() })
    };
    assert_eq!(client.tags(&believing(&old), &repository).await.unwrap().len(), 1);
    for access in [believing(&new), with(Certificates::default())] {
        assert_eq!(client.tags(&access, &repository).await.unwrap_err().reason, "TLSUntrusted");
    }
    // Those that the installation believes are believed still.
    let shared = tls_fake(REGISTRY, 0, tags).await;
    assert!(client.tags(&believing(&old), &shared.repository("team/app")).await.is_ok());
}

#[tokio::test]
async fn a_certificate_of_our_own_is_shown_where_it_is_asked_for() {
    let clients = Authority::new();
    let server = Authority::shared().server_with(&[REGISTRY], YEARS, Some(&clients));
    let fake = Fake::start_tls(REGISTRY, 0, server, tags).await;
    let (client, repository) = (trusting(&[REGISTRY], false, Names::new(&[])), fake.repository("team/app"));
    let showing = |authority: &Authority| {
        with(Certificates { own: Some(authority.client()), ..Certificates::default() })
    };
    assert!(client.tags(&showing(&clients), &repository).await.is_ok());
    assert!(client.tags(&showing(&Authority::new()), &repository).await.is_err());
    assert!(client.tags(&with(Certificates::default()), &repository).await.is_err());
    assert_eq!(fake.log().len(), 1);
}

#[tokio::test]
async fn row_19_certificates_that_are_none_name_the_key_and_nothing_of_it() {
    let client = trusting(&[REGISTRY], false, Names::new(&[]));
    let (certificate, key) = Authority::shared().client();
    let (_, other) = Authority::shared().client();
    for (certificates, key) in [
        (Certificates { authority: Some(b"c4n4ry".to_vec()), own: None }, "ca.crt"),
        (Certificates { authority: None, own: Some((b"c4n4ry".to_vec(), key.clone())) }, "tls.crt"),
        (Certificates { authority: None, own: Some((certificate.clone(), b"c4n4ry".to_vec())) }, "tls.key"),
        (Certificates { authority: None, own: Some((certificate, other)) }, "tls.key"),
    ] {
        let repository = format!("{REGISTRY}:1/team/app").parse().unwrap();
        let failed = client.tags(&with(certificates), &repository).await.unwrap_err();
        assert_eq!(failed.reason, "SecretUnusable", "{failed}");
        assert!(failed.message.contains(key) && !failed.message.contains("c4n4ry"), "{failed}");
    }
}

#[tokio::test]
async fn a_proxy_is_used_where_one_is_named_and_is_checked_as_every_host() {
    let proxy = Fake::start("127.0.0.3", tags).await;
    let hosts = |allowed: &[&str]| {
        let hosts = HostPolicy::new(allowed, false).unwrap();
        OciRegistry::with_lookup(Arc::new(hosts), Options::default(), Names::new(&[])).unwrap()
    };
    let through = |address: &str| RegistryAccess {
        proxy: Some(Proxy { address: address.into(), credential: Some(("c4n4ry".into(), "secret".into())) }),
        ..anonymous()
    };
    let repository = "registry.test:5000/team/app".parse().unwrap();
    let address = format!("http://{}", proxy.at);
    // The registry's name is resolved by the proxy only.
    let client = hosts(&["registry.test", &proxy.at.to_string()]);
    assert_eq!(client.tags(&through(&address), &repository).await.unwrap().len(), 1);
    assert_eq!(proxy.asked(), ["GET http://registry.test:5000/v2/team/app/tags/list?n=1000"]);
    let said = &proxy.log()[0].headers["proxy-authorization"];
    assert_eq!(said, "Basic YzRuNHJ5OnNlY3JldA==");

    let unlisted = hosts(&["registry.test"]);
    let failed = unlisted.tags(&through(&address), &repository).await.unwrap_err();
    assert_eq!((failed.reason, proxy.log().len()), ("HostDenied", 1), "{failed}");
    for wrong in ["", "proxy:3128", "socks5://127.0.0.3:1", "http://user:c4n4ry@127.0.0.3:1"] {
        let failed = client.tags(&through(wrong), &repository).await.unwrap_err();
        assert!(failed.reason == "SecretUnusable" && !failed.message.contains("c4n4ry"), "{wrong}: {failed}");
    }
    // A forbidden address is forbidden behind a proxy, too.
    let metadata = "169.254.169.254/team/app".parse().unwrap();
    assert_eq!(client.tags(&through(&address), &metadata).await.unwrap_err().reason, "HostDenied");
    assert_eq!(proxy.log().len(), 1);
}
