//! Signing in to clouds, against imitations of them that were made after their documentation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use lockkeeper_core::image::{Provider, Repository};
use serde_json::json;
use url::form_urlencoded;

use super::support::{Asked, Fake, REGISTRY, json_body, respond, texts};
use crate::aws::sigv4::{self, Keys, Scope};
use crate::hosts::HostPolicy;
use crate::ports::cloud::{Account, SignIn as _, SignedIn};
use crate::ports::{Credential, Proxy, Registry as _, RegistryAccess, RegistryError};
use crate::registry::cloud::{Clouds, Endpoint, GkeCluster, Settings};
use crate::registry::{OciRegistry, Options};

const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app";
const PUBLIC: &str = "public.ecr.aws/team/app";
const ROLE: &str = "arn:aws:iam::123456789012:role/reader";
const TOKEN: &str = "c4n4ry-of-the-account";
const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
const TENANT: &str = "99999999-8888-7777-6666-555555555555";
/// Every host that is derived here.
const HOSTS: [&str; 8] = [
    "sts.eu-west-1.amazonaws.com",
    "api.ecr.eu-west-1.amazonaws.com",
    "sts.us-east-1.amazonaws.com",
    "api.ecr-public.us-east-1.amazonaws.com",
    "sts.googleapis.com",
    "iamcredentials.googleapis.com",
    "login.microsoftonline.com",
    "shop.azurecr.io",
];

fn account(annotations: &[(&str, &str)]) -> Account {
    let annotations = annotations.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Account { name: "shop/promoter".into(), uid: "u".into(), annotations: annotations.collect() }
}

fn amazon() -> Account {
    account(&[("eks.amazonaws.com/role-arn", ROLE)])
}

fn azure() -> Account {
    account(&[("azure.workload.identity/client-id", CLIENT), ("azure.workload.identity/tenant-id", TENANT)])
}

fn gke() -> Settings {
    let gke_cluster = Some("projects/shop/locations/europe-west1/clusters/main".parse().unwrap());
    Settings { gke_cluster, ..Settings::default() }
}

/// Clouds whose hosts are all at one imitation.
fn clouds(fake: &Fake, settings: Settings) -> Clouds {
    let hosts = HostPolicy::new([fake.at.to_string()], false).unwrap();
    let at = |host: &str| format!("{host}=http://{}", fake.at).parse::<Endpoint>().unwrap();
    let endpoints = HOSTS.map(|host| (host.to_owned(), at(host).url)).into();
    Clouds::new(Arc::new(hosts), Options::default(), Settings { endpoints, ..settings }).unwrap()
}

async fn signed_in(
    clouds: &Clouds,
    provider: Provider,
    image: &str,
    account: &Account,
) -> Result<SignedIn, RegistryError> {
    let repository: Repository = image.parse().unwrap();
    clouds.audience(provider, &repository, account)?;
    clouds.sign_in(provider, &repository, account, TOKEN, None).await
}

fn form(asked: &Asked) -> BTreeMap<String, String> {
    form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect()
}

fn date_of(at: Timestamp) -> String {
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap()
}

fn in_hours(hours: i64) -> Timestamp {
    Timestamp::now() + jiff::SignedDuration::from_hours(hours)
}

/// As <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html> has it.
fn sts(at: Timestamp) -> Response {
    let answer = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n\
         <AssumeRoleWithWebIdentityResult><SubjectFromWebIdentityToken>system:serviceaccount:shop:promoter\
         </SubjectFromWebIdentityToken><Audience>sts.amazonaws.com</Audience><AssumedRoleUser><Arn>{ROLE}</Arn>\
         <AssumedRoleId>AROA:lockkeeper</AssumedRoleId></AssumedRoleUser><Credentials>\
         <SessionToken>c4n4ry/session==</SessionToken><SecretAccessKey>c4n4ry/secret+key</SecretAccessKey>\
         <Expiration>2026-11-23T03:00:00Z</Expiration><AccessKeyId>ASIAEXAMPLE</AccessKeyId></Credentials>\
         </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    );
    respond(200, &[("content-type", "text/xml"), ("date", &date_of(at))], answer)
}

/// As <https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html> has it.
fn ecr(asked: &Asked, at: Timestamp) -> Response {
    let token = STANDARD.encode("AWS:c4n4ry-password");
    let expires = (at + jiff::SignedDuration::from_hours(12)).as_second();
    let one = json!({"authorizationToken": token, "expiresAt": expires, "proxyEndpoint": "https://x"});
    let is_public = asked.headers["x-amz-target"].to_str().unwrap().starts_with("Spencer");
    let data = if is_public { one } else { json!([one]) };
    let body = json!({"authorizationData": data}).to_string();
    respond(200, &[("content-type", "application/x-amz-json-1.1"), ("date", &date_of(at))], body)
}

/// Amazon, with its own idea of the time.
fn amazon_at(at: Timestamp) -> impl Fn(&Asked) -> Response {
    move |asked| if asked.headers.contains_key("x-amz-target") { ecr(asked, at) } else { sts(at) }
}

/// What was signed is what came in.
fn is_signed(asked: &Asked, region: &str, service: &str) {
    let header = |name: &str| asked.headers[name].to_str().unwrap();
    let names = ["content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"];
    let keys = Keys { id: "ASIAEXAMPLE".into(), secret: "c4n4ry/secret+key".into(), session: String::new() };
    let headers = names.map(|name| (name, header(name)));
    let scope = Scope { region, service };
    let wanted = sigv4::authorization(&keys, &scope, header("x-amz-date"), &headers, &asked.body);
    assert_eq!(asked.authorization(), wanted);
    assert_eq!((header("x-amz-security-token"), asked.body.as_str()), ("c4n4ry/session==", "{}"));
}

#[tokio::test]
async fn amazon_gives_a_password_for_the_accounts_own_token() {
    let fake = Fake::start(REGISTRY, amazon_at(Timestamp::now())).await;
    let clouds = clouds(&fake, Settings::default());
    assert_eq!(
        clouds.audience(Provider::Aws, &ECR.parse().unwrap(), &amazon()).unwrap(),
        "sts.amazonaws.com"
    );
    for (image, region, service, target) in [
        (ECR, "eu-west-1", "ecr", "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"),
        (PUBLIC, "us-east-1", "ecr-public", "SpencerFrontendService.GetAuthorizationToken"),
    ] {
        let given = signed_in(&clouds, Provider::Aws, image, &amazon()).await.unwrap();
        assert_eq!(given.credential, Credential::Basic("AWS".into(), "c4n4ry-password".into()));
        assert!(given.life > Duration::from_hours(11) && given.life <= Duration::from_hours(12), "{given:?}");
        let log = fake.log();
        let [asked_sts, asked_ecr] = &log[log.len() - 2..] else { panic!("{log:?}") };
        let said = form(asked_sts);
        for (name, value) in [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", ROLE),
            ("RoleSessionName", "lockkeeper.shop.promoter"),
            ("WebIdentityToken", TOKEN),
        ] {
            assert_eq!(said[name], value);
        }
        assert_eq!(
            (asked_sts.authorization(), asked_ecr.headers["x-amz-target"].to_str().unwrap()),
            ("", target)
        );
        is_signed(asked_ecr, region, service);
    }
}

#[tokio::test]
async fn a_wrong_clock_here_does_no_harm() {
    for hours in [-30, 30] {
        let theirs = in_hours(hours);
        let fake = Fake::start(REGISTRY, amazon_at(theirs)).await;
        let given =
            signed_in(&clouds(&fake, Settings::default()), Provider::Aws, ECR, &amazon()).await.unwrap();
        assert!(given.life > Duration::from_hours(11) && given.life <= Duration::from_hours(12), "{given:?}");
        let wanted = sigv4::date(theirs).unwrap();
        assert_eq!(fake.log()[1].headers["x-amz-date"], wanted.as_str());
    }
}

/// The registry is reached through a proxy, which plays all the hosts: what Amazon gives opens it.
#[tokio::test]
async fn what_was_given_opens_the_registry_and_the_policys_proxy_is_used_for_all_of_it() {
    let now = Timestamp::now();
    let proxy = Fake::start(REGISTRY, move |asked| {
        if !asked.path().contains("/v2/") {
            return amazon_at(now)(asked);
        }
        let basic = format!("Basic {}", STANDARD.encode("AWS:c4n4ry-password"));
        if asked.authorization() == basic {
            json_body(&json!({"name": "team/app", "tags": ["1.0.0"]}))
        } else {
            respond(401, &[("www-authenticate", "Basic realm=\"https://ecr\"")], "")
        }
    })
    .await;
    let repository: Repository = ECR.parse().unwrap();
    let listed =
        [proxy.at.to_string(), repository.registry().to_owned(), "sts.test".into(), "ecr.test".into()];
    let hosts = Arc::new(HostPolicy::new(listed, false).unwrap());
    let endpoints = [
        ("sts.eu-west-1.amazonaws.com", "http://sts.test"),
        ("api.ecr.eu-west-1.amazonaws.com", "http://ecr.test"),
    ];
    let endpoints = endpoints.map(|(host, url)| (host.to_owned(), url.parse().unwrap())).into();
    let clouds =
        Clouds::new(hosts.clone(), Options::default(), Settings { endpoints, ..Settings::default() })
            .unwrap();
    let through = Proxy { address: format!("http://{}", proxy.at), credential: None };
    let given = clouds.sign_in(Provider::Aws, &repository, &amazon(), TOKEN, Some(&through)).await.unwrap();
    let access = RegistryAccess {
        scope: "shop/promoter".into(),
        credential: Some(given.credential),
        proxy: Some(through),
        insecure: true,
        ..RegistryAccess::default()
    };
    let registry = OciRegistry::new(hosts, Options::default()).unwrap();
    assert_eq!(texts(&registry.tags(&access, &repository).await.unwrap()), ["1.0.0"]);
    let asked = proxy.asked();
    assert_eq!(asked[..2], ["POST http://sts.test/", "POST http://ecr.test/"]);
}

#[tokio::test]
async fn hosts_are_derived_for_every_partition() {
    let proxy = Fake::start(REGISTRY, |_| respond(403, &[], "")).await;
    let hosts = HostPolicy::new([proxy.at.to_string()], false).unwrap();
    let clouds = Clouds::new(Arc::new(hosts), Options::default(), gke()).unwrap();
    let through = Proxy { address: format!("http://{}", proxy.at), credential: None };
    let role = |partition| {
        account(&[(
            "eks.amazonaws.com/role-arn",
            &format!("arn:{partition}:iam::123456789012:role/a/reader"),
        )])
    };
    for (provider, image, account, host) in [
        (Provider::Aws, ECR, role("aws"), "sts.eu-west-1.amazonaws.com"),
        (
            Provider::Aws,
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/a",
            role("aws-cn"),
            "sts.cn-north-1.amazonaws.com.cn",
        ),
        (
            Provider::Aws,
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/a",
            role("aws-us-gov"),
            "sts.us-gov-west-1.amazonaws.com",
        ),
        (Provider::Aws, PUBLIC, role("aws"), "sts.us-east-1.amazonaws.com"),
        (Provider::Gcp, "europe-docker.pkg.dev/p/r/a", account(&[]), "sts.googleapis.com"),
        (Provider::Azure, "shop.azurecr.io/a", azure(), "login.microsoftonline.com"),
        (Provider::Azure, "shop.azurecr.us/a", azure(), "login.microsoftonline.us"),
        (Provider::Azure, "shop.azurecr.cn/a", azure(), "login.partner.microsoftonline.cn"),
    ] {
        let repository = image.parse().unwrap();
        clouds.audience(provider, &repository, &account).unwrap();
        let failed =
            clouds.sign_in(provider, &repository, &account, TOKEN, Some(&through)).await.unwrap_err();
        assert_eq!(failed.reason, "Unreachable", "{failed}");
        assert_eq!(proxy.asked().last().unwrap(), &format!("CONNECT {host}:443"));
    }
}

/// As <https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token> and
/// <https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken> have it.
fn google(asked: &Asked) -> Response {
    if asked.path() == "/v1/token" {
        return json_body(&json!({
            "access_token": "c4n4ry-federated", "expires_in": 3599, "token_type": "Bearer",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }));
    }
    json_body(&json!({"accessToken": "c4n4ry-generated", "expireTime": in_hours(1).to_string()}))
}

#[tokio::test]
async fn google_exchanges_the_accounts_token_and_takes_a_service_account_if_one_is_named() {
    let fake = Fake::start(REGISTRY, google).await;
    let clouds = clouds(&fake, gke());
    let image = "europe-west1-docker.pkg.dev/shop/images/app";
    let email = "reader@shop.iam.gserviceaccount.com";
    let pool = "projects/42/locations/global/workloadIdentityPools/clusters/providers/main";
    for (account, token_for, audience, password) in [
        (
            account(&[]),
            "shop.svc.id.goog".to_owned(),
            "identitynamespace:shop.svc.id.goog:https://container.googleapis.com/v1/projects/shop/locations/europe-west1/clusters/main"
                .to_owned(),
            "c4n4ry-federated",
        ),
        (
            account(&[
                ("iam.gke.io/gcp-service-account", email),
                ("lockkeeper.dev/gcp-workload-identity-provider", pool),
            ]),
            format!("https://iam.googleapis.com/{pool}"),
            format!("//iam.googleapis.com/{pool}"),
            "c4n4ry-generated",
        ),
    ] {
        let repository = image.parse().unwrap();
        assert_eq!(clouds.audience(Provider::Gcp, &repository, &account).unwrap(), token_for);
        let before = fake.log().len();
        let given = signed_in(&clouds, Provider::Gcp, image, &account).await.unwrap();
        assert_eq!(given.credential, Credential::Basic("oauth2accesstoken".into(), password.into()));
        assert!(given.life > Duration::from_mins(55) && given.life < Duration::from_mins(61), "{given:?}");
        let said = form(&fake.log()[before]);
        assert_eq!((said["audience"].as_str(), said["subject_token"].as_str()), (audience.as_str(), TOKEN));
        assert_eq!(said["subject_token_type"], "urn:ietf:params:oauth:token-type:jwt");
    }
    let generated = fake.log().pop().unwrap();
    assert_eq!(generated.path(), format!("/v1/projects/-/serviceAccounts/{email}:generateAccessToken"));
    assert_eq!(generated.authorization(), "Bearer c4n4ry-federated");
    assert!(generated.body.contains("https://www.googleapis.com/auth/cloud-platform"), "{}", generated.body);
}

/// As <https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow> (with a federated credential)
/// and <https://azure.github.io/acr/AAD-OAuth.html> have it.
fn microsoft(asked: &Asked) -> Response {
    if asked.path() == "/oauth2/exchange" {
        return json_body(&json!({"refresh_token": "c4n4ry-refresh"}));
    }
    json_body(&json!({"token_type": "Bearer", "expires_in": 3599, "access_token": "c4n4ry-entra"}))
}

#[tokio::test]
async fn azure_gives_a_refresh_token_of_the_registry() {
    let fake = Fake::start(REGISTRY, microsoft).await;
    let clouds = clouds(&fake, Settings::default());
    let image = "shop.azurecr.io/team/app";
    assert_eq!(
        clouds.audience(Provider::Azure, &image.parse().unwrap(), &azure()).unwrap(),
        "api://AzureADTokenExchange"
    );
    let given = signed_in(&clouds, Provider::Azure, image, &azure()).await.unwrap();
    assert_eq!(given.credential, Credential::Identity("c4n4ry-refresh".into()));
    let log = fake.log();
    assert_eq!(log[0].path(), format!("/{TENANT}/oauth2/v2.0/token"));
    let (entra, exchange) = (form(&log[0]), form(&log[1]));
    for (name, value) in [
        ("grant_type", "client_credentials"),
        ("client_id", CLIENT),
        ("scope", "https://containerregistry.azure.net/.default"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", TOKEN),
    ] {
        assert_eq!(entra[name], value);
    }
    for (name, value) in [
        ("grant_type", "access_token"),
        ("service", "shop.azurecr.io"),
        ("tenant", TENANT),
        ("access_token", "c4n4ry-entra"),
    ] {
        assert_eq!(exchange[name], value);
    }
}

#[tokio::test]
async fn accounts_that_do_not_say_enough_are_told_what_to_write() {
    let fake = Fake::start(REGISTRY, |_| respond(500, &[], "")).await;
    let (plain, in_gke) = (clouds(&fake, Settings::default()), clouds(&fake, gke()));
    let arn = |text| account(&[("eks.amazonaws.com/role-arn", text)]);
    let google = "europe-docker.pkg.dev/p/r/a";
    let tenant = ("azure.workload.identity/tenant-id", "../common");
    for (clouds, provider, image, account, part) in [
        (&plain, Provider::Aws, ECR, account(&[]), "no annotation eks.amazonaws.com/role-arn"),
        (&plain, Provider::Aws, ECR, arn("reader"), "arn:aws:iam::<account>:role/<name>"),
        (
            &plain,
            Provider::Aws,
            ECR,
            arn("arn:aws-cn:iam::123456789012:role/r"),
            "of the registry's partition",
        ),
        (&plain, Provider::Aws, ECR, arn("arn:aws:iam::123456789012:user/r"), "role/<name>"),
        (&plain, Provider::Aws, "ghcr.io/a/b", amazon(), "no registry of aws"),
        (&plain, Provider::Gcp, google, account(&[]), "--gke-cluster"),
        (
            &in_gke,
            Provider::Gcp,
            google,
            account(&[("lockkeeper.dev/gcp-workload-identity-provider", "//evil.example/x")]),
            "workloadIdentityPools",
        ),
        (
            &in_gke,
            Provider::Gcp,
            google,
            account(&[("iam.gke.io/gcp-service-account", "a/../b@c.gserviceaccount.com")]),
            "iam.gserviceaccount.com",
        ),
        (&plain, Provider::Azure, "shop.azurecr.io/a", account(&[]), "azure.workload.identity/client-id"),
        (
            &plain,
            Provider::Azure,
            "shop.azurecr.io/a",
            account(&[("azure.workload.identity/client-id", CLIENT), tenant]),
            "azure.workload.identity/tenant-id is \"../common\"",
        ),
    ] {
        let failed = signed_in(clouds, provider, image, &account).await.unwrap_err();
        assert_eq!(failed.reason, "AccountUnusable", "{failed}");
        assert!(
            failed.message.contains(part) && failed.message.contains("shop/promoter"),
            "{part}: {failed}"
        );
    }
    assert_eq!(fake.log().len(), 0, "nobody was asked");
}

type Script = fn(&Asked) -> Response;

/// Errors in the clouds' own forms, and answers that are none.
#[tokio::test]
async fn refusals_are_told_by_their_code_and_wrong_answers_are_errors() {
    let aws: Script = |asked| amazon_at(Timestamp::now())(asked);
    let second: fn(&Asked) -> bool = |asked| {
        asked.headers.contains_key("x-amz-target")
            || asked.path().contains("generate")
            || asked.path().contains("exchange")
    };
    let sts_error: Script = |_| {
        let xml = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>c4n4ry</Message></Error></ErrorResponse>";
        respond(403, &[], xml)
    };
    let ecr_error: Script =
        |_| respond(400, &[], "{\"__type\": \"com.amazon#AccessDeniedException\", \"message\": \"c4n4ry\"}");
    let entra_error: Script = |_| {
        respond(
            401,
            &[],
            "{\"error\": \"invalid_client\", \"error_description\": \"c4n4ry\", \"error_codes\": [700213]}",
        )
    };
    let google_error: Script =
        |_| respond(403, &[], "{\"error\": {\"status\": \"PERMISSION_DENIED\", \"message\": \"c4n4ry\"}}");
    let no_code: Script = |_| respond(403, &[], "<html>c4n4ry</html>");
    let busy: Script = |_| respond(429, &[("retry-after", "7")], "");
    let down: Script = |_| respond(503, &[], "");
    let elsewhere: Script = |_| respond(307, &[("location", "http://127.0.0.9/")], "");
    let empty: Script = |_| respond(200, &[], "");
    let odd: Script =
        |_| respond(200, &[], "<Credentials><AccessKeyId>c4n4ry&amp;</AccessKeyId></Credentials>");
    let long: Script = |_| respond(200, &[], "c4n4ry".repeat(100_000));
    let over: Script = |_| {
        let token = STANDARD.encode("AWS:c4n4ry");
        json_body(&json!({"authorizationData": [{"authorizationToken": token, "expiresAt": 1_000_000_000}]}))
    };
    let reader = account(&[("iam.gke.io/gcp-service-account", "reader@shop.iam.gserviceaccount.com")]);
    let (google_image, acr) = ("europe-docker.pkg.dev/p/r/a", "shop.azurecr.io/a");
    for (provider, image, account, good, bad, at_second, reason, part) in [
        (
            Provider::Aws,
            ECR,
            amazon(),
            aws,
            sts_error,
            false,
            "AuthFailed",
            "(403 AccessDenied); the role arn:aws:iam",
        ),
        (
            Provider::Aws,
            ECR,
            amazon(),
            aws,
            ecr_error,
            true,
            "AuthFailed",
            "(400 AccessDeniedException); allow ecr:Get",
        ),
        (Provider::Azure, acr, azure(), microsoft, entra_error, false, "AuthFailed", "(401 AADSTS700213)"),
        (Provider::Azure, acr, azure(), microsoft, no_code, true, "AuthFailed", "(403); grant AcrPull"),
        (
            Provider::Gcp,
            google_image,
            reader,
            google,
            google_error,
            true,
            "AuthFailed",
            "(403 PERMISSION_DENIED); grant",
        ),
        (
            Provider::Gcp,
            google_image,
            account(&[]),
            google,
            no_code,
            false,
            "AuthFailed",
            "has to trust the cluster",
        ),
        (Provider::Aws, ECR, amazon(), aws, busy, false, "Throttled", "429"),
        (Provider::Aws, ECR, amazon(), aws, down, true, "Unreachable", "503"),
        (Provider::Aws, ECR, amazon(), aws, elsewhere, false, "BadAnswer", "holds a secret"),
        (Provider::Aws, ECR, amazon(), aws, empty, false, "BadAnswer", "gave no AccessKeyId"),
        (Provider::Aws, ECR, amazon(), aws, odd, false, "BadAnswer", "gave no AccessKeyId"),
        (Provider::Aws, ECR, amazon(), aws, long, false, "BadAnswer", "longer than"),
        (Provider::Aws, ECR, amazon(), aws, empty, true, "BadAnswer", "did not answer as it should"),
        (Provider::Aws, ECR, amazon(), aws, over, true, "BadAnswer", "over already"),
        (Provider::Azure, acr, azure(), microsoft, empty, true, "BadAnswer", "did not answer as it should"),
    ] {
        let script: Box<dyn Fn(&Asked) -> Response + Send + Sync> =
            Box::new(move |asked| if second(asked) == at_second { bad(asked) } else { good(asked) });
        let fake = Fake::start(REGISTRY, script).await;
        let failed = signed_in(&clouds(&fake, gke()), provider, image, &account).await.unwrap_err();
        assert_eq!(failed.reason, reason, "{failed}");
        let text = format!("{failed:?}");
        assert!(text.contains(part) && !text.contains("c4n4ry"), "{part}: {text}");
        assert!(text.contains(image) && failed.retry_after.is_some() == (reason == "Throttled"), "{text}");
    }
}

#[tokio::test]
async fn a_clouds_host_is_dialled_as_every_other() {
    let fake = Fake::start(REGISTRY, amazon_at(Timestamp::now())).await;
    let endpoints =
        [("sts.eu-west-1.amazonaws.com".to_owned(), format!("http://{}", fake.at).parse().unwrap())];
    let settings = Settings { endpoints: endpoints.into(), ..Settings::default() };
    let clouds = Clouds::new(Arc::default(), Options::default(), settings).unwrap();
    let failed = signed_in(&clouds, Provider::Aws, ECR, &amazon()).await.unwrap_err();
    assert_eq!((failed.reason, fake.log().len()), ("HostDenied", 0), "{failed}");
}

#[test]
fn flags_are_read() {
    for (text, good) in [
        ("sts.example.com=https://10.0.0.1:8443", true),
        ("sts.example.com", false),
        ("=https://a", false),
        ("sts.example.com=ftp://a", false),
        ("sts.example.com=https://u:p@a", false),
        ("sts.example.com=https://a/path", false),
    ] {
        assert_eq!(text.parse::<Endpoint>().is_ok(), good, "{text}");
    }
    for (text, good) in [
        ("projects/p/locations/l/clusters/c", true),
        ("projects/example.com:p/locations/l/clusters/c", true),
        ("p/l/c", false),
        ("projects/p/locations/l/clusters/", false),
        ("projects/p/locations/l/clusters/c/d", false),
    ] {
        assert_eq!(text.parse::<GkeCluster>().is_ok(), good, "{text}");
    }
}
