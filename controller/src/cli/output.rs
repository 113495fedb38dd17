//! What a command writes, and where.
//!
//! Guarantees: results go to standard output, everything else to standard error; a reader that closed either has seen
//! enough, and nothing panics; colours only where a terminal reads; texts from a cluster reach a terminal without
//! control characters.

use super::Failure;
use std::io::{IsTerminal as _, Write as _};

/// Writes a result to standard output. A reader that closed the pipe has seen enough.
pub fn print(text: &str) -> Result<(), Failure> {
    still_read(text).map(drop)
}

/// The same; whether anybody still reads.
pub fn still_read(text: &str) -> Result<bool, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Says something beside the result. Nobody has to listen.
pub fn say(text: &str) {
    let mut err = std::io::stderr().lock();
    drop(writeln!(err, "{text}").and_then(|()| err.flush()));
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Colour {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is dumb.
    #[default]
    Auto,
    Always,
    Never,
}

/// Paints, or leaves texts as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint(bool);

impl Paint {
    /// For standard output.
    #[must_use]
    pub fn new(colour: Colour) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self(match colour {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb,
        })
    }

    /// Never paints.
    pub const PLAIN: Self = Self(false);
    /// Always paints.
    #[cfg(test)]
    pub const COLOURED: Self = Self(true);

    /// The text in a style.
    #[must_use]
    pub fn paint(self, style: Style, text: &str) -> String {
        match style.code() {
            Some(code) if self.0 && !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

/// What a text is, so that it is seen at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As any other.
    #[default]
    Plain,
    /// A heading.
    Heading,
    /// As it should be.
    Good,
    /// On its way.
    Moving,
    /// It waits.
    Waiting,
    /// A person should look.
    Bad,
    /// Beside the point.
    Faint,
}

impl Style {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Heading => Some("1"),
            Self::Good => Some("32"),
            Self::Moving => Some("36"),
            Self::Waiting => Some("33"),
            Self::Bad => Some("31"),
            Self::Faint => Some("2"),
        }
    }
}

/// A text of a cluster as a terminal may have it: in one line, without control characters.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// How a result is written for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    Json,
    Yaml,
}

/// A value for programs.
pub fn machine(format: Machine, value: &impl serde::Serialize) -> Result<String, Failure> {
    Ok(match format {
        Machine::Json => serde_json::to_string_pretty(value)? + "\n",
        Machine::Yaml => serde_saphyr::to_string(value)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_come_only_when_they_are_asked_for_and_texts_never_bring_their_own() {
        assert_eq!(Paint::PLAIN.paint(Style::Bad, "x"), "x");
        assert_eq!(Paint::COLOURED.paint(Style::Bad, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(Paint::COLOURED.paint(Style::Plain, "x"), "x");
        assert_eq!(plain("a\u{1b}[31mb\r\nc"), "a [31mb  c");
        // A test's standard output is no terminal, and no colour is chosen for it.
        if !std::io::stdout().is_terminal() {
            assert_eq!(Paint::new(Colour::Auto), Paint::PLAIN);
        }
        assert_eq!(Paint::new(Colour::Always), Paint::COLOURED);
    }
}
