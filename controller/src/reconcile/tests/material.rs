//! What counts as a change.

use crate::reconcile::change::{Change, material};
use lockkeeper_core::{
    conditions::Condition,
    status::{Flight, Phase, StageStatus, Status, Step},
};

fn flying(phase: Phase) -> Status {
    let stage = StageStatus {
        name: "dev".into(),
        phase,
        message: "0.29.0: 3 of 12 pods run it".into(),
        flight: Some(super::fakes::flight()),
        ..StageStatus::default()
    };
    let ready = Condition {
        kind: "Ready".into(),
        status: "False".into(),
        reason: "Soaking".into(),
        message: "dev: 3 of 12 pods".into(),
        last_transition_time: jiff::Timestamp::UNIX_EPOCH,
        observed_generation: 1,
    };
    Status { stages: vec![stage], conditions: vec![ready], ..Status::default() }
}

type Edit = fn(&mut Status);

fn flight(status: &mut Status) -> &mut Flight {
    status.stages[0].flight.as_mut().unwrap()
}

#[test]
fn every_kind_of_change_has_its_weight() {
    use Change::{Counters, Material, Nothing};
    let later = Counters { soon: false };
    let soon = Counters { soon: true };
    let table: [(&str, Phase, Edit, Change); 18] = [
        ("nothing", Phase::Soaking, |_| (), Nothing),
        ("healthy time", Phase::Soaking, |s| flight(s).healthy_seconds = 90, later),
        ("the clock", Phase::Soaking, |s| flight(s).clock = Some(jiff::Timestamp::UNIX_EPOCH), later),
        ("a tick", Phase::Soaking, |s| flight(s).health.tick = 9, later),
        ("evidence", Phase::Soaking, |s| flight(s).health.log_e = 0.5, later),
        ("a soak's end", Phase::Soaking, |s| s.stages[0].until = Some(jiff::Timestamp::UNIX_EPOCH), later),
        ("numbers", Phase::Soaking, |s| s.stages[0].message = "0.29.0: 10 of 12 pods run it".into(), later),
        ("the same", Phase::Applying, |s| s.stages[0].message = "0.29.0: 10 of 12 pods run it".into(), soon),
        ("in a condition", Phase::Soaking, |s| s.conditions[0].message = "dev: 12 of 12 pods".into(), later),
        ("a crash", Phase::Soaking, |s| flight(s).health.crashes = [1, 0], soon),
        ("a death", Phase::Soaking, |s| flight(s).health.deaths = [("pod/otel".into(), 2)].into(), soon),
        (
            "words",
            Phase::Soaking,
            |s| s.stages[0].message = "0.29.0: the clock stands still".into(),
            Material,
        ),
        ("a reason", Phase::Soaking, |s| s.conditions[0].reason = "SoakPaused".into(), Material),
        ("a phase", Phase::Soaking, |s| s.stages[0].phase = Phase::RollingBack, Material),
        ("an attempt", Phase::Soaking, |s| s.attempts = 2, Material),
        ("a step", Phase::Soaking, |s| flight(s).step = Step::Wave(1), Material),
        (
            "missing data",
            Phase::Soaking,
            |s| flight(s).no_data_since = Some(jiff::Timestamp::UNIX_EPOCH),
            Material,
        ),
        ("the flight's end", Phase::Soaking, |s| s.stages[0].flight = None, Material),
    ];
    for (what, phase, edit, expected) in table {
        let old = flying(phase);
        let mut new = old.clone();
        edit(&mut new);
        assert_eq!(material(&old, &new), expected, "{what}");
    }
}

#[test]
fn a_status_that_went_through_the_api_server_is_the_same() {
    let status = flying(Phase::Soaking);
    let text = serde_json::to_string(&status).unwrap();
    let back: Status = serde_json::from_str(&text).unwrap();
    assert_eq!(material(&status, &back), Change::Nothing);
}
