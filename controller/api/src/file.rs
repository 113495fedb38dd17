//! A policy from a file, before any server has looked at it.
//!
//! Guarantees: what the server would drop or refuse as unknown is an error here, with the field that was probably
//! meant. May not read the file: it gets the text.

use crate::{
    FieldError, ImagePolicy, crds, names,
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
