//! What the tests share: a running bridge, ways to talk to it, programs to run beside it.

pub(crate) mod announcer;
pub(crate) mod bridge;
pub(crate) mod configured;
pub(crate) mod conformance;
pub(crate) mod core;
pub(crate) mod events;
pub(crate) mod home;
pub(crate) mod home_assistant;
pub(crate) mod inside;
pub(crate) mod program;
pub(crate) mod script;
pub(crate) mod secrets;
pub(crate) mod supervisor;
pub(crate) mod upstream;
pub(crate) mod websocket;

pub(crate) use bridge::Bridge;
pub(crate) use home_assistant::HomeAssistant;
