//! Recorded values, as people have them: a CSV file, or a saved answer of the Prometheus API to a range query.
//!
//! Guarantees: bounded; what is wrong is named by its line or series, with its value and what to do.

use csv::{ReaderBuilder, StringRecord, Trim};
use jiff::{SignedDuration, Timestamp};
use lockkeeper_core::image::shown;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::{BTreeMap, BTreeSet};

/// Larger files are a mistake.
pub const MOST_BYTES: u64 = 16 << 20;
/// Values of a file.
const MOST_VALUES: usize = 500_000;
/// Series of a file.
const MOST_SERIES: usize = 2000;

/// Values by series, each by its moment.
pub type Series = BTreeMap<String, BTreeMap<Timestamp, f64>>;

/// Reads a file by what its name ends with. `label` names the series of a Prometheus answer.
pub fn read(name: &str, text: &str, label: &str) -> Result<Series, String> {
    let end = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    let series = match end.as_deref() {
        Some("csv") => comma_separated(text)?,
        Some("json") => prometheus(text, label)?,
        _ => {
            return Err(
                "is neither CSV nor a Prometheus answer; name it .csv (time,pod,value) or .json (query_range)"
                    .to_owned(),
            );
        }
    };
    if series.values().all(BTreeMap::is_empty) {
        return Err("holds no value; record it again over a time that has some".to_owned());
    }
    Ok(series)
}

#[derive(Default)]
struct Found {
    series: Series,
    values: usize,
}

impl Found {
    /// Takes one value in; what is no number was not measured.
    fn take(&mut self, name: &str, at: Timestamp, value: f64) -> Result<(), String> {
        if !self.series.contains_key(name) && self.series.len() >= MOST_SERIES {
            return Err(format!("are more than {MOST_SERIES} series; aggregate them"));
        }
        if self.values >= MOST_VALUES {
            return Err(format!("are more than {MOST_VALUES} values; record a shorter time, or aggregate"));
        }
        self.values += 1;
        let values = self.series.entry(name.to_owned()).or_default();
        if !value.is_nan() && values.insert(at, value).is_some() {
            let name = shown(name);
            return Err(format!("{name} has a value at {at} already; leave one of them out"));
        }
        Ok(())
    }
}

fn comma_separated(text: &str) -> Result<Series, String> {
    // What spreadsheets put in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let broken = |error: csv::Error| format!("is no CSV: {error}; write three columns, time,pod,value");
    let header = reader.headers().map_err(broken)?;
    let columns: Vec<&str> = header.iter().collect();
    if !matches!(columns.as_slice(), ["time", "pod" | "arm", "value"]) {
        let all = columns.join(",");
        return Err(format!("line 1: {} is no header; write time,pod,value or time,arm,value", shown(&all)));
    }
    let mut found = Found::default();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        row(&mut found, &record).map_err(|why| format!("line {line}: {why}"))?;
    }
    Ok(found.series)
}

fn row(found: &mut Found, record: &StringRecord) -> Result<(), String> {
    let text = |column| record.get(column).unwrap_or_default();
    let (time, name, value) = (text(0), text(1), text(2));
    let at = moment(time).ok_or_else(|| {
        format!("{} is no time; write 2026-03-02T09:00:00Z, or the seconds since 1970", shown(time))
    })?;
    if name.is_empty() {
        return Err("names no pod and no arm; write which it is".to_owned());
    }
    let value = if value.is_empty() { Ok(f64::NAN) } else { value.parse::<f64>() };
    let value = value.map_err(|_| {
        let value = shown(text(2));
        format!("{value} is no number; write one such as 0.25, or nothing where nothing was measured")
    })?;
    found.take(name, at, value)
}

fn moment(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| text.parse::<f64>().ok().and_then(seconds))
}

/// Seconds since 1970, as Prometheus writes moments.
fn seconds(number: f64) -> Option<Timestamp> {
    let since = SignedDuration::try_from_secs_f64((number * 1000.0).round() / 1000.0).ok()?;
    Timestamp::UNIX_EPOCH.checked_add(since).ok().filter(|at| *at >= Timestamp::UNIX_EPOCH)
}

/// An answer as the API documents it.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
    data: Option<Data>,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    result: Vec<Measured>,
}

#[derive(Debug, Deserialize)]
struct Measured {
    #[serde(default)]
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
    #[serde(default)]
    histograms: Vec<IgnoredAny>,
}

fn prometheus(text: &str, label: &str) -> Result<Series, String> {
    const ASK: &str = "save what /api/v1/query_range answers";
    let kind: Result<Kind, _> = serde_json::from_str(text);
    if let Ok(Kind { data: Some(KindOfData { result_type }) }) = kind
        && result_type != "matrix"
    {
        return Err(format!("holds a {}, not values over a time; {ASK}", shown(&result_type)));
    }
    let answer: Answer = serde_json::from_str(text)
        .map_err(|error| format!("is no answer of the Prometheus API: {error}; {ASK}"))?;
    if let Some(error) = answer.error {
        return Err(format!("holds an error, {}; ask again", shown(&error)));
    }
    if let Some(warning) = answer.warnings.first() {
        return Err(format!("holds a warning, {}: its values may be wrong; ask again", shown(warning)));
    }
    let Some(Data { result }) = answer.data else {
        return Err(format!("is no answer of the Prometheus API: it has no data; {ASK}"));
    };
    let alone = result.len() == 1;
    let (mut found, mut names) = (Found::default(), BTreeSet::new());
    for (number, one) in (1..).zip(&result) {
        let name = match one.metric.get(label) {
            Some(name) => name.as_str(),
            None if alone => "all",
            None => {
                let labels = shown(&format!("{:?}", one.metric));
                let fix = format!("aggregate with by ({label}), or name another label in `label`");
                return Err(format!("series {number}: {labels} has no label {label}; {fix}"));
            }
        };
        if !names.insert(name) {
            let fix = format!("aggregate with by ({label})");
            return Err(format!("series {number}: {} is there twice; {fix}", shown(name)));
        }
        measured(&mut found, name, one).map_err(|why| format!("series {number}: {why}"))?;
    }
    Ok(found.series)
}

/// Only what kind of answer it is: other kinds have other values.
#[derive(Deserialize)]
struct Kind {
    data: Option<KindOfData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KindOfData {
    result_type: String,
}

fn measured(found: &mut Found, name: &str, one: &Measured) -> Result<(), String> {
    if !one.histograms.is_empty() {
        return Err(format!("{} is a histogram; take histogram_quantile() of it", shown(name)));
    }
    for (time, value) in &one.values {
        let at = seconds(*time).ok_or_else(|| format!("{time} is no time; write seconds since 1970"))?;
        let value = value.parse::<f64>().map_err(|_| format!("{} is no number", shown(value)))?;
        found.take(name, at, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"status": "success", "data": {"resultType": "matrix", "result": [
        {"metric": {"pod": "a"}, "values": [[1772445600, "1.5"], [1772445660.25, "NaN"], [1772445720, "+Inf"]]},
        {"metric": {"pod": "b"}, "values": [[1772445600, "2"]]}]}}"#;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn both_forms_give_the_same_values_and_nan_is_none() {
        let csv = "\u{feff}time, pod, value\r\n2026-03-02T10:00:00Z, a, 1.5\r\n1772445660.25,a,NaN\r\n\
                   2026-03-02T11:02:00+01:00,a,+Inf\n\n\"1772445600\",b,2\n1772445660,b,\n";
        let expected = BTreeMap::from([
            (
                "a".to_owned(),
                BTreeMap::from([
                    (at("2026-03-02T10:00:00Z"), 1.5),
                    (at("2026-03-02T10:02:00Z"), f64::INFINITY),
                ]),
            ),
            ("b".to_owned(), BTreeMap::from([(at("2026-03-02T10:00:00Z"), 2.0)])),
        ]);
        assert_eq!(read("x.csv", csv, "pod"), Ok(expected.clone()));
        assert_eq!(read("x.JSON", ANSWER, "pod"), Ok(expected));
        let alone = r#"{"data": {"resultType": "matrix", "result": [{"metric": {}, "values": [[0, "1"]]}]}}"#;
        assert!(read("x.json", alone, "pod").is_ok_and(|all| all.contains_key("all")), "one needs no label");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line_or_series_its_value_and_what_to_do() {
        let matrix =
            |result: &str| format!(r#"{{"data": {{"resultType": "matrix", "result": [{result}]}}}}"#);
        let series = |values: &str| matrix(&format!(r#"{{"metric": {{"pod": "a"}}, "values": [{values}]}}"#));
        let twice =
            r#"{"metric": {"pod": "a", "job": "x"}, "values": []}, {"metric": {"pod": "a"}, "values": []}"#;
        let many = (0..=MOST_SERIES).map(|n| format!("0,p{n},1\n")).collect::<Vec<_>>().concat();
        let long = (0..=MOST_VALUES).map(|n| format!("{n},a,1\n")).collect::<Vec<_>>().concat();
        for (file, text, said) in [
            ("x.txt", String::new(), "is neither CSV nor a Prometheus answer"),
            ("csv", String::new(), "is neither CSV nor a Prometheus answer"),
            ("x.csv", String::new(), "line 1: \"\" is no header; write time,pod,value or time,arm,value"),
            ("x.csv", "time,value\n".into(), "line 1: \"time,value\" is no header"),
            ("x.csv", "time,pod,value\n".into(), "holds no value"),
            ("x.csv", "time,pod,value\n0,a,\n".into(), "holds no value"),
            ("x.csv", "time,pod,value\n0,a,1\n0,a\n".into(), "is no CSV: "),
            ("x.csv", "time,pod,value\n0,a,1\nnoon,a,1\n".into(), "line 3: \"noon\" is no time; write 2026-"),
            ("x.csv", "time,pod,value\n-1,a,1\n".into(), "line 2: \"-1\" is no time"),
            ("x.csv", "time,pod,value\n1e300,a,1\n".into(), "line 2: \"1e300\" is no time"),
            ("x.csv", "time,arm,value\n0,,1\n".into(), "line 2: names no pod and no arm"),
            (
                "x.csv",
                "time,arm,value\n0,a,12ms\n".into(),
                "line 2: \"12ms\" is no number; write one such as 0.25",
            ),
            (
                "x.csv",
                "time,arm,value\n0,a,1\n0,a,2\n".into(),
                "line 3: \"a\" has a value at 1970-01-01T00:00:00Z already",
            ),
            ("x.csv", format!("time,pod,value\n{many}"), "are more than 2000 series; aggregate them"),
            (
                "x.csv",
                format!("time,pod,value\n{long}"),
                "are more than 500000 values; record a shorter time",
            ),
            (
                "x.json",
                "{".into(),
                "is no answer of the Prometheus API: EOF while parsing an object at line 1",
            ),
            ("x.json", "{}".into(), "it has no data; save what /api/v1/query_range answers"),
            (
                "x.json",
                r#"{"data": {"resultType": "vector", "result": [{"value": [0, "1"]}]}}"#.into(),
                "holds a \"vector\", not values over a time",
            ),
            (
                "x.json",
                r#"{"status": "error", "error": "parse error"}"#.into(),
                "holds an error, \"parse error\"",
            ),
            (
                "x.json",
                ANSWER.replace("{\"status\"", r#"{"warnings": ["a block is missing"], "status""#),
                "holds a warning, \"a block is missing\"",
            ),
            (
                "x.json",
                ANSWER.replace("\"pod\": \"b\"", "\"job\": \"b\""),
                "series 2: \"{\\\"job\\\": \\\"b\\\"}\" has no label pod; aggregate with by (pod)",
            ),
            ("x.json", matrix(twice), "series 2: \"a\" is there twice; aggregate with by (pod)"),
            ("x.json", series(r#"[0, "fast"]"#), "series 1: \"fast\" is no number"),
            ("x.json", series("[-1, \"1\"]"), "series 1: -1 is no time"),
            (
                "x.json",
                series(r#"[0, "1"], [0, "2"]"#),
                "series 1: \"a\" has a value at 1970-01-01T00:00:00Z already",
            ),
            (
                "x.json",
                matrix(r#"{"metric": {"pod": "a"}, "histograms": [[0, {}]]}"#),
                "series 1: \"a\" is a histogram; take histogram_quantile()",
            ),
        ] {
            let why = read(file, &text, "pod").expect_err(said);
            assert!(why.contains(said), "no {said:?} in {why:?}");
        }
    }
}
