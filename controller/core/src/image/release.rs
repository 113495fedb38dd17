//! Releases: what a tag named when it was looked at, and when two of them are the same.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Digest, Platform, Tag};

/// The config that artifacts without one share (`{}`, OCI image specification): it identifies nothing.
const EMPTY_CONFIG: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// One release: the digest that pins name, and everything it is known by.
///
/// A running container may be reported under the index, under the manifest of its platform or under that manifest's
/// config; all three are aliases of one release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Release {
    /// The tag it was found under; none for contents that were found running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// The version in the policy's order, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub version: Option<String>,
    /// What pins name: the digest of the index, or of the manifest where there is no index.
    pub digest: Digest,
    /// One entry per platform, attestations left out; empty while they are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub platforms: Vec<PlatformImage>,
    /// What the publisher says; never trusted to shorten a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}

/// The image of one platform.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformImage {
    /// What it is built for.
    pub platform: Platform,
    /// The digest of its manifest.
    pub manifest: Digest,
    /// The digest of its config, which runtimes report for preloaded images; none if it was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Digest>,
}

impl Release {
    /// Every digest a runtime may report for it: the index, the manifests, the configs.
    pub fn aliases(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.digest).chain(self.platforms.iter().flat_map(PlatformImage::aliases))
    }

    /// Whether a container whose `imageID` has this digest runs this release.
    #[must_use]
    pub fn answers_to(&self, digest: &Digest) -> bool {
        self.aliases().any(|alias| alias == digest)
    }

    /// The digests that make its contents: one manifest per platform; the digest itself where they are not known.
    #[must_use]
    pub fn contents(&self) -> BTreeSet<&Digest> {
        if self.platforms.is_empty() {
            return BTreeSet::from([&self.digest]);
        }
        self.platforms.iter().map(|image| &image.manifest).collect()
    }

    /// A short text that is equal exactly for equal contents (all platforms): 32 hex digits of the sha256 of the
    /// sorted manifest digests, one per line. Tag, version, index and attestations have no part in it.
    #[must_use]
    pub fn contents_key(&self) -> String {
        let mut lines = String::new();
        for digest in self.contents() {
            lines.push_str(digest.as_str());
            lines.push('\n');
        }
        Digest::of(lines.as_bytes()).hex()[..32].to_owned()
    }

    /// The same release: on every platform in use both have the same manifest, or neither has one. With no platform
    /// in use (or none of them in either release) all contents must be equal.
    #[must_use]
    pub fn same_contents(&self, other: &Self, platforms_in_use: &[Platform]) -> bool {
        let mut compared = false;
        for platform in platforms_in_use {
            let (ours, theirs) = (self.image_for(platform), other.image_for(platform));
            if ours.map(|image| &image.manifest) != theirs.map(|image| &image.manifest) {
                return false;
            }
            compared |= ours.is_some();
        }
        compared || self.contents() == other.contents()
    }

    /// Whether any of its aliases is among these: how a quarantine recognises contents that were pushed again under
    /// another index or tag.
    #[must_use]
    pub fn shares_any(&self, manifests_or_configs: &BTreeSet<Digest>) -> bool {
        self.aliases().any(|alias| manifests_or_configs.contains(alias))
    }

    /// The manifests and configs that a quarantine of this release names: those of the platforms in use, of all
    /// platforms if none is in use or none of them is known, the digest itself if no platform is known.
    #[must_use]
    pub fn identity_on(&self, platforms_in_use: &[Platform]) -> BTreeSet<Digest> {
        let used: BTreeSet<&PlatformImage> =
            platforms_in_use.iter().filter_map(|platform| self.image_for(platform)).collect();
        let images: Vec<&PlatformImage> =
            if used.is_empty() { self.platforms.iter().collect() } else { used.into_iter().collect() };
        if images.is_empty() {
            return BTreeSet::from([self.digest.clone()]);
        }
        images.into_iter().flat_map(PlatformImage::aliases).cloned().collect()
    }

    /// The platforms that must be run and that this release is not built for, in the order given. Nothing is known
    /// of a release without platforms: then all are missing.
    #[must_use]
    pub fn missing_platforms(&self, needed: &[Platform]) -> Vec<Platform> {
        needed.iter().filter(|platform| self.image_for(platform).is_none()).cloned().collect()
    }

    /// What a node of this platform would run: the highest variant that it can.
    #[must_use]
    pub fn image_for(&self, node: &Platform) -> Option<&PlatformImage> {
        let mut best: BTreeMap<_, &PlatformImage> = BTreeMap::new();
        for image in self.platforms.iter().filter(|image| node.runs(&image.platform)) {
            // The first entry of a platform wins, as in container runtimes.
            best.entry(image.platform.level()).or_insert(image);
        }
        best.into_values().next_back()
    }
}

impl PlatformImage {
    fn aliases(&self) -> impl Iterator<Item = &Digest> {
        let config = self.config.as_ref().filter(|config| config.as_str() != EMPTY_CONFIG);
        std::iter::once(&self.manifest).chain(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    /// `("linux/amd64", "m1")` is that platform with manifest m1 and config m1-config.
    fn release(index: &str, images: &[(&str, &str)]) -> Release {
        Release {
            tag: Some("1.0".parse().unwrap()),
            version: Some("1.0.0".into()),
            digest: digest(index),
            platforms: images
                .iter()
                .map(|(on, manifest)| PlatformImage {
                    platform: platform(on),
                    manifest: digest(manifest),
                    config: Some(digest(&format!("{manifest}-config"))),
                })
                .collect(),
            created: None,
        }
    }

    #[test]
    fn a_container_is_recognised_by_index_manifest_or_config() {
        let release = release("index", &[("linux/amd64", "a"), ("linux/arm64", "b")]);
        for alias in ["index", "a", "b", "a-config", "b-config"] {
            assert!(release.answers_to(&digest(alias)), "{alias}");
        }
        assert!(!release.answers_to(&digest("c")));
        assert_eq!(release.aliases().count(), 5);
    }

    #[test]
    fn r19_an_attestation_only_push_is_the_same_release() {
        let (old, new) = (release("i1", &[("linux/amd64", "a")]), release("i2", &[("linux/amd64", "a")]));
        assert!(old.same_contents(&new, &[]));
        assert_eq!(old.contents_key(), new.contents_key());
        assert!(new.shares_any(&old.identity_on(&[platform("linux/amd64")])));
    }

    #[test]
    fn only_platforms_in_use_decide() {
        let old = release("i1", &[("linux/amd64", "a"), ("linux/arm64", "b")]);
        let new = release("i2", &[("linux/amd64", "a"), ("linux/arm64", "c")]);
        assert!(old.same_contents(&new, &[platform("linux/amd64")]));
        assert!(!old.same_contents(&new, &[platform("linux/arm64/v8")]));
        assert!(!old.same_contents(&new, &[]));
        assert!(!new.shares_any(&old.identity_on(&[platform("linux/arm64")])));
        assert!(new.shares_any(&old.identity_on(&[platform("linux/amd64")])));
        assert!(new.shares_any(&old.identity_on(&[])));
    }

    #[test]
    fn two_releases_without_the_platform_in_use_are_not_the_same() {
        let (a, b) = (release("i1", &[("linux/amd64", "a")]), release("i2", &[("linux/amd64", "b")]));
        assert!(!a.same_contents(&b, &[platform("linux/s390x")]));
    }

    #[test]
    fn unknown_platforms_fall_back_to_the_digest() {
        let (a, b) = (release("i1", &[]), release("i2", &[]));
        assert!(!a.same_contents(&b, &[platform("linux/amd64")]));
        assert!(a.same_contents(&a.clone(), &[platform("linux/amd64")]));
        assert_ne!(a.contents_key(), b.contents_key());
        assert_eq!(a.identity_on(&[]), BTreeSet::from([digest("i1")]));
        assert_eq!(a.missing_platforms(&[platform("linux/amd64")]).len(), 1);
    }

    #[test]
    fn the_contents_key_ignores_order_and_is_stable() {
        let a = release("i", &[("linux/amd64", "a"), ("linux/arm64", "b")]);
        let b = release("j", &[("linux/arm64", "b"), ("linux/amd64", "a")]);
        assert_eq!(a.contents_key(), b.contents_key());
        assert_eq!(a.contents_key().len(), 32);
        assert_eq!(release("single", &[]).contents_key(), "60798f6827f61ab39908ac17bfd01ff4");
    }

    #[test]
    fn r20_missing_platforms_are_named() {
        let release = release("i", &[("linux/amd64", "a")]);
        let missing = release.missing_platforms(&[platform("linux/amd64"), platform("linux/arm64")]);
        assert_eq!(missing, [platform("linux/arm64")]);
    }

    #[test]
    fn a_node_gets_its_highest_variant() {
        let release =
            release("i", &[("linux/arm/v5", "five"), ("linux/arm/v7", "seven"), ("linux/arm64", "eight")]);
        assert_eq!(release.image_for(&platform("linux/arm")).unwrap().manifest, digest("seven"));
        assert_eq!(release.image_for(&platform("linux/arm/v6")).unwrap().manifest, digest("five"));
    }

    #[test]
    fn the_shared_empty_config_identifies_nothing() {
        let mut a = release("i", &[("linux/amd64", "a")]);
        a.platforms[0].config = Some(Digest::of(b"{}"));
        assert_eq!(a.platforms[0].config.as_ref().unwrap().as_str(), EMPTY_CONFIG);
        let mut b = release("j", &[("linux/amd64", "b")]);
        b.platforms[0].config = Some(Digest::of(b"{}"));
        assert!(!b.shares_any(&a.identity_on(&[])) && !a.answers_to(&Digest::of(b"{}")));
    }

    #[test]
    fn the_wire_form_survives_a_round_trip() {
        let mut release = release("i", &[("linux/amd64", "a")]);
        release.created = Some("2026-01-02T03:04:05Z".parse().unwrap());
        let json = serde_json::to_value(&release).unwrap();
        assert_eq!(json["platforms"][0]["platform"], "linux/amd64");
        assert_eq!(serde_json::from_value::<Release>(json).unwrap(), release);
    }
}
