//! One question of the API server: a pod that is to be born, and the patch that pins it.
//!
//! Guarantees: the answer always allows the pod; the patch changes images and the annotation `lockkeeper.dev/pinned-by`
//! and nothing else; what the admission policy leaves alone is left alone. Pure.

use crate::ports::birth::Births;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use lockkeeper_api::names::{IGNORE, PINNED_BY};
use lockkeeper_core::birth::{Birth, Container, Newborn, Place, born};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The kubelet's mark on mirror pods.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It is no review of a pod.
    Malformed(String),
    /// The pins are not known yet.
    NotYet,
}

#[derive(Deserialize)]
struct Review {
    request: Request,
}

#[derive(Deserialize)]
struct Request {
    uid: String,
    #[serde(default)]
    namespace: String,
    object: Pod,
}

#[derive(Deserialize)]
struct Pod {
    #[serde(default)]
    metadata: Meta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    containers: Option<Vec<Named>>,
    init_containers: Option<Vec<Named>>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    image: Option<String>,
}

/// What the API server is told.
pub fn answer(review: &[u8], births: &dyn Births) -> Result<String, NoAnswer> {
    let review: Review = serde_json::from_slice(review)
        .map_err(|error| NoAnswer::Malformed(format!("this is no AdmissionReview of a pod: {error}")))?;
    let Request { uid, namespace, object: pod } = review.request;
    let pins = births.pins(&namespace).ok_or(NoAnswer::NotYet)?;
    let pins = pins.iter().map(|(name, pin)| (name.as_str(), pin));
    let birth = if is_left_alone(&pod) { None } else { born(&newborn(&pod), pins) };
    let mut response = json!({"uid": uid, "allowed": true});
    if let Some(birth) = birth {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(STANDARD.encode(patch(&pod, &birth).to_string()));
    }
    Ok(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
        .to_string())
}

fn is_left_alone(pod: &Pod) -> bool {
    let has = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref().is_some_and(|map| map.contains_key(key))
    };
    has(&pod.metadata.annotations, MIRROR) || has(&pod.metadata.labels, IGNORE)
}

fn newborn(pod: &Pod) -> Newborn {
    let list = |named: &Option<Vec<Named>>, place: fn(usize) -> Place| -> Vec<Container> {
        let named = named.iter().flatten().enumerate();
        named
            .map(|(index, one)| Container {
                place: place(index),
                name: one.name.clone(),
                image: one.image.clone(),
            })
            .collect()
    };
    let mut containers = list(&pod.spec.containers, Place::Main);
    containers.extend(list(&pod.spec.init_containers, Place::Init));
    Newborn { labels: pod.metadata.labels.clone().unwrap_or_default(), containers }
}

fn patch(pod: &Pod, birth: &Birth) -> Value {
    let mut operations: Vec<Value> = birth
        .images
        .iter()
        .map(|(place, image)| {
            let (list, index) = match place {
                Place::Main(index) => ("containers", index),
                Place::Init(index) => ("initContainers", index),
            };
            json!({"op": "replace", "path": format!("/spec/{list}/{index}/image"), "value": image})
        })
        .collect();
    let key = PINNED_BY.replace('~', "~0").replace('/', "~1");
    operations.push(if pod.metadata.annotations.is_some() {
        json!({"op": "add", "path": format!("/metadata/annotations/{key}"), "value": birth.pinned_by})
    } else {
        json!({"op": "add", "path": "/metadata/annotations", "value": {PINNED_BY: birth.pinned_by}})
    });
    Value::Array(operations)
}
