//! The webhook's certificates: how they are kept in one Secret, when a new one is made, and which one is shown.
//!
//! Guarantees: a pair is made well before the last one ends, believed by the API server for [`SETTLE`] before any
//! replica shows it, and the one before it is believed until then; so no moment is without a certificate that is both shown
//! and believed. Every pair has an authority of its own, whose key is thrown away at once. No key is ever printed.
//! Pure but for the making of keys: the time is passed in.

use crate::ports::birth::Serving;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use std::{collections::BTreeMap, sync::Arc};

/// How long a certificate is good.
const VALID: SignedDuration = SignedDuration::from_hours(90 * 24);
/// So long before its end the next one is made.
const EARLY: SignedDuration = SignedDuration::from_hours(30 * 24);
/// So long after it was made a certificate is shown, if there is an older one: by then all replicas have it and the API
/// server believes it.
const SETTLE: SignedDuration = SignedDuration::from_hours(1);
/// For clocks that differ: a certificate begins on the day before, and one that was made later than this from now is none.
const SKEW: SignedDuration = SignedDuration::from_hours(24);

/// A certificate, its key, and the authority by which it is believed; all in PEM form.
#[derive(Clone)]
struct Pair {
    authority: String,
    serving: Arc<Serving>,
}

/// The pairs of one Secret, by when they were made.
#[derive(Clone, Default)]
pub struct Certificates(BTreeMap<Timestamp, Pair>);

impl std::fmt::Debug for Certificates {
    /// Never prints a key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

const AUTHORITY: &str = "ca.crt";
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

impl Certificates {
    /// Those in a Secret's decoded data: `<unix seconds>.ca.crt`, `.tls.crt` and `.tls.key`. What is not whole counts
    /// as none.
    #[must_use]
    pub fn read(data: &BTreeMap<String, Vec<u8>>) -> Self {
        let text = |key: &str| String::from_utf8(data.get(key)?.clone()).ok().filter(|text| !text.is_empty());
        let pair = |key: &String| {
            let stamp = key.strip_suffix(KEY)?;
            let made = Timestamp::from_second(stamp.strip_suffix('.')?.parse().ok()?).ok()?;
            let serving = Serving { certificate: text(&format!("{stamp}{CERTIFICATE}"))?, key: text(key)? };
            Some((
                made,
                Pair { authority: text(&format!("{stamp}{AUTHORITY}"))?, serving: Arc::new(serving) },
            ))
        };
        Self(data.keys().filter_map(pair).collect())
    }

    /// As a Secret's `stringData` has them.
    #[must_use]
    pub fn data(&self) -> BTreeMap<String, String> {
        let entries = self.0.iter().flat_map(|(made, pair)| {
            let stamp = made.as_second();
            [
                (format!("{stamp}.{AUTHORITY}"), pair.authority.clone()),
                (format!("{stamp}.{CERTIFICATE}"), pair.serving.certificate.clone()),
                (format!("{stamp}.{KEY}"), pair.serving.key.clone()),
            ]
        });
        entries.collect()
    }

    /// What the Secret should hold instead; none: it is as it should be. `name` is how the API server calls the webhook.
    pub fn due(&self, name: &str, now: Timestamp) -> Result<Option<Self>, rcgen::Error> {
        let mut kept = self.good(now);
        // Older ones are believed as long as one of them is shown somewhere.
        while let Some(second) = kept.keys().nth(1)
            && now.duration_since(*second) > SETTLE + SETTLE
        {
            kept.pop_first();
        }
        let last = kept.last_key_value().map(|(made, _)| *made);
        let due = last.is_none_or(|made| now.duration_since(made) >= VALID - EARLY);
        if due {
            kept.insert(Timestamp::from_second(now.as_second()).unwrap_or(now), pair(name, now)?);
        } else if kept.len() == self.0.len() {
            return Ok(None);
        }
        Ok(Some(Self(kept)))
    }

    /// Those that neither have ended nor come from a future.
    fn good(&self, now: Timestamp) -> BTreeMap<Timestamp, Pair> {
        let good = |made: Timestamp| {
            let age = now.duration_since(made);
            age < VALID && age > -SKEW
        };
        self.0.iter().filter(|(made, _)| good(**made)).map(|(made, pair)| (*made, pair.clone())).collect()
    }

    /// The one that is shown: the newest that has settled, else the oldest.
    #[must_use]
    pub fn serving(&self, now: Timestamp) -> Option<Arc<Serving>> {
        let good = self.good(now);
        let settled = good.iter().rev().find(|(made, _)| now.duration_since(**made) >= SETTLE);
        settled.or_else(|| good.first_key_value()).map(|(_, pair)| Arc::clone(&pair.serving))
    }

    /// All authorities by which one of them is believed, in PEM form.
    #[must_use]
    pub fn bundle(&self) -> String {
        self.0.values().map(|pair| pair.authority.as_str()).collect()
    }
}

/// A new authority, and a certificate for `name` that it signed.
fn pair(name: &str, now: Timestamp) -> Result<Pair, rcgen::Error> {
    let day = |at: Timestamp| {
        let date = at.to_zoned(TimeZone::UTC).date();
        // A month and a day of a date are positive and small.
        rcgen::date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    // Whole days: it lasts longer than it is used.
    let (from, until) = (day(now - SKEW), day(now + VALID + SKEW));
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.distinguished_name.push(DnType::CommonName, format!("{name} {}", now.as_second()));
    (authority.not_before, authority.not_after) = (from, until);
    let authority_key = KeyPair::generate()?;
    let root = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut leaf = CertificateParams::new(vec![name.to_owned()])?;
    leaf.distinguished_name.push(DnType::CommonName, "lockkeeper webhook");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (leaf.not_before, leaf.not_after) = (from, until);
    let key = KeyPair::generate()?;
    let certificate = leaf.signed_by(&key, &issuer)?.pem();
    Ok(Pair { authority: root, serving: Arc::new(Serving { certificate, key: key.serialize_pem() }) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "lockkeeper-webhook.lockkeeper-system.svc";

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_763_800_000 + hours * 3600).unwrap()
    }

    fn stored(certificates: &Certificates) -> Certificates {
        let bytes = certificates.data().into_iter().map(|(key, text)| (key, text.into_bytes()));
        Certificates::read(&bytes.collect())
    }

    /// Three years, looked at every half hour: what any replica shows, even one that reads the Secret an hour late, is
    /// believed by an API server that got the bundle with the Secret.
    #[test]
    fn what_is_shown_is_believed_through_every_rotation() {
        let mut secret = Certificates::default();
        let (mut rotations, mut late) = (0, Certificates::default());
        for half_hour in 0..2 * 24 * 365 * 3 {
            let now = at(0) + SignedDuration::from_mins(30 * half_hour);
            let before = secret.clone();
            if let Some(next) = secret.due(NAME, now).unwrap() {
                rotations += usize::from(
                    next.0.last_key_value().map(|(made, _)| *made)
                        != secret.0.last_key_value().map(|(made, _)| *made),
                );
                secret = stored(&next);
            }
            assert!(secret.due(NAME, now).unwrap().is_none(), "nothing to change means no write");
            let shown = secret.serving(now).expect("one is always shown");
            let believed =
                |shown: &Serving| secret.0.values().any(|pair| pair.serving.certificate == shown.certificate);
            assert!(believed(&shown), "{half_hour}");
            // A replica that has not read the Secret since the last half hour shows what is believed, too.
            if half_hour > 0 {
                let shown = late.serving(now).expect("one is always shown");
                assert!(believed(&shown), "late at {half_hour}");
            }
            late = if half_hour == 0 { secret.clone() } else { before };
            assert!(secret.0.len() <= 2, "{secret:?}");
        }
        assert_eq!(rotations, 19, "every 60 days");
    }

    #[test]
    fn a_new_one_is_shown_when_it_has_settled_and_the_old_one_goes_after_that() {
        let first = Certificates::default().due(NAME, at(0)).unwrap().unwrap();
        let shown = first.serving(at(0)).unwrap();
        assert!(first.due(NAME, at(60 * 24 - 1)).unwrap().is_none());
        let now = 60 * 24;
        let both = first.due(NAME, at(now)).unwrap().unwrap();
        assert_eq!(both.bundle().matches("BEGIN CERTIFICATE").count(), 2);
        assert_eq!(both.serving(at(now)).unwrap().certificate, shown.certificate);
        let next = both.serving(at(now + 1)).unwrap();
        assert_ne!(next.certificate, shown.certificate);
        assert!(both.due(NAME, at(now + 2)).unwrap().is_none());
        let one = both.due(NAME, at(now + 3)).unwrap().unwrap();
        assert_eq!(one.serving(at(now + 3)).unwrap().certificate, next.certificate);
        assert_eq!(one.bundle().matches("BEGIN CERTIFICATE").count(), 1);
    }

    #[test]
    fn what_was_tampered_with_or_ended_or_comes_from_a_future_is_made_anew() {
        let good = Certificates::default().due(NAME, at(0)).unwrap().unwrap();
        let mut half = good.data();
        half.pop_first();
        let half = Certificates::read(&half.into_iter().map(|(k, v)| (k, v.into_bytes())).collect());
        assert!(half.serving(at(0)).is_none() && half.due(NAME, at(0)).unwrap().is_some());
        for hours in [90 * 24, -25] {
            assert!(good.serving(at(hours)).is_none(), "{hours}");
            let anew = good.due(NAME, at(hours)).unwrap().unwrap();
            assert_eq!(anew.0.len(), 1);
            assert!(anew.serving(at(hours)).is_some());
        }
    }

    #[test]
    fn no_key_is_printed() {
        let certificates = Certificates::default().due(NAME, at(0)).unwrap().unwrap();
        let serving = certificates.serving(at(0)).unwrap();
        let printed = format!("{certificates:?} {serving:?}");
        assert!(
            serving.key.contains("PRIVATE KEY") && !printed.contains("PRIVATE") && !printed.contains("BEGIN")
        );
    }
}
