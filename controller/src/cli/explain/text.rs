//! An explanation as text.

use super::{
    super::{
        output::{Paint, Style, plain},
        table::{Cell, Columns},
        when::{When, length},
    },
    found::{Explanation, Named, Stage},
};
use jiff::SignedDuration;

/// The whole text.
pub fn render(found: &Explanation, when: &When, paint: Paint) -> String {
    let mut page = Page { text: String::new(), when, paint };
    page.head(found);
    page.candidate(found);
    for stage in &found.stages {
        page.stage(stage);
    }
    page.quarantines(found);
    page.conditions(found);
    page.text
}

struct Page<'a> {
    text: String,
    when: &'a When,
    paint: Paint,
}

impl Page<'_> {
    fn heading(&mut self, text: &str) {
        let text = self.paint.paint(Style::Heading, &plain(text));
        self.text.push_str(&text);
        self.text.push('\n');
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(&plain(text));
        self.text.push('\n');
    }

    /// `  name: text`.
    fn point(&mut self, style: Style, name: &str, text: &str) {
        let text = self.paint.paint(style, &plain(text));
        let name = self.paint.paint(Style::Faint, name);
        self.text.extend(["  ", &name, ": ", &text, "\n"]);
    }

    fn head(&mut self, found: &Explanation) {
        let phase =
            if found.phase.is_empty() { "not looked at yet; does the controller run?" } else { &found.phase };
        self.heading(&format!("ImagePolicy {}/{}: {phase}", found.namespace, found.policy));
        if !found.message.is_empty() {
            self.line(&format!("  {}", found.message));
        }
        let suspended = if found.suspend { ", suspended: nothing is written" } else { "" };
        self.point(Style::Plain, "image", &format!("{}, mode {}{suspended}", found.image, found.mode));
        if !found.interval.is_empty() {
            self.point(Style::Plain, "registry", &format!("asked every {}", found.interval));
        }
    }

    fn candidate(&mut self, found: &Explanation) {
        self.text.push('\n');
        match &found.candidate {
            Some(candidate) => {
                let seen = candidate.first_seen.map(|at| format!(", first seen {}", self.when.since(at)));
                let Named { version, digest } = &candidate.release;
                self.heading(&format!("Candidate {version}"));
                self.line("  the newest release that selection admits and that is not quarantined");
                self.point(Style::Plain, "digest", &format!("{digest}{}", seen.unwrap_or_default()));
            }
            None => self.heading("No candidate: selection has not chosen a release yet"),
        }
        let all = found.listing.is_some();
        let others = found.tags.iter().filter(|seen| all || seen.reason != "Candidate");
        let rows: Vec<Vec<Cell>> = others
            .map(|seen| {
                vec![
                    "".into(),
                    Cell::from(&seen.tag),
                    Cell::styled(Style::Waiting, &seen.reason),
                    Cell::from(&seen.message),
                ]
            })
            .collect();
        if let Some(listing) = &found.listing {
            self.line(&format!("  of {} tags that the registry lists now:", listing.count));
            for note in &listing.differs {
                self.point(Style::Waiting, "note", note);
            }
        } else if !rows.is_empty() {
            self.line("  not taken:");
        }
        if !rows.is_empty() {
            let table = Columns::default().lines(&rows, self.paint);
            self.text.push_str(&table);
        }
    }

    fn stage(&mut self, stage: &Stage) {
        self.text.push('\n');
        let runs = stage.runs.as_ref().map_or_else(
            || "runs nothing that is known".to_owned(),
            |runs| format!("runs {} ({})", runs.release.version, short(&runs.release.digest)),
        );
        self.heading(&format!("Stage {}: {}, {runs}", stage.name, stage.phase));
        if let Some(runs) = &stage.runs {
            let how = format!("{} {}", runs.source, self.when.since(runs.at));
            let rules_out =
                if runs.rules_out.is_empty() { String::new() } else { format!(": {}", runs.rules_out) };
            self.point(Style::Good, "since", &format!("{how}{rules_out}"));
        }
        if let Some(coming) = &stage.coming {
            self.point(Style::Plain, "next", &format!("{} ({})", coming.version, short(&coming.digest)));
        }
        if !stage.reason.is_empty() {
            let since = stage.since.map(|at| format!(", since {}", self.when.since(at))).unwrap_or_default();
            self.point(Style::Waiting, "reason", &format!("{}: {}{since}", stage.reason, stage.means));
        }
        if !stage.message.is_empty() {
            self.point(Style::Plain, "says", &stage.message);
        }
        self.end(stage);
        if let Some(evidence) = &stage.evidence {
            let [candidate, beside] = evidence.crashes;
            let time = |seconds| length(SignedDuration::from_secs(seconds));
            self.point(
                Style::Moving,
                "evidence",
                &format!(
                    "{}; {} of {} healthy; {candidate} crashes, {beside} beside it; {}",
                    evidence.step,
                    time(evidence.healthy_seconds),
                    time(evidence.needed_seconds),
                    evidence.rules_out
                ),
            );
        }
        for said in stage.evidence.iter().flat_map(|evidence| &evidence.signals) {
            let message = if said.message.is_empty() { "not asked yet" } else { &said.message };
            self.point(Style::Moving, &format!("signal {}", said.signal), message);
        }
        if let Some(hold) = &stage.hold {
            let until = hold.until.map(|at| format!(" until {}", self.when.until(at))).unwrap_or_default();
            self.point(
                Style::Waiting,
                "held",
                &format!("by {}{until}: {} ({})", hold.by, hold.why, hold.intervention),
            );
        }
        if stage.drifted > 0 {
            self.point(Style::Bad, "drift", &format!("{} pods run something else", stage.drifted));
        }
        if let Some(after) = &stage.after_rollback {
            let style = if after.help == "DidNotHelp" { Style::Bad } else { Style::Plain };
            self.point(style, "rolled back", &after.message);
        }
        let safe: Vec<&str> = stage.safe.iter().map(|release| release.version.as_str()).collect();
        let safe =
            if safe.is_empty() { "nothing; a rollback would be Blocked".to_owned() } else { safe.join(", ") };
        self.point(Style::Plain, "may return to", &safe);
    }

    /// Until when, and what ends it.
    fn end(&mut self, stage: &Stage) {
        if let Some(until) = stage.until {
            self.point(Style::Plain, "until", &self.when.until(until));
        } else if !stage.ends.is_empty() && stage.ends != "nothing to do" {
            self.point(Style::Plain, "ends", &stage.ends);
        }
        if let Some(command) = &stage.command {
            self.point(Style::Good, "command", command);
        }
        for closed in &stage.also_closed {
            self.point(Style::Waiting, "also closed", &format!("{}: {}", closed.reason, closed.message));
        }
    }

    fn quarantines(&mut self, found: &Explanation) {
        if found.quarantines.is_empty() {
            return;
        }
        self.text.push('\n');
        self.heading("Quarantined");
        for one in &found.quarantines {
            let tag = one.tag.as_deref().unwrap_or("no tag");
            let evidence =
                if one.evidence.is_empty() { String::new() } else { format!(": {}", one.evidence) };
            self.point(Style::Bad, &format!("{} ({tag})", one.name), &format!("{}{evidence}", one.reason));
        }
    }

    fn conditions(&mut self, found: &Explanation) {
        if found.conditions.is_empty() {
            return;
        }
        self.text.push('\n');
        self.heading("Not as it should be");
        for one in &found.conditions {
            self.point(
                Style::Bad,
                &format!("{} {}", one.kind, one.status),
                &format!("{}: {}", one.reason, one.message),
            );
        }
    }
}

fn short(digest: &str) -> &str {
    let hex = digest.split(':').nth(1).unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}
