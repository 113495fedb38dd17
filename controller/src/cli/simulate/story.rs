//! A story as text, and as JSON.

use super::{
    chronicle::{Chronicle, Teller},
    clock::span,
    scenario::Scenario,
    summary::{Bad, Summary},
};
use crate::cli::table::table;
use lockkeeper_core::{decision::EventType, stage::SignalStanding};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The timeline, then the summary.
#[must_use]
pub fn text(scenario: &Scenario, chronicle: &Chronicle, summary: &Summary, seed: u64) -> String {
    let pods: usize = scenario.world.owners.iter().map(|owner| owner.replicas).sum();
    let stages = scenario.policy.stages.len();
    let all = span(scenario.end.duration_since(scenario.clock.start));
    let mut out = format!(
        "{}\n{pods} pods in {stages} stages, {all} of virtual time, seed {seed}\n\n",
        one_line(&scenario.title)
    );
    let rows: Vec<Vec<String>> = chronicle
        .lines
        .iter()
        .map(|line| {
            let stage =
                line.stage.and_then(|i| scenario.policy.stages.get(i)).map_or("", |s| s.name.as_str());
            let mark = match line.from {
                Teller::Script => ">",
                Teller::World => "·",
                Teller::Controller(EventType::Warning) => "!",
                Teller::Controller(EventType::Normal) => "",
            };
            let clock = scenario.clock.shown(line.at);
            vec![clock, mark.to_owned(), stage.to_owned(), line.word.clone(), one_line(&line.text)]
        })
        .collect();
    out.push_str(&table(&["CLOCK", "", "STAGE", "EVENT", "WHAT"], &rows));
    out.push_str("\n> the scenario   · what the cluster shows   ! a warning of the controller\n\n");
    out.push_str(&sums(scenario, summary));
    out
}

/// Nothing of a scenario may move the cursor or break the columns.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn sums(scenario: &Scenario, summary: &Summary) -> String {
    let mut out = String::from("Summary\n");
    for bad in &summary.bad {
        bad_lines(&mut out, scenario, bad);
    }
    for sum in &summary.signals {
        let stage = scenario.policy.stages.get(sum.stage).map_or("", |s| s.name.as_str());
        let SignalStanding { name, against, worse, ticks } = &sum.standing;
        let text = format!(
            "worse in {worse} of {ticks} ticks; evidence {:.1}, its own limit {:.1}",
            against.evidence, against.limit
        );
        line(&mut out, &format!("{name} of {} in {stage}", scenario.releases[sum.release].name), &text);
    }
    let mut say = |name: &str, text: String| line(&mut out, name, &text);
    let by: Vec<String> = summary.ran_first.iter().map(|(name, n)| format!("{n} ran {name} first")).collect();
    let by = if by.is_empty() { String::new() } else { format!(": {}", by.join(", ")) };
    say("pods made anew", format!("{}, {} of them with a pin{by}", summary.born, summary.pinned));
    say("application containers restarted", format!("{} besides those", summary.application_restarts));
    say("sidecars changed in place", format!("{}", summary.moves));
    say("writes of the controller", format!("{}", summary.writes));
    for (stage, sum) in scenario.policy.stages.iter().zip(&summary.stages) {
        let runs: Vec<String> = sum.runs.iter().map(|(name, count)| format!("{count} on {name}")).collect();
        let share = if sum.wanted_hours > 0.0 { sum.lost_hours / sum.wanted_hours * 100.0 } else { 0.0 };
        say(
            &format!("{} at the end", stage.name),
            format!(
                "{}; lost {:.1} of {:.0} pod-hours ({share:.1} %)",
                runs.join(", "),
                sum.lost_hours,
                sum.wanted_hours
            ),
        );
    }
    out
}

fn line(out: &mut String, name: &str, text: &str) {
    let gap = " ".repeat(36_usize.saturating_sub(name.chars().count()));
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  {name}{gap}{text}");
}

fn bad_lines(out: &mut String, scenario: &Scenario, bad: &Bad) {
    let name = &scenario.releases[bad.release].name;
    for (stage, ever, all, crashes) in &bad.places {
        let stage = scenario.policy.stages.get(*stage).map_or("", |s| s.name.as_str());
        line(
            out,
            &format!("{name} in {stage}"),
            &format!("{ever} of {all} pods ever ran it, {crashes} crashes"),
        );
    }
    let Some(first) = bad.began else {
        line(out, name, "never crashed");
        return;
    };
    let decided = bad.decided.map(|at| span(at.duration_since(first)));
    let from = bad.counted_from();
    line(out, &format!("{from} to the rollback"), &decided.unwrap_or_else(|| "nobody decided".to_owned()));
    let gone = bad.gone.map(|at| span(at.duration_since(first)));
    line(out, &format!("{from} to its last pod gone"), &gone.unwrap_or_else(|| "never".to_owned()));
    let harm = if bad.crashes() > 0 { "it crashed" } else { "it was measured" };
    line(out, &format!("pod-hours on it where {harm}"), &format!("{:.1}", bad.pod_hours));
    line(out, &format!("{name} at the end"), if bad.quarantined { "quarantined" } else { "not quarantined" });
}

/// The same for programs. Times are RFC 3339, spans seconds.
#[must_use]
pub fn json(scenario: &Scenario, chronicle: &Chronicle, summary: &Summary, seed: u64) -> Value {
    let stage = |index: usize| scenario.policy.stages.get(index).map(|s| s.name.clone());
    let timeline: Vec<Value> = chronicle
        .lines
        .iter()
        .map(|line| {
            let from = match line.from {
                Teller::Script => "Scenario",
                Teller::World => "World",
                Teller::Controller(EventType::Normal) => "Controller",
                Teller::Controller(EventType::Warning) => "ControllerWarning",
            };
            json!({"at": line.at.to_string(), "from": from, "stage": line.stage.and_then(stage),
                   "event": line.word, "message": line.text})
        })
        .collect();
    let bad: Vec<Value> = summary.bad.iter().map(|bad| bad_json(scenario, bad)).collect();
    let signals = summary.signals.iter().map(|sum| {
        let SignalStanding { name, against, worse, ticks } = &sum.standing;
        json!({"signal": name, "release": scenario.releases[sum.release].name, "stage": stage(sum.stage),
               "worse": worse, "ticks": ticks, "evidence": against.evidence, "ownLimit": against.limit})
    });
    let signals: Vec<Value> = signals.collect();
    let stages: Vec<Value> = summary
        .stages
        .iter()
        .enumerate()
        .map(|(index, sum)| {
            let runs: serde_json::Map<String, Value> =
                sum.runs.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
            json!({"name": stage(index), "runs": runs, "lostPodHours": sum.lost_hours, "wantedPodHours": sum.wanted_hours})
        })
        .collect();
    json!({
        "title": scenario.title, "seed": seed,
        "start": scenario.clock.start.to_string(), "end": scenario.end.to_string(),
        "timeline": timeline,
        "summary": {
            "badReleases": bad, "signals": signals, "stages": stages, "podsBorn": summary.born, "podsBornPinned": summary.pinned,
            "ranFirst": summary.ran_first, "applicationRestarts": summary.application_restarts,
            "movesInPlace": summary.moves, "writes": summary.writes,
        },
    })
}

fn bad_json(scenario: &Scenario, bad: &Bad) -> Value {
    let places: Vec<Value> = bad
        .places
        .iter()
        .map(|(stage, ever, all, crashes)| {
            let name = scenario.policy.stages.get(*stage).map(|s| s.name.clone());
            json!({"stage": name, "podsEver": ever, "podsAll": all, "crashes": crashes})
        })
        .collect();
    let since = |at: Option<jiff::Timestamp>| Some(at?.duration_since(bad.began?).as_secs());
    json!({
        "name": scenario.releases[bad.release].name, "stages": places, "crashes": bad.crashes(),
        "podHours": bad.pod_hours,
        "firstCrash": bad.began.filter(|_| bad.crashes() > 0).map(|at| at.to_string()),
        "firstPod": bad.began.filter(|_| bad.crashes() == 0).map(|at| at.to_string()),
        "secondsToRollback": since(bad.decided), "secondsToGone": since(bad.gone), "quarantined": bad.quarantined,
    })
}
