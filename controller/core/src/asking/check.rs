//! What speaks against each kind of request in one stage, and what it would wait for.

use crate::{
    gates::{self, label},
    image::Release,
    observed::{InterventionKind, InterventionSeen, Skip},
    policy::Mode,
    stage::{Entry, StageView, current_of},
    status::{Phase, StageStatus},
};

type Reason = (&'static str, String);

/// Why the request would come to nothing in this stage.
pub fn refused(view: &StageView<'_>, request: &InterventionSeen) -> Option<Reason> {
    let status = view.life.stages.iter().find(|s| s.name == view.stage.name).cloned().unwrap_or_default();
    match request.kind {
        InterventionKind::Approve => approve(view, &status, request),
        InterventionKind::Adopt => writes_nothing(view).or_else(|| adopt(view, &status, request)),
        InterventionKind::Hold => None,
        InterventionKind::Resume => resume(view, &status),
        InterventionKind::Promote => writes_nothing(view).or_else(|| promote(view, &status, request)),
        InterventionKind::RollBack => writes_nothing(view).or_else(|| roll_back(view, &status, request)),
    }
}

fn writes_nothing(view: &StageView<'_>) -> Option<Reason> {
    let name = &view.policy.name;
    if view.policy.suspend {
        return Some((
            "Suspended",
            format!("{name} is suspended: nothing would be written; set suspend: false"),
        ));
    }
    (view.policy.mode == Mode::Observe)
        .then(|| ("Observing", format!("{name} only observes: nothing would be written; set mode: Enforce")))
}

fn approve(view: &StageView<'_>, status: &StageStatus, request: &InterventionSeen) -> Option<Reason> {
    let stage = &view.stage.name;
    if view.stage.approvals == 0 {
        return Some(("NoApprovalNeeded", format!("{stage} asks for no approval")));
    }
    let release = match known(view, request) {
        Ok(release) => release,
        Err(unknown) => {
            return bare(request).and_then(|release| quarantined(view, &release)).or(Some(unknown));
        }
    };
    let name = label(&release);
    let approved = view.facts.interventions(InterventionKind::Approve, stage).any(|given| {
        given.requested_by == request.requested_by
            && given.digest.as_ref().is_some_and(|digest| release.answers_to(digest))
    });
    if approved {
        let needed = view.stage.approvals;
        let message = format!(
            "{} has approved {name} for {stage} already; {needed} people have to, another one's counts",
            request.requested_by
        );
        return Some(("AlreadyApproved", message));
    }
    here(view, status, &release).or_else(|| quarantined(view, &release)).or_else(|| {
        let why = status.refused.get(&release.contents_key())?;
        Some(("Refused", format!("{stage} gave {name} back: {why}; `lockkeeper resume` would forget that")))
    })
}

fn adopt(view: &StageView<'_>, status: &StageStatus, request: &InterventionSeen) -> Option<Reason> {
    let without_way_back = status.phase == Phase::Blocked && status.rollback.is_some();
    if let Some(current) = current_of(status).filter(|_| !without_way_back) {
        let message = format!(
            "{} runs {}; Adopt chooses only where pods run a mix, or where there is no way back; `lockkeeper promote` \
             brings another release",
            view.stage.name,
            label(&current.release)
        );
        return Some(("NotMixed", message));
    }
    known(view, request).ok().or_else(|| bare(request)).and_then(|release| quarantined(view, &release))
}

fn resume(view: &StageView<'_>, status: &StageStatus) -> Option<Reason> {
    let held = view.facts.hold(&view.stage.name).is_some();
    let waits = matches!(status.reason.as_str(), "EditedByHand" | "WaveUnstable" | "Held");
    if held || waits || status.phase == Phase::Blocked || !status.refused.is_empty() {
        return None;
    }
    let message = format!("{} is neither held nor Blocked, and has refused nothing", view.stage.name);
    Some(("NothingToResume", message))
}

fn promote(view: &StageView<'_>, status: &StageStatus, request: &InterventionSeen) -> Option<Reason> {
    // What nobody has seen yet may still be in the registry: a fix that was pushed a moment ago. What the status has
    // forgotten may still be quarantined.
    let release = known(view, request).ok();
    if let Some(release) = release.clone().or_else(|| bare(request)) {
        let refused = here(view, status, &release).or_else(|| quarantined(view, &release));
        if refused.is_some() {
            return refused;
        }
    }
    let verified = release.as_ref().is_some_and(|release| gates::verified_upstream(view, release));
    if request.skip.contains(&Skip::Soak) || view.stage.after.is_empty() || verified {
        return None;
    }
    let before: Vec<&str> =
        view.stage.after.iter().filter_map(|&i| view.policy.stages.get(i)).map(|s| s.name.as_str()).collect();
    let name = release.as_ref().map_or_else(|| "it".to_owned(), label);
    let message = format!("{} has not verified {name}; --skip Soak passes that", before.join(" and "));
    Some(("NotVerified", message))
}

fn roll_back(view: &StageView<'_>, status: &StageStatus, request: &InterventionSeen) -> Option<Reason> {
    let stage = &view.stage.name;
    if status.phase == Phase::RollingBack {
        return Some(("RollingBack", format!("{stage}: {}", status.message)));
    }
    let flight = status.flight.as_ref().map(|flight| &flight.release);
    let Some(bad) = flight.or_else(|| current_of(status).map(|current| &current.release)) else {
        return Some(("NothingRuns", format!("{stage} has no release yet: {}", status.message)));
    };
    if let Some(digest) = request.digest.as_ref().filter(|digest| !bad.answers_to(digest)) {
        let message = format!("{stage} runs {} ({}), not {}", label(bad), bad.digest, digest.short());
        return Some(("NotHere", message));
    }
    let safe = status
        .verified
        .iter()
        .any(|v| view.facts.quarantine_of(&v.release).is_none() && !view.facts.same(&v.release, bad));
    (!safe).then(|| {
        let message = format!(
            "{stage} has nothing verified or adopted to go back to from {}; promote a digest that is good, or hold",
            label(bad)
        );
        ("NoSafeDigest", message)
    })
}

/// The release that a request names, if the policy knows it.
fn known(view: &StageView<'_>, request: &InterventionSeen) -> Result<Release, Reason> {
    let digest = request.digest.as_ref();
    let found = digest.and_then(|digest| view.facts.release_of(view.life, digest));
    // What has no known platforms is remembered too.
    let found = found.or_else(|| {
        let flights = view.life.stages.iter().filter_map(|s| s.flight.as_ref()).map(|f| &f.release);
        let verified = view.life.stages.iter().flat_map(|s| &s.verified).map(|v| &v.release);
        let mut all = view.life.candidate.iter().chain(flights).chain(verified);
        all.find(|release| digest.is_some_and(|digest| release.answers_to(digest))).cloned()
    });
    found.ok_or_else(|| {
        let shown = digest.map_or("no digest", |digest| digest.as_str());
        let message = format!("neither selection nor any stage of {} knows {shown}", view.policy.name);
        ("UnknownRelease", message)
    })
}

/// The release that a request names, of which nothing but the digest is known.
fn bare(request: &InterventionSeen) -> Option<Release> {
    let digest = request.digest.clone()?;
    Some(Release { tag: None, version: None, digest, platforms: Vec::new(), created: None })
}

fn here(view: &StageView<'_>, status: &StageStatus, release: &Release) -> Option<Reason> {
    let stage = &view.stage.name;
    let flying = status.flight.as_ref().is_some_and(|flight| view.facts.same(&flight.release, release));
    let current = current_of(status).is_some_and(|current| view.facts.same(&current.release, release));
    (flying || current).then(|| {
        let how = if flying { "is being given" } else { "runs" };
        ("AlreadyThere", format!("{stage} {how} {} already", label(release)))
    })
}

fn quarantined(view: &StageView<'_>, release: &Release) -> Option<Reason> {
    let quarantine = view.facts.quarantine_of(release)?;
    let message = format!(
        "{} is quarantined ({}); if that is wrong: `lockkeeper unquarantine {}`",
        label(release),
        quarantine.reason,
        quarantine.name
    );
    Some(("Quarantined", message))
}

/// What the request would wait for in this stage once it is made.
pub fn wait(view: &StageView<'_>, request: &InterventionSeen) -> Option<String> {
    let status = view.life.stages.get(view.index)?;
    let promote = match request.kind {
        InterventionKind::Approve => None,
        InterventionKind::Promote => Some(request.clone()),
        _ => return None,
    };
    if let Some(flight) = &status.flight {
        return Some(format!("{} is in flight there and is finished first", label(&flight.release)));
    }
    let entry = Entry { release: known(view, request).ok()?, promote };
    gates::closed_as_remembered(view, &entry).next().map(|wait| wait.message)
}
