//! What somebody knows of an upstream besides its answers: whether it is there, and what the names
//! in a call stand for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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

/// A thing of the upstream that clients may be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// By which it is known, such as `light.kitchen`; what stands before the point is its kind.
    pub id: Arc<str>,
    /// What people call it.
    pub name: Option<String>,
    /// The name of the area that it is in.
    pub area: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The thing.
    pub thing: Thing,
    /// What is known of it, a JSON object.
    pub text: String,
    /// How long nothing has been heard of it; nothing if this is how it is now.
    pub age: Option<Duration>,
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

    /// Whether clients are told of the upstream's things one by one.
    fn tells_of_things(&self) -> bool {
        false
    }

    /// Those of which they are told behind `after`, in the order of their ids, `most` at a time.
    fn things_after(&self, _after: Option<&str>, _most: usize) -> Vec<Thing> {
        Vec::new()
    }

    /// How one of them is; nothing if clients are not told of it.
    fn told(&self, _id: &str) -> Option<Told> {
        None
    }
}
