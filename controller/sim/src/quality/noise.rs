//! Models of how containers crash, good releases and bad ones.

use super::draw::{exponential, gamma, normal, poisson};
use super::night::{Fleet, HOURS, MINUTES};
use crate::Random;

/// A crashed container is away for so long.
const AWAY_HOURS: f64 = 75.0 / 3600.0;
/// What an everyday crash dies of: the stable release has it, too.
pub const KNOWN: u32 = 0;
/// What only this night brings.
pub const NEW: u32 = 1;
/// From here on each crash has a cause of its own kind.
const EACH_ITS_OWN: u32 = 1_000;

/// A model of noise, with or without something bad in it. Rates are crashes per pod-hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// Every pod crashes at this rate, independently.
    Independent(f64),
    /// The same, and each crash of the candidate dies of something new.
    AlwaysNew(f64),
    /// Each pod has a rate of its own: this mean times a gamma variable of shape 0.3.
    Frailty(f64),
    /// The same, and each pod dies of something that is new tonight.
    FrailtyNew(f64),
    /// One candidate pod crashes 6 times an hour more, of what is known.
    BadPod(f64),
    /// One candidate pod crashes 6 times an hour more, of something new.
    BadPodNew(f64),
    /// The pods of one owner crash twice an hour more, as they always do.
    BadOwner(f64),
    /// Now and then half of all pods die of the same thing within a minute.
    Bursts(f64),
    /// All pods panic anew, twice an hour.
    EverybodyAnew(f64),
    /// All pods panic anew, and one candidate pod 6 times an hour more.
    EverybodyAnewAndBadPod(f64),
    /// The rate follows the time of day, with autocorrelated noise on top.
    TimeOfDay(f64),
    /// The rate grows to four times of what it was.
    Drift(f64),
    /// The application rolls in the middle, and crashes four times as often from then on.
    Rolls(f64),
    /// Not noise: the candidate crashes so much more often than the base rate, of something new.
    Worse(f64, f64),
}

/// One crash.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fall {
    /// When, in minutes.
    pub minute: f64,
    /// Which pod.
    pub pod: usize,
    /// What it died of.
    pub cause: u32,
}

/// What one stage of one night brings.
#[derive(Clone, Debug, Default)]
pub struct Falls {
    /// In time order.
    pub falls: Vec<Fall>,
    /// Crashes of the stable release in the week before, of what is known.
    pub before: u64,
}

/// Something that makes one pod crash.
struct Process {
    pod: usize,
    rate: f64,
    cause: u32,
    /// It was there in the week before, too.
    old: bool,
}

impl Noise {
    /// The base rate.
    #[must_use]
    pub fn base(self) -> f64 {
        match self {
            Self::Independent(base)
            | Self::AlwaysNew(base)
            | Self::Frailty(base)
            | Self::FrailtyNew(base)
            | Self::BadPod(base)
            | Self::BadPodNew(base)
            | Self::BadOwner(base)
            | Self::Bursts(base)
            | Self::EverybodyAnew(base)
            | Self::EverybodyAnewAndBadPod(base)
            | Self::TimeOfDay(base)
            | Self::Drift(base)
            | Self::Rolls(base)
            | Self::Worse(base, _) => base,
        }
    }

    /// The application rolls in the middle of the night.
    #[must_use]
    pub fn rolls(self) -> bool {
        matches!(self, Self::Rolls(_))
    }

    /// Draws one stage of one night.
    pub fn draw(self, fleet: &Fleet, random: &mut Random) -> Falls {
        let processes = self.processes(fleet, random);
        let load = self.load(random);
        let most = load.iter().copied().fold(0.0, f64::max);
        let mut falls = Vec::new();
        for process in &processes {
            let mut hours = exponential(random) / (process.rate * most);
            while hours < HOURS {
                // A moment drawn at the highest rate counts with the chance that its own rate has of it.
                if random.unit() * most < load[minute_of(hours).min(load.len() - 1)] {
                    falls.push(Fall { minute: hours * 60.0, pod: process.pod, cause: process.cause });
                }
                hours += exponential(random) / (process.rate * most);
            }
        }
        if matches!(self, Self::Bursts(_)) {
            bursts(fleet, random, &mut falls);
        }
        let each_new = matches!(self, Self::AlwaysNew(_));
        let old: f64 = processes.iter().filter(|p| p.old).map(|p| p.rate).sum();
        Falls { falls: apart(falls, fleet, each_new), before: poisson(random, old * 168.0) }
    }

    fn processes(self, fleet: &Fleet, random: &mut Random) -> Vec<Process> {
        let base = self.base();
        let everywhere = 0..fleet.pods();
        let frail = matches!(self, Self::Frailty(_) | Self::FrailtyNew(_));
        let mut all: Vec<Process> = everywhere
            .clone()
            .map(|pod| {
                let own = if frail { gamma(random, 0.3) } else { 1.0 };
                let new = matches!(self, Self::FrailtyNew(_));
                Process { pod, rate: base * own, cause: if new { NEW } else { KNOWN }, old: !new }
            })
            .collect();
        let mut add = |pods: &mut dyn Iterator<Item = usize>, rate: f64, cause: u32, old: bool| {
            all.extend(pods.map(|pod| Process { pod, rate, cause, old }));
        };
        match self {
            Self::BadPod(_) => add(&mut std::iter::once(0), 6.0, KNOWN, false),
            Self::BadPodNew(_) => add(&mut std::iter::once(0), 6.0, NEW, false),
            Self::BadOwner(_) => add(&mut everywhere.filter(|pod| fleet.owner(*pod) == 0), 2.0, KNOWN, true),
            Self::EverybodyAnew(_) => add(&mut everywhere.clone(), 2.0, NEW, false),
            Self::EverybodyAnewAndBadPod(_) => {
                add(&mut everywhere.clone(), 2.0, NEW, false);
                add(&mut std::iter::once(0), 6.0, NEW, false);
            }
            Self::Worse(_, extra) => add(&mut (0..fleet.candidates), extra, NEW, false),
            _ => {}
        }
        all.retain(|process| process.rate > 0.0);
        all
    }

    /// The factor on all rates, minute by minute.
    fn load(self, random: &mut Random) -> Vec<f64> {
        let share = |minute: usize| f64::from(u32::try_from(minute).unwrap_or(u32::MAX)) / MINUTES_F;
        match self {
            Self::Drift(_) => (0..MINUTES).map(|m| 1.0 + 3.0 * share(m)).collect(),
            Self::Rolls(_) => (0..MINUTES).map(|m| if m < MINUTES / 2 { 1.0 } else { 4.0 }).collect(),
            Self::TimeOfDay(_) => {
                let (phase, mut noise) = (random.unit(), 0.0);
                let minute = |m: usize| {
                    noise = 0.95 * noise + 0.1 * normal(random);
                    let day = (std::f64::consts::TAU * (phase + share(m) * HOURS / 24.0)).sin();
                    (1.0 + 0.8 * day) * f64::exp(noise)
                };
                (0..MINUTES).map(minute).collect()
            }
            _ => vec![1.0; MINUTES],
        }
    }
}

const MINUTES_F: f64 = 360.0;

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 360")]
fn minute_of(hours: f64) -> usize {
    (hours * 60.0) as usize
}

/// Half of all pods die within a minute, once in two hours in the mean.
fn bursts(fleet: &Fleet, random: &mut Random, falls: &mut Vec<Fall>) {
    let mut hours = 2.0 * exponential(random);
    while hours < HOURS {
        for pod in 0..fleet.pods() {
            if random.chance(0.5) {
                falls.push(Fall { minute: hours * 60.0 + random.unit(), pod, cause: NEW });
            }
        }
        hours += 2.0 * exponential(random);
    }
}

/// In time order, and no pod dies while it is away.
fn apart(mut falls: Vec<Fall>, fleet: &Fleet, each_new: bool) -> Vec<Fall> {
    falls.sort_by(|a, b| a.minute.total_cmp(&b.minute));
    let mut up_at = vec![0.0; fleet.pods()];
    falls.retain(|fall| {
        let up = fall.minute >= up_at[fall.pod];
        if up {
            up_at[fall.pod] = fall.minute + AWAY_HOURS * 60.0;
        }
        up
    });
    if each_new {
        for (number, fall) in (EACH_ITS_OWN..).zip(falls.iter_mut()).filter(|(_, f)| f.pod < fleet.candidates)
        {
            fall.cause = number;
        }
    }
    falls
}
