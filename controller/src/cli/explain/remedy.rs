//! The command that ends a wait. One line, ready to be pasted; empty where a wait ends by itself.

use lockkeeper_core::{asking::Known, image::Release, policy::Policy, status::StageStatus};

/// For this stage, whose next release is `coming`.
pub fn command(
    policy: &Policy,
    known: &Known<'_>,
    stage: &StageStatus,
    coming: Option<&Release>,
) -> Option<String> {
    let (name, namespace) = (&policy.name, &policy.namespace);
    let of = |verb: &str, rest: &str| {
        Some(format!("lockkeeper {verb} {name} -n {namespace} --stage {}{rest}", stage.name))
    };
    let digest = coming.map_or_else(|| "SHA256".to_owned(), |release| release.digest.to_string());
    let bound = |rest: &str| format!(" --digest {digest} --reason '…'{rest}");
    let patch = |spec: &str| {
        Some(format!("kubectl patch lkp {name} -n {namespace} --type merge -p '{{\"spec\":{{{spec}}}}}'"))
    };
    match stage.reason.as_str() {
        "ApprovalRequired" => of("approve", &format!(" --digest {digest}")),
        "Held" if known.hold(&stage.name).is_some_and(|hold| hold.stages.is_empty()) => {
            Some(format!("lockkeeper resume {name} -n {namespace} --reason '…'"))
        }
        "Held" | "Refused" | "EditedByHand" | "WaveUnstable" | "SecondRollback" | "RollbackNotReady"
        | "Inconclusive" | "NeverReady" => of("resume", " --reason '…'"),
        "WindowClosed" => of("promote", &bound(" --skip Window")),
        "TooYoung" => of("promote", &bound(" --skip Age")),
        "TagMoved" | "TagGone" | "OutOfRange" | "NoSafeDigest" => of("promote", &bound("")),
        "Mixed" => of("adopt", " --digest SHA256 --reason '…'"),
        "RollbackRecommended" => of("rollback", &bound("")),
        "Quarantined" => {
            let quarantine = known.quarantine_of(coming?)?;
            Some(format!("lockkeeper unquarantine {} -n {namespace}", quarantine.name))
        }
        "Observing" => patch("\"mode\":\"Enforce\""),
        "Suspended" => patch("\"suspend\":false"),
        _ => None,
    }
}
