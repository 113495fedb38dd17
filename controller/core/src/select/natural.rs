//! The order in which people read names with numbers in them: `1.10` after `1.9`.

use std::cmp::Ordering;

/// Numbers by value, everything else by character; texts of equal value as text.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let ((one, a_next), (two, b_next)) = (part(a_rest), part(b_rest));
        let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let order = if number(one) && number(two) {
            let (one, two) = (one.trim_start_matches('0'), two.trim_start_matches('0'));
            one.len().cmp(&two.len()).then_with(|| one.cmp(two))
        } else {
            one.cmp(two)
        };
        if order != Ordering::Equal {
            return order;
        }
        if one.is_empty() && two.is_empty() {
            return a.cmp(b);
        }
        (a_rest, b_rest) = (a_next, b_next);
    }
}

/// The digits, or the other characters, at the beginning, and the rest.
fn part(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_count_by_value() {
        let sorted = [
            "",
            "1.9.0",
            "1.9.00",
            "1.9.0-rc1",
            "1.10.0",
            "007",
            "7",
            "20250701-1",
            "20250702-0",
            "a",
            "a-1",
            "a-007",
            "a-8",
            "main-9",
            "main-10",
            "v2",
            "v10",
        ];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, sorted);
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[a-z0-9.-]{0,8}", b in "[a-z0-9.-]{0,8}", c in "[a-z0-9.-]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &b) == Ordering::Equal, a == b);
            if compare(&a, &b).is_le() && compare(&b, &c).is_le() {
                prop_assert!(compare(&a, &c).is_le(), "{} {} {}", a, b, c);
            }
        }
    }
}
