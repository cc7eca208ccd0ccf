//! The connections of each address, so that no single peer takes all there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// How many connections there are, and how many each address has, IPv4 written as such.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers {
    by_address: Arc<Mutex<HashMap<IpAddr, Peer>>>,
    total: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Peer {
    connections: usize,
    warned: bool,
}

impl Peers {
    /// Waits until there are fewer than `most` connections.
    pub(super) async fn until_fewer_than(&self, most: usize) {
        // It cannot fail: `self` holds the other end.
        let _ = self.total.subscribe().wait_for(|total| *total < most).await;
    }

    /// Takes one of the `most` places of an address, if there is one left.
    pub(super) fn admit(&self, address: IpAddr, most: usize) -> Option<Place> {
        let mut peers = self.lock();
        let peer = peers.entry(address).or_default();
        if peer.connections >= most {
            // Once, so that a flood of connections is no flood of lines.
            if !std::mem::replace(&mut peer.warned, true) {
                tracing::warn!(
                    %address,
                    connections = most,
                    "an address has all its connections (`limits.connections_per_address`); more are closed"
                );
            }
            return None;
        }
        peer.connections += 1;
        drop(peers);
        self.total.send_modify(|total| *total += 1);
        let peers = self.clone();
        Some(Place { peers, address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Peer>> {
        self.by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of an address's places; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = self.peers.lock();
        if let Some(peer) = peers.get_mut(&self.address) {
            peer.connections -= 1;
            if peer.connections == 0 {
                peers.remove(&self.address);
            }
        }
        drop(peers);
        self.peers.total.send_modify(|total| *total -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_connections_leaves_nothing_behind() {
        let peers = Peers::default();
        let places = ["::1", "127.0.0.1", "127.0.0.1"]
            .map(|address| peers.admit(address.parse().unwrap(), 2).unwrap());
        assert_eq!(peers.lock().len(), 2);
        assert!(peers.admit("127.0.0.1".parse().unwrap(), 2).is_none());
        drop(places);
        assert!(peers.lock().is_empty());
    }
}
