//! A policy from a file, and the Quarantines beside it, before any server has looked at them.
//!
//! Guarantees: what the server would drop or refuse as unknown is an error here, with the field that was probably
//! meant. May not read the file: it gets the text.

use crate::{
    FieldError, ImagePolicy, Quarantine, crds, names,
    parse::{Errors, suggestion},
};
use serde_json::Value;

/// The one `ImagePolicy` of a YAML text, in `namespace` where it names none. Not yet [`parse`](crate::parse)d.
pub fn policy_from_yaml(text: &str, namespace: &str) -> Result<ImagePolicy, Vec<FieldError>> {
    let mut errors = Errors::default();
    let read = errors.keep("file", serde_saphyr::from_multiple::<Value>(text));
    let document = read.and_then(|mut documents| {
        documents.retain(|document| !document.is_null());
        match documents.len() {
            1 => return documents.pop(),
            0 => errors.add("file", "", "holds nothing", "write one ImagePolicy"),
            many => errors.add("file", &many.to_string(), "documents are in it", "keep one ImagePolicy"),
        }
        None
    });
    let policy = document.and_then(|document| one(&mut errors, document, namespace));
    errors.finish(policy)
}

/// The same, with the Quarantines of the policy's namespace that the text holds too: as documents of their own, or in a
/// list as kubectl prints it.
pub fn policy_and_quarantines_from_yaml(
    text: &str,
    namespace: &str,
) -> Result<(ImagePolicy, Vec<Quarantine>), Vec<FieldError>> {
    let mut errors = Errors::default();
    let read = errors.keep("file", serde_saphyr::from_multiple::<Value>(text)).unwrap_or_default();
    let documents = read.into_iter().flat_map(listed);
    let held = |document: &Value| document["kind"] == "Quarantine";
    let (quarantines, mut policies): (Vec<Value>, Vec<Value>) =
        documents.filter(|document| !document.is_null()).partition(held);
    let policy = match policies.len() {
        1 => policies.pop().and_then(|document| one(&mut errors, document, namespace)),
        0 => {
            errors.add("file", "", "holds no ImagePolicy", "write one");
            None
        }
        many => {
            errors.add(
                "file",
                &many.to_string(),
                "documents are in it besides Quarantines",
                "keep one ImagePolicy",
            );
            None
        }
    };
    let here = policy.as_ref().and_then(|policy| policy.metadata.namespace.clone());
    let quarantines = quarantines.into_iter().enumerate().filter_map(|(n, document)| {
        let mut quarantine = quarantine(&mut errors, n, document)?;
        let namespace = quarantine.metadata.namespace.get_or_insert_with(|| namespace.to_owned()).clone();
        (here.as_ref() == Some(&namespace)).then_some(quarantine)
    });
    let both = (policy, quarantines.collect());
    errors.finish(both.0.map(|policy| (policy, both.1)))
}

/// The objects of a list as kubectl prints it, or the one there is.
fn listed(document: Value) -> Vec<Value> {
    match document {
        Value::Object(mut fields) if fields.get("kind").is_some_and(|kind| kind == "List") => {
            match fields.remove("items") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            }
        }
        one => vec![one],
    }
}

fn quarantine(errors: &mut Errors, n: usize, document: Value) -> Option<Quarantine> {
    let field = format!("Quarantine[{n}]");
    let definition = crds::definitions().into_iter().find(|(name, _)| name.starts_with("quarantines."))?.1;
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")?;
    unknown(errors, &format!("{field}.spec"), &document["spec"], schema);
    let quarantine: Quarantine = errors.keep(&field, serde_json::from_value(document))?;
    // A Quarantine that cannot be understood would hold nothing back here, and nobody would notice.
    for wrong in quarantine.seen().err().unwrap_or_default() {
        let path = format!("{field}.{}", wrong.path);
        errors.keep::<(), _>(path, Err(wrong.message));
    }
    Some(quarantine)
}

fn one(errors: &mut Errors, document: Value, namespace: &str) -> Option<ImagePolicy> {
    let version = format!("{}/{}", names::GROUP, names::VERSION);
    for (field, wanted) in [("apiVersion", version.as_str()), ("kind", "ImagePolicy")] {
        let found = document[field].as_str().unwrap_or_default();
        if found != wanted {
            errors.add(field, found, "is not what is read here", format_args!("write {wanted}"));
        }
    }
    let definition = crds::definitions().into_iter().find(|(name, _)| name.starts_with("imagepolicies."))?.1;
    let schema = definition.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec")?;
    unknown(errors, "spec", &document["spec"], schema);
    let mut policy: ImagePolicy = errors.keep("file", serde_json::from_value(document))?;
    policy.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    Some(policy)
}

/// Fields that the schema does not know.
fn unknown(errors: &mut Errors, path: &str, value: &Value, schema: &Value) {
    match (value, schema["properties"].as_object()) {
        (Value::Object(fields), Some(known)) => {
            for (name, value) in fields {
                let below = format!("{path}.{name}");
                match known.get(name) {
                    Some(schema) => unknown(errors, &below, value, schema),
                    None => {
                        let fix = suggestion(name, known.keys().map(String::as_str));
                        errors.add(below, name, "is no field", fix);
                    }
                }
            }
        }
        (Value::Array(list), _) => {
            for (n, value) in list.iter().enumerate() {
                unknown(errors, &format!("{path}[{n}]"), value, &schema["items"]);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../../docs/reference/example.yaml");

    fn mistakes(text: &str) -> Vec<String> {
        policy_from_yaml(text, "x").unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_good_file_is_read_and_keeps_its_namespace() {
        let policy = policy_from_yaml(GOOD, "elsewhere").unwrap();
        assert_eq!(policy.metadata.namespace.as_deref(), Some("platform"));
        let without = GOOD.replace(", namespace: platform", "");
        assert_eq!(policy_from_yaml(&without, "here").unwrap().metadata.namespace.as_deref(), Some("here"));
        assert!(policy_from_yaml(&format!("---\n{GOOD}---\n"), "x").is_ok());
    }

    #[test]
    fn an_unknown_field_gets_did_you_mean() {
        let found = mistakes(&GOOD.replace("minimumReleaseAge", "minimumReleaseage"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("spec.select.minimumReleaseage: "), "{found:?}");
        assert!(found[0].contains("did you mean \"minimumReleaseAge\"?"), "{found:?}");
        let found = mistakes(&GOOD.replace("maxMoving: 50", "maxMovng: 50"));
        assert!(
            found[0].contains("targets[0].pods.maxMovng: ") && found[0].contains("\"maxMoving\""),
            "{found:?}"
        );
    }

    #[test]
    fn what_is_no_policy_is_refused() {
        assert!(mistakes("kind: Pod\napiVersion: v1\nspec: {}")[0].starts_with("apiVersion: "));
        assert!(mistakes(&format!("{GOOD}\n---\n{GOOD}"))[0].contains("\"2\" documents"));
        assert!(!mistakes("a: [").is_empty());
        assert!(!mistakes("- a").is_empty());
        assert!(mistakes("")[0].contains("nothing"));
    }

    #[test]
    fn quarantines_of_the_policys_namespace_are_read_beside_it() {
        let digest = |n: char| format!("sha256:{}", String::from(n).repeat(64));
        let quarantine = |metadata: &str, n: char| {
            format!(
                "apiVersion: lockkeeper.dev/v1alpha1\nkind: Quarantine\nmetadata: {metadata}\nspec: {{digest: \"{}\"}}\n",
                digest(n)
            )
        };
        let text = [
            quarantine("{name: a, namespace: platform}", 'a'),
            GOOD.to_owned(),
            quarantine("{name: b, namespace: elsewhere}", 'b'),
        ];
        let (policy, found) = policy_and_quarantines_from_yaml(&text.join("\n---\n"), "x").unwrap();
        assert_eq!(policy.metadata.namespace.as_deref(), Some("platform"));
        let names = |found: &[Quarantine]| -> Vec<_> {
            found.iter().filter_map(|q| q.metadata.name.clone()).collect()
        };
        assert_eq!(names(&found), ["a"], "the policy of another namespace is not concerned");
        let indented = |text: &str| text.trim_end().replace('\n', "\n  ");
        let list = format!(
            "kind: List\napiVersion: v1\nitems:\n- {}\n- {}\n",
            indented(&GOOD.replace(", namespace: platform", "")),
            indented(&quarantine("{name: c}", 'c'))
        );
        let (_, found) = policy_and_quarantines_from_yaml(&list, "here").unwrap();
        assert_eq!(names(&found), ["c"]);
        let wrong = |text: &str| {
            let wrong = policy_and_quarantines_from_yaml(&format!("{GOOD}\n---\n{text}"), "x").unwrap_err();
            wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        let typo = quarantine("{name: a}", 'a');
        assert!(wrong(&typo.replace("digest:", "digets:")).contains("Quarantine[0].spec.digets: "));
        assert!(wrong(&typo.replace(&digest('a'), "sha256:1")).contains("Quarantine[0].spec.digest: "));
        assert!(wrong(GOOD).contains("\"2\" documents"));
        assert!(
            policy_and_quarantines_from_yaml(&typo, "x").unwrap_err()[0]
                .to_string()
                .contains("no ImagePolicy")
        );
    }

    #[test]
    fn row_35_alias_bombs_deep_nesting_and_duplicate_keys_are_refused() {
        let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x]\n");
        for (new, old) in "bcdefghij".chars().zip("abcdefghi".chars()) {
            let level = vec![format!("*{old}"); 9].join(",");
            bomb = format!("{bomb}{new}: &{new} [{level}]\n");
        }
        for text in [bomb, format!("{}{}", "[".repeat(5000), "]".repeat(5000)), "a: 1\na: 2\n".to_owned()] {
            assert!(mistakes(&text)[0].starts_with("file: "), "{:?}", mistakes(&text));
        }
    }
}
