//! Durations, amounts, shares, names and words, each with its bounds.

use super::error::{Errors, suggestion};
use crate::bounds::{self, Bounds};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use lockkeeper_core::{image::shown, policy::Amount};

/// Why a text is no duration: the reason, then the fix.
type Mistake = (&'static str, String);

/// A duration of hours, minutes and seconds in that order, such as `5m`, `1h30m` or `72h`.
pub(crate) fn duration(text: &str) -> Result<SignedDuration, Mistake> {
    const FIX: &str = "write h, m and s with whole numbers, in that order, such as 5m, 1h30m or 72h";
    if text.is_empty() {
        return Err(("is empty", FIX.into()));
    }
    if text.starts_with('-') {
        return Err(("is negative", FIX.into()));
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return Err((
            "has no unit",
            if text.len() < 6 { format!("write {text}s, {text}m or {text}h") } else { FIX.into() },
        ));
    }
    let (mut rest, mut seconds) = (text, 0_i64);
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if let Some(tail) = rest[digits..].strip_prefix(unit).filter(|_| digits > 0) {
            // Five digits are the schema's limit, too: 99999h is longer than any bound.
            let number = if digits > 5 { 99_999 } else { rest[..digits].parse().unwrap_or(99_999) };
            seconds += number * length;
            rest = tail;
        }
    }
    if !rest.is_empty() {
        return Err(("is no duration", FIX.into()));
    }
    Ok(SignedDuration::from_secs(seconds))
}

/// As people write it: `1h30m`; zero is `0s`.
#[must_use]
pub(crate) fn duration_text(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        let number = match unit {
            'h' => seconds / length,
            _ => seconds / length % 60,
        };
        if number != 0 {
            text.push_str(&number.to_string());
            text.push(unit);
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

impl Errors {
    /// A duration within bounds.
    pub(crate) fn duration(&mut self, path: &str, text: &str, bounds: Bounds) -> Option<SignedDuration> {
        let Bounds { least, most } = bounds;
        let found = match duration(text) {
            Ok(found) => found,
            Err((reason, fix)) => {
                self.add(path, text, reason, fix);
                return None;
            }
        };
        let fix = format!("write a duration from {least} to {most}");
        // The bounds are constants that parse; a test holds them to it.
        if duration(least).is_ok_and(|least| found < least) {
            self.add(path, text, format_args!("is shorter than {least}"), fix);
            return None;
        }
        if duration(most).is_ok_and(|most| found > most) {
            self.add(path, text, format_args!("is longer than {most}"), fix);
            return None;
        }
        Some(found)
    }

    /// A number or a share of pods.
    pub(crate) fn amount(&mut self, path: &str, value: &IntOrString) -> Option<Amount> {
        const FIX: &str = "write a number such as 3, or a share from 1% to 100%";
        match value {
            IntOrString::Int(n) => {
                match u32::try_from(*n).ok().filter(|n| *n >= 1 && i64::from(*n) <= bounds::PODS) {
                    Some(n) => return Some(Amount::Count(n)),
                    None => {
                        self.add(
                            path,
                            &n.to_string(),
                            format_args!("is not from 1 to {}", bounds::PODS),
                            FIX,
                        );
                    }
                }
            }
            IntOrString::String(text) => {
                let digits = text.strip_suffix('%').filter(|d| !d.starts_with(['0', '+']) && d.len() <= 3);
                match digits.and_then(|d| d.parse::<u32>().ok()).filter(|p| (1..=100).contains(p)) {
                    Some(percent) => return Some(Amount::Percent(percent)),
                    None if text.bytes().all(|b| b.is_ascii_digit()) && !text.is_empty() => {
                        self.add(
                            path,
                            text,
                            "is a number in quotes",
                            "remove the quotes, or write a share such as 25%",
                        );
                    }
                    None => self.add(path, text, "is neither a number nor a share", FIX),
                }
            }
        }
        None
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, path: &str, value: i64, least: i64, most: i64) -> Option<i64> {
        if (least..=most).contains(&value) {
            return Some(value);
        }
        self.add(
            path,
            &value.to_string(),
            format_args!("is not from {least} to {most}"),
            "write a number within",
        );
        None
    }

    /// A share in per cent, as a fraction of one.
    pub(crate) fn share(&mut self, path: &str, text: &str) -> Option<f64> {
        let plain = text
            .strip_suffix('%')
            .filter(|n| n.bytes().all(|b| b.is_ascii_digit() || b == b'.') && n.len() <= 7);
        let percent = plain.and_then(|n| n.parse::<f64>().ok());
        match percent.filter(|p| *p > 0.0 && *p <= bounds::FALSE_ROLLBACKS) {
            Some(percent) => Some(percent / 100.0),
            None => {
                self.add(
                    path,
                    text,
                    "is no share above 0% and up to 20%",
                    "write a number and a percent sign, such as 2% or 0.5%",
                );
                None
            }
        }
    }

    /// Restarts per pod and hour.
    pub(crate) fn rate(&mut self, path: &str, text: &str) -> Option<f64> {
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.') && text.len() <= 8;
        let rate =
            text.parse::<f64>().ok().filter(|r| plain && *r > 0.0 && *r <= bounds::RESTARTS_PER_POD_HOUR);
        if rate.is_none() {
            let reason = format!("is no rate above 0 and up to {}", bounds::RESTARTS_PER_POD_HOUR);
            self.add(path, text, reason, "write restarts per pod and hour, such as 0.5");
        }
        rate
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, path: &str, text: &str, known: &[(&str, T)]) -> Option<T> {
        let found = known.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let words = known.iter().map(|(word, _)| *word);
            self.add(path, text, "is no value of this field", suggestion(text, words));
        }
        found
    }

    /// A DNS label: a stage, a namespace, a container.
    pub(crate) fn label_name(&mut self, path: &str, text: &str, what: &str) -> bool {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let fine = !text.is_empty()
            && text.len() <= 63
            && text.bytes().all(inner)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if !fine {
            self.add(
                path,
                text,
                format_args!("is no name of a {what}"),
                "write 1 to 63 lower-case letters, digits and -, starting and ending with a letter or digit",
            );
        }
        fine
    }

    /// The name of an object of the policy's own namespace.
    pub(crate) fn own_object(&mut self, path: &str, text: &str, kind: &str) -> bool {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if text.contains(['/', ':']) {
            self.add(
                path,
                text,
                format_args!("names another namespace; a {kind} must lie in the policy's own"),
                "write its name alone",
            );
            return false;
        }
        let fine = !text.is_empty()
            && text.len() <= 253
            && text.bytes().all(inner)
            && !text.starts_with(['-', '.'])
            && !text.ends_with(['-', '.']);
        if !fine {
            self.add(
                path,
                text,
                format_args!("is no name of a {kind}"),
                "write 1 to 253 lower-case letters, digits, - and ., starting and ending with a letter or digit",
            );
        }
        fine
    }

    /// A label's key and value, by the rules of Kubernetes.
    pub(crate) fn label(&mut self, path: &str, key: &str, value: &str) {
        let word = |text: &str| {
            let outer = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
            text.len() <= 63
                && outer(text.as_bytes().first())
                && outer(text.as_bytes().last())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        };
        let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
        let prefix_fine = prefix.is_none_or(|p| {
            !p.is_empty()
                && p.len() <= 253
                && p.split('.').all(|part| word(part) && !part.contains('_') && part.to_lowercase() == part)
        });
        if !prefix_fine || !word(name) {
            self.add(
                path,
                key,
                "is no label",
                "write the key as it is on the objects, such as app.kubernetes.io/name",
            );
        }
        if !value.is_empty() && !word(value) {
            self.add(
                format!("{path}[{}]", shown(key)),
                value,
                "is no value of a label",
                "write at most 63 letters, digits, -, _ and ., starting and ending with a letter or digit",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(text: &str, bounds: Bounds) -> String {
        let mut errors = Errors::default();
        assert!(errors.duration("spec.interval", text, bounds).is_none(), "{text}");
        let found = errors.finish(None::<()>).unwrap_err();
        assert_eq!(found.len(), 1);
        found[0].to_string()
    }

    #[test]
    fn row_10_durations_out_of_bounds_or_without_unit() {
        for (text, part) in [
            ("0s", "shorter than 1s"),
            ("-1m", "negative"),
            ("1ns", "no duration"),
            ("999999h", "longer than 24h"),
            ("5", "write 5s, 5m or 5h"),
            ("", "empty"),
            ("1m1h", "no duration"),
            ("1.5h", "no duration"),
            ("5 m", "no duration"),
            ("3d", "no duration"),
            ("h", "no duration"),
            ("99999999999999999999s", "longer"),
        ] {
            let message = mistakes(text, bounds::INTERVAL);
            assert!(message.contains(part) && message.contains("write"), "{message}");
            assert!(message.starts_with("spec.interval: "), "{message}");
        }
    }

    #[test]
    fn durations_are_read_and_written_alike() {
        for (text, seconds) in [("5m", 300), ("1h30m", 5400), ("72h", 259_200), ("1h1m1s", 3661), ("0s", 0)] {
            let found = duration(text).unwrap();
            assert_eq!(found.as_secs(), seconds);
            assert_eq!(duration_text(found), text);
        }
        assert_eq!(duration_text(duration("90m").unwrap()), "1h30m");
    }

    #[test]
    fn amounts_are_numbers_or_shares() {
        let amount = |value| Errors::default().amount("x", &value);
        assert_eq!(amount(IntOrString::Int(3)), Some(Amount::Count(3)));
        assert_eq!(amount(IntOrString::String("25%".into())), Some(Amount::Percent(25)));
        for bad in ["0%", "101%", "25", "%", "-1%", "+5%", "2.5%", "many"] {
            assert_eq!(amount(IntOrString::String(bad.into())), None, "{bad}");
        }
        for bad in [0, -1, i32::MAX] {
            assert_eq!(amount(IntOrString::Int(bad)), None, "{bad}");
        }
    }

    #[test]
    fn row_39_shares_are_finite_and_bounded() {
        let share = |text| Errors::default().share("x", text);
        assert_eq!(share("2%"), Some(0.02));
        assert_eq!(share("0.5%"), Some(0.005));
        for bad in ["NaN%", "inf%", "0%", "21%", "2", "-1%", "1e1%", "%", ""] {
            assert_eq!(share(bad), None, "{bad}");
        }
    }

    #[test]
    fn labels_follow_the_rules_of_kubernetes() {
        let count = |key, value| {
            let mut errors = Errors::default();
            errors.label("x", key, value);
            errors.finish(Some(())).map_or_else(|e| e.len(), |()| 0)
        };
        for (key, value) in [("app", "a"), ("app.kubernetes.io/name", "A_b.c-1"), ("a", "")] {
            assert_eq!(count(key, value), 0, "{key}={value}");
        }
        for (key, value) in
            [("", "a"), ("a b", "a"), ("/a", "a"), ("A.b_c/x", "a"), ("a", "-b"), ("a", "x\r\ny")]
        {
            assert_eq!(count(key, value), 1, "{key}={value}");
        }
    }
}
