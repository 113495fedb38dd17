//! Flux: `ImageRepository`, `ImagePolicy` and `ImageUpdateAutomation`.

use super::{Fields, kind, name, namespace, policy::Converted};
use lockkeeper_core::image::{Provider, shown};
use serde_json::{Value, json};

const GROUP: &str = "image.toolkit.fluxcd.io";

pub fn convert(objects: &[Value]) -> Result<Vec<Converted>, String> {
    let of = |wanted: &'static str| objects.iter().filter(move |object| kind(object) == (GROUP, wanted));
    let mut all = Vec::new();
    for object in of("ImagePolicy") {
        let mut policy = one(object, &of("ImageRepository").collect::<Vec<_>>())?;
        let automations = of("ImageUpdateAutomation").filter(|one| namespace(one) == namespace(object));
        automations.for_each(|automation| automate(&mut policy, automation));
        all.push(policy);
    }
    let alone = of("ImageRepository").chain(of("ImageUpdateAutomation")).next();
    if let (true, Some(alone)) = (all.is_empty(), alone) {
        let what = shown(name(alone));
        return Err(format!("the {} {what} comes without an ImagePolicy; give both", kind(alone).1));
    }
    Ok(all)
}

fn one(object: &Value, repositories: &[&Value]) -> Result<Converted, String> {
    let mut spec = Fields::of("spec", &object["spec"]);
    let mut reference = spec.below("imageRepositoryRef");
    let wanted = reference.text("name").unwrap_or_default();
    let place = reference.text("namespace").unwrap_or_else(|| namespace(object).to_owned());
    let repository =
        repositories.iter().find(|one| name(one) == wanted && namespace(one) == place).ok_or_else(|| {
            format!(
                "the ImagePolicy {} names the ImageRepository {place}/{wanted}, which is not in the files",
                name(object)
            )
        })?;
    let mut policy = Converted {
        from: format!(
            "Flux: ImagePolicy {}/{} and ImageRepository {place}/{wanted}",
            namespace(object),
            name(object)
        ),
        name: name(object).to_owned(),
        namespace: namespace(object).to_owned(),
        ..Converted::default()
    };
    choice(&mut policy, &mut spec)?;
    let mut filter = spec.below("filterTags");
    if let Some(pattern) = filter.text("pattern") {
        let extract = filter.text("extract").filter(|text| !text.is_empty());
        let value = match extract {
            Some(extract) => json!({"pattern": pattern, "extract": extract}),
            None => json!({"pattern": pattern}),
        };
        policy.select.push(("filterTags", value));
    }
    policy.notes(filter.rest());
    match spec.text("digestReflectionPolicy").as_deref() {
        Some("Always") => {
            policy.note(
                "select",
                "digestReflectionPolicy: Always followed a tag that moves; here that is a TagMoved alarm.",
            );
            policy.note("select", "To follow one mutable tag: digest: {tag: …}.");
        }
        None | Some("Never") => {
            policy.note("select", "The digest was not written; a pin always has one.");
        }
        _ => {}
    }
    let suspended = spec.truth("suspend");
    if let Some(interval) = spec.text("interval") {
        let text =
            format!("The digest was looked at every {interval}; here contents are, at the interval below.");
        policy.note("interval", text);
    }
    policy.suspend = suspended;
    scanned(&mut policy, repository, &place)?;
    policy.notes(spec.rest());
    policy.note(
        "targets",
        "Markers of this policy work as they are: lockkeeper edit --marker, or a git target.",
    );
    Ok(policy)
}

fn choice(policy: &mut Converted, spec: &mut Fields) -> Result<(), String> {
    let mut choice = spec.below("policy");
    let order = |mut fields: Fields| fields.text("order").unwrap_or_else(|| "asc".to_owned());
    let mut semver = choice.below("semver");
    if let Some(range) = semver.text("range") {
        policy.select.push(("semver", json!({"range": range})));
    } else if let Some(value) = choice.take("alphabetical") {
        policy.select.push(("alphabetical", json!({"order": order(Fields::of("alphabetical", &value))})));
    } else if let Some(value) = choice.take("numerical") {
        policy.select.push(("numerical", json!({"order": order(Fields::of("numerical", &value))})));
        policy.note("select", "A tag that is no number is passed over here, and does not fail the policy.");
    } else {
        return Err(format!("{}: spec.policy has none of semver, alphabetical and numerical", policy.from));
    }
    policy.notes(choice.rest());
    Ok(())
}

/// Flux uses a Secret where one is named, and the cloud's identity else.
fn provider(policy: &mut Converted, word: &str) {
    let Some(provider) = Provider::of_word(word) else { return };
    if policy.secret.is_some() {
        policy.note(
            "registry",
            format!("provider: {word} was left out: Flux used the Secret, and so does this."),
        );
        return;
    }
    policy.provider = Some(provider);
    policy.note(
        "registry",
        "CHECK: the ServiceAccount that the policy acts as signs in by itself: it needs the cloud's annotations, and may \
         `create` its own serviceaccounts/token (see the guide on registries of clouds)."
            .to_owned(),
    );
}

/// What the `ImageRepository` says.
fn scanned(policy: &mut Converted, repository: &Value, place: &str) -> Result<(), String> {
    let mut spec = Fields::of("ImageRepository.spec", &repository["spec"]);
    policy.image = spec.text("image").ok_or_else(|| format!("{}: spec.image is missing", policy.from))?;
    policy.interval = spec.text("interval");
    policy.insecure = spec.truth("insecure");
    if policy.insecure {
        policy.note("registry", "Plain HTTP has to be allowed by the installation (--allow-host), too.");
    }
    if let Some(secret) = spec.below("secretRef").text("name") {
        if place != policy.namespace {
            policy.note(
                "registry",
                format!("The Secret was in namespace {place}; copy it here: others' are never read."),
            );
        }
        policy.secret = Some(secret);
    }
    if let Some(account) = spec.text("serviceAccountName") {
        policy.note(
            "registry",
            format!("The pull secrets of ServiceAccount {account} were used; name a Secret in secretRef."),
        );
    }
    if let Some(word) = spec.text("provider") {
        provider(policy, &word);
    }
    let ignored = spec.texts("exclusionList");
    if !ignored.is_empty() {
        policy.select.push(("ignoreTags", json!(ignored)));
    }
    if spec.truth("suspend") {
        policy.suspend = true;
        policy.note("suspend", "The ImageRepository was suspended.");
    }
    policy.notes(spec.rest());
    Ok(())
}

/// Where an automation wrote.
fn automate(policy: &mut Converted, automation: &Value) {
    let mut spec = Fields::of("ImageUpdateAutomation.spec", &automation["spec"]);
    let mut source = spec.below("sourceRef");
    let (kind, from) = (source.text("kind"), source.text("name"));
    let mut git = spec.below("git");
    let branch =
        git.below("push").text("branch").or_else(|| git.below("checkout").below("ref").text("branch"));
    let mut update = spec.below("update");
    let path = update.text("path").unwrap_or_else(|| ".".to_owned());
    update.text("strategy");
    let text = |value: Option<String>| value.unwrap_or_else(|| "its default".to_owned());
    let place = format!("{} {}, branch {}, path {path}", text(kind), text(from), text(branch));
    policy.note("targets", format!("ImageUpdateAutomation {} wrote markers to {place}.", name(automation)));
    if spec.truth("suspend") {
        policy.note("targets", "That automation was suspended.");
    }
    if spec.take("policySelector").is_some() {
        policy.note("targets", "It had a policySelector; look whether it meant this policy.");
    }
    if let Some(interval) = spec.text("interval") {
        policy.note(
            "targets",
            format!("It wrote every {interval}; here each stage is written when its gates hold."),
        );
    }
    policy.notes(git.rest());
    policy.notes(update.rest());
    policy.notes(spec.rest());
}
