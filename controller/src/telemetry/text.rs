//! In which format `/metrics` answers.
//!
//! Guarantees: `OpenMetrics`, unless the one who asks knows only the text format that came before it; the series are the
//! same in both.

/// `OpenMetrics`.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// The text format of Prometheus.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics`.
    Open,
    /// The text format of Prometheus.
    Text,
}

impl Format {
    /// What a header `Accept` asks for.
    #[must_use]
    pub fn wanted(accept: &str) -> Self {
        let only_text = accept.contains("text/plain") && !accept.contains("application/openmetrics-text");
        if only_text { Self::Text } else { Self::Open }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Open => OPEN_METRICS,
            Self::Text => TEXT,
        }
    }

    /// `OpenMetrics` in this format: there, a counter has the name of its series, and nothing ends the text.
    #[must_use]
    pub fn write(self, open_metrics: String) -> String {
        if self == Self::Open {
            return open_metrics;
        }
        let mut text = String::with_capacity(open_metrics.len());
        let mut lines = open_metrics.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let counter = lines
                    .peek()
                    .is_some_and(|next| next.starts_with("# TYPE ") && next.ends_with(" counter"));
                let (name, help) = help.split_once(' ').unwrap_or((help, ""));
                let ending = if counter { "_total" } else { "" };
                text.extend(["# HELP ", name, ending, " ", help, "\n"]);
            } else if let Some(name) = line.strip_prefix("# TYPE ").and_then(|of| of.strip_suffix(" counter"))
            {
                text.extend(["# TYPE ", name, "_total counter\n"]);
            } else if line != "# EOF" {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_knows_no_openmetrics_gets_what_it_knows() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            ("", Format::Open),
            ("*/*", Format::Open),
            (prometheus, Format::Open),
            ("text/plain", Format::Text),
        ] {
            assert_eq!(Format::wanted(accept), format, "{accept}");
        }
    }

    #[test]
    fn a_counter_is_named_as_its_series_are() {
        let open = "# HELP a Of a.\n# TYPE a counter\na_total{x=\"y\"} 1\n# HELP b Of b.\n# TYPE b gauge\nb 2\n# EOF\n";
        let text = "# HELP a_total Of a.\n# TYPE a_total counter\na_total{x=\"y\"} 1\n# HELP b Of b.\n# TYPE b gauge\nb 2\n";
        assert_eq!(Format::Text.write(open.to_owned()), text);
        assert_eq!(Format::Open.write(open.to_owned()), open);
    }
}
