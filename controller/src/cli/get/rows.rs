//! Policies as rows: one per policy, or one per stage.

use super::super::{
    output::Style,
    table::Cell,
    when::{When, length},
};
use kube::ResourceExt as _;
use lockkeeper_api::ImagePolicy;
use lockkeeper_core::{
    gates::label,
    stage::current_of,
    status::{Phase, StageStatus, Status},
};

/// What the reader sees.
pub struct View {
    /// Now, and where.
    pub when: When,
    /// Whether the namespace is a column.
    pub namespaces: bool,
}

const NOT_LOOKED_AT: &str = "not looked at yet; does the controller run?";

impl View {
    pub fn header(&self, wide: bool) -> Vec<&'static str> {
        let mut names = if self.namespaces { vec!["NAMESPACE", "POLICY"] } else { vec!["POLICY"] };
        names.extend(if wide {
            &["STAGE", "PHASE", "RUNS", "CANDIDATE", "WAITS FOR", "UNTIL", "MESSAGE"][..]
        } else {
            &["STAGES", "PHASE", "READY", "UNTIL", "AGE", "MESSAGE"]
        });
        names
    }

    pub fn rows(&self, policy: &ImagePolicy, wide: bool) -> Vec<Vec<Cell>> {
        let status = policy.status.as_ref().map(|status| &status.status);
        if !wide {
            return vec![self.begun(policy).into_iter().chain(self.in_one(policy, status)).collect()];
        }
        let stages = status.map(|status| status.stages.as_slice()).unwrap_or_default();
        let row = |rest: Vec<Cell>| self.begun(policy).into_iter().chain(rest).collect::<Vec<_>>();
        let mut rows = Vec::new();
        // A policy that cannot be understood, or was not looked at yet, has a line that says so.
        let problem = status.and_then(problem);
        if stages.is_empty() || problem.is_some() {
            let mut rest: Vec<Cell> = std::iter::repeat_n(Cell::from("-"), 6).collect();
            rest.push(Cell::styled(Style::Bad, problem.as_deref().unwrap_or(NOT_LOOKED_AT)));
            rows.push(row(rest));
        }
        rows.extend(stages.iter().map(|stage| row(self.stage(stage))));
        rows
    }

    fn begun(&self, policy: &ImagePolicy) -> Vec<Cell> {
        let namespace = self.namespaces.then(|| Cell::from(policy.namespace().unwrap_or_default()));
        namespace.into_iter().chain([Cell::from(policy.name_any())]).collect()
    }

    fn in_one(&self, policy: &ImagePolicy, status: Option<&Status>) -> Vec<Cell> {
        let age = policy.creation_timestamp().map_or_else(|| "-".into(), |made| self.when.age(made.0));
        let ready = status.and_then(|status| status.conditions.iter().find(|c| c.kind == "Ready"));
        let (Some(status), Some(ready)) = (status, ready) else {
            let why = status.and_then(problem).unwrap_or_else(|| NOT_LOOKED_AT.to_owned());
            let none = || Cell::from("-");
            return vec![none(), none(), none(), none(), age.into(), Cell::styled(Style::Bad, &why)];
        };
        let until = status.stages.iter().filter_map(|stage| stage.until).min();
        vec![
            self.stages(status),
            Cell::styled(of_word(&status.phase), &status.phase),
            Cell::styled(if ready.status == "True" { Style::Good } else { Style::Waiting }, &ready.status),
            until.map_or_else(|| "-".into(), |until| self.when.until(until)).into(),
            age.into(),
            problem(status)
                .map_or_else(|| Cell::from(&ready.message), |problem| Cell::styled(Style::Bad, &problem)),
        ]
    }

    /// `dev 0.31 · staging 0.30 → 0.31 soaking 1h 12m · prod 0.28`.
    fn stages(&self, status: &Status) -> Cell {
        let mut cell = Cell::default();
        for (index, stage) in status.stages.iter().enumerate() {
            let between = if index == 0 { "" } else { " · " };
            cell = cell.and(Style::Faint, between).and(of_phase(stage), &self.in_short(stage));
        }
        cell
    }

    fn in_short(&self, stage: &StageStatus) -> String {
        let name = &stage.name;
        let current = current_of(stage).map_or_else(|| "?".to_owned(), |verified| label(&verified.release));
        let left = stage.until.map(|until| until.duration_since(self.when.now));
        let left = left.filter(jiff::SignedDuration::is_positive).map(|left| format!(" {}", length(left)));
        let left = left.unwrap_or_default();
        match (stage.phase, &stage.flight, &stage.rollback) {
            (Phase::RollingBack, _, Some(rollback)) => {
                format!("{name} {} rolling back", label(&rollback.bad))
            }
            (Phase::Blocked, ..) => format!("{name} {current} blocked"),
            (Phase::Soaking, Some(flight), _) => {
                format!("{name} {current} → {} soaking{left}", label(&flight.release))
            }
            (_, Some(flight), _) => format!("{name} {current} → {} applying", label(&flight.release)),
            _ => format!("{name} {current}"),
        }
    }

    fn stage(&self, stage: &StageStatus) -> Vec<Cell> {
        let runs = stage.current.as_ref().map(|digest| {
            current_of(stage).map_or_else(|| digest.short().to_owned(), |known| label(&known.release))
        });
        let candidate = match (&stage.flight, &stage.rollback) {
            (Some(flight), _) => label(&flight.release),
            (None, Some(rollback)) => format!("{} (taken back)", label(&rollback.bad)),
            (None, None) => "-".into(),
        };
        let reason = if stage.reason.is_empty() { "-" } else { &stage.reason };
        vec![
            Cell::from(&stage.name),
            Cell::styled(of_phase(stage), &format!("{:?}", stage.phase)),
            runs.unwrap_or_else(|| "-".into()).into(),
            candidate.into(),
            reason.into(),
            stage.until.map_or_else(|| "-".into(), |until| self.when.until(until)).into(),
            Cell::from(&stage.message),
        ]
    }
}

/// The condition that says that a policy cannot be understood.
fn problem(status: &Status) -> Option<String> {
    let invalid = status
        .conditions
        .iter()
        .find(|c| c.kind == "Stalled" && c.status == "True" && c.reason == "InvalidSpec");
    invalid.map(|condition| format!("InvalidSpec: {}", condition.message))
}

fn of_phase(stage: &StageStatus) -> Style {
    match stage.phase {
        Phase::Blocked | Phase::RollingBack => Style::Bad,
        Phase::Applying | Phase::Soaking => Style::Moving,
        Phase::Idle if stage.until.is_some() || stage.reason == "ApprovalRequired" => Style::Waiting,
        Phase::Idle => Style::Plain,
    }
}

fn of_word(phase: &str) -> Style {
    match phase {
        "Blocked" | "RollingBack" => Style::Bad,
        "Applying" | "Soaking" => Style::Moving,
        "Waiting" | "Suspended" | "Observing" => Style::Waiting,
        "Idle" => Style::Good,
        _ => Style::Plain,
    }
}
