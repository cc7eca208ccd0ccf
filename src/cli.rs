//! The command line: what can be asked for, and with which exit code it ends.

mod audit;
mod check;
mod config;
mod explain;
mod healthcheck;
mod rights;
mod serve;
mod token;

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::config::{ConfigError, Environment, Flags, Loaded, load};

/// Wrong arguments (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;
/// A wrong configuration (`EX_CONFIG` of sysexits.h).
const CONFIG: u8 = 78;

const AFTER_HELP: &str = "\
Every setting is also a key of the YAML file and a variable of the environment:
  --log-level debug      log_level: debug      MCP_BRIDGE__LOG_LEVEL=debug
  (file and environment) queue.max_waiting     MCP_BRIDGE__QUEUE__MAX_WAITING=100
`mcp-bridge config print` shows them all with their values.

Try it:
  mcp-bridge serve --demo            a house to play with is built in
  mcp-bridge token show              the token for your client
  mcp-bridge check --upstream URL    is everything right?";

/// A bridge with a queue in front of Home Assistant's MCP server.
#[derive(Debug, Parser)]
#[command(name = "mcp-bridge", version, after_help = AFTER_HELP, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the bridge (what happens without a command, too)
    Serve(Flags),
    /// Check configuration, data folder and upstream, with a fix for each failure
    Check(Flags),
    /// Ask a running bridge whether it is alive (for Docker's HEALTHCHECK)
    Healthcheck {
        /// Ask whether it takes calls
        #[arg(long)]
        ready: bool,
        #[command(flatten)]
        flags: Flags,
    },
    /// Show the configuration
    #[command(subcommand)]
    Config(config::Command),
    /// Show, make, list and revoke tokens of clients
    Token(TokenArgs),
    /// Show and set what a client may do
    #[command(subcommand)]
    Rights(rights::Command),
    /// Say who had what done
    Audit(audit::Arguments),
    /// Say what would become of a call, and which rule decides, without making it
    Explain(explain::Arguments),
}

#[derive(Debug, Args)]
struct TokenArgs {
    #[command(subcommand)]
    command: token::Command,
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let told = error.print();
            let asked = matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            );
            return if asked && told.is_ok() {
                ExitCode::SUCCESS
            } else {
                USAGE.into()
            };
        }
    };
    let done = match cli.command.unwrap_or(Command::Serve(cli.flags)) {
        Command::Serve(flags) => serve::run(flags),
        Command::Check(flags) => return check::run(&flags),
        Command::Healthcheck { ready, flags } => healthcheck::run(&flags, ready),
        Command::Config(command) => config::run(&command),
        Command::Token(args) => token::run(&args.command),
        Command::Rights(command) => rights::run(&command),
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let code = if error.is::<ConfigError>() {
                CONFIG.into()
            } else {
                ExitCode::FAILURE
            };
            complain(&error);
            code
        }
    }
}

fn loaded(flags: &Flags) -> anyhow::Result<Loaded> {
    Ok(load(flags, &Environment::of_process())?)
}

/// Writes to the standard output; a reader that has gone away (`| head`) is no error.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

fn complain(error: &anyhow::Error) {
    let mut stderr = std::io::stderr();
    for line in with_causes(error).lines() {
        let _ = writeln!(stderr, "mcp-bridge: {line}");
    }
}

/// The error and what is behind it. Many errors end with the words of their cause already.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Runs a future to its end on a small runtime, for commands that ask something over the network.
fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(future))
}
