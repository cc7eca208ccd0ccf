//! What may be kept of an upstream's answers, for how long, and what makes them outdated.

mod change;

pub use change::{Change, Kind};
