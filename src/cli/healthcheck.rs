//! `mcp-bridge healthcheck`: is the bridge on this machine alive, and does it take calls?

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use http::HeaderMap;
use url::Url;

use crate::config::{self, Environment, Flags};
use crate::upstream::http_client::{self, HttpClient};

/// Asks `/health/live` on the listener for clients, or `/health/ready`.
///
/// # Errors
/// When it does not answer, or not with success; when nothing says where it listens.
pub(super) fn run(flags: &Flags, ready: bool) -> anyhow::Result<()> {
    let state = if ready { "ready" } else { "live" };
    let address = reachable(config::listen(flags, &Environment::of_process())?);
    let url = Url::parse(&format!("http://{address}/health/{state}"))?;
    let patience = Duration::from_secs(3);
    let client = HttpClient::new(&http_client::Settings {
        connect_timeout: patience,
        response_timeout: patience,
        verify_tls: true,
    })?;
    let answer = super::block_on(client.get(&url, HeaderMap::new()))?;
    let status = answer.with_context(|| format!("{url}"))?.status();
    anyhow::ensure!(status == 200, "{url} answered {status}");
    super::say(state);
    Ok(())
}

/// An address that listens everywhere is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
