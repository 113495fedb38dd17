//! Small signs for what happened: drawn as shapes, since fonts differ.

use crate::cli::simulate::chronicle::Line;
use lockkeeper_sim::svg::{Svg, px};

/// A sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    Started,
    Verified,
    Approval,
    Degraded,
    Quarantined,
    RolledBack,
    Blocked,
}

/// All of them, with what the legend says.
pub const MARKS: [(Mark, &str); 7] = [
    (Mark::Started, "enters"),
    (Mark::Verified, "verified"),
    (Mark::Approval, "approval wanted"),
    (Mark::Degraded, "degraded"),
    (Mark::Quarantined, "quarantined"),
    (Mark::RolledBack, "taken back"),
    (Mark::Blocked, "blocked"),
];

impl Mark {
    /// The sign of a line, if it has one.
    pub fn of(line: &Line) -> Option<Self> {
        Some(match line.word.as_str() {
            "PromotionStarted" => Self::Started,
            "Verified" => Self::Verified,
            "ApprovalRequired" => Self::Approval,
            "Degraded" => Self::Degraded,
            "Quarantined" => Self::Quarantined,
            "RolledBack" | "PutBack" => Self::RolledBack,
            "Blocked" => Self::Blocked,
            _ => return None,
        })
    }

    /// Around a point, 12 wide and high.
    pub fn draw(self, svg: &mut Svg, [x, y]: [f64; 2]) {
        let shape = |points: &[[f64; 2]]| {
            let parts: Vec<String> =
                points.iter().map(|[dx, dy]| format!("{} {}", px(x + dx), px(y + dy))).collect();
            format!("M{}", parts.join("L"))
        };
        let closed = |points: &[[f64; 2]]| shape(points) + "Z";
        match self {
            Self::Started => svg.path("go", &closed(&[[-4.0, -5.0], [5.5, 0.0], [-4.0, 5.0]])),
            Self::Verified => {
                svg.circle("ok", [x, y], 5.8);
                svg.path("white", &shape(&[[-2.8, 0.2], [-0.8, 2.4], [3.0, -2.2]]));
            }
            Self::Approval => svg.path("wait", &closed(&[[0.0, -6.0], [6.0, 0.0], [0.0, 6.0], [-6.0, 0.0]])),
            Self::Degraded => {
                svg.path("bad", &closed(&[[0.0, -6.5], [6.8, 5.5], [-6.8, 5.5]]));
                svg.path("white", &shape(&[[0.0, -2.6], [0.0, 1.2]]));
                svg.path("white", &shape(&[[0.0, 3.6], [0.0, 3.7]]));
            }
            Self::Quarantined => {
                svg.circle("bad", [x, y], 5.8);
                svg.path("white", &shape(&[[-3.0, 0.0], [3.0, 0.0]]));
            }
            Self::RolledBack => svg.path("bad", &closed(&[[4.0, -5.0], [-5.5, 0.0], [4.0, 5.0]])),
            Self::Blocked => svg.rect("block", [x - 5.0, y - 5.0, 10.0, 10.0]),
        }
    }
}
