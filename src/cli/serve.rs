//! `mcp-bridge serve`: runs until it is told to stop.

use std::convert::Infallible;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::config::{Environment, Flags, load};
use crate::telemetry;

/// Runs the bridge until SIGTERM or SIGINT, then ends it in order. A second signal ends it at once.
/// SIGHUP lets it read its configuration anew.
///
/// # Errors
/// A wrong configuration; when it cannot start, or cannot go on.
pub(super) fn run(flags: Flags) -> anyhow::Result<()> {
    let environment = Environment::of_process();
    let loaded = load(&flags, &environment)?;
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
        let mut hangup = signal(SignalKind::hangup())?;
        let app = tokio::select! {
            app = App::start(loaded, flags, environment) => app?,
            signal = next(&mut terminate, &mut interrupt) => {
                tracing::info!(signal, "stopped before the start was over");
                return Ok(());
            }
        };
        let reason = tokio::select! {
            signal = next(&mut terminate, &mut interrupt) => Ok(signal),
            () = app.broken() => Err(anyhow::anyhow!("a part of the bridge has ended, see above")),
            never = reload(&app, &mut hangup) => match never {},
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

/// Reads the configuration anew at each SIGHUP.
async fn reload(app: &App, hangup: &mut Signal) -> Infallible {
    loop {
        match hangup.recv().await {
            Some(()) => app.reload().await,
            None => std::future::pending().await,
        }
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
