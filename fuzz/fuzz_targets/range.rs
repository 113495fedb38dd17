//! Whatever is a range is printed as a range that means the same, and `a || b` takes what a or b takes.
//! The first line is the range, the others are versions.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockkeeper_core::select::{Version, range::Range};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let versions: Vec<Version> = lines.take(32).filter_map(|line| Version::parse(line).ok()).collect();
    let Ok(range) = first.parse::<Range>() else { return };
    let printed = range.to_string();
    let again: Range = printed.parse().unwrap_or_else(|error| panic!("{first:?} is printed {printed:?}: {error}"));
    assert_eq!(again, range, "{first:?} is printed {printed:?}");
    // A part alone may match nothing, which is refused: then it adds nothing.
    let parts: Vec<Range> = printed.split("||").filter_map(|part| part.parse().ok()).collect();
    for version in &versions {
        let taken = range.contains(version);
        assert_eq!(again.contains(version), taken, "{printed:?}");
        assert_eq!(parts.iter().any(|part| part.contains(version)), taken, "{printed:?}");
    }
});
