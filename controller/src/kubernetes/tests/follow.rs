//! Following: pages, positions, freshness, one kind's trouble.

use super::*;
use crate::ports::Watches;

fn listed(items: &[Value], version: &str, more: &str) -> Answer {
    Answer::Json(200, json!({"metadata": {"resourceVersion": version, "continue": more}, "items": items}))
}

fn event(kind: &str, object: &Value) -> Value {
    json!({"type": kind, "object": object})
}

fn watching(asked: &Asked) -> bool {
    asked.query.contains("watch=true")
}

/// An API server whose kinds are all empty, but for pods.
fn pods_only(pods: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Server {
    let count = Mutex::new(0);
    Server::new(move |asked| match asked.path.as_str() {
        "/api/v1/pods" => {
            let mut count = count.lock().unwrap();
            *count += 1;
            pods(asked, *count)
        }
        _ if watching(asked) => Answer::Silence(vec![]),
        _ => listed(&[], "1", ""),
    })
}

fn start(server: Server) -> Scene {
    let scene = Scene::new(server);
    let kubernetes = Arc::clone(&scene.kubernetes);
    tokio::spawn(async move { kubernetes.follow().await });
    scene
}

fn names(scene: &Scene) -> Vec<String> {
    scene.kubernetes.shared.read().pods.iter().map(|(_, name, _)| name.to_owned()).collect()
}

fn stale(scene: &Scene) -> Vec<String> {
    let watches = scene.kubernetes.watches();
    watches.into_iter().filter(|watch| watch.stale_since.is_some()).map(|watch| watch.kind).collect()
}

/// Lets the tasks run for so many seconds of paused time.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_read_and_the_watch_begins_where_they_end() {
    let scene = start(pods_only(|asked, count| match count {
        1 => listed(&[pod("a", 3)], "", "page-2"),
        2 => {
            assert!(asked.query.contains("continue=page-2"), "{}", asked.query);
            listed(&[pod("b", 4)], "9", "")
        }
        _ => {
            assert!(asked.query.contains("resourceVersion=9"), "{}", asked.query);
            Answer::Silence(vec![event("ADDED", &pod("c", 12)), event("DELETED", &pod("a", 13))])
        }
    }));
    pass(1).await;
    assert_eq!(names(&scene), ["b", "c"]);
    assert_eq!(stale(&scene), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn k3_k4_a_lost_position_is_listed_again_and_what_is_gone_goes() {
    let scene = start(pods_only(|asked, count| match count {
        1 => listed(&[pod("a", 3), pod("b", 4)], "9", ""),
        2 => Answer::Silence(vec![event("ERROR", &status(410, "Expired", "too old"))]),
        3 => {
            assert!(!watching(asked));
            listed(&[pod("b", 4)], "90", "")
        }
        _ => Answer::Silence(vec![]),
    }));
    pass(1).await;
    assert_eq!(names(&scene), ["b"]);
    assert_eq!(stale(&scene), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn k10_one_kind_that_is_forbidden_stops_no_other() {
    let scene = start(Server::new(|asked| match asked.path.as_str() {
        "/api/v1/pods" => Answer::Json(403, status(403, "Forbidden", "no")),
        _ if watching(asked) => Answer::Silence(vec![]),
        _ => listed(&[], "1", ""),
    }));
    pass(5).await;
    assert_eq!(stale(&scene), ["Pods"]);
    let asked = scene.server.asked().into_iter().filter(|asked| asked.path == "/api/v1/pods").count();
    assert!((2..6).contains(&asked), "it is tried again, with pauses: {asked}");
}

#[tokio::test(start_paused = true)]
async fn k2_a_silent_watch_is_stale_from_its_last_sign_of_life_and_fresh_when_it_is_back() {
    let scene = start(pods_only(|_, count| match count {
        1 => listed(&[pod("a", 3)], "9", ""),
        2 => Answer::Silence(vec![event("MODIFIED", &pod("a", 10))]),
        3 => Answer::Json(503, status(503, "", "away")),
        _ => Answer::Silence(vec![]),
    }));
    scene.clock.set(100);
    pass(1).await;
    scene.clock.set(150);
    pass(48).await;
    assert_eq!(stale(&scene), [""; 0]);
    pass(1).await;
    pass(1).await;
    let pods = scene.kubernetes.watches().into_iter().find(|watch| watch.kind == "Pods").unwrap();
    assert_eq!(pods.stale_since, Some(Timestamp::from_second(100).unwrap()));
    pass(5).await;
    let pods = scene.kubernetes.watches().into_iter().find(|watch| watch.kind == "Pods").unwrap();
    assert_eq!(pods.stale_since, None);
    let resumed = scene.server.asked().into_iter().rfind(|asked| asked.path == "/api/v1/pods").unwrap();
    assert!(resumed.query.contains("resourceVersion=10"), "{}", resumed.query);
}

#[tokio::test(start_paused = true)]
async fn k1_an_api_server_that_hangs_makes_everything_stale_and_nothing_vanish() {
    let up = Arc::new(Mutex::new(true));
    let is_up = Arc::clone(&up);
    let scene = start(Server::new(move |asked| match (*is_up.lock().unwrap(), watching(asked)) {
        (false, _) => Answer::Hang,
        (true, true) => Answer::Events(vec![]),
        (true, false) if asked.path == "/api/v1/pods" => listed(&[pod("a", 3)], "9", ""),
        (true, false) => listed(&[], "9", ""),
    }));
    pass(3).await;
    *up.lock().unwrap() = false;
    pass(120).await;
    assert_eq!(stale(&scene).len(), scene.kubernetes.watches().len());
    assert_eq!(names(&scene), ["a"]);
    *up.lock().unwrap() = true;
    // A watch that ends at once is begun again after a pause: fresh in between.
    pass(60).await;
    assert_eq!(names(&scene), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_served_is_an_answer_for_admission_policies_only() {
    let scene = start(Server::new(|asked| {
        let missing = asked.path.contains("mutatingadmission") || asked.path.ends_with("/imagepins");
        match (missing, watching(asked)) {
            (true, _) => Answer::Json(404, status(404, "NotFound", "no such kind")),
            (false, true) => Answer::Silence(vec![]),
            (false, false) => listed(&[], "1", ""),
        }
    }));
    pass(2).await;
    assert_eq!(stale(&scene), ["Pins"]);
    let asked: Vec<String> = scene.server.asked().into_iter().map(|asked| asked.path).collect();
    for version in ["v1", "v1beta1"] {
        let path = format!("/apis/admissionregistration.k8s.io/{version}/mutatingadmissionpolicies");
        assert!(asked.contains(&path), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn k15_p5_an_object_that_cannot_be_read_stops_no_other() {
    let good = policy("otel", &pods_target("prod"));
    let mut odd = policy("odd", &pods_target("prod"));
    odd["spec"]["stages"] = json!("from another version");
    let mut status_odd = policy("status-odd", &pods_target("prod"));
    status_odd["status"] = json!({"stages": "from another version", "phase": 7});
    let pin = json!({"metadata": {"name": "p", "namespace": "prod", "resourceVersion": "5"}, "spec": {"digest": 7}});
    let scene = start(Server::new(move |asked| match (asked.path.rsplit('/').next(), watching(asked)) {
        (_, true) => Answer::Silence(vec![]),
        (Some("imagepolicies"), _) => listed(&[odd.clone(), good.clone(), status_odd.clone()], "9", ""),
        (Some("imagepins"), _) => listed(std::slice::from_ref(&pin), "9", ""),
        _ => listed(&[], "9", ""),
    }));
    pass(1).await;
    assert_eq!(stale(&scene), [""; 0]);
    assert!(scene.stored("otel").policy.is_ok() && scene.stored("status-odd").policy.is_ok());
    let wrong = scene.stored("odd").policy.clone().unwrap_err();
    assert!(
        wrong[0].starts_with("spec: ") && wrong[0].contains("stages") | wrong[0].contains("string"),
        "{wrong:?}"
    );
    assert!(scene.kubernetes.shared.read().pins.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_lists_everything_anew_and_calls_nothing_fresh_until_then() {
    let mood = Arc::new(Mutex::new("well"));
    let now = Arc::clone(&mood);
    let scene = start(Server::new(move |asked| {
        let missing = asked.path.contains("mutatingadmission");
        match (*now.lock().unwrap(), asked.path.as_str(), watching(asked)) {
            _ if missing => Answer::Json(404, status(404, "NotFound", "no such kind")),
            (_, _, true) => Answer::Silence(vec![]),
            ("well", "/api/v1/pods", _) => listed(&[pod("a", 3)], "9", ""),
            ("fails", "/api/v1/pods", _) => Answer::Json(503, status(503, "", "away")),
            (_, "/api/v1/pods", _) => listed(&[pod("b", 20)], "21", ""),
            _ => listed(&[], "9", ""),
        }
    }));
    pass(1).await;
    assert_eq!((names(&scene), stale(&scene)), (vec!["a".to_owned()], vec![]));
    *mood.lock().unwrap() = "fails";
    scene.clock.set(50);
    scene.kubernetes.look_again();
    let all = scene.kubernetes.watches();
    assert!(all.iter().all(|watch| watch.stale_since == Timestamp::from_second(50).ok()), "{all:?}");
    pass(20).await;
    assert_eq!(stale(&scene), ["Pods"], "its watch would go on, but from what was known before");
    *mood.lock().unwrap() = "another";
    pass(31).await;
    assert_eq!((names(&scene), stale(&scene)), (vec!["b".to_owned()], vec![]));
}
