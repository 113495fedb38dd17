//! Every block of YAML that the documentation shows is an object that the API server takes: schemas, rules and admission
//! policies included. Nothing is stored.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use e2e::install::{checkout, install};
use e2e::{Test, run};
use kube::api::{DynamicObject, Patch, PatchParams, PostParams, ValidationDirective};
use kube::core::GroupVersionKind;
use kube::discovery::{Scope, pinned_kind};
use kube::{Api, Client};
use serde_json::{Value, json};

/// A block of YAML, and where it begins.
struct Block {
    place: String,
    text: String,
}

/// All Markdown pages below a folder.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            pages(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "md") {
            found.push(path);
        }
    }
    Ok(())
}

/// The blocks of a page. A block in a list is indented; its indentation is no part of it.
fn blocks(path: &Path) -> Result<Vec<Block>> {
    let text = std::fs::read_to_string(path)?;
    let (mut found, mut open): (Vec<Block>, Option<(usize, Block)>) = (Vec::new(), None);
    for (number, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match &mut open {
            None if line.trim() == "```yaml" => {
                let place = format!("{}:{}", path.display(), number + 1);
                open = Some((indent, Block { place, text: String::new() }));
            }
            None => {}
            Some(_) if line.trim() == "```" => found.extend(open.take().map(|(_, block)| block)),
            Some((indent, block)) => {
                block.text.push_str(line.get(*indent..).unwrap_or_default());
                block.text.push('\n');
            }
        }
    }
    ensure!(open.is_none(), "{}: a block does not end", path.display());
    Ok(found)
}

/// Asks the API server what it would say to `object`; it stores nothing.
async fn dry_run(client: &Client, object: &Value) -> Result<()> {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let (version, kind) = (text("/apiVersion").context("no apiVersion")?, text("/kind").context("no kind")?);
    let name = text("/metadata/name").context("no metadata.name")?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let (resource, capabilities) = pinned_kind(client, &GroupVersionKind::gvk(group, version, kind)).await?;
    let api: Api<DynamicObject> = match (capabilities.scope, text("/metadata/namespace")) {
        (Scope::Cluster, _) => Api::all_with(client.clone(), &resource),
        (Scope::Namespaced, namespace) => {
            Api::namespaced_with(client.clone(), namespace.context("no metadata.namespace")?, &resource)
        }
    };
    let mut params = PatchParams::apply("docs").force().dry_run();
    params.field_validation = Some(ValidationDirective::Strict);
    api.patch(name, &params, &Patch::Apply(object)).await?;
    Ok(())
}

async fn namespaces(test: &Test, objects: &[(String, Value)]) -> Result<()> {
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(test.admin.clone());
    let wanted: BTreeSet<&str> =
        objects.iter().filter_map(|(_, object)| object["metadata"]["namespace"].as_str()).collect();
    for name in wanted {
        let namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        match api.create(&PostParams::default(), &namespace).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[test]
fn every_block_of_yaml_in_the_documentation_is_taken_by_the_api_server() {
    run("every_block_of_yaml_in_the_documentation_is_taken_by_the_api_server", async |test| -> Result<()> {
        install(test.bed).await?;
        let mut files = vec![checkout("README.md")];
        for folder in ["docs", "charts"] {
            pages(&checkout(folder), &mut files)?;
        }
        let mut objects = Vec::new();
        for file in files {
            for block in blocks(&file)? {
                let documents: Vec<Value> =
                    serde_saphyr::from_multiple(&block.text).with_context(|| block.place.clone())?;
                ensure!(!documents.is_empty(), "{}: an empty block", block.place);
                objects.extend(documents.into_iter().map(|document| (block.place.clone(), document)));
            }
        }
        ensure!(objects.len() > 20, "only {} objects were found", objects.len());
        namespaces(test, &objects).await?;
        let mut wrong = Vec::new();
        for (place, object) in &objects {
            if let Err(error) = dry_run(&test.admin, object).await {
                wrong.push(format!("{place}: {} {}: {error:#}", object["kind"], object["metadata"]["name"]));
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));

        // The test itself: a field that no schema knows is refused.
        let mut typo =
            objects.iter().find(|(_, object)| object["kind"] == "ImagePolicy").context("a policy")?.1.clone();
        typo["spec"]["intervall"] = json!("5m");
        let refused = dry_run(&test.admin, &typo).await.err().context("an unknown field was taken")?;
        ensure!(format!("{refused:#}").contains("intervall"), "{refused:#}");
        Ok(())
    });
}
