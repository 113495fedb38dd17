use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::select::{TagFilter, ignored};

fn semver(range: &str) -> Selection {
    Selection::of(Order::semver(range).unwrap()).unwrap()
}

fn with(range: &str, filter: Option<(&str, &str)>, ignore: &[&str]) -> Selection {
    let filter = filter.map(|(pattern, extract)| TagFilter::new(pattern, extract).unwrap());
    let order = Order::semver(range).unwrap();
    Selection::new(order, filter, ignored(ignore).unwrap(), Vec::new(), SignedDuration::ZERO, false).unwrap()
}

fn best(selection: &Selection, tags: &[&str]) -> Vec<String> {
    rank(selection, tags.iter().copied())
        .best_first
        .into_iter()
        .map(|ranked| ranked.tag.to_string())
        .collect()
}

fn rejected(selection: &Selection, tag: &str) -> Rejected {
    let ranking = rank(selection, [tag].into_iter());
    assert!(ranking.best_first.is_empty(), "{ranking:?}");
    assert_eq!(selection.judge(tag).unwrap_err(), ranking.rejected[0]);
    ranking.rejected[0].clone()
}

#[test]
fn the_newest_version_is_first_and_tags_keep_their_text() {
    let tags = ["v1.2.3", "1.10.0", "1.9", "latest", "v2.0.0-rc.1", "2025.07.03"];
    assert_eq!(best(&semver("*"), &tags), ["2025.07.03", "1.10.0", "1.9", "v1.2.3"]);
    let ranking = rank(&semver("*"), tags.into_iter());
    assert_eq!(ranking.best_first[0].version.as_deref(), Some("2025.7.3"));
    assert_eq!(ranking.best_first[3].version.as_deref(), Some("1.2.3"));
    assert_eq!(ranking.rejected_counts, BTreeMap::from([(Reason::NotAVersion, 1), (Reason::Prerelease, 1)]));
}

#[test]
fn of_equal_versions_the_more_specific_tag_wins_then_the_larger_text() {
    assert_eq!(best(&semver("*"), &["1.0", "1", "1.0.0"]), ["1.0.0", "1.0", "1"]);
    assert_eq!(best(&semver("*"), &["1.0.0", "v1.0.0", "01.0.0"]), ["v1.0.0", "1.0.0", "01.0.0"]);
    // A tag cannot hold a +, a version taken out of one can.
    let built = with("*", Some(("^(.*)_(.*)$", "$1+$2")), &[]);
    assert_eq!(best(&built, &["1.0.0_a", "1.0.0_b"]), ["1.0.0_b", "1.0.0_a"]);
    let taken_out = with("*", Some(("^([0-9.]+)-.*$", "$1")), &[]);
    assert_eq!(best(&taken_out, &["1.0-b", "1.0-a"]), ["1.0-b", "1.0-a"]);
}

#[test]
fn numeric_prerelease_identifiers_compare_as_numbers() {
    let tags = ["1.0.0-rc.9", "1.0.0-rc.12", "1.0.0-dev-9", "1.0.0-dev-12"];
    assert_eq!(best(&semver("*-0"), &tags), ["1.0.0-rc.12", "1.0.0-rc.9", "1.0.0-dev-9", "1.0.0-dev-12"]);
}

#[test]
fn every_rejection_has_its_reason_and_names_the_tag() {
    let selection = with(">=1.0.0 <2.0.0", None, &[".*-rc.*"]);
    let hex = "0123456789abcdef".repeat(4);
    for (tag, reason) in [
        ("1.0.0+b", Reason::NotATag),
        ("1 0", Reason::NotATag),
        ("1.2.0-rc.1", Reason::Ignored),
        ("1.2.0.sig", Reason::Ignored),
        ("1.2.0.att", Reason::Ignored),
        ("1.2.0.sbom", Reason::Ignored),
        (&format!("sha256-{hex}"), Reason::Ignored),
        ("latest", Reason::NotAVersion),
        ("1.2.3.4", Reason::NotAVersion),
        ("1.2.0-beta", Reason::Prerelease),
        ("3.0.0-beta", Reason::OutOfRange),
        ("0.9.0", Reason::OutOfRange),
    ] {
        let rejected = rejected(&selection, tag);
        assert_eq!((rejected.reason, rejected.tag.as_str()), (reason, tag));
        assert!(rejected.message.contains(tag) && !rejected.message.ends_with('.'), "{}", rejected.message);
    }
    let filtered = with("*", Some(("^v", "")), &[]);
    assert_eq!(rejected(&filtered, "1.0.0").reason, Reason::Filtered);
    assert_eq!(rejected(&filtered, "vx").reason, Reason::NotAVersion);
}

#[test]
fn ignore_wins_over_the_filter() {
    let selection = with("*", Some(("^v(.*)$", "$1")), &["^v1"]);
    assert_eq!(best(&selection, &["v1.0", "v2.0", "3.0"]), ["v2.0"]);
    assert_eq!(rejected(&selection, "v1.0").reason, Reason::Ignored);
}

#[test]
fn a_suffix_is_a_class_when_the_pattern_says_so_and_else_a_hint() {
    let alpine = with("*", Some((r"^(\d+\.\d+\.\d+)-alpine$", "$1")), &[]);
    assert_eq!(
        best(&alpine, &["1.2.3", "1.2.3-alpine", "1.3.0-alpine", "1.4.0-debian"]),
        ["1.3.0-alpine", "1.2.3-alpine"]
    );
    for (tag, hint) in [
        ("1.2.3-alpine", r"{pattern: '^(\d+\.\d+\.\d+)-alpine$', extract: '$1'}"),
        ("v1.2-alpine3.18", r"{pattern: '^v(\d+\.\d+)-alpine3\.18$', extract: '$1'}"),
        ("release-1.2.3", r"{pattern: '^release-(\d+\.\d+\.\d+)$', extract: '$1'}"),
        ("py3-1.2_x", r"{pattern: '^py3-(\d+\.\d+)_x$', extract: '$1'}"),
    ] {
        let message = rejected(&semver("*"), tag).message;
        assert!(message.contains(hint), "{message}");
        // The hint does what it says.
        let (pattern, _) = hint["{pattern: '".len()..].split_once('\'').unwrap();
        assert_eq!(best(&with("*", Some((pattern, "$1")), &[]), &[tag]), [tag]);
    }
    for tag in ["1.2.3-rc.1", "1.2.3-beta2", "1.2.3-0", "latest", "1.2.3.4", "1.0.0-SNAPSHOT"] {
        let message = rejected(&semver("*"), tag).message;
        assert!(!message.contains("filterTags"), "{message}");
    }
}

#[test]
fn row_7_different_texts_of_one_version() {
    let both = best(&semver(">=1.2"), &["1.2", "v1.2.0"]);
    assert_eq!(both, ["v1.2.0", "1.2"]);
    let message = rejected(&semver("*"), "v1.2.0+b").message;
    assert!(message.contains("\"+\" at character 7 is not allowed"), "{message}");
}

#[test]
fn row_28_and_29_foreign_listings_are_counted_and_escaped() {
    let long = "1".repeat(10_000_000);
    let tags = ["1.0\r\nX-Evil: 1", "", &long, "1.0", "1.0", "null", "🔒", "<script>"];
    let ranking = rank(&semver("*"), tags.into_iter());
    assert_eq!(ranking.best_first.len(), 1);
    assert_eq!(ranking.rejected_counts, BTreeMap::from([(Reason::NotATag, 5), (Reason::NotAVersion, 1)]));
    for rejected in &ranking.rejected {
        assert!(
            !rejected.tag.contains(char::is_control) && rejected.tag.chars().count() < 150,
            "{}",
            rejected.tag
        );
        assert!(!rejected.message.contains(char::is_control) && rejected.message.chars().count() < 400);
    }
}

#[test]
fn digest_follows_one_tag() {
    let selection = Selection::of(Order::digest("latest").unwrap()).unwrap();
    let ranking = rank(&selection, ["1.0", "latest", "2.0"].into_iter());
    assert_eq!(ranking.best_first, [Ranked { tag: "latest".parse().unwrap(), version: None }]);
    assert_eq!(ranking.rejected_counts, BTreeMap::from([(Reason::NotFollowed, 2)]));
    assert!(ranking.rejected[0].message.contains("\"latest\" alone"), "{}", ranking.rejected[0].message);
    assert!(best(&selection, &["1.0"]).is_empty());
}

#[test]
fn r11_100_000_tags_give_a_bounded_answer() {
    let tags: Vec<String> =
        (0..100_000).map(|n| if n % 2 == 0 { format!("1.{n}.0") } else { format!("build-{n}") }).collect();
    let ranking = rank(&semver("*"), tags.iter().map(String::as_str));
    assert_eq!(ranking.best_first.len(), MOST_RANKED);
    assert_eq!(ranking.best_first[0].tag.as_str(), "1.99998.0");
    assert_eq!(ranking.rejected.len(), MOST_REJECTED);
    assert_eq!(ranking.rejected_counts[&Reason::NotAVersion], 50_000);
    assert_eq!(ranking, rank(&semver("*"), tags.iter().rev().map(String::as_str)));
    // Of what is not kept no memory is kept either.
    assert!(ranking.best_first.capacity() <= 200, "{}", ranking.best_first.capacity());
}

#[test]
fn names_of_reasons_are_those_on_the_wire() {
    for reason in [
        Reason::NotATag,
        Reason::Ignored,
        Reason::NotFollowed,
        Reason::Filtered,
        Reason::NotAVersion,
        Reason::Prerelease,
        Reason::OutOfRange,
    ] {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
    }
}

#[test]
fn i10_versions_compare_as_they_rank() {
    let ranking = rank(&semver("*-0"), ["1.0", "v1.0.0", "1.1.0-rc.1", "0.9", "1.10", "1.9"].into_iter());
    for pair in ranking.best_first.windows(2) {
        let (a, b) = (pair[0].version.as_deref().unwrap(), pair[1].version.as_deref().unwrap());
        assert!(compare_versions(&semver("*"), a, b).unwrap().is_ge(), "{a} before {b}");
    }
    assert_eq!(compare_versions(&semver("*"), "1.0.0", "build-1"), None);
}

fn tags() -> impl Strategy<Value = Vec<String>> {
    let tag = prop_oneof![
        6 => "v?[0-2](\\.[0-2]){0,3}(-(rc|alpine|0)(\\.[0-2])?)?",
        1 => "[a-zA-Z0-9_.-]{0,8}",
        1 => "\\PC{0,8}",
    ];
    prop::collection::vec(tag, 0..40)
}

fn selections() -> impl Strategy<Value = Selection> {
    let ranges =
        prop::sample::select(vec!["*", "*-0", ">=1.0", "^1 || ~0.2", "1.0 - 2.0", ">=1.0-0 <2", "!=1.1"]);
    let filters = prop::sample::select(vec![
        None,
        Some(("^v(.*)$", "$1")),
        Some(("[0-9]", "")),
        Some(("^(.*)-alpine", "$1")),
    ]);
    let ignores = prop::sample::select(vec![vec![], vec!["rc"], vec!["^2", "0$"]]);
    (ranges, filters, ignores).prop_map(|(range, filter, ignore)| with(range, filter, &ignore))
}

proptest! {
    #[test]
    fn the_ranking_depends_on_the_set_of_tags_alone(
        selection in selections(),
        (tags, shuffled) in tags().prop_flat_map(|tags| (Just(tags.clone()), Just(tags).prop_shuffle())),
    ) {
        let first = rank(&selection, tags.iter().map(String::as_str));
        let again = shuffled.iter().chain(&tags).map(String::as_str);
        prop_assert_eq!(&rank(&selection, again), &first);
        // Nobody is lost, nobody is on both sides.
        let mut distinct = tags.clone();
        distinct.sort();
        distinct.dedup();
        let rejected: usize = first.rejected_counts.values().sum();
        prop_assert_eq!(first.best_first.len() + rejected, distinct.len());
    }

    #[test]
    fn a_shorter_listing_never_changes_who_is_better(selection in selections(), tags in tags(), keep in any::<u64>()) {
        let part = tags.iter().enumerate().filter(|(n, _)| keep >> (n % 64) & 1 == 1).map(|(_, tag)| tag.as_str());
        let whole = rank(&selection, tags.iter().map(String::as_str)).best_first;
        let part = rank(&selection, part).best_first;
        let filtered: Vec<Ranked> = whole.into_iter().filter(|ranked| part.contains(ranked)).collect();
        prop_assert_eq!(filtered, part);
    }

    #[test]
    fn every_text_has_an_answer(selection in selections(), tag in "\\PC{0,200}", raw in any::<String>()) {
        for tag in [tag, raw] {
            match selection.judge(&tag) {
                Ok(ranked) => prop_assert_eq!(ranked.tag.as_str(), tag),
                Err(rejected) => prop_assert!(!rejected.message.contains(char::is_control)),
            }
        }
    }
}

fn by(order: Order, filter: Option<(&str, &str)>) -> Selection {
    let filter = filter.map(|(pattern, extract)| TagFilter::new(pattern, extract).unwrap());
    Selection::new(order, filter, Vec::new(), Vec::new(), SignedDuration::ZERO, false).unwrap()
}

#[test]
fn alphabetical_takes_the_last_ascending_and_the_first_descending() {
    let tags = ["2026-01-02", "2026-01-10", "a", "B", "b", "latest", "é", "sha256-x"];
    let asc = by(Order::Alphabetical { descending: false }, None);
    assert_eq!(best(&asc, &tags), ["sha256-x", "latest", "b", "a", "B", "2026-01-10", "2026-01-02"]);
    let desc = by(Order::Alphabetical { descending: true }, None);
    assert_eq!(best(&desc, &tags), ["2026-01-02", "2026-01-10", "B", "a", "b", "latest", "sha256-x"]);
    // Of equal extracts the larger tag wins, whichever end is taken.
    for descending in [false, true] {
        let dated = by(Order::Alphabetical { descending }, Some(("^(?P<day>[0-9-]{10})-(.*)$", "$day")));
        assert_eq!(best(&dated, &["2026-01-02-a", "2026-01-02-b"]), ["2026-01-02-b", "2026-01-02-a"]);
        let ranking = rank(&dated, ["2026-01-02-a"].into_iter());
        assert_eq!(ranking.best_first[0].version.as_deref(), Some("2026-01-02"));
    }
}

#[test]
fn numerical_compares_values_and_explains_what_is_no_number() {
    let tags =
        ["9", "10", "007", "7", "1.5", "1.50", "123456789012345678901234567890", "latest", "1.2.3", "1e9"];
    let asc = by(Order::Numerical { descending: false }, None);
    assert_eq!(best(&asc, &tags), ["123456789012345678901234567890", "10", "9", "7", "007", "1.50", "1.5"]);
    let desc = by(Order::Numerical { descending: true }, None);
    assert_eq!(best(&desc, &tags)[..3], ["1.50", "1.5", "7"]);
    for tag in ["latest", "1.2.3", "1e9"] {
        let rejected = rejected(&asc, tag);
        assert_eq!(rejected.reason, Reason::NotANumber);
        assert!(
            rejected.message.contains(tag) && rejected.message.contains("filterTags"),
            "{}",
            rejected.message
        );
    }
    let taken_out = by(Order::Numerical { descending: false }, Some((r"^main-\d+-(\d+)$", "$1")));
    assert_eq!(best(&taken_out, &["main-1-99", "main-2-100", "main-3-x"]), ["main-2-100", "main-1-99"]);
    assert_eq!(rejected(&taken_out, "main-3-x").reason, Reason::Filtered);
}

#[test]
fn newest_build_knows_only_a_hint_until_dates_are_read() {
    let selection = by(Order::newest_build(20).unwrap(), Some(("^main-", "")));
    let ranking = rank(&selection, ["main-9", "main-10", "v1", "main-2.sig"].into_iter());
    let tags: Vec<_> = ranking.best_first.iter().map(|r| (r.tag.as_str(), r.version.clone())).collect();
    assert_eq!(tags, [("main-10", None), ("main-9", None)]);
}

proptest! {
    #[test]
    fn every_order_gives_one_answer_for_one_set(
        tags in prop::collection::vec("[a-c0-3.-]{1,5}", 0..12),
        order in 0..5_usize,
        seed in any::<u64>(),
    ) {
        let orders = [
            Order::Alphabetical { descending: false },
            Order::Alphabetical { descending: true },
            Order::Numerical { descending: false },
            Order::Numerical { descending: true },
            Order::newest_build(20).unwrap(),
        ];
        let selection = by(orders[order].clone(), None);
        let mut turned = tags.clone();
        if !turned.is_empty() {
            let middle = usize::try_from(seed % turned.len() as u64).unwrap();
            turned.rotate_left(middle);
            turned.push(turned[0].clone());
        }
        let ranking = rank(&selection, tags.iter().map(String::as_str));
        prop_assert_eq!(&rank(&selection, turned.iter().map(String::as_str)), &ranking);
        // Versions compare as the tags were ordered (I10).
        for pair in ranking.best_first.windows(2) {
            if let (Some(a), Some(b)) = (&pair[0].version, &pair[1].version) {
                prop_assert_ne!(compare_versions(&selection, a, b), Some(Ordering::Less), "{} {}", a, b);
            }
        }
    }
}
