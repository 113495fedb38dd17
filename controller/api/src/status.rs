//! The status of an `ImagePolicy` as it is on the wire: the core's, or the note that it could not be read.
//!
//! Guarantees: a stored status that this version cannot read never makes its policy undecodable. It counts as lost
//! (decision 14), and `unreadable` says why.

use lockkeeper_core::status::Status;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;

/// The status subresource of an `ImagePolicy`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PolicyStatus {
    /// The progress of the state machine; the default where it could not be read.
    pub status: Status,
    /// Why it could not be read. Never written.
    pub unreadable: Option<String>,
}

impl From<Status> for PolicyStatus {
    fn from(status: Status) -> Self {
        Self { status, unreadable: None }
    }
}

impl Serialize for PolicyStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.status.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PolicyStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = serde_json::Value::deserialize(deserializer)?;
        Ok(match serde_json::from_value(stored) {
            Ok(status) => Self { status, unreadable: None },
            Err(error) => Self { status: Status::default(), unreadable: Some(error.to_string()) },
        })
    }
}

impl JsonSchema for PolicyStatus {
    fn schema_name() -> Cow<'static, str> {
        Status::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Status::json_schema(generator)
    }
}
