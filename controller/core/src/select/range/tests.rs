use proptest::prelude::*;

use super::*;

/// What Masterminds semver 3.5.0 answers; written by `testdata/masterminds`.
const MASTERMINDS: &str = include_str!("testdata/masterminds.txt");

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn holds(range: &str, text: &str) -> bool {
    range.parse::<Range>().unwrap().contains(&version(text))
}

fn message(range: &str) -> String {
    range.parse::<Range>().unwrap_err().to_string()
}

#[test]
fn every_answer_is_that_of_masterminds() {
    let mut lines = MASTERMINDS.lines();
    let versions: Vec<Version> = lines.next().unwrap().split(' ').map(version).collect();
    let (mut compared, mut refused, mut empty) = (0, 0, 0);
    for line in lines {
        let (quoted, expected) = line.split_once('\t').unwrap();
        let text: String = serde_json::from_str(quoted).unwrap();
        match text.parse::<Range>() {
            Ok(range) => {
                let answers: String =
                    versions.iter().map(|v| if range.contains(v) { '1' } else { '0' }).collect();
                assert_eq!(answers, expected, "{text}");
                compared += 1;
            }
            Err(RangeError::MatchesNothing { .. }) => {
                assert!(
                    expected.bytes().all(|answer| answer == b'0'),
                    "{text} matches something there: {expected}"
                );
                empty += 1;
            }
            Err(error) => {
                assert_eq!(expected, "error", "{error}");
                refused += 1;
            }
        }
    }
    assert!(
        compared > 1000 && refused > 40 && empty > 50,
        "{compared} compared, {refused} refused, {empty} empty"
    );
}

#[test]
fn operators_and_their_other_spellings() {
    for (range, inside, outside) in [
        ("=1.2.3", "1.2.3", "1.2.4"),
        ("==1.2.3", "1.2.3", "1.2.4"),
        ("!=1.2.3", "1.2.4", "1.2.3"),
        (">1.2.3", "1.2.4", "1.2.3"),
        ("<1.2.3", "1.2.2", "1.2.3"),
        (">=1.2.3", "1.2.3", "1.2.2"),
        ("=>1.2.3", "1.2.3", "1.2.2"),
        ("<=1.2.3", "1.2.3", "1.2.4"),
        ("=<1.2.3", "1.2.3", "1.2.4"),
        ("~1.2.3", "1.2.9", "1.3.0"),
        ("~>1.2.3", "1.2.9", "1.3.0"),
        ("^1.2.3", "1.9.0", "2.0.0"),
    ] {
        assert!(holds(range, inside) && !holds(range, outside), "{range}");
    }
}

#[test]
fn or_and_hyphen_and_wildcards() {
    for (range, inside, outside) in [
        ("1.2 || 2.3", "2.3.4", "2.4.0"),
        ("1.2 - 2.3", "2.3.9", "2.4.0"),
        ("1.2.3 - 2.3.4", "1.2.3", "2.3.5"),
        ("1.x", "1.9.9", "2.0.0"),
        ("1.2.X", "1.2.9", "1.3.0"),
        ("1.*", "1.9.9", "0.9.9"),
        (">=1.0, <2.0", "1.9.9", "2.0.0"),
        (">=1.0 <2.0", "1.9.9", "2.0.0"),
        ("!=2.0.0 1.2 - 2.3", "2.0.1", "2.0.0"),
    ] {
        assert!(holds(range, inside) && !holds(range, outside), "{range}");
    }
}

#[test]
fn a_bare_whole_version_is_exact_and_a_bare_part_is_a_wildcard() {
    assert!(holds("1.2.3", "v1.2.3") && !holds("1.2.3", "1.2.4") && !holds("1.2.3", "1.9.0"));
    assert_eq!("1.2".parse::<Range>().unwrap(), "1.2.x".parse::<Range>().unwrap());
    assert!(holds("1.2", "1.2.9") && !holds("1.2", "1.3.0"));
}

#[test]
fn prereleases_are_skipped_unless_a_term_of_the_group_names_one() {
    assert!(!holds(">=1.0.0", "1.1.0-rc.1"));
    assert!(holds(">=1.0.0-0", "1.1.0-rc.1"));
    assert!(holds(">=1.0.0-0 <2.0.0", "1.9.0-rc.1"), "the whole group");
    assert!(!holds(">=1.0.0-0 <1.5.0 || >=2.0.0", "2.1.0-rc.1"), "no other group");
    assert!(!holds("*", "1.0.0-rc.1") && holds("*", "1.0.0"));
    assert!(holds("*-0", "1.0.0-rc.1") && holds("*-0", "1.0.0"));
    assert!(!holds(">0-0", "0.0.1-alpha"));
}

#[test]
fn carets_and_tildes_below_one() {
    for (range, inside, outside) in [
        ("^0.2.3", "0.2.9", "0.3.0"),
        ("^0.2", "0.2.9", "0.3.0"),
        ("^0.0.3", "0.0.3", "0.0.4"),
        ("^0.0", "0.0.9", "0.1.0"),
        ("^0", "0.9.9", "1.0.0"),
        ("~0.2.3", "0.2.9", "0.3.0"),
        ("~0.2", "0.2.0", "0.3.0"),
        ("~0", "0.9.0", "1.0.0"),
        ("~1", "1.9.0", "2.0.0"),
    ] {
        assert!(holds(range, inside) && !holds(range, outside), "{range}");
    }
}

#[test]
fn build_metadata_and_leading_zeros_do_not_matter() {
    assert!(holds("1.2.0", "v1.2.0+b") && holds("1.2.0+a", "1.2.0+b"));
    assert!(holds(">=2025.07", "2025.07.03") && !holds(">=2025.08", "2025.07.03"));
    assert!(holds("01.02.03", "1.2.3"));
}

#[test]
fn row_6_a_range_that_nothing_meets_is_refused() {
    for range in [
        ">=1.0 <0.9",
        ">1 <2",
        "1.2.3 1.2.4",
        "1, 2",
        "^1 ^2",
        "~1.2 >=1.3",
        "<0.0.0",
        "<*",
        "1.2 !=1.2",
        "2 - 1",
        "<0-0",
    ] {
        let message = message(range);
        assert!(message.contains("matches nothing") && message.contains(range), "{message}");
    }
    for range in [
        ">=1.0 <0.9 || 2",
        ">1.0.0 <1.0.1-0.0",
        ">=1.0.0-0 <1.0.0",
        "!=*",
        "<0.0.1",
        "1.2-0 !=1.2",
        "<=0.0.0-0",
    ] {
        assert!(range.parse::<Range>().is_ok(), "{range}");
    }
}

#[test]
fn syntax_errors_say_what_and_where() {
    for (range, part) in [
        ("", "empty"),
        ("  ", "empty"),
        ("latest", "a version is missing at character 1"),
        ("1 || ", "a version is missing at character 6"),
        ("|| 1", "a version is missing at character 1"),
        ("1,", "a version is missing at character 3"),
        (">=1.0 <", "a version is missing at character 8"),
        (">=1.0<2.0", "must follow at character 6"),
        ("1.2.3.4", "must follow at character 6"),
        ("1.2 || 1é", "must follow at character 9"),
        (">=1.0 - 2.0", "hyphen range"),
        ("1 - 2 - 3", "hyphen range"),
        ("99999999999999999999", "too large at character 1"),
        ("1.2.3-01", "prerelease"),
        ("1.2.3+a..b", "build"),
        ("1\r\n\0", "a version is missing at character 4"),
    ] {
        let message = message(range);
        assert!(message.contains(part), "{message}");
        assert!(!message.contains(char::is_control), "{message}");
    }
    assert!(message(&"1".repeat(513)).contains("513 bytes"));
    assert!(message(&"1||".repeat(33)).contains("34 parts"));
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 0..3_u64, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1)]
}

fn pre() -> impl Strategy<Value = semver::Prerelease> {
    prop_oneof![6 => Just(""), 1 => Just("0"), 1 => Just("0.0"), 1 => Just("1"), 1 => Just("rc"), 1 => Just("rc.0"), 1 => Just("rc-")]
        .prop_map(|text| semver::Prerelease::new(text).unwrap())
}

fn versions() -> impl Strategy<Value = Version> {
    (number(), number(), number(), pre()).prop_map(|(major, minor, patch, pre)| Version {
        number: semver::Version { major, minor, patch, pre, build: semver::BuildMetadata::EMPTY },
        parts: 3,
    })
}

/// Every version that a term of these tests can begin or end at, and the neighbours.
fn everything_small() -> impl Iterator<Item = semver::Version> {
    let numbers = [0, 1, 2, 3, u64::MAX - 1, u64::MAX];
    let pres = ["", "0", "0.0", "0.1", "1", "1.0", "rc", "rc.0", "rc.0.0", "rc-", "rc-.0"];
    let triples = numbers.into_iter().flat_map(move |a| {
        numbers.into_iter().flat_map(move |b| numbers.into_iter().map(move |c| semver::Version::new(a, b, c)))
    });
    triples.flat_map(move |version| {
        pres.into_iter()
            .map(move |pre| semver::Version { pre: semver::Prerelease::new(pre).unwrap(), ..version.clone() })
    })
}

fn terms() -> impl Strategy<Value = Term> {
    let operators = prop::sample::select(vec![
        Operator::Equal,
        Operator::NotEqual,
        Operator::Greater,
        Operator::Less,
        Operator::GreaterOrEqual,
        Operator::LessOrEqual,
        Operator::Tilde,
        Operator::Caret,
    ]);
    (operators, 0..4_u8, versions()).prop_map(|(operator, known, version)| {
        let semver::Version { major, minor, patch, pre, build } = version.number;
        let [major, minor, patch] =
            [(major, 1), (minor, 2), (patch, 3)].map(|(n, need)| if known >= need { n } else { 0 });
        Term { operator, known, version: semver::Version { major, minor, patch, pre, build } }
    })
}

fn groups() -> impl Strategy<Value = Group> {
    prop::collection::vec(terms(), 1..4).prop_map(|terms| Group { terms })
}

fn ranges() -> impl Strategy<Value = Range> {
    prop::collection::vec(groups(), 1..4).prop_map(|groups| Range { groups })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn printing_and_reading_gives_the_same_range(range in ranges()) {
        match range.to_string().parse::<Range>() {
            Ok(read) => prop_assert_eq!(read, range),
            Err(error) => {
                prop_assert!(matches!(error, RangeError::MatchesNothing { .. }), "{}", error);
                prop_assert!(range.groups.iter().all(Group::matches_nothing));
            }
        }
    }

    #[test]
    fn or_is_the_union(a in ranges(), b in ranges(), v in versions()) {
        let either = Range { groups: a.groups.iter().chain(&b.groups).cloned().collect() };
        prop_assert_eq!(either.contains(&v), a.contains(&v) || b.contains(&v));
        if let Ok(read) = format!("{a} || {b}").parse::<Range>() {
            prop_assert_eq!(read.contains(&v), a.contains(&v) || b.contains(&v));
        }
    }

    #[test]
    fn and_is_the_intersection_of_releases(a in groups(), b in groups(), v in versions()) {
        let both = Group { terms: a.terms.iter().chain(&b.terms).cloned().collect() };
        let holds = |group: &Group| group.holds(&v.number, true);
        prop_assert_eq!(holds(&both), holds(&a) && holds(&b));
    }

    #[test]
    fn nothing_is_claimed_only_of_groups_that_nothing_meets(group in groups()) {
        if group.matches_nothing() {
            let met = everything_small().find(|v| group.holds(v, group.names_a_prerelease()));
            prop_assert!(met.is_none(), "{:?} in {:?}", met, group);
        }
    }

    #[test]
    fn a_skipped_prerelease_is_a_prerelease(range in ranges(), v in versions()) {
        if range.answer(&v) == Answer::SkippedPrerelease {
            prop_assert!(!v.number.pre.is_empty());
        }
        prop_assert_eq!(range.answer(&v) == Answer::In, range.contains(&v));
    }

    #[test]
    fn every_text_has_an_answer(text in "\\PC{0,40}", near in "[0-9xX*.v<>=!~^|, +a-]{0,24}") {
        for text in [text, near] {
            match text.parse::<Range>() {
                Ok(range) => prop_assert_eq!(range.to_string().parse::<Range>().unwrap(), range),
                Err(error) => prop_assert!(error.to_string().chars().count() < 400),
            }
        }
    }
}

#[test]
fn what_is_as_long_as_a_range_may_be_is_printed_no_longer() {
    // Printed with spaces around `||`, or with two operators for a hyphen, these would be too long to be read.
    let joined = ["<=1"; 31].join("||");
    let many = format!("{joined}||{}", [">1.1.1"; 50].join(" "));
    let hyphens = ["1.2.3 - 4.5.6"; 36].join(",");
    for text in [many, hyphens] {
        assert!((480..=512).contains(&text.len()), "{}", text.len());
        let range: Range = text.parse().unwrap();
        let printed = range.to_string();
        assert!(printed.len() <= text.len(), "{} and {printed}", text.len());
        assert_eq!(printed.parse::<Range>().unwrap(), range);
    }
    assert_eq!(">=1.2 <=2.3||3".parse::<Range>().unwrap().to_string(), ">=1.2 <=2.3 || 3");
}
