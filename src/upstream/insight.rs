//! What somebody knows of an upstream besides its answers: whether it is there, and what the names
//! in a call stand for.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;

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

impl Presence {
    /// Whether it surely cannot take calls now.
    pub const fn is_away(self) -> bool {
        matches!(self, Self::Starting | Self::Stopping | Self::Gone)
    }
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

/// What a description stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meant {
    /// Nobody knows the things of the upstream.
    Unknown,
    /// It cannot be told, or it may in turn touch anything.
    Anything,
    /// Some of these, by names that are equal for equal things.
    These(Vec<Arc<str>>),
}

/// One that knows an upstream.
pub trait Insight: fmt::Debug + Send + Sync {
    /// Whether the upstream is there.
    fn presence(&self) -> Presence;

    /// Whether the upstream is heard of once more from now on, so that what it said before was not
    /// the word of one that goes down. Yes where nobody can tell.
    fn is_heard_again(&self) -> BoxFuture<'_, bool>;

    /// Everything that may be meant by a description.
    fn meant(&self, description: &Description) -> Meant;
}
