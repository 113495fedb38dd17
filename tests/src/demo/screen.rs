//! What a person sees: one line per thing that happened, with the time since the beginning.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

/// Who a line is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// The story: what was done from outside.
    Story,
    /// `kubectl get lkp -w`.
    Policy,
    /// An Event.
    Event,
    /// A Warning.
    Warning,
}

/// Standard output, with colours where a terminal wants them.
#[derive(Clone, Debug)]
pub struct Screen {
    begun: Instant,
    colours: bool,
}

impl Default for Screen {
    fn default() -> Self {
        let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { begun: Instant::now(), colours }
    }
}

impl Screen {
    /// Plain text, without a time.
    pub fn text(&self, text: &str) {
        print(text);
    }

    /// Something that the story does or waits for.
    pub fn story(&self, text: &str) {
        self.line(From::Story, text);
    }

    /// A line of `kubectl get lkp -w`.
    pub fn policy(&self, text: &str) {
        self.line(From::Policy, text);
    }

    /// An event.
    pub fn event(&self, warning: bool, text: &str) {
        self.line(if warning { From::Warning } else { From::Event }, text);
    }

    fn line(&self, from: From, text: &str) {
        let seconds = self.begun.elapsed().as_secs();
        let (name, colour) = match from {
            From::Story => ("demo ", "1"),
            From::Policy => ("lkp  ", "36"),
            From::Event => ("event", "32"),
            From::Warning => ("event", "31"),
        };
        let text = format!("{:02}:{:02} {name} {text}", seconds / 60, seconds % 60);
        if self.colours {
            print(&format!("\u{1b}[{colour}m{text}\u{1b}[0m"));
        } else {
            print(&text);
        }
    }
}

/// `print!`, so that a test's output is captured; a reader who has gone away is no reason to stop.
fn print(text: &str) {
    println!("{text}");
    let _closed = std::io::stdout().flush();
}
