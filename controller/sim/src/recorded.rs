//! Values that a signal had once, somewhere, told to the controller again at their moments.
//!
//! Guarantees: what is told about a tick is what was measured in it; where nothing was, there is no data. What the
//! values mean is for the controller's own comparison.

use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::{image::Release, signals::ArmAnswer};
use std::collections::{BTreeMap, BTreeSet};

/// How the values of several series become the one of a side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// Their mean.
    #[default]
    Mean,
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// Their sum.
    Sum,
}

/// Values of one side by series, each by its moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// By name.
    pub series: BTreeMap<String, BTreeMap<Timestamp, f64>>,
}

/// What was recorded of one signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The release whose pods had the values of `candidate`; those of all others had the values of `baseline`.
    pub release: Release,
    /// Stages in which the release is like that; none means all. Elsewhere it is like the others.
    pub stages: BTreeSet<String>,
    /// Values of the release.
    pub candidate: Side,
    /// Values of the others, if they were recorded. Without them the others are exactly at their limit, which is not beyond it.
    pub baseline: Option<Side>,
    /// How several series become one value.
    pub combine: Combine,
}

impl Side {
    /// The value of the tick that ends at `at`: of each series the newest in it, together.
    #[must_use]
    pub fn at(&self, at: Timestamp, window: SignedDuration, combine: Combine) -> Option<f64> {
        let from = at.checked_sub(window).unwrap_or(Timestamp::MIN);
        let newest = |values: &BTreeMap<Timestamp, f64>| {
            let (moment, value) = values.range(..=at).next_back()?;
            (*moment > from).then_some(*value)
        };
        let values: Vec<f64> = self.series.values().filter_map(newest).collect();
        let count = f64::from(u32::try_from(values.len()).unwrap_or(u32::MAX));
        let sum: f64 = values.iter().sum();
        let all = values.into_iter();
        match combine {
            Combine::Mean => (count > 0.0).then_some(sum / count),
            Combine::Sum => (count > 0.0).then_some(sum),
            Combine::Max => all.reduce(f64::max),
            Combine::Min => all.reduce(f64::min),
        }
    }

    /// The first and the last moment with a value.
    #[must_use]
    pub fn span(&self) -> Option<(Timestamp, Timestamp)> {
        let moments = || self.series.values().flat_map(BTreeMap::keys).copied();
        Some((moments().min()?, moments().max()?))
    }
}

impl Recorded {
    /// What is measured of pods of `release` in `stage`; `like_others` is said where nothing was recorded of the others.
    #[must_use]
    pub fn answer(
        &self,
        stage: &str,
        release: &Release,
        at: Timestamp,
        window: SignedDuration,
        like_others: f64,
    ) -> ArmAnswer {
        let here = self.stages.is_empty() || self.stages.contains(stage);
        let side = if here && self.release.answers_to(&release.digest) {
            Some(&self.candidate)
        } else {
            self.baseline.as_ref()
        };
        match side {
            Some(side) => side.at(at, window, self.combine).map_or(ArmAnswer::Nothing, ArmAnswer::Value),
            None => ArmAnswer::Value(like_others),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
    }

    fn side(series: &[(&str, &[(i64, f64)])]) -> Side {
        let values = |points: &[(i64, f64)]| points.iter().map(|(s, v)| (at(*s), *v)).collect();
        Side { series: series.iter().map(|(name, points)| ((*name).to_owned(), values(points))).collect() }
    }

    #[test]
    fn a_tick_has_the_newest_value_of_each_series_in_it_and_none_from_before() {
        let two =
            side(&[("a", &[(10, 1.0), (50, 2.0), (120, 9.0)]), ("b", &[(60, 4.0)]), ("c", &[(0, 100.0)])]);
        let minute = SignedDuration::from_secs(60);
        for (combine, expected) in
            [(Combine::Mean, 3.0), (Combine::Sum, 6.0), (Combine::Max, 4.0), (Combine::Min, 2.0)]
        {
            assert_eq!(two.at(at(60), minute, combine), Some(expected), "{combine:?}: c is a tick old");
        }
        assert_eq!(two.at(at(119), minute, Combine::Mean), Some(4.0), "a's are older, b's is in it");
        assert_eq!(two.at(at(240), minute, Combine::Sum), None);
        assert_eq!(two.span(), Some((at(0), at(120))));
    }

    #[test]
    fn the_release_has_its_values_where_it_was_recorded_and_the_others_have_theirs() {
        let (bad, good) = (crate::release("0.29.0"), crate::release("0.28.0"));
        let mut recorded = Recorded {
            release: bad.clone(),
            stages: BTreeSet::from(["prod".to_owned()]),
            candidate: side(&[("new", &[(60, 5.0)])]),
            baseline: Some(side(&[("old", &[(60, 2.0)])])),
            combine: Combine::Mean,
        };
        let said = |recorded: &Recorded, stage, release: &Release, second| {
            recorded.answer(stage, release, at(second), SignedDuration::from_secs(60), 0.5)
        };
        assert_eq!(said(&recorded, "prod", &bad, 60), ArmAnswer::Value(5.0));
        assert_eq!(said(&recorded, "prod", &good, 60), ArmAnswer::Value(2.0));
        assert_eq!(said(&recorded, "dev", &bad, 60), ArmAnswer::Value(2.0), "there it is like the others");
        assert_eq!(said(&recorded, "prod", &bad, 600), ArmAnswer::Nothing);
        recorded.baseline = None;
        assert_eq!(said(&recorded, "prod", &good, 600), ArmAnswer::Value(0.5));
    }
}
