//! A story added up.

use super::{chronicle::Chronicle, scenario::Scenario};
use jiff::Timestamp;
use lockkeeper_core::stage::SignalStanding;
use lockkeeper_sim::World;
use std::collections::BTreeMap;

/// What there is to compare between two stories.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Releases that crash or never get Ready, as far as pods ran them.
    pub bad: Vec<Bad>,
    /// What each signal had shown of each release in each stage when it was last judged there.
    pub signals: Vec<SignalSum>,
    /// One per stage.
    pub stages: Vec<StageSum>,
    /// Pods made anew.
    pub born: usize,
    /// Of those, with a pin.
    pub pinned: usize,
    /// What they ran first, by the release's name.
    pub ran_first: BTreeMap<String, usize>,
    /// Application containers that started again without the timeline having asked for it.
    pub application_restarts: usize,
    /// Containers given another image in place.
    pub moves: usize,
    /// Writes of the controller.
    pub writes: usize,
}

/// A bad release.
#[derive(Clone, Debug)]
pub struct Bad {
    /// Index of the release.
    pub release: usize,
    /// Per stage that ran it: index, pods that ever did, pods that ever were, crashes.
    pub places: Vec<(usize, usize, usize, usize)>,
    /// Pod-hours on it in the stages where it crashed, or was measured.
    pub pod_hours: f64,
    /// The first crash; of one that does not crash where it is measured, the first pod there.
    pub began: Option<Timestamp>,
    /// The controller decided to take it back.
    pub decided: Option<Timestamp>,
    /// The last of its containers was gone from those stages.
    pub gone: Option<Timestamp>,
    /// It is quarantined at the end.
    pub quarantined: bool,
}

impl Bad {
    /// Crashes in all.
    #[must_use]
    pub fn crashes(&self) -> usize {
        self.places.iter().map(|(_, _, _, crashes)| crashes).sum()
    }

    /// What times are counted from.
    #[must_use]
    pub fn counted_from(&self) -> &'static str {
        if self.crashes() > 0 { "first crash" } else { "first pod" }
    }
}

/// A signal of a candidate in a stage.
#[derive(Clone, Debug)]
pub struct SignalSum {
    /// Index of the stage.
    pub stage: usize,
    /// Index of the release.
    pub release: usize,
    /// What it showed.
    pub standing: SignalStanding,
}

/// A stage at the end.
#[derive(Clone, Debug)]
pub struct StageSum {
    /// Pods per release, by name.
    pub runs: Vec<(String, usize)>,
    /// Pod-hours in which a wanted pod was not Ready.
    pub lost_hours: f64,
    /// All pod-hours that were wanted.
    pub wanted_hours: f64,
}

/// Adds up.
#[must_use]
pub fn summary(scenario: &Scenario, chronicle: &Chronicle, world: &World) -> Summary {
    let bad = (0..scenario.releases.len()).filter_map(|r| bad(scenario, chronicle, world, r)).collect();
    let mut ran_first = BTreeMap::new();
    for (first, _) in chronicle.born.values() {
        let name = first.map_or("nothing", |index| scenario.releases[index].name.as_str());
        *ran_first.entry(name.to_owned()).or_default() += 1;
    }
    Summary {
        bad,
        signals: signals(scenario, world),
        stages: stages(scenario, chronicle),
        born: chronicle.born.len(),
        pinned: chronicle.born.values().filter(|(_, pinned)| *pinned).count(),
        ran_first,
        application_restarts: chronicle.born.len().saturating_sub(chronicle.asked),
        moves: chronicle.moves,
        writes: chronicle.writes,
    }
}

fn signals(scenario: &Scenario, world: &World) -> Vec<SignalSum> {
    let mut last: BTreeMap<(usize, usize), &[SignalStanding]> = BTreeMap::new();
    for point in &world.evidence {
        let known = scenario.releases.iter().position(|known| known.release.answers_to(&point.digest));
        last.extend(known.map(|release| ((point.stage, release), point.standing.signals.as_slice())));
    }
    let each = last.into_iter().flat_map(|((stage, release), all)| {
        all.iter().map(move |standing| SignalSum { stage, release, standing: standing.clone() })
    });
    each.collect()
}

fn bad(scenario: &Scenario, chronicle: &Chronicle, world: &World, release: usize) -> Option<Bad> {
    let known = scenario.releases.get(release).filter(|known| known.bad())?;
    let deeds: Vec<_> =
        chronicle.deeds.iter().filter(|((r, _), d)| *r == release && !d.uids.is_empty()).collect();
    if deeds.is_empty() {
        return None;
    }
    let places = deeds
        .iter()
        .map(|((_, stage), d)| (*stage, d.uids.len(), chronicle.tracks[*stage].uids.len(), d.crashes.len()));
    let mut harmed: Vec<_> = deeds.iter().filter(|(_, d)| !d.crashes.is_empty()).collect();
    let mut began = harmed.iter().filter_map(|(_, d)| d.crashes.first()).min().copied();
    if harmed.is_empty() {
        harmed = deeds.iter().filter(|((_, stage), _)| scenario.recorded_in(release, *stage)).collect();
        began = harmed.iter().filter_map(|(_, d)| d.first).min();
    }
    let seconds: i64 = harmed.iter().map(|(_, d)| d.seconds).sum();
    let still = harmed.iter().any(|(_, d)| d.gone.is_none());
    Some(Bad {
        release,
        places: places.collect(),
        pod_hours: hours(seconds),
        began,
        decided: chronicle.quarantined.get(&release).copied(),
        gone: if still { None } else { harmed.iter().filter_map(|(_, d)| d.gone).max() },
        quarantined: world.quarantines.iter().any(|q| q.covers(&known.release)),
    })
}

fn stages(scenario: &Scenario, chronicle: &Chronicle) -> Vec<StageSum> {
    let one = |track: &super::chronicle::Track| {
        let last = track.pods.last().map(|(_, counts)| counts.as_slice()).unwrap_or_default();
        let names =
            scenario.releases.iter().map(|known| known.name.clone()).chain(["nothing yet".to_owned()]);
        StageSum {
            runs: names.zip(last.iter().copied()).filter(|(_, count)| *count > 0).collect(),
            lost_hours: hours(track.lost[0]),
            wanted_hours: hours(track.lost[1]),
        }
    };
    chronicle.tracks.iter().map(one).collect()
}

/// Seconds as hours.
fn hours(seconds: i64) -> f64 {
    jiff::SignedDuration::from_secs(seconds).as_secs_f64() / 3600.0
}
