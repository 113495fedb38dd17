//! Platforms: what a node runs and what an image is built for.

use std::fmt;
use std::str::FromStr;

use super::{shown, text_type};

/// `os/architecture[/variant]` in the form containerd normalises to: `linux/arm64/v8` is `linux/arm64`,
/// `linux/arm` is `linux/arm/v7`, `linux/x86_64` is `linux/amd64`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

/// Why a text is no platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Not two or three parts.
    #[error(
        "{value} is no platform: it must have two or three parts; write os/architecture such as linux/amd64"
    )]
    Parts {
        /// As shown to people.
        value: String,
    },
    /// An empty part, or a character that no part may have.
    #[error(
        "{value} is no platform: the part {part} may only have letters, digits, _, . and -, at most 32; \
         write os/architecture such as linux/amd64"
    )]
    Part {
        /// As shown to people.
        value: String,
        /// As shown to people.
        part: String,
    },
}

impl Platform {
    /// `linux`, `windows`, …
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// `amd64`, `arm64`, …
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Whether a node of this platform runs images built for `image`: same system and architecture, and a variant
    /// that is not above the node's.
    #[must_use]
    pub fn runs(&self, image: &Self) -> bool {
        self.os == image.os
            && self.architecture == image.architecture
            && match (self.level(), image.level()) {
                (Some(node), Some(image)) => image <= node,
                _ => self.variant == image.variant,
            }
    }

    /// The variant as numbers (`v8.2` is 8, 2), none if it is no such text.
    pub(super) fn level(&self) -> Option<(u16, u16)> {
        let text = match (self.variant.as_deref(), self.architecture.as_str()) {
            (Some(variant), _) => variant.strip_prefix('v')?,
            (None, "arm64") => "8",
            (None, "amd64") => "1",
            (None, _) => "0",
        };
        match text.split_once('.') {
            Some((major, minor)) => Some((major.parse().ok()?, minor.parse().ok()?)),
            None => Some((text.parse().ok()?, 0)),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let parts: Vec<&str> = text.split('/').collect();
        if !(2..=3).contains(&parts.len()) {
            return Err(PlatformError::Parts { value: shown(text) });
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if let Some(part) = parts.iter().find(|p| p.is_empty() || p.len() > 32 || !p.chars().all(allowed)) {
            return Err(PlatformError::Part { value: shown(text), part: shown(part) });
        }
        let os = match parts[0].to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            os => os.to_owned(),
        };
        let variant = parts.get(2).map(|v| v.to_ascii_lowercase());
        let architecture = parts[1].to_ascii_lowercase();
        let (architecture, variant) = normalised(&architecture, variant.as_deref());
        Ok(Self { os, architecture: architecture.to_owned(), variant: variant.map(str::to_owned) })
    }
}

/// containerd's `platforms` package, `normalizeArch`.
fn normalised<'a>(architecture: &'a str, variant: Option<&'a str>) -> (&'a str, Option<&'a str>) {
    match (architecture, variant) {
        ("i386", _) => ("386", None),
        ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
        ("x86_64" | "x86-64", variant) => ("amd64", variant),
        ("aarch64" | "arm64", None | Some("8" | "v8" | "v8.0")) => ("arm64", None),
        ("aarch64", variant) => ("arm64", variant),
        ("armhf", _) | ("arm", None | Some("7")) => ("arm", Some("v7")),
        ("armel", _) | ("arm", Some("6")) => ("arm", Some("v6")),
        ("arm", Some("5")) => ("arm", Some("v5")),
        ("arm", Some("8")) => ("arm", Some("v8")),
        other => other,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

text_type!(
    Platform,
    "Platform",
    "A platform: os/architecture[/variant], such as linux/amd64.",
    "^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)?$",
    100
);

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    #[test]
    fn names_of_one_platform_are_equal() {
        for (text, normal) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("Windows/AMD64", "windows/amd64"),
        ] {
            assert_eq!(platform(text).to_string(), normal);
            assert_eq!(platform(normal), platform(text));
        }
    }

    #[test]
    fn a_node_runs_lower_variants_only() {
        for (node, image, runs) in [
            ("linux/arm64", "linux/arm64/v8", true),
            ("linux/arm64", "linux/arm64/v9", false),
            ("linux/arm", "linux/arm/v6", true),
            ("linux/arm/v6", "linux/arm", false),
            ("linux/amd64", "linux/amd64/v2", false),
            ("linux/amd64/v3", "linux/amd64", true),
            ("linux/amd64", "linux/arm64", false),
            ("linux/amd64", "windows/amd64", false),
            ("linux/s390x", "linux/s390x", true),
            ("linux/riscv64/rva23", "linux/riscv64/rva23", true),
            ("linux/riscv64", "linux/riscv64/rva23", false),
        ] {
            assert_eq!(platform(node).runs(&platform(image)), runs, "{node} runs {image}");
        }
    }

    #[test]
    fn mistakes_say_what_to_write() {
        for text in ["", "linux", "linux/", "a/b/c/d", "linux/am d64", "linux/\r\n", "/", &"a".repeat(500)] {
            let message = text.parse::<Platform>().unwrap_err().to_string();
            assert!(message.contains("linux/amd64") && !message.contains(char::is_control), "{message}");
        }
    }
}
