//! What the tests share: a running bridge, ways to talk to it, programs to run beside it.

pub(crate) mod bridge;
pub(crate) mod conformance;
pub(crate) mod program;
pub(crate) mod supervisor;

pub(crate) use bridge::Bridge;
