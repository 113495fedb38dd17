//! Whose log is read after a death.
//!
//! Guarantees: it names one death, so that another one of the same container is another.

/// One death of a container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeadContainer {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// Another one of the same name has another.
    pub uid: String,
    /// The container.
    pub container: String,
    /// When it died.
    pub died: jiff::Timestamp,
    /// It runs again: the log is that of the one before.
    pub previous: bool,
}
