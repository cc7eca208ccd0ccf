//! Networks: where requests may come from, and who sent what a proxy hands on.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

/// Networks that strangers cannot send from: private use (RFC 1918, RFC 4193), link-local, loopback.
const PRIVATE: [&str; 8] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
];

/// Reads `192.168.1.0/24`, `fd00::/8`, or a single address.
pub fn parse_network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let network = text.parse().ok();
    let network = network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    network.map(|network: IpNet| network.trunc())
}

/// Reads a network as [`parse_network`] does, or one of the words `private` and `any`.
pub fn parse_networks(text: &str) -> Option<Vec<IpNet>> {
    match text.trim() {
        "private" => PRIVATE.iter().copied().map(parse_network).collect(),
        "any" => ["0.0.0.0/0", "::/0"]
            .into_iter()
            .map(parse_network)
            .collect(),
        network => parse_network(network).map(|network| vec![network]),
    }
}

/// Whether one of the networks has the address.
pub(super) fn contain(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

/// Reads networks of a file or message, to be named in `#[serde(deserialize_with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<IpNet>, D::Error> {
    let texts = Vec::<String>::deserialize(d)?;
    let network = |text: &String| {
        parse_network(text).ok_or_else(|| {
            let why = format!("{text:?} is no network; write it like 192.168.1.0/24");
            serde::de::Error::custom(why)
        })
    };
    texts.iter().map(network).collect()
}

/// Who sent a request that came from `peer` with these `X-Forwarded-For` headers: each trusted
/// proxy is believed who came to it, and whatever a stranger wrote before that is not.
pub(super) fn sender(peer: IpAddr, forwarded_for: &[&str], trusted_proxies: &[IpNet]) -> IpAddr {
    let mut sender = peer.to_canonical();
    let mut hops = forwarded_for
        .iter()
        .rev()
        .flat_map(|header| header.rsplit(','));
    while contain(trusted_proxies, sender) {
        match hops.next().and_then(hop) {
            Some(hop) => sender = hop,
            None => break,
        }
    }
    sender
}

/// An address as proxies write it, some of them with a port.
fn hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|at: SocketAddr| at.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn private_networks_are_those_that_strangers_cannot_send_from() {
        let private = parse_networks("private").unwrap();
        for (address, is_private) in [
            ("192.168.1.20", true),
            ("172.31.255.1", true),
            ("172.32.0.1", false),
            ("10.1.2.3", true),
            ("169.254.7.7", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("fd12::1", true),
            ("fe80::1", true),
            ("::ffff:192.168.1.20", true),
            ("::ffff:8.8.8.8", false),
            ("8.8.8.8", false),
            ("100.64.0.1", false),
            ("0.0.0.0", false),
            ("2001:db8::1", false),
        ] {
            let contained = contain(&private, address.parse().unwrap());
            assert_eq!(contained, is_private, "{address}");
        }
    }

    #[test]
    fn networks_are_read_with_and_without_a_length() {
        for (text, network) in [
            ("192.168.1.77/24", "192.168.1.0/24"),
            (" 192.168.1.7 ", "192.168.1.7/32"),
            ("fd00::1", "fd00::1/128"),
        ] {
            assert_eq!(parse_network(text).unwrap().to_string(), network);
        }
        for text in ["", "private", "192.168.1", "192.168.1.0/33", "a.example"] {
            assert_eq!(parse_network(text), None, "{text}");
        }
        assert_eq!(parse_networks("any").unwrap().len(), 2);
        assert_eq!(parse_networks("everywhere"), None);
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted = [parse_network("10.0.0.0/24").unwrap()];
        for (peer, headers, expected) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5"], "203.0.113.5"),
            ("10.0.0.1", &["1.1.1.1, 203.0.113.5"], "203.0.113.5"),
            (
                "10.0.0.1",
                &["1.1.1.1", "203.0.113.5, 10.0.0.2"],
                "203.0.113.5",
            ),
            ("10.0.0.1", &["203.0.113.5:4711"], "203.0.113.5"),
            ("10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.5,"], "10.0.0.1"),
            ("::ffff:10.0.0.1", &["::ffff:203.0.113.5"], "203.0.113.5"),
            ("192.168.1.9", &["127.0.0.1"], "192.168.1.9"),
        ] {
            let found = sender(peer.parse().unwrap(), headers, &trusted);
            assert_eq!(found.to_string(), expected, "{peer} {headers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_moves_a_peer_that_is_not_trusted(header in ".*", peer: std::net::Ipv4Addr) {
            let trusted = [parse_network("10.0.0.1").unwrap()];
            let peer = IpAddr::V4(peer);
            prop_assume!(!contain(&trusted, peer));
            prop_assert_eq!(sender(peer, &[&header], &trusted), peer);
        }
    }
}
