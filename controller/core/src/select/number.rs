//! Numbers as tags write them: of any length, with decimals, never rounded.

use std::cmp::Ordering;

/// A decimal number. Two are equal if their values are: `07.50` is `7.5`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    negative: bool,
    /// Without leading zeros.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// More than 256 bytes.
    #[error("it is longer than 256 characters")]
    TooLong,
    /// Something else than digits, with one dot between them at most.
    #[error("a number has digits, and at most one dot with digits on both sides of it")]
    Digits,
}

impl Number {
    /// Digits, an optional minus in front, an optional dot and digits behind. No exponent, no grouping.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        if text.len() > 256 {
            return Err(NumberError::TooLong);
        }
        let (minus, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return Err(NumberError::Digits),
            Some(parts) => parts,
            None => (digits, ""),
        };
        let all_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(NumberError::Digits);
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        // There is one zero.
        let negative = minus && !(whole.is_empty() && fraction.is_empty());
        Ok(Self { negative, whole: whole.to_owned(), fraction: fraction.to_owned() })
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        let by_length = self.whole.len().cmp(&other.whole.len());
        by_length.then_with(|| self.whole.cmp(&other.whole)).then_with(|| self.fraction.cmp(&other.fraction))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn numbers_of_any_length_compare_by_value() {
        let rising = [
            "-100000000000000000000000000000001",
            "-100000000000000000000000000000000",
            "-2",
            "-1.5",
            "-1.05",
            "0",
            "0.1",
            "0.15",
            "0.9",
            "1",
            "1.01",
            "2",
            "9",
            "10",
            "9007199254740993",
            "9007199254740994",
            "100000000000000000000000000000000",
        ];
        for (n, a) in rising.iter().enumerate() {
            for (m, b) in rising.iter().enumerate() {
                assert_eq!(number(a).cmp(&number(b)), n.cmp(&m), "{a} and {b}");
            }
        }
        for (a, b) in [("7", "007"), ("1.0", "1"), ("1.50", "1.5"), ("-0", "0"), ("0.0", "000")] {
            assert_eq!(number(a), number(b), "{a} and {b}");
        }
    }

    #[test]
    fn what_is_no_number_says_why() {
        for text in [
            "x", "1.2.3", "1.", ".5", "1e5", "0x10", "1_000", "1,5", "+1", "--1", "-", " 1", "1 ", "١", "∞",
            "NaN",
        ] {
            assert_eq!(Number::parse(text), Err(NumberError::Digits), "{text}");
        }
        assert_eq!(Number::parse(""), Err(NumberError::Empty));
        assert_eq!(Number::parse(&"1".repeat(257)), Err(NumberError::TooLong));
    }

    proptest! {
        #[test]
        fn they_compare_as_integers_do(a in any::<i64>(), b in any::<i64>()) {
            prop_assert_eq!(number(&a.to_string()).cmp(&number(&b.to_string())), a.cmp(&b));
        }

        #[test]
        fn every_text_has_an_answer(text in ".{0,40}") {
            let _ = Number::parse(&text);
        }
    }
}
