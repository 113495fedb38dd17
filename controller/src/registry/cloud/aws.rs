//! Amazon ECR: the ServiceAccount's token is exchanged for keys of a role, and those for a registry's password.
//!
//! `AssumeRoleWithWebIdentity` of STS needs no keys; `GetAuthorizationToken` of ECR and ECR Public is signed by the keys
//! that it gives, at the time that STS says it is, so that a wrong clock here does no harm. Nothing is told to AWS that
//! the annotation does not name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use lockkeeper_core::image::CloudRegistry;
use serde::Deserialize;

use super::{Door, Failed, json_code, sensitive, signed_in, time_of, word};
use crate::aws::{
    self, Role,
    sigv4::{self, Keys, Scope},
};
use crate::hosts::authority;
use crate::ports::Credential;
use crate::ports::cloud::{Account, SignedIn};
use crate::registry::transport::Sent;

const JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// The role that a ServiceAccount may take for a registry.
pub(super) fn role<'a>(account: &'a Account, registry: &CloudRegistry) -> Result<Role<'a>, Failed> {
    let partition = match registry {
        CloudRegistry::Ecr { partition, .. } => partition,
        _ => "aws",
    };
    Role::of(account, partition, "registry").map_err(Failed::Account)
}

/// Where a registry's password is asked for.
struct Service {
    region: String,
    sts: String,
    host: String,
    name: &'static str,
    target: HeaderValue,
}

impl Service {
    fn of(registry: &CloudRegistry) -> Self {
        match registry {
            CloudRegistry::Ecr { region, domain, fips, .. } => Self {
                region: region.clone(),
                sts: format!("sts.{region}.{domain}"),
                host: if *fips {
                    format!("ecr-fips.{region}.{domain}")
                } else {
                    format!("api.ecr.{region}.{domain}")
                },
                name: "ecr",
                target: HeaderValue::from_static(
                    "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
                ),
            },
            // It has one region.
            _ => Self {
                region: "us-east-1".to_owned(),
                sts: "sts.us-east-1.amazonaws.com".to_owned(),
                host: "api.ecr-public.us-east-1.amazonaws.com".to_owned(),
                name: "ecr-public",
                target: HeaderValue::from_static("SpencerFrontendService.GetAuthorizationToken"),
            },
        }
    }
}

pub(super) async fn sign_in(
    door: &Door<'_>,
    registry: &CloudRegistry,
    account: &Account,
    token: &str,
) -> Result<SignedIn, Failed> {
    let (role, service) = (role(account, registry)?, Service::of(registry));
    let (keys, now) = assume(door, &service, &role, token).await?;
    password(door, &service, &keys, now).await
}

/// Keys of the role, and the time of who gave them.
async fn assume(
    door: &Door<'_>,
    service: &Service,
    role: &Role<'_>,
    token: &str,
) -> Result<(Keys, Timestamp), Failed> {
    let url = door.url(&service.sts, "/")?;
    let reply = door.post(&url, Sent::form(role.assume(token)), None).await?;
    door.accepted(&reply, &role.trust(), |body| aws::element(body, "Code").and_then(|code| word(&code)))?;
    let keys = aws::assumed(&reply.body)
        .map_err(|missing| Failed::Answer(format!("{} gave no {missing}", authority(&reply.url))))?;
    Ok((keys, time_of(&reply)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: Data,
}

/// ECR gives a list of one, ECR Public the one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Data {
    Many(Vec<Authorization>),
    One(Authorization),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    /// Base64 of `AWS:password`.
    authorization_token: String,
    /// In seconds since 1970.
    expires_at: f64,
}

async fn password(
    door: &Door<'_>,
    service: &Service,
    keys: &Keys,
    now: Timestamp,
) -> Result<SignedIn, Failed> {
    let url = door.url(&service.host, "/")?;
    let (host, at, body) = (authority(&url), at(now)?, "{}");
    let target = service.target.to_str().unwrap_or_default();
    let signed = [
        ("content-type", "application/x-amz-json-1.1"),
        ("host", host.as_str()),
        ("x-amz-date", &at),
        ("x-amz-security-token", &keys.session),
        ("x-amz-target", target),
    ];
    let scope = Scope { region: &service.region, service: service.name };
    let authorization = sensitive(&host, &sigv4::authorization(keys, &scope, &at, &signed, body))?;
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, JSON),
        (HeaderName::from_static("x-amz-date"), sensitive(&host, &at)?),
        (HeaderName::from_static("x-amz-security-token"), sensitive(&host, &keys.session)?),
        (HeaderName::from_static("x-amz-target"), service.target.clone()),
    ]);
    let reply = door.post(&url, Sent { headers, body: body.to_owned() }, Some(&authorization)).await?;
    let fix = format!("allow {}:GetAuthorizationToken to the role", service.name);
    let answer: Answer = door.json(&reply, &fix, json_code)?;
    let data = match answer.authorization_data {
        Data::One(one) => Some(one),
        Data::Many(many) => many.into_iter().next(),
    };
    let no_token = || Failed::Answer(format!("{host} gave no authorization token"));
    let data = data.ok_or_else(no_token)?;
    let plain = STANDARD.decode(&data.authorization_token).map_err(|_| no_token())?;
    let plain = String::from_utf8(plain).map_err(|_| no_token())?;
    let (user, password) = plain.split_once(':').ok_or_else(no_token)?;
    let credential = Credential::Basic(user.to_owned(), password.to_owned());
    signed_in(&host, credential, data.expires_at - time_of(&reply).as_duration().as_secs_f64())
}

fn at(now: Timestamp) -> Result<String, Failed> {
    sigv4::date(now).ok_or_else(|| Failed::Answer("the server's time is none".to_owned()))
}
