//! `mcp-bridge serve`: runs until it is told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::config::Loaded;
use crate::telemetry;

/// Runs the bridge until SIGTERM or SIGINT, then ends it in order. A second signal ends it at once.
///
/// # Errors
/// When it cannot start, or cannot go on.
pub(super) fn run(loaded: Loaded) -> anyhow::Result<()> {
    telemetry::start(loaded.settings.telemetry.clone());
    let collector = loaded.settings.telemetry.collector.as_ref();
    // What was recorded last is sent when everything else is over.
    let _traces = collector.map(telemetry::spans::start).transpose()?;
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
        let reason = tokio::select! {
            signal = next(&mut terminate, &mut interrupt) => Ok(signal),
            () = app.broken() => Err(anyhow::anyhow!("a part of the bridge has ended, see above")),
        };
        match &reason {
            Ok(signal) => tracing::info!(signal, "stopping"),
            Err(error) => tracing::error!(%error, "stopping"),
        }
        tokio::select! {
            () = app.stop() => reason.map(drop),
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
