//! The status fits into its object: 256 KiB at most, whatever is in it.
//!
//! Guarantees: what is dropped first is what is found again by looking (counts of repairs, of writes, of deaths), then
//! what is only read by people, then old rollback targets; never a flight, a rollback, the newest two releases that a
//! stage may return to, or what the evidence says. Each stage's evidence has room of its own, the less the more stages
//! there are ([`Room`](crate::health::Room)).

use crate::status::{Flight, StageStatus, Status};
use std::collections::BTreeMap;

/// Bytes of JSON that are aimed at; what people read beside it has the rest of 256 KiB.
const MOST: usize = 240 * 1024;
/// Below so many entries nothing is measured: measuring costs more than all of a pass.
const MANY: usize = 400;

/// Drops what has to be dropped.
pub fn fit(status: &mut Status) {
    if entries(status) < MANY || bytes(status) <= MOST {
        return;
    }
    for (keep, verified) in [(32, 5), (8, 5), (8, 2), (2, 2)] {
        for stage in &mut status.stages {
            shed(stage, keep, verified);
        }
        let over = status.history.len().saturating_sub(keep.max(10));
        status.history.drain(..over);
        if bytes(status) <= MOST {
            return;
        }
    }
}

fn entries(status: &Status) -> usize {
    let stages = status.stages.iter().map(|s| {
        let platforms: usize = s.verified.iter().map(|v| 1 + v.release.platforms.len()).sum();
        let health = |f: &Flight| {
            50 + f.health.deaths.len()
                + f.health.evidence.entries()
                + f.health.fingerprints.entries()
                + 10 * f.health.signals.len()
        };
        let deaths = s.flight.as_ref().map_or(0, health);
        let pinned = s.pinned.as_ref().map_or(0, |p| p.namespaces.len());
        platforms
            + deaths
            + pinned
            + s.drift.repairs.len()
            + s.contested.len()
            + s.unpinned.len()
            + s.refused.len()
    });
    stages.sum()
}

fn bytes(status: &Status) -> usize {
    serde_json::to_vec(status).map_or(usize::MAX, |json| json.len())
}

fn shed(stage: &mut StageStatus, keep: usize, verified: usize) {
    cut(&mut stage.drift.repairs, keep);
    cut(&mut stage.contested, keep);
    cut(&mut stage.refused, keep);
    while stage.unpinned.len() > keep && stage.unpinned.pop_last().is_some() {}
    if let Some(pinned) = &mut stage.pinned {
        pinned.namespaces.truncate(keep);
    }
    if let Some(Flight { health, .. }) = &mut stage.flight {
        cut(&mut health.deaths, keep);
        if keep <= 8 {
            health.evidence.shed();
            for signal in &mut health.signals {
                signal.message.clear();
                signal.trouble.clear();
            }
        }
    }
    let current = stage.current.clone();
    while stage.verified.len() > verified {
        let Some(oldest) = stage.verified.iter().position(|v| Some(&v.release.digest) != current.as_ref())
        else {
            break;
        };
        stage.verified.remove(oldest);
    }
}

fn cut<V>(map: &mut BTreeMap<String, V>, keep: usize) {
    while map.len() > keep && map.pop_last().is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        health::{Arm, Arms, Crash, Evidence, Room, Stratum},
        image::{Digest, PlatformImage, Release},
        status::{Contest, HistoryEntry, Phase, Pinned, Source, Step, Verified, WavePlan},
    };
    use jiff::Timestamp;

    fn release(name: &str) -> Release {
        let platforms = ["amd64", "arm64", "arm/v7", "s390x", "ppc64le", "riscv64", "386", "arm/v6"];
        Release {
            tag: format!("{name}-with-a-long-tag-of-some-distribution").parse().ok(),
            version: Some(name.to_owned()),
            digest: Digest::of(name.as_bytes()),
            platforms: platforms
                .iter()
                .map(|arch| PlatformImage {
                    platform: format!("linux/{arch}").parse().unwrap(),
                    manifest: Digest::of(format!("{name}/{arch}").as_bytes()),
                    config: Some(Digest::of(format!("{name}/{arch}/config").as_bytes())),
                })
                .collect(),
            created: None,
        }
    }

    fn many<V: Clone>(count: usize, value: &V) -> BTreeMap<String, V> {
        (0..count)
            .map(|i| {
                (format!("{}/Deployment/an-owner-with-a-long-name-{i:04}", "n".repeat(63)), value.clone())
            })
            .collect()
    }

    /// Every list at its own bound.
    fn full_stage(number: usize) -> StageStatus {
        let verified = |i: usize| Verified {
            release: release(&format!("{number}.{i}.0")),
            source: Source::Verified,
            at: Timestamp::UNIX_EPOCH,
            hash: "h".repeat(64),
            rules_out: "r".repeat(90),
            log_e: 1.234,
            guard_until: None,
        };
        let mut stage = StageStatus {
            name: format!("{}-{number}", "s".repeat(60)),
            phase: Phase::Soaking,
            message: "m".repeat(400),
            current: Some(verified(4).release.digest),
            verified: (0..5).map(verified).collect(),
            refused: (0..8).map(|i| (format!("{i:032}"), "w".repeat(300))).collect(),
            contested: many(100, &Contest::default()),
            unpinned: (0..64).map(|i| format!("00000000-0000-0000-0000-{i:012}")).collect(),
            ..StageStatus::default()
        };
        stage.drift.repairs = many(200, &3);
        stage.pinned = Some(Pinned {
            digest: verified(4).release.digest,
            at: Timestamp::UNIX_EPOCH,
            confirmed: true,
            namespaces: (0..64).map(|i| format!("{}-{i:02}", "n".repeat(60))).collect(),
            put_back: 0,
        });
        stage.flight = Some(Flight {
            release: release("9.9.9"),
            from: Some(verified(4).release),
            attempt: "0f1e2d3c-1".to_owned(),
            entered: Timestamp::UNIX_EPOCH,
            soaking_since: None,
            step: Step::All,
            step_since: Timestamp::UNIX_EPOCH,
            waves: vec![WavePlan { pods: 3, soak_seconds: 3600 }; 8],
            ready_at_entry: 5000,
            unready_at_entry: 0,
            members: 5000,
            replaced: 0,
            healthy_seconds: 0,
            clock: None,
            no_data_since: None,
            skip_window: false,
            promoted_by: None,
            health: crate::status::HealthMemory::default(),
        });
        if let Some(flight) = &mut stage.flight {
            flight.health.deaths =
                (0..800).map(|i| (format!("00000000-0000-0000-0000-{i:012}"), 7)).collect();
        }
        stage
    }

    /// These stages, and every list beside them at its bound.
    fn full(stages: Vec<StageStatus>) -> Status {
        let entry = HistoryEntry {
            at: Timestamp::UNIX_EPOCH,
            reason: "RolledBack".to_owned(),
            stage: "s".repeat(63),
            message: "m".repeat(400),
        };
        Status {
            stages,
            history: vec![entry; 50],
            heard: (0..100).map(|i| format!("{}/{i}", "h".repeat(120))).collect(),
            ..Status::default()
        }
    }

    /// What one of so many stages remembers of crashes on as many nodes as there can be, with the longest names.
    fn evidence(stages: usize) -> Evidence {
        let long =
            |what: &str, number: i64, length: usize| format!("{what}{number:06}{}", "x".repeat(length));
        let stratum = Stratum::new(&"n".repeat(63), "StatefulSet", &"a".repeat(240), "7d4b9c6f8");
        let mut evidence = Evidence::default();
        for tick in 0..12 {
            let (mut arms, mut crashes) = (Arms::default(), Vec::new());
            for number in 0..100 {
                let (node, pod) = (long("node", number + tick, 240), long("pod", number, 240));
                arms.add(&stratum, Arm::Candidate, &node, &pod);
                arms.add(&stratum, Arm::Baseline, &node, &format!("{pod}-b"));
                crashes.push(Crash {
                    stratum: stratum.clone(),
                    arm: Arm::Candidate,
                    node,
                    pod,
                    fingerprint: None,
                });
            }
            evidence.tick_within(Room::of(stages), i64::MAX - 100 + tick, 1e6, &arms, &crashes);
        }
        evidence
    }

    #[test]
    fn k17_however_many_stages_crash_in_flight_the_status_fits_and_the_evidence_says_the_same() {
        for count in [1, 2, 3, 4, 6, 8, 12, 16] {
            let evidence = evidence(count);
            let says = |e: &Evidence| (e.e_plain(), e.e_leave_one_out(), e.events(), e.candidate_pod_hours());
            let mut stages: Vec<StageStatus> = (0..count).map(full_stage).collect();
            for flight in stages.iter_mut().filter_map(|s| s.flight.as_mut()) {
                flight.health.evidence = evidence.clone();
            }
            let mut status = full(stages);
            fit(&mut status);
            assert!(bytes(&status) <= 256 * 1024, "{count} stages: {}", bytes(&status));
            for flight in status.stages.iter().map(|s| s.flight.as_ref().unwrap()) {
                assert_eq!(says(&flight.health.evidence), says(&evidence), "{count} stages");
            }
        }
    }

    #[test]
    fn k17_sixteen_stages_with_all_lists_full_fit() {
        let mut status = full((0..16).map(full_stage).collect());
        assert!(bytes(&status) > 4 * MOST, "{}", bytes(&status));
        fit(&mut status);
        assert!(bytes(&status) <= 256 * 1024, "{}", bytes(&status));
        for stage in &status.stages {
            assert!(stage.flight.is_some());
            assert!(stage.verified.len() >= 2);
            assert!(stage.verified.iter().any(|v| Some(&v.release.digest) == stage.current.as_ref()));
        }
    }

    #[test]
    fn what_fits_is_left_as_it_is() {
        let mut status = Status { stages: vec![full_stage(1), full_stage(2)], ..Status::default() };
        let before = status.clone();
        fit(&mut status);
        assert_eq!(status, before);
    }
}
