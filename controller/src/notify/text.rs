//! What all services say alike: one line for a phone's screen, and the parts below it.

use crate::ports::notify::Message;
use lockkeeper_core::notices::Occasion;

/// Longest line.
const LINE: usize = 200;

/// Who and what, in one line.
pub fn headline(message: &Message) -> String {
    let Message { namespace, policy, notice, .. } = message;
    let stage = if notice.stage.is_empty() { String::new() } else { format!(" {}", notice.stage) };
    let what = match notice.occasion {
        Occasion::PromotionStarted => "a release enters",
        Occasion::Verified => "a release is verified",
        Occasion::ApprovalRequired => "a release waits for approval",
        Occasion::Suspect => "something looks bad, perhaps not the release",
        Occasion::NoData => "a signal has no data",
        Occasion::TagMoved => "a tag moved",
        Occasion::RollingBack => "a release is rolled back",
        Occasion::RollbackDidNotHelp => "a rollback did not help",
        Occasion::Blocked => "blocked, a person is needed",
        Occasion::Resolved => "goes on",
    };
    format!("{namespace}/{policy}{stage}: {what}")
}

/// The line with its evidence, for what shows one line only.
pub fn summary(message: &Message) -> String {
    cut(&format!("{}: {}", headline(message), message.notice.message), LINE)
}

/// The first characters.
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// The parts below the line: a title and a text each, none empty.
pub fn parts(message: &Message) -> Vec<(&'static str, &str)> {
    let notice = &message.notice;
    let all = [("what", notice.message.as_str()), ("done", &notice.done), ("next", &notice.next)];
    all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
}
