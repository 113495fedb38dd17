//! A query with variables from a short list.
//!
//! Guarantees: only the listed variables are replaced, and by text that cannot end a quoted string or a regular
//! expression early: Kubernetes names, digests and numbers. Any other `$` is left as it is.

use super::Server;
use std::{collections::BTreeSet, fmt};

/// Something that stands in a query as `$(name)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    /// The digest of the release that the pods run.
    Digest,
    /// The names of the pods, as a regular expression.
    Pods,
    /// The names of the pods beside the candidate's, as a regular expression.
    BaselinePods,
    /// The namespaces of the pods, as a regular expression.
    Namespace,
    /// The length of a tick, such as `60s`.
    Window,
}

impl Variable {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Digest, Self::Pods, Self::BaselinePods, Self::Namespace, Self::Window];

    /// As it is written between `$(` and `)`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Pods => "pods",
            Self::BaselinePods => "baselinePods",
            Self::Namespace => "namespace",
            Self::Window => "window",
        }
    }
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// `$(` without `)`.
    Open,
    /// A variable that there is not: its name.
    Unknown(String),
}

/// A query as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Variable(Variable),
}

/// What the variables stand for.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// `$(digest)`.
    pub digest: &'a str,
    /// `$(pods)`.
    pub pods: &'a BTreeSet<&'a str>,
    /// `$(baselinePods)`.
    pub baseline_pods: &'a BTreeSet<&'a str>,
    /// `$(namespace)`.
    pub namespaces: &'a BTreeSet<&'a str>,
    /// `$(window)`, in seconds.
    pub window: i64,
}

impl Template {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("$(") {
            let (name, tail) = after.split_once(')').ok_or(TemplateError::Open)?;
            let known = Variable::ALL.into_iter().find(|variable| variable.name() == name);
            let variable = known.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Variable(variable));
            rest = tail;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self { pieces })
    }

    /// Whether it has this variable.
    #[must_use]
    pub fn has(&self, variable: Variable) -> bool {
        self.pieces.contains(&Piece::Variable(variable))
    }

    /// The query with everything put in, lists of names as `server` writes them.
    #[must_use]
    pub fn render(&self, server: &Server, values: &Values<'_>) -> String {
        let (mut text, window) = (String::new(), format!("{}s", values.window));
        let any_of = |names| server.list(names);
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Variable(Variable::Digest) => text.push_str(values.digest),
                Piece::Variable(Variable::Pods) => text.push_str(&any_of(values.pods)),
                Piece::Variable(Variable::BaselinePods) => text.push_str(&any_of(values.baseline_pods)),
                Piece::Variable(Variable::Namespace) => text.push_str(&any_of(values.namespaces)),
                Piece::Variable(Variable::Window) => text.push_str(&window),
            }
        }
        text
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Variable(variable) => write!(f, "$({})", variable.name()),
        })
    }
}

/// A regular expression that matches these names and no others. A dot is the only character of a name with a meaning
/// in one; in brackets it needs no backslash, which would be read differently in each kind of quotes.
pub(super) fn any_of(names: &BTreeSet<&str>) -> String {
    let names: Vec<String> = names.iter().map(|name| name.replace('.', "[.]")).collect();
    names.join("|")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::CloudWatch;

    #[test]
    fn variables_are_put_in_and_everything_else_stays() {
        let text =
            r#"rate(e{pod=~"$(pods)$",ns=~"$(namespace)"}[$(window)]) / $x # $(digest) $(baselinePods)"#;
        let template = Template::parse(text).unwrap();
        assert_eq!(template.to_string(), text);
        let values = Values {
            digest: "sha256:ab",
            pods: &BTreeSet::from(["web-1.a", "web-0"]),
            baseline_pods: &BTreeSet::from(["old"]),
            namespaces: &BTreeSet::from(["prod"]),
            window: 60,
        };
        let rendered = |server| template.render(&server, &values);
        let expected = r#"rate(e{pod=~"web-0|web-1[.]a$",ns=~"prod"}[60s]) / $x # sha256:ab old"#;
        assert_eq!(rendered(Server::Prometheus(String::new())), expected);
        let cloud = CloudWatch { region: "eu-west-1".into(), metrics: Vec::new() };
        for (server, text, expected) in [
            (
                Server::Datadog("datadoghq.eu".into()),
                "avg:p95{pod_name IN ($(pods)),version:$(digest)}",
                "avg:p95{pod_name IN (web-0,web-1.a),version:sha256:ab}",
            ),
            (
                Server::CloudWatch(cloud),
                "SEARCH('FullPodName=($(pods))', 'Average')",
                "SEARCH('FullPodName=(\"web-0\" OR \"web-1.a\")', 'Average')",
            ),
        ] {
            assert_eq!(Template::parse(text).unwrap().render(&server, &values), expected);
        }
    }

    #[test]
    fn an_unknown_variable_is_a_mistake() {
        assert_eq!(Template::parse("$(pod)"), Err(TemplateError::Unknown("pod".into())));
        assert_eq!(Template::parse("$(pods"), Err(TemplateError::Open));
        assert!(Template::parse("$pods ^x$").is_ok_and(|t| !t.has(Variable::Pods)));
    }
}
