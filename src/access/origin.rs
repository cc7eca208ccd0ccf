//! Host names and origins: keeps web pages from reaching into the network through a browser.
//!
//! In DNS rebinding a page's own domain suddenly points to an address in the local network; the
//! browser then takes the bridge for the page's own server. `Host` still names that domain, which
//! gives it away (MCP 2025-11-25, basic/transports, security warning).

use std::net::IpAddr;

use crate::error::{Code, Failure};

/// Endings of names that no stranger can register: reserved ones, and those that home routers use.
const PRIVATE_ENDINGS: [&str; 6] = [
    ".local",
    ".localhost",
    ".internal",
    ".home.arpa",
    ".lan",
    ".home",
];

/// Accepts addresses, names without a dot, names that exist only in private networks, and
/// `allowed`.
///
/// # Errors
/// [`Code::HostRefused`] for any other name. A request without a host comes from no browser.
pub fn check_host(host: Option<&str>, allowed: &[String]) -> Result<(), Failure> {
    let Some(host) = host else { return Ok(()) };
    let name = without_port(host)
        .trim_end_matches('.')
        .to_ascii_lowercase();
    let safe = name.parse::<IpAddr>().is_ok()
        || (!name.is_empty() && !name.contains('.'))
        || PRIVATE_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || allowed
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(&name));
    if safe {
        Ok(())
    } else {
        Err(Failure::with(Code::HostRefused, format_args!("{name:?}")))
    }
}

/// Accepts requests without an origin, from the bridge's own pages, and from `allowed`.
///
/// # Errors
/// [`Code::OriginRefused`] for any other, for `null`, and for more than one.
pub fn check_origin(
    origins: &[&str],
    host: Option<&str>,
    allowed: &[String],
) -> Result<(), Failure> {
    let refused = |origin: &str| {
        Err(Failure::with(
            Code::OriginRefused,
            format_args!("{origin:?}"),
        ))
    };
    match origins {
        [] => Ok(()),
        [origin] => {
            let own = origin.split_once("://").is_some_and(|(scheme, authority)| {
                matches!(scheme, "http" | "https")
                    && host.is_some_and(|host| host.eq_ignore_ascii_case(authority))
            });
            if own || is_listed(origin, allowed) {
                Ok(())
            } else {
                refused(origin)
            }
        }
        [first, ..] => refused(first),
    }
}

/// Whether `origin` is one of `allowed`, which may end with a slash.
pub(super) fn is_listed(origin: &str, allowed: &[String]) -> bool {
    allowed
        .iter()
        .any(|a| a.trim_end_matches('/').eq_ignore_ascii_case(origin))
}

/// The name or address in `host[:port]`, without the brackets of IPv6.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_and_private_names_are_hosts_of_the_bridge() {
        for host in [
            "192.168.1.10:8124",
            "[::1]:8124",
            "[fe80::1]",
            "localhost",
            "LOCALHOST:8124",
            "homeassistant:8124",
            "homeassistant.local.",
            "mcp-bridge.default.svc.cluster.local:80",
            "ha.home.arpa",
        ] {
            assert!(check_host(Some(host), &[]).is_ok(), "{host}");
        }
        assert!(check_host(None, &[]).is_ok());
    }

    #[test]
    fn public_names_are_refused_unless_they_are_allowed() {
        let allowed = ["bridge.example.org".to_owned()];
        for host in [
            "evil.example",
            "evil.example:8124",
            "192.168.1.10.nip.io",
            "",
            ":8124",
            "local.evil",
        ] {
            assert_eq!(
                check_host(Some(host), &allowed).unwrap_err().code,
                Code::HostRefused,
                "{host}"
            );
        }
        assert!(check_host(Some("Bridge.Example.org:443"), &allowed).is_ok());
    }

    #[test]
    fn pages_of_the_bridge_itself_and_allowed_ones_may_call() {
        let host = Some("192.168.1.10:8124");
        let allowed = ["https://chat.example.org/".to_owned()];
        assert!(check_origin(&[], host, &[]).is_ok());
        assert!(check_origin(&["http://192.168.1.10:8124"], host, &[]).is_ok());
        assert!(check_origin(&["https://chat.example.org"], host, &allowed).is_ok());
    }

    #[test]
    fn every_other_page_is_refused() {
        let host = Some("192.168.1.10:8124");
        for origins in [
            &["null"][..],
            &["http://evil.example"],
            &["http://192.168.1.10"],
            &["file://192.168.1.10:8124"],
            &["http://192.168.1.10:8124", "http://evil.example"],
            &[""],
        ] {
            assert!(check_origin(origins, host, &[]).is_err(), "{origins:?}");
        }
    }

    proptest! {
        #[test]
        fn hostile_hosts_never_panic(host in ".*", origin in ".*") {
            let _ = check_host(Some(&host), &[]);
            let _ = check_origin(&[&origin], Some(&host), &[]);
        }
    }
}
