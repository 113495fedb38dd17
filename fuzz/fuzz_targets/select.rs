//! A listing, whatever is in it, gives every tag one reason and one answer, in whatever order and however often its tags are
//! listed; what ranks and what explains agree. The first byte chooses the order, the first line is a range, a filter or a
//! tag to follow, the second is ignored, the others are tags.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use lockkeeper_core::select::{Order, Selection, TagFilter, explain, ignored, rank};
use std::collections::BTreeSet;

fn selection(kind: u8, first: &str, second: &str) -> Option<Selection> {
    let order = match kind % 6 {
        0 | 5 => Order::semver(first).ok()?,
        1 => Order::Alphabetical { descending: kind & 64 != 0 },
        2 => Order::Numerical { descending: kind & 64 != 0 },
        3 => Order::newest_build(usize::from(kind).clamp(1, 20)).ok()?,
        _ => Order::digest(first).ok()?,
    };
    let filter = if kind % 6 == 5 || kind & 128 != 0 { TagFilter::new(second, "").ok() } else { None };
    let ignore = ignored(&[second.to_owned()]).ok().unwrap_or_default();
    Selection::new(order, filter, ignore, Vec::new(), jiff::SignedDuration::ZERO, false).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let mut lines = text.split('\n');
    let (first, second) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let Some(selection) = selection(*kind, first, second) else { return };
    let tags: Vec<&str> = lines.collect();
    let ranking = rank(&selection, tags.iter().copied());
    let again = rank(&selection, tags.iter().rev().chain(&tags).copied());
    assert_eq!(again, ranking, "the order of tags changed the answer");
    let distinct: BTreeSet<&str> = tags.iter().copied().collect();
    assert_eq!(ranking.admitted + ranking.rejected_counts.values().sum::<usize>(), distinct.len());
    let explained = explain(&selection, tags.iter().copied(), Timestamp::UNIX_EPOCH, |_| None, |_| None);
    assert_eq!(explained.tags.len(), distinct.len(), "every tag has one reason");
    assert_eq!(
        explained.tags.iter().filter(|tag| tag.reason == "Chosen").count(),
        usize::from(explained.chosen.is_some())
    );
    // Dates of builds are not known here: then nothing is the newest.
    if matches!(selection.order, Order::NewestBuild { .. }) {
        assert!(explained.chosen.is_none());
    } else {
        assert_eq!(explained.chosen.as_ref(), ranking.best_first.first());
    }
    for tag in &distinct {
        assert_eq!(selection.judge(tag).is_ok(), ranking_admits(&selection, tag), "{tag:?}");
    }
});

fn ranking_admits(selection: &Selection, tag: &str) -> bool {
    rank(selection, [tag].into_iter()).admitted == 1
}
