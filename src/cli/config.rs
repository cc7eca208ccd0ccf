//! `mcp-bridge config`: the configuration in force, and its schema.

use clap::Subcommand;

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
        Command::Schema => {
            format!(
                "{}\n",
                serde_json::to_string_pretty(&schemars::schema_for!(Config))?
            )
        }
    };
    super::say(text.trim_end());
    Ok(())
}
