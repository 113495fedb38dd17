//! Amazon `CloudWatch`, by <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html>.

use super::*;
use crate::{
    aws::sigv4::{self, Keys, Scope},
    ports::{cloud::Account, signals::SpokenFor},
};
use lockkeeper_core::signals::{CloudWatch, Metric};
use serde_json::{Value, json};

const HOSTS: [&str; 2] = ["monitoring.eu-west-1.amazonaws.com", "sts.eu-west-1.amazonaws.com"];
const QUERY: &str = "m1 / SUM(SEARCH('FullPodName=(\"web-0\")', 'Sum'))";
const ROLE: &str = "arn:aws:iam::123456789012:role/reader";

fn server() -> Server {
    let metric = Metric {
        id: "m1".into(),
        namespace: "AWS/ApplicationELB".into(),
        name: "HTTPCode_Target_5XX_Count".into(),
        dimensions: [("TargetGroup".to_owned(), "web".to_owned())].into(),
        stat: "Sum".into(),
    };
    Server::CloudWatch(CloudWatch { region: "eu-west-1".into(), metrics: vec![metric] })
}

fn access() -> SignalAccess {
    keys([("accessKeyId", "AKIDEXAMPLE"), ("secretAccessKey", "c4n4ry/secret")])
}

fn spoken(token: &str) -> SignalAccess {
    let annotations = [("eks.amazonaws.com/role-arn".to_owned(), ROLE.to_owned())].into();
    let account = Account { name: "shop/promoter".into(), uid: "u".into(), annotations };
    SignalAccess { account: Some(SpokenFor { account, token: token.into() }), ..SignalAccess::default() }
}

async fn asked(fake: &Fake, access: &SignalAccess) -> Result<Option<Measured>, SignalError> {
    measure(&fake.servers(&HOSTS), access, &server(), QUERY).await
}

/// As `GetMetricData` answers about the minute from 1499999940 on.
fn data(timestamps: &Value, values: &Value) -> Value {
    let series = json!({"Id": "result", "Label": "x", "StatusCode": "Complete", "Timestamps": timestamps, "Values": values});
    json!({"MetricDataResults": [series], "Messages": []})
}

fn sts() -> String {
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
     <SessionToken>c4n4ry/session==</SessionToken><SecretAccessKey>c4n4ry/secret+key</SecretAccessKey>\
     <Expiration>2099-01-01T00:00:00Z</Expiration><AccessKeyId>ASIAEXAMPLE</AccessKeyId>\
     </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
        .to_owned()
}

/// What was signed is what came in.
fn is_signed(asked: &Asked, keys: &Keys) {
    let mut names = vec!["content-type", "host", "x-amz-date", "x-amz-target"];
    if !keys.session.is_empty() {
        names.insert(3, "x-amz-security-token");
        assert_eq!(asked.header("x-amz-security-token"), keys.session);
    }
    let headers: Vec<(&str, &str)> = names.into_iter().map(|name| (name, asked.header(name))).collect();
    let scope = Scope { region: "eu-west-1", service: "monitoring" };
    let wanted = sigv4::authorization(keys, &scope, asked.header("x-amz-date"), &headers, &asked.body);
    assert_eq!(asked.header("authorization"), wanted);
    assert_eq!(asked.header("x-amz-target"), "GraniteServiceVersion20100801.GetMetricData");
}

#[tokio::test]
async fn the_whole_minute_before_the_end_of_the_tick_is_asked_about_with_the_keys_of_the_secret() {
    let fake = Fake::start(200, &data(&json!([1_499_999_940.0]), &json!([0.5])).to_string()).await;
    assert_eq!(asked(&fake, &access()).await, Ok(Some(Measured::Value(0.5))));
    let sent = &fake.log()[0];
    let keys = Keys { id: "AKIDEXAMPLE".into(), secret: "c4n4ry/secret".into(), session: String::new() };
    is_signed(sent, &keys);
    assert_eq!((sent.method.as_str(), sent.uri.path()), ("POST", "/"));
    let body: Value = serde_json::from_str(&sent.body).unwrap();
    let of = json!({
        "Namespace": "AWS/ApplicationELB", "MetricName": "HTTPCode_Target_5XX_Count",
        "Dimensions": [{"Name": "TargetGroup", "Value": "web"}],
    });
    let wanted = json!({
        "StartTime": 1_499_999_940, "EndTime": 1_500_000_000,
        "MetricDataQueries": [
            {"Id": "m1", "MetricStat": {"Metric": of, "Period": 60, "Stat": "Sum"}, "ReturnData": false},
            {"Id": "result", "Expression": QUERY, "Period": 60, "ReturnData": true},
        ],
    });
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn nothing_of_that_minute_is_nothing() {
    let other_minute = data(&json!([1_499_999_880.0]), &json!([0.5]));
    for body in [data(&json!([]), &json!([])), other_minute, json!({"MetricDataResults": []})] {
        let fake = Fake::start(200, &body.to_string()).await;
        assert_eq!(asked(&fake, &access()).await, Ok(None), "{body}");
    }
    // A division by zero drops the point and says so.
    let mut dropped = data(&json!([]), &json!([]));
    dropped["MetricDataResults"][0]["Messages"] =
        json!([{"Code": "ArithmeticError", "Value": "1 data point"}]);
    let fake = Fake::start(200, &dropped.to_string()).await;
    assert_eq!(asked(&fake, &access()).await, Ok(None));
}

#[tokio::test]
async fn m2_what_may_not_be_trusted_is_an_error_that_says_what_to_do() {
    let good = data(&json!([1_499_999_940.0]), &json!([0.5]));
    let with = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body.to_string()
    };
    let one = good["MetricDataResults"][0].clone();
    let mut paged = good.clone();
    paged["NextToken"] = json!("more");
    let warned = with("/Messages", json!([{"Code": "MaxMetricsExceeded", "Value": "too many"}]));
    let kind = |kind: &str| {
        json!({"__type": format!("com.amazonaws.cloudwatch#{kind}"), "message": "no"}).to_string()
    };
    for (status, body, parts, refused) in [
        (200, with("/MetricDataResults", json!([one, one])), ["several series", "SUM(SEARCH"], false),
        (
            200,
            with("/MetricDataResults/0/StatusCode", json!("PartialData")),
            ["no complete", "PartialData"],
            false,
        ),
        (
            200,
            with("/MetricDataResults/0/StatusCode", json!("Forbidden")),
            ["no complete", "Forbidden"],
            false,
        ),
        (200, paged.to_string(), ["several series", "aggregate"], false),
        (200, warned, ["warns", "MaxMetricsExceeded"], false),
        (200, "<xml/>".to_owned(), ["127.0.0.2", "not answer as CloudWatch"], false),
        (400, kind("ThrottlingException"), ["answered 400", "Throttling"], false),
        (400, kind("ExpiredTokenException"), ["answered 400", "ExpiredToken"], true),
        (400, kind("ValidationError"), ["answered 400", "ValidationError"], false),
        (403, kind("AccessDeniedException"), ["answered 403", "AccessDenied"], true),
        (500, String::new(), ["answered 500", ""], false),
    ] {
        let fake = Fake::start(status, &body).await;
        let why = asked(&fake, &access()).await.unwrap_err();
        says(&why, &parts);
        assert_eq!(why.refused, refused, "{why}");
        assert_eq!(fake.log().len(), 1);
    }
}

#[tokio::test]
async fn the_role_of_the_policys_account_is_taken_once_for_each_token() {
    let answer = data(&json!([1_499_999_940.0]), &json!([0.5])).to_string();
    let fake = Fake::with(move |asked| {
        let is_sts = asked.body.contains("AssumeRoleWithWebIdentity");
        respond(200, if is_sts { sts() } else { answer.clone() })
    })
    .await;
    let servers = fake.servers(&HOSTS);
    for token in ["c4n4ry.one", "c4n4ry.one", "c4n4ry.two"] {
        assert!(measure(&servers, &spoken(token), &server(), QUERY).await.unwrap().is_some());
    }
    let log = fake.log();
    let role: Vec<&Asked> = log.iter().filter(|asked| asked.body.contains("Action=")).collect();
    assert_eq!((role.len(), log.len()), (2, 5), "{log:?}");
    let form: BTreeMap<_, _> = url::form_urlencoded::parse(role[0].body.as_bytes()).into_owned().collect();
    assert_eq!((form["RoleArn"].as_str(), form["WebIdentityToken"].as_str()), (ROLE, "c4n4ry.one"));
    assert_eq!(role[0].header("authorization"), "");
    let keys = Keys {
        id: "ASIAEXAMPLE".into(),
        secret: "c4n4ry/secret+key".into(),
        session: "c4n4ry/session==".into(),
    };
    is_signed(&log[1], &keys);
}

#[tokio::test]
async fn a_role_that_does_not_trust_the_account_says_what_it_has_to() {
    let refused = "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>";
    let fake = Fake::start(403, refused).await;
    let why = asked(&fake, &spoken("c4n4ry")).await.unwrap_err();
    says(&why, &["shop/promoter", "AccessDenied", "system:serviceaccount:shop:promoter", ROLE]);
    assert!(why.refused);
    let nobody = Account { name: "shop/promoter".into(), ..Account::default() };
    let why = fake.servers(&HOSTS).audience(&server(), &nobody).unwrap_err();
    says(&why, &["eks.amazonaws.com/role-arn", "secretRef"]);
    assert_eq!(
        fake.servers(&HOSTS).audience(&server(), &spoken("x").account.unwrap().account).unwrap(),
        "sts.amazonaws.com"
    );
}
