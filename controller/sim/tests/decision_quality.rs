//! The benchmark of decisions, small and with a fixed seed: the promise holds in every row, the page is the same every time.

use lockkeeper_sim::quality::{DETECTORS, Detector, Kind, Noise, Result, Row, measure, page, rows};

const RUNS: u32 = 60;

fn place(detector: Detector) -> usize {
    DETECTORS.iter().position(|d| *d == detector).unwrap()
}

/// Every row of this kind, played a few times.
fn played(keep: impl Fn(&Row) -> bool, runs: u32) -> Vec<(Row, Result)> {
    let rows = rows();
    rows.iter()
        .zip(1..)
        .filter(|(row, _)| keep(row))
        .map(|(row, seed)| (*row, measure(row, runs, seed)))
        .collect()
}

#[test]
fn good_releases_are_seldom_taken_back_whatever_the_noise() {
    let one_stage = |row: &Row| matches!(row.kind, Kind::Night(fleet, _) if row.quiet() && fleet.stages == 1);
    let measured = played(one_stage, RUNS);
    assert!(measured.len() >= 55, "{}", measured.len());
    let limit = 0.02 + 3.0 * (0.02_f64 * 0.98 / f64::from(RUNS)).sqrt();
    for (row, result) in &measured {
        for detector in [Detector::Martingale, Detector::Default, Detector::Proved] {
            let share = result.share(place(detector));
            assert!(share <= limit, "{row:?}, {detector:?}: {share}");
        }
    }
    // The models do bite: without leave-one-out one bad pod is a rollback nearly every time.
    let (_, bad_pod) =
        measured.iter().find(|(row, _)| matches!(row.kind, Kind::Night(_, Noise::BadPod(_)))).unwrap();
    assert!(bad_pod.share(place(Detector::Plain)) > 0.9);
}

#[test]
fn bad_releases_are_found_and_the_fast_detector_is_never_the_later_one() {
    let six_an_hour = |row: &Row| matches!(row.kind, Kind::Night(_, Noise::Worse(_, extra)) if extra > 5.0);
    for (row, result) in played(six_an_hour, 30) {
        let (alone, both) = (place(Detector::Martingale), place(Detector::Default));
        assert!(result.share(both) > 0.9, "{row:?}: {}", result.share(both));
        let (alone, both) = (result.median(alone), result.median(both));
        assert!(both <= alone || alone.is_none(), "{row:?}: {both:?}, M alone {alone:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_page() {
    let few = |row: &Row| matches!(row.kind, Kind::Gauge(_) | Kind::Signals);
    let [one, again] = [(); 2].map(|()| page(&played(few, 40), 40, 1));
    assert_eq!(one, again);
    assert!(one.0.contains("| no worse | 10 % | 0 | "), "{}", one.0);
    for (name, svg) in &one.1 {
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{name}");
    }
}
