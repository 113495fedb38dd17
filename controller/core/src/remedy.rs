//! The command that ends a wait: one line, ready to be pasted; none where a wait ends by itself.

use crate::{image::Release, policy::Policy};

/// For a stage that waits for this reason, whose next release is `coming`.
#[must_use]
pub fn command(policy: &Policy, stage: &str, reason: &str, coming: Option<&Release>) -> Option<String> {
    let (name, namespace) = (&policy.name, &policy.namespace);
    let of = |verb: &str, rest: &str| {
        Some(format!("lockkeeper {verb} {name} -n {namespace} --stage {stage}{rest}"))
    };
    let digest = coming.map_or_else(|| "SHA256".to_owned(), |release| release.digest.to_string());
    let bound = |rest: &str| format!(" --digest {digest} --reason '…'{rest}");
    let patch = |spec: &str| {
        Some(format!("kubectl patch lkp {name} -n {namespace} --type merge -p '{{\"spec\":{{{spec}}}}}'"))
    };
    match reason {
        "ApprovalRequired" => of("approve", &format!(" --digest {digest}")),
        "Held" | "Refused" | "EditedByHand" | "WaveUnstable" | "SecondRollback" | "RollbackNotReady"
        | "Inconclusive" | "NeverReady" => of("resume", " --reason '…'"),
        "WindowClosed" => of("promote", &bound(" --skip Window")),
        "TooYoung" => of("promote", &bound(" --skip Age")),
        "TagMoved" | "TagGone" | "OutOfRange" | "NoSafeDigest" => of("promote", &bound("")),
        "Mixed" => of("adopt", " --digest SHA256 --reason '…'"),
        "RollbackRecommended" | "CommonCause" => of("rollback", &bound("")),
        "Observing" => patch("\"mode\":\"Enforce\""),
        "Suspended" => patch("\"suspend\":false"),
        _ => None,
    }
}
