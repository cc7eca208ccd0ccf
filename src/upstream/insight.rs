//! What somebody knows of an upstream besides its answers: whether it is there, and what the names
//! in a call stand for.

use std::fmt;
use std::sync::Arc;

/// Whether an upstream is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Nobody tells.
    #[default]
    Unknown,
    /// It is there and ready.
    Running,
    /// It is there, and not ready yet.
    Starting,
    /// It is going down.
    Stopping,
    /// It was there, and is not any more.
    Gone,
}

/// What a call is meant for, in the words that the arguments of Home Assistant's tools have for it.
/// All that is said must apply.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    /// The name of a thing.
    pub name: Option<String>,
    /// The name of an area.
    pub area: Option<String>,
    /// The name of a floor.
    pub floor: Option<String>,
    /// Kinds of things, such as `light`; none for all.
    pub domains: Vec<String>,
}

/// One that knows an upstream.
pub trait Insight: fmt::Debug + Send + Sync {
    /// Whether the upstream is there.
    fn presence(&self) -> Presence;

    /// Everything that may be meant by a description, by names that are equal for equal things.
    /// Nothing if that cannot be told, or if what is meant may in turn touch anything.
    fn meant(&self, description: &Description) -> Option<Vec<Arc<str>>>;
}
