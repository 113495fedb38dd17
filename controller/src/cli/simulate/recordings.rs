//! `signals` of a scenario: what the servers of the policy's signals answer, recorded once. Files are read here, and only here.

use super::{
    clock::Clock,
    fields::{Mistakes, Node},
    read::release_index,
    scenario::{Known, Recording},
    series::{self, Series},
};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_api::{FieldError, suggestion};
use lockkeeper_core::{policy::Policy, signals::Compare};
use lockkeeper_sim::{Combine, Recorded, Side};
use std::{collections::BTreeMap, fs, path::Path};

pub const FIELDS: [&str; 9] =
    ["release", "stages", "from", "combine", "candidate", "baseline", "file", "series", "label"];

/// What recordings may name, and what they are read beside.
pub struct Beside<'a> {
    pub folder: &'a Path,
    pub policy: &'a Policy,
    pub releases: &'a [Known],
    pub clock: &'a Clock,
    pub end: Timestamp,
}

/// Reads `signals`.
pub fn recordings(m: &mut Mistakes, node: &Node<'_>, beside: &Beside<'_>) -> Vec<Recording> {
    let Some(fields) = m.mapping(node) else { return Vec::new() };
    let named = fields.iter().map(|(name, value)| (name, Node::new(node.path_of(name), value)));
    named.filter_map(|(name, inner)| recording(m, name, &inner, beside)).collect()
}

fn recording(m: &mut Mistakes, name: &str, node: &Node<'_>, beside: &Beside<'_>) -> Option<Recording> {
    let Some(signal) = beside.policy.signals.iter().find(|signal| signal.name == name) else {
        let known = suggestion(name, beside.policy.signals.iter().map(|signal| signal.name.as_str()));
        m.0.push(FieldError::new(node.path.clone(), name, "is no signal of the policy", known));
        return None;
    };
    if signal.compare == Compare::Verdict {
        let fix = "leave it out; in a simulation its server finds nothing";
        m.0.push(FieldError::new(node.path.clone(), name, "has a verdict and no values", fix));
        return None;
    }
    m.fields(node, &FIELDS[..6])?;
    let release = m.needed(node, "release", "name the one of `releases` that `candidate` was recorded of");
    let release = release.and_then(|n| release_index(m, &n, beside.releases));
    let stages = node.get("stages").map(|n| stages(m, &n, beside.policy)).unwrap_or_default();
    let combine = node.get("combine").map_or(Some(Combine::Mean), |n| combine(m, &n));
    let from = node.get("from").map_or(Some(None), |n| beside.clock.moment(m, &n).map(Some));
    let candidate = m.needed(node, "candidate", "write its file").and_then(|n| file(m, &n, beside.folder));
    let baseline = node.get("baseline").map_or(Some(None), |n| file(m, &n, beside.folder).map(Some));
    let (candidate, baseline) = sides(&candidate?, baseline?.as_ref());
    if signal.compare.is_beside() && baseline.is_none() {
        let fix = "write the file with the values of the pods beside it, or the candidate's own `series`";
        m.0.push(FieldError::new(node.path_of("baseline"), "", "is missing", fix));
        return None;
    }
    let mut recorded = Recorded {
        release: beside.releases.get(release?)?.release.clone(),
        stages: stages.into_iter().collect(),
        candidate,
        baseline,
        combine: combine?,
    };
    often_enough(m, node, &recorded, beside.policy.health.tick)?;
    put(m, node, &mut recorded, from?, beside)?;
    Some(Recording { signal: name.to_owned(), release: release?, recorded })
}

fn stages(m: &mut Mistakes, node: &Node<'_>, policy: &Policy) -> Vec<String> {
    let wanted = m.texts(node, 64);
    let known = || policy.stages.iter().map(|stage| stage.name.as_str());
    for stage in wanted.iter().filter(|stage| !known().any(|name| name == stage.as_str())) {
        let fix = suggestion(stage, known());
        m.0.push(FieldError::new(node.path.clone(), stage, "is no stage of the policy", fix));
    }
    wanted
}

fn combine(m: &mut Mistakes, node: &Node<'_>) -> Option<Combine> {
    match m.text(node)? {
        "Mean" => Some(Combine::Mean),
        "Max" => Some(Combine::Max),
        "Min" => Some(Combine::Min),
        "Sum" => Some(Combine::Sum),
        _ => {
            m.add(node, "is not known here", "write Mean, Max, Min or Sum");
            None
        }
    }
}

/// The series of one side that were asked for, and the name of their file with all that are in it.
struct File {
    name: String,
    all: Series,
    wanted: Option<Vec<String>>,
}

fn file(m: &mut Mistakes, node: &Node<'_>, folder: &Path) -> Option<File> {
    m.fields(node, &FIELDS[6..])?;
    let wanted = node.get("series").map(|n| m.texts(&n, 2000));
    let label = node.get("label").map_or(Some("pod"), |n| m.text(&n));
    let place = m.needed(node, "file", "write its path, as seen from the scenario's folder")?;
    let (name, label) = (m.text(&place)?.to_owned(), label?);
    let read = text(&folder.join(&name)).and_then(|text| series::read(&name, &text, label));
    let all = match read {
        Ok(all) => all,
        Err(why) => {
            m.0.push(FieldError { path: place.path, message: format!("{name}: {why}") });
            return None;
        }
    };
    for missing in wanted.iter().flatten().filter(|name| !all.contains_key(*name)) {
        let fix = suggestion(missing, all.keys().take(10).map(String::as_str));
        m.0.push(FieldError::new(
            node.path_of("series"),
            missing,
            format_args!("is no series of {name}"),
            fix,
        ));
    }
    Some(File { name, all, wanted })
}

fn text(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| {
        format!("could not be read: {error}; write its path as seen from the scenario's folder")
    };
    let about = fs::metadata(path).map_err(failed)?;
    if !about.is_file() {
        return Err("is no file; write the path of one".to_owned());
    }
    if about.len() > series::MOST_BYTES {
        let fix = format!("at most {} are read; record a shorter time, or aggregate", series::MOST_BYTES);
        return Err(format!("{} bytes are too many; {fix}", about.len()));
    }
    fs::read_to_string(path).map_err(failed)
}

/// The candidate has the series that it names, or all of its file. The others have those that they name, or what the
/// candidate leaves of theirs.
fn sides(candidate: &File, baseline: Option<&File>) -> (Side, Option<Side>) {
    let has = |file: &File, name: &String| file.wanted.as_ref().is_none_or(|wanted| wanted.contains(name));
    let of = |all: &Series, has: &dyn Fn(&String) -> bool| Side {
        series: all.iter().filter(|(name, _)| has(name)).map(|(n, v)| (n.clone(), v.clone())).collect(),
    };
    let own = of(&candidate.all, &|name| has(candidate, name));
    let others = match baseline {
        Some(File { wanted: Some(wanted), all, .. }) => of(all, &|name| wanted.contains(name)),
        Some(file) if file.name != candidate.name => of(&file.all, &|_| true),
        Some(_) | None => of(&candidate.all, &|name| !has(candidate, name)),
    };
    (own, Some(others).filter(|others| !others.series.is_empty()))
}

/// Values that are further apart than ticks leave most ticks without data.
fn often_enough(m: &mut Mistakes, node: &Node<'_>, recorded: &Recorded, tick: SignedDuration) -> Option<()> {
    for (name, side) in [("candidate", Some(&recorded.candidate)), ("baseline", recorded.baseline.as_ref())] {
        let moments =
            side.into_iter().flat_map(|side| side.series.values()).map(|v| v.keys().collect::<Vec<_>>());
        let gaps = moments.flat_map(|m| m.windows(2).map(|w| w[1].duration_since(*w[0])).collect::<Vec<_>>());
        if let Some(gap) = gaps.min().filter(|gap| *gap > tick) {
            let fix = format!(
                "ask query_range with step={}s, or set health.tick of the policy to {gap:#}",
                tick.as_secs()
            );
            let reason = format!("apart are its values, and a tick takes {tick:#}");
            m.0.push(FieldError::new(node.path_of(name), &format!("{gap:#}"), reason, fix));
            return None;
        }
    }
    Some(())
}

/// Puts the recording where it belongs in the story: at its own moments, or with its first one at `from`.
fn put(
    m: &mut Mistakes,
    node: &Node<'_>,
    recorded: &mut Recorded,
    from: Option<Timestamp>,
    beside: &Beside<'_>,
) -> Option<()> {
    let spans = [recorded.candidate.span(), recorded.baseline.as_ref().and_then(Side::span)];
    let (first, last) = spans.into_iter().flatten().reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    let Some(from) = from else {
        if last < beside.clock.start || first > beside.end {
            let said = format!("{first} to {last}");
            let fix = "write in `from` when in the story the recording begins";
            m.0.push(FieldError::new(node.path_of("from"), &said, "was recorded, outside of the story", fix));
            return None;
        }
        return Some(());
    };
    let shift = from.duration_since(first);
    for side in [Some(&mut recorded.candidate), recorded.baseline.as_mut()].into_iter().flatten() {
        for values in side.series.values_mut() {
            let moved = std::mem::take(values).into_iter();
            *values = moved
                .filter_map(|(at, v)| Some((at.checked_add(shift).ok()?, v)))
                .collect::<BTreeMap<_, _>>();
        }
    }
    Some(())
}
