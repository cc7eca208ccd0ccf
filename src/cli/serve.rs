//! `mcp-bridge serve`: runs until it is told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::config::Loaded;
use crate::telemetry;

/// Runs the bridge until SIGTERM or SIGINT, then ends it in order. A second signal ends it at once.
///
/// # Errors
/// When it cannot start.
pub(super) fn run(loaded: Loaded) -> anyhow::Result<()> {
    telemetry::start(loaded.settings.telemetry);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let app = tokio::select! {
            app = App::start(loaded.settings) => app?,
            signal = next(&mut terminate, &mut interrupt) => {
                tracing::info!(signal, "stopped before the start was over");
                return Ok(());
            }
        };
        tracing::info!(
            signal = next(&mut terminate, &mut interrupt).await,
            "stopping"
        );
        tokio::select! {
            () = app.stop() => Ok(()),
            signal = next(&mut terminate, &mut interrupt) => {
                anyhow::bail!("{signal} came twice: stopped before the running calls were over")
            }
        }
    })
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
