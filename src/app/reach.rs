//! The way from what was configured to the upstream, or to the built-in house in its place.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::StartError;
use crate::access::Token;
use crate::cache::Change;
use crate::config;
use crate::demo::{self, DemoHouse};
use crate::dispatch::{BreakerState, Dispatcher};
use crate::homeassistant::{HomeAssistant, Located, Report, Way, locate};
use crate::upstream::http_client::HttpClient;
use crate::upstream::{self, Insight, Presence, Upstream};

/// What the bridge stands in front of.
#[derive(Debug, Clone)]
pub struct Reached {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// The way there.
    pub way: Way,
    /// The Home Assistant that the upstream is a part of, if its events are to be listened to.
    pub home_assistant: Option<Arc<HomeAssistant>>,
}

/// Finds the upstream, or starts the built-in house in its place.
///
/// # Errors
/// See [`StartError`].
pub async fn find_upstream(
    demo: bool,
    wanted: &config::Upstream,
) -> Result<(Reached, Option<(DemoHouse, Located)>), StartError> {
    if !demo {
        return Ok((find(wanted).await?, None));
    }
    let (house, located) = start_house().await?;
    Ok((at(located.clone(), wanted)?, Some((house, located))))
}

/// Finds the upstream.
///
/// # Errors
/// See [`StartError`].
pub(super) async fn find(wanted: &config::Upstream) -> Result<Reached, StartError> {
    let client = HttpClient::new(&wanted.http)?;
    at(locate(wanted.wish.clone(), &client).await?, wanted)
}

/// The upstream at that place; nothing was sent to it yet.
///
/// # Errors
/// [`StartError::Client`].
pub(super) fn at(located: Located, wanted: &config::Upstream) -> Result<Reached, StartError> {
    // Several addresses are several servers, of which one Home Assistant knows nothing.
    let home_assistant = if wanted.further_urls.is_empty() {
        HomeAssistant::at(&located, wanted.home_assistant, &wanted.http)?
    } else {
        None
    };
    let Located { url, token, way } = located;
    let further_urls = match way {
        // The token of the built-in house is for nobody else.
        Way::Demo => Vec::new(),
        _ => wanted.further_urls.clone(),
    };
    let upstream = Upstream::new(upstream::Settings {
        url,
        further_urls,
        token,
        max_answer: wanted.max_answer,
        http: wanted.http.clone(),
        pool: wanted.pool,
        insight: home_assistant.clone().map(|home| home as Arc<dyn Insight>),
    })?;
    Ok(Reached {
        upstream: Arc::new(upstream),
        way,
        home_assistant,
    })
}

async fn start_house() -> Result<(DemoHouse, Located), StartError> {
    let token = Token::generate().map_err(StartError::Demo)?;
    let settings = demo::Settings {
        token: Some(token.reveal().to_owned()),
        ..demo::Settings::default()
    };
    let house = DemoHouse::start(settings).await.map_err(StartError::Demo)?;
    let url =
        Url::parse(&house.url()).map_err(|error| StartError::Demo(std::io::Error::other(error)))?;
    let located = Located {
        url,
        token: Some(SecretString::from(token.reveal())),
        way: Way::Demo,
    };
    Ok((house, located))
}

/// Keeps the sessions with the upstream and listens to its Home Assistant, whichever is in force. A
/// long-lived task.
pub(super) async fn tend(
    mut reached: watch::Receiver<Reached>,
    dispatcher: Arc<Dispatcher>,
    stop: CancellationToken,
) {
    let mut keepers = FuturesUnordered::new();
    while !stop.is_cancelled() {
        let Reached {
            upstream,
            home_assistant,
            ..
        } = reached.borrow_and_update().clone();
        let retire = stop.child_token();
        let mut relaying = pin!(dispatcher.relay(upstream.ear()));
        let mut listening = pin!(listen(home_assistant.as_deref(), &dispatcher));
        keepers.push(keep(upstream, retire.clone()));
        loop {
            tokio::select! {
                () = listening.as_mut() => {}
                () = relaying.as_mut() => {}
                Some(()) = keepers.next() => {}
                Ok(()) = reached.changed() => break,
                () = stop.cancelled() => break,
            }
        }
        // What runs in its sessions goes on.
        retire.cancel();
        if let Some(home_assistant) = &home_assistant {
            home_assistant.forget();
        }
        // What was heard last came from the old one; nobody has told anything of the new one yet.
        dispatcher.changed(&Change::Disconnected);
        dispatcher.changed(&Change::Started);
        dispatcher.set_presence(Presence::Unknown);
    }
    while keepers.next().await.is_some() {}
}

async fn keep(upstream: Arc<Upstream>, retire: CancellationToken) {
    upstream.keep(retire).await;
}

/// Whether the last calls failed for troubles of the upstream, and none has succeeded since.
fn fails(dispatcher: &Dispatcher) -> bool {
    dispatcher.queue_figures().breaker.state != BreakerState::Closed
}

/// Passes on what happens in Home Assistant and looks after it, if there is any. Never ends.
async fn listen(home_assistant: Option<&HomeAssistant>, dispatcher: &Dispatcher) {
    match home_assistant {
        Some(home_assistant) => {
            let listening = home_assistant.listen(|news| report(dispatcher, news));
            let caring = home_assistant.look_after(|| fails(dispatcher));
            tokio::join!(listening, caring);
        }
        None => pending().await,
    }
}

/// Passes on what happens in Home Assistant to whom it concerns.
fn report(dispatcher: &Dispatcher, report: Report) {
    match report {
        Report::Presence(presence) => {
            match presence {
                Presence::Running => tracing::info!("Home Assistant is running"),
                Presence::Starting => tracing::info!("Home Assistant is starting"),
                Presence::Stopping => tracing::warn!("Home Assistant is stopping"),
                Presence::Gone => tracing::warn!("Home Assistant is gone"),
                Presence::Unknown => tracing::warn!("it is not known how Home Assistant is"),
            }
            match presence {
                Presence::Starting => dispatcher.changed(&Change::Starting),
                // Nobody tells when it has started: what is asked from now on is as good as any.
                Presence::Unknown => dispatcher.changed(&Change::Started),
                Presence::Running | Presence::Stopping | Presence::Gone => {}
            }
            dispatcher.set_presence(presence);
        }
        Report::Change(change) => {
            tracing::debug!(?change, "Home Assistant");
            dispatcher.changed(&change);
        }
        Report::Told(entity) => dispatcher.told(&entity),
    }
}
