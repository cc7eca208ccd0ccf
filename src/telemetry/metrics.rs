//! Figures for Prometheus and its like: what they are called, how they are counted, how they are
//! written.

mod catalogue;
mod exposition;
mod meters;
mod names;
mod process;
mod readings;

pub use catalogue::{Definition, Kind, Metric};
pub use exposition::{Format, write};
pub use meters::{CallMeasures, Meters};
pub use readings::Readings;
