//! `mcp-bridge config`: the configuration in force, and its schema.

use clap::Subcommand;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;

use crate::config::{Config, Flags};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// The configuration in force, all layers merged, secrets hidden (YAML)
    Print(Flags),
    /// The JSON Schema of the configuration file
    Schema,
}

/// Prints what was asked for.
///
/// # Errors
/// A wrong configuration.
pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    let text = match command {
        Command::Print(flags) => serde_yaml::to_string(&super::loaded(flags)?.config)?,
        Command::Schema => serde_json::to_string_pretty(&schema())?,
    };
    super::say(text.trim_end());
    Ok(())
}

/// The schema of a file. None of its keys must be there: each has a default, or comes from
/// elsewhere.
fn schema() -> Schema {
    let optional = RecursiveTransform(|schema: &mut Schema| {
        schema.remove("required");
    });
    SchemaSettings::draft2020_12()
        .with_transform(optional)
        .into_generator()
        .into_root_schema_for::<Config>()
}
