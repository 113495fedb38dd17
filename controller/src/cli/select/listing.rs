//! Lists of tags as people have them.

use super::asked;
use crate::cli::exit::Failure;
use jiff::Timestamp;
use lockkeeper_core::image::shown;
use serde_json::Value;
use std::path::Path;

/// One tag of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub tag: String,
    /// The date of its build, where the list has it.
    pub created: Option<Timestamp>,
}

/// The tags of a file: one a line, or JSON.
pub fn read(file: &Path) -> Result<Vec<Listed>, Failure> {
    let bytes = asked::read("--tags", file)?;
    parse(&bytes).map_err(|why| Failure::Usage(format!("--tags {}: {why}", file.display())))
}

fn parse(bytes: &[u8]) -> Result<Vec<Listed>, String> {
    match bytes.trim_ascii_start().first() {
        Some(b'[' | b'{') => json(bytes),
        // What is no UTF-8 is no tag either, and is said to be none.
        _ => Ok(String::from_utf8_lossy(bytes)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| Listed { tag: line.to_owned(), created: None })
            .collect()),
    }
}

fn json(bytes: &[u8]) -> Result<Vec<Listed>, String> {
    let document: Value = serde_json::from_slice(bytes).map_err(|error| format!("is no JSON: {error}"))?;
    // As a registry answers: {"name", "tags"}; an empty repository may have null there.
    let list = match document {
        Value::Object(mut fields) => match fields.remove("tags") {
            None => return Err("this JSON object has no list \"tags\"".to_owned()),
            Some(Value::Null) => return Ok(Vec::new()),
            Some(list) => list,
        },
        list => list,
    };
    let Value::Array(items) = list else { return Err("the tags are no list".to_owned()) };
    items
        .iter()
        .enumerate()
        .map(|(index, item)| one(item).map_err(|why| format!("[{index}]: {why}")))
        .collect()
}

fn one(item: &Value) -> Result<Listed, String> {
    if let Some(tag) = item.as_str() {
        return Ok(Listed { tag: tag.to_owned(), created: None });
    }
    let Some(tag) = item.get("tag").and_then(Value::as_str) else {
        return Err("is neither a text nor {\"tag\", \"created\"}".to_owned());
    };
    let created = match item.get("created") {
        None | Some(Value::Null) => None,
        Some(date) => {
            let text = date.as_str().unwrap_or_default();
            let parsed = text.parse().map_err(|_| {
                format!("created: {} is no time; write it as 2026-11-22T18:00:00Z", shown(&date.to_string()))
            })?;
            Some(parsed)
        }
    };
    Ok(Listed { tag: tag.to_owned(), created })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(text: &str) -> Vec<String> {
        parse(text.as_bytes()).unwrap().into_iter().map(|listed| listed.tag).collect()
    }

    #[test]
    fn lines_and_the_shapes_of_json_are_lists() {
        for text in [
            "a\nb\n",
            "a\r\n\r\n  b",
            r#"["a", "b"]"#,
            r#" [{"tag": "a"}, {"tag": "b", "created": null}]"#,
            r#"{"name": "x/y", "tags": ["a", "b"]}"#,
        ] {
            assert_eq!(tags(text), ["a", "b"], "{text}");
        }
        assert_eq!(tags(""), [""; 0]);
        assert_eq!(tags(r#"{"tags": null}"#), [""; 0]);
        let dated = parse(br#"[{"tag": "a", "created": "2026-01-01T01:00:00+01:00"}]"#).unwrap();
        assert_eq!(dated[0].created, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_no_list_says_where() {
        for (text, part) in [
            ("[\"a\"", "line 1 column 4"),
            ("{}", "no list \"tags\""),
            (r#"{"tags": 7}"#, "no list"),
            ("[\"a\", 7]", "[1]: "),
            (r#"[{"name": "a"}]"#, "[0]: "),
            (r#"[{"tag": "a", "created": "yesterday"}]"#, "[0]: created: "),
            (r#"[{"tag": "a", "created": 7}]"#, "[0]: created: "),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
