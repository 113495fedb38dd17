use std::collections::VecDeque;
use std::str::FromStr as _;
use std::sync::Mutex;

use super::*;

fn policy(allowed: &[&str], deny_private: bool) -> HostPolicy {
    HostPolicy::new(allowed, deny_private).unwrap()
}

fn check(policy: &HostPolicy, host: &str) -> Result<Route, HostDenied> {
    policy.check(HostKind::Registry, &Url::parse(&format!("https://{host}/v2/")).unwrap())
}

#[test]
fn row_23_the_machine_itself_and_metadata_are_never_dialled() {
    for (host, what) in [
        ("127.0.0.1", "loopback"),
        ("127.1.2.3:5000", "loopback"),
        ("[::1]", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "unspecified"),
        ("[::]", "unspecified"),
        ("169.254.169.254", "metadata"),
        ("169.254.1.1", "link-local"),
        ("[fe80::1]", "link-local"),
        ("[fd00:ec2::254]", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("224.0.0.1", "multicast"),
        ("[ff02::1]", "multicast"),
        ("255.255.255.255", "reserved"),
        ("[2001:db8::1]", "reserved"),
    ] {
        let denied = check(&policy(&[], false), host).unwrap_err();
        assert!(denied.why.contains(what), "{denied}");
        let message = denied.to_string();
        assert!(message.contains(host) && message.contains(&format!("--allow-host {host}")), "{message}");
        assert_eq!(check(&policy(&[host], true), host), Ok(Route::Listed), "{host}");
    }
}

#[test]
fn row_23_private_ranges_are_the_installations_choice() {
    for host in [
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "100.64.0.1",
        "[fd12:3456::1]",
        "[fec0::1]",
    ] {
        assert_eq!(check(&policy(&[], false), host), Ok(Route::Checked), "{host}");
        assert!(check(&policy(&[], true), host).unwrap_err().why.contains("private"), "{host}");
        assert_eq!(check(&policy(&[host], true), host), Ok(Route::Listed), "{host}");
        let url = Url::parse(&format!("https://{host}/")).unwrap();
        assert!(policy(&[], false).check_public(HostKind::Registry, &url).is_err(), "{host}");
    }
    for host in ["1.1.1.1", "172.32.0.1", "[2606:4700::1111]", "registry.example.com"] {
        assert_eq!(check(&policy(&[], true), host), Ok(Route::Checked), "{host}");
    }
}

#[test]
fn row_24_odd_spellings_are_the_address_they_mean() {
    for host in [
        "0x7f.1",
        "2130706433",
        "017700000001",
        "127.1",
        "0x7f000001:5000",
        "127.0.0.1.",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
        "１２７。０。０。１",
    ] {
        assert!(check(&policy(&[], false), host).unwrap_err().why.contains("loopback"), "{host}");
        assert_eq!(check(&policy(&["127.0.0.1"], false), host), Ok(Route::Listed), "{host}");
    }
    assert!(check(&policy(&[], false), "[::ffff:169.254.169.254]").unwrap_err().why.contains("metadata"));
}

#[test]
fn names_are_listed_in_any_spelling_and_never_by_suffix() {
    let listed = policy(&["Registry.Example.com:5000", "bücher.example", "10.0.0.0.", "::1"], true);
    for (host, route) in [
        ("registry.example.com:5000", Route::Listed),
        ("REGISTRY.example.com.:5000", Route::Listed),
        ("registry.example.com", Route::Checked),
        ("registry.example.com:5001", Route::Checked),
        ("evil-registry.example.com:5000", Route::Checked),
        ("registry.example.com.evil:5000", Route::Checked),
        ("xn--bcher-kva.example", Route::Listed),
        ("[::1]:1234", Route::Listed),
        ("10.0.0.0", Route::Listed),
    ] {
        assert_eq!(check(&listed, host), Ok(route), "{host}");
    }
    assert_eq!(check(&policy(&["a.b:443"], false), "a.b"), Ok(Route::Listed));
}

#[test]
fn entries_that_are_no_host_are_refused() {
    for text in [
        "",
        "https://a.b",
        "a.b/c",
        "u:p@a.b",
        "*.b",
        "a b",
        "a:0",
        "a:99999",
        "a:b",
        "[::1",
        "10.0.0.0/8",
        "a,b",
    ] {
        let message = HostPolicy::new([text], false).unwrap_err().to_string();
        assert!(message.contains("--allow-host") && !message.contains("u:p"), "{message}");
    }
}

#[test]
fn the_api_server_is_never_dialled_unless_listed() {
    let address = IpAddr::from_str("10.96.0.1").unwrap();
    let of_cluster = policy(&[], false).and_never([address]);
    assert!(check(&of_cluster, "10.96.0.1").unwrap_err().why.contains("API server"));
    assert!(check(&of_cluster, "[::ffff:10.96.0.1]").is_err());
    assert_eq!(check(&of_cluster, "10.96.0.2"), Ok(Route::Checked));
    assert_eq!(check(&policy(&["10.96.0.1"], false).and_never([address]), "10.96.0.1"), Ok(Route::Listed));
}

/// Answers in turn, the last one for ever.
struct Answers(Mutex<VecDeque<Vec<&'static str>>>);

impl Lookup for Answers {
    fn lookup(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let mut answers = self.0.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() };
        Box::pin(async move { Ok(answer.iter().map(|address| address.parse().unwrap()).collect()) })
    }
}

async fn resolved(
    policy: HostPolicy,
    filter: Filter,
    answer: &[&'static str],
) -> Result<Vec<String>, String> {
    let lookup = Arc::new(Answers(Mutex::new(VecDeque::from([answer.to_vec()]))));
    let resolver = PolicyResolver::new(HostKind::Registry, Arc::new(policy), lookup, filter);
    let found = resolver.resolve(Name::from_str("registry.example").unwrap()).await;
    found
        .map(|found| found.map(|address| address.ip().to_string()).collect())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn row_25_a_name_gets_only_addresses_that_may_be_dialled() {
    let all = ["169.254.169.254", "::ffff:127.0.0.1", "10.0.0.1", "1.1.1.1"];
    assert_eq!(resolved(policy(&[], false), Filter::Denied, &all).await.unwrap(), ["10.0.0.1", "1.1.1.1"]);
    assert_eq!(resolved(policy(&[], true), Filter::Denied, &all).await.unwrap(), ["1.1.1.1"]);
    assert_eq!(resolved(policy(&[], false), Filter::AllButPublic, &all).await.unwrap(), ["1.1.1.1"]);
    let listed = policy(&["10.0.0.1"], true);
    assert_eq!(resolved(listed, Filter::AllButPublic, &all).await.unwrap(), ["10.0.0.1", "1.1.1.1"]);
    assert_eq!(resolved(policy(&[], false), Filter::Nothing, &all).await.unwrap().len(), 4);

    let denied = resolved(policy(&[], false), Filter::Denied, &all[..2]).await.unwrap_err();
    assert!(denied.contains("registry.example resolves to a loopback address"), "{denied}");
    assert!(denied.contains("--allow-host registry.example") && !denied.contains("127.0.0.1"), "{denied}");
    assert!(resolved(policy(&[], false), Filter::Denied, &[]).await.unwrap_err().contains("no address"));
}
