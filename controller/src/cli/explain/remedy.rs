//! The command that ends a wait, with what only a look at the cluster's other objects can tell.

use lockkeeper_core::{asking::Known, image::Release, policy::Policy, remedy, status::StageStatus};

/// For this stage, whose next release is `coming`.
pub fn command(
    policy: &Policy,
    known: &Known<'_>,
    stage: &StageStatus,
    coming: Option<&Release>,
) -> Option<String> {
    let (name, namespace) = (&policy.name, &policy.namespace);
    match stage.reason.as_str() {
        "Held" if known.hold(&stage.name).is_some_and(|hold| hold.stages.is_empty()) => {
            Some(format!("lockkeeper resume {name} -n {namespace} --reason '…'"))
        }
        "Quarantined" => {
            let quarantine = known.quarantine_of(coming?)?;
            Some(format!("lockkeeper unquarantine {} -n {namespace}", quarantine.name))
        }
        reason => remedy::command(policy, &stage.name, reason, coming),
    }
}
