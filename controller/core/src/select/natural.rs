//! The order in which people read names with numbers in them: `1.10` after `1.9`.

use std::cmp::Ordering;

/// Numbers by value, everything else by character.
#[must_use]
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a, b);
    loop {
        let ((one, a_rest), (two, b_rest)) = (part(a), part(b));
        let number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let order = if number(one) && number(two) {
            let (one, two) = (one.trim_start_matches('0'), two.trim_start_matches('0'));
            one.len().cmp(&two.len()).then_with(|| one.cmp(two))
        } else {
            one.cmp(two)
        };
        if order != Ordering::Equal || one.is_empty() && two.is_empty() {
            return order;
        }
        (a, b) = (a_rest, b_rest);
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

    #[test]
    fn numbers_count_by_value() {
        let mut names = ["1.10.0", "1.9.0", "1.9.0-rc1", "", "a", "v2", "v10", "007", "7", "1.9.00"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, ["", "1.9.0", "1.9.00", "1.9.0-rc1", "1.10.0", "007", "7", "a", "v2", "v10"]);
    }
}
