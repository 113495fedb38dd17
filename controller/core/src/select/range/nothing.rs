//! Whether a group of terms can be met at all.
//!
//! Every term is a union of intervals that contain their lower end. The least version that meets all terms is then
//! the lower end of one of them, or the least version there is; so it is enough to try those.

use semver::{BuildMetadata, Prerelease, Version};

use super::{Group, Term};

impl Group {
    /// True only if no version meets all terms.
    pub(super) fn matches_nothing(&self) -> bool {
        let prereleases = self.names_a_prerelease();
        let met = |version: &Version| self.holds(version, prereleases);
        !std::iter::once((0, 0, 0))
            .flat_map(around)
            .chain(self.terms.iter().flat_map(Term::lower_ends))
            .any(|v| met(&v))
    }
}

impl Term {
    /// Every version at which an interval of this term can begin, and some more.
    fn lower_ends(&self) -> Vec<Version> {
        let Version { major, minor, patch, pre, .. } = &self.version;
        let mut found: Vec<Version> = around((*major, *minor, *patch)).collect();
        // The version itself and the next one after it: `rc` is followed by `rc.0`.
        for pre in [pre.to_string(), format!("{pre}.0")] {
            found.extend(Prerelease::new(&pre).ok().map(|pre| with(*major, *minor, *patch, pre)));
        }
        let next = [
            patch.checked_add(1).map(|patch| (*major, *minor, patch)),
            minor.checked_add(1).map(|minor| (*major, minor, 0)),
            major.checked_add(1).map(|major| (major, 0, 0)),
        ];
        found.extend(next.into_iter().flatten().flat_map(around));
        found
    }
}

/// The release with these numbers, and the first two of its prereleases.
fn around((major, minor, patch): (u64, u64, u64)) -> impl Iterator<Item = Version> {
    ["", "0", "0.0"]
        .into_iter()
        .filter_map(|pre| Prerelease::new(pre).ok())
        .map(move |pre| with(major, minor, patch, pre))
}

fn with(major: u64, minor: u64, patch: u64, pre: Prerelease) -> Version {
    Version { major, minor, patch, pre, build: BuildMetadata::EMPTY }
}
