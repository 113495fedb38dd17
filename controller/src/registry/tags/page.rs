//! One page of a listing, read without making anything of it but the tags.
//!
//! Guarantees: total on any bytes; what cannot be a tag is left out and counted; an answer of another shape is an
//! error and never an empty page. Pure: no I/O.

use std::fmt;

use lockkeeper_core::image::Tag;
use serde::Deserializer as _;
use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The tags of a page, in the registry's order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tags {
    /// One a line.
    pub lines: String,
    /// How many.
    pub count: usize,
    /// Things in the list that are no tags.
    pub skipped: usize,
}

/// The tags of a body such as `{"name": "team/app", "tags": ["1.0"]}`.
///
/// # Errors
/// It has another shape, or is no JSON.
pub(super) fn read(body: &[u8]) -> Result<Tags, serde_json::Error> {
    // Bytes that are no UTF-8 spoil the tag they are in, not the page.
    let text = String::from_utf8_lossy(body);
    let mut json = serde_json::Deserializer::from_str(&text);
    let tags = json.deserialize_map(Document)?;
    json.end()?;
    Ok(tags)
}

struct Document;

impl<'de> Visitor<'de> for Document {
    type Value = Tags;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a list of tags")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tags, A::Error> {
        let mut found = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "tags" {
                map.next_value::<IgnoredAny>()?;
            } else if found.is_some() {
                return Err(A::Error::duplicate_field("tags"));
            } else {
                found = Some(map.next_value_seed(List)?);
            }
        }
        found.ok_or_else(|| A::Error::missing_field("tags"))
    }
}

struct List;

impl<'de> DeserializeSeed<'de> for List {
    type Value = Tags;

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<Tags, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Tags;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of tags")
    }

    /// How Go writes an empty list.
    fn visit_unit<E>(self) -> Result<Tags, E> {
        Ok(Tags::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tags, A::Error> {
        let mut tags = Tags::default();
        while list.next_element_seed(Element(&mut tags))?.is_some() {}
        Ok(tags)
    }
}

/// One thing in the list.
struct Element<'t>(&'t mut Tags);

impl Element<'_> {
    fn skip(self) {
        self.0.skipped += 1;
    }
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if Tag::check(text).is_err() {
            self.skip();
        } else {
            self.0.lines.push_str(text);
            self.0.lines.push('\n');
            self.0.count += 1;
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.skip();
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.skip();
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.skip();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.skip();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.skip();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.skip();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.skip();
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_29_what_is_no_tag_is_counted_and_left_out() {
        let tags =
            read(br#"{"name": 7, "tags": ["b", null, 1, -1, 1.5, true, [["x"]], {"a": []}, "", "a"]}"#);
        let tags = tags.unwrap();
        assert_eq!((tags.lines.as_str(), tags.count, tags.skipped), ("b\na\n", 2, 8));
    }

    #[test]
    fn a_listing_in_two_ways_is_none() {
        for body in [
            r#"{"tags": ["a"], "tags": ["b"]}"#,
            r#"{"tags": ["a"]} {"tags": []}"#,
            r#"[{"tags": []}]"#,
            r#"{"tags": 7}"#,
            r#"{"Tags": []}"#,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
