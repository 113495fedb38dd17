//! `docs/reference/fields.md`: every field with type, default, bounds and meaning, from the definitions themselves.

pub mod interventions;

use serde_json::Value;
use std::fmt::Write as _;

/// The whole page.
pub fn page() -> String {
    let mut page = String::from(
        "# Every field\n\n\
         Made from the kinds by `UPDATE=1 cargo test -p lockkeeper-api --test generated`; not edited by hand.\n\n\
         Durations are written in h, m and s with whole numbers, such as `5m`, `1h30m` or `72h`. A field marked with * must be\n\
         given. Lists are marked with `[]`, maps with `{}`.\n",
    );
    for (_, definition) in lockkeeper_api::definitions() {
        kind(&mut page, &definition);
    }
    page
}

fn kind(page: &mut String, definition: &Value) {
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let group = text("/spec/group");
    writeln!(page, "\n## {}\n", text("/spec/names/kind")).unwrap();
    let short: Vec<&str> = definition["spec"]["names"]["shortNames"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let short = if short.is_empty() { String::new() } else { format!(", short `{}`", short.join("`, `")) };
    writeln!(
        page,
        "`{group}/{}`, `{}`{short}, namespaced. {}\n",
        text("/spec/versions/0/name"),
        text("/spec/names/plural"),
        described(&schema["properties"]["spec"])
    )
    .unwrap();
    for rule in rules(schema).into_iter().chain(rules(&schema["properties"]["spec"])) {
        writeln!(page, "- {rule}").unwrap();
    }
    for part in ["spec", "status"] {
        let Some(part_schema) = schema["properties"].get(part) else { continue };
        let mut rows = Vec::new();
        fields(&mut rows, part, part_schema);
        if rows.is_empty() {
            continue;
        }
        writeln!(page, "\n| {part} | type | default | bounds | meaning |\n|---|---|---|---|---|").unwrap();
        for row in rows {
            page.push_str(&row);
        }
    }
}

fn fields(rows: &mut Vec<String>, path: &str, schema: &Value) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let below = format!("{path}.{name}");
        let star = if required.contains(&name.as_str()) { " *" } else { "" };
        let meaning = described(field);
        let (meaning, default) = match meaning.split_once(" Default: ") {
            Some((meaning, default)) => (meaning.to_owned(), default.trim_end_matches('.').to_owned()),
            None => (meaning, String::new()),
        };
        rows.push(format!(
            "| `{}`{star} | {} | {} | {} | {} |\n",
            below.split_once('.').map_or(below.as_str(), |(_, rest)| rest),
            kind_of(field),
            cell(&default),
            cell(&bounds(field)),
            cell(&meaning)
        ));
        deeper(rows, &below, field);
    }
}

/// Below lists and maps, too.
fn deeper(rows: &mut Vec<String>, path: &str, field: &Value) {
    fields(rows, path, field);
    if field["items"].is_object() {
        deeper(rows, &format!("{path}[]"), &field["items"]);
    }
    if field["additionalProperties"].is_object() {
        deeper(rows, &format!("{path}{{}}"), &field["additionalProperties"]);
    }
}

fn kind_of(field: &Value) -> String {
    if field["x-kubernetes-int-or-string"] == true {
        return "number or share".to_owned();
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind_of(&field["items"])),
        Some("object") if field["additionalProperties"].is_object() => {
            format!("map to {}", kind_of(&field["additionalProperties"]))
        }
        Some(_) if field["format"] == "date-time" => "time".to_owned(),
        Some("integer") => "whole number".to_owned(),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}

fn bounds(field: &Value) -> String {
    let mut found = Vec::new();
    if let Some(words) = field["enum"].as_array() {
        found.push(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "));
    }
    for (least, most, unit) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " entries"),
        ("minProperties", "maxProperties", " entries"),
    ] {
        match (field[least].as_f64(), field[most].as_f64()) {
            (Some(a), Some(b)) => found.push(format!("{a} to {b}{unit}")),
            (Some(a), None) if a > 0.0 => found.push(format!("at least {a}{unit}")),
            (None, Some(b)) => found.push(format!("at most {b}{unit}")),
            _ => {}
        }
    }
    found.extend(field["pattern"].as_str().map(|pattern| format!("`{pattern}`")));
    found.extend(rules(field));
    if field["items"].is_object() {
        let each = bounds(&field["items"]);
        if !each.is_empty() {
            found.push(format!("each: {each}"));
        }
    }
    found.join("; ")
}

/// What the server says when a rule does not hold.
fn rules(schema: &Value) -> Vec<String> {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.filter_map(|rule| rule["message"].as_str()).map(str::to_owned).collect()
}

fn described(field: &Value) -> String {
    field["description"].as_str().unwrap_or_default().to_owned()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
