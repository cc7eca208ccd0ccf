//! What the pool shows of itself.

use super::Pool;
use super::address::Address;
use super::member::Standing;

/// Figures of a pool, for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Figures {
    /// Members now, those that are being opened included.
    pub members: usize,
    /// Calls at them now.
    pub outstanding: usize,
    /// Members that were opened, ever.
    pub created: u64,
    /// Members that broke and were taken out, ever.
    pub replaced: u64,
    /// Sessions that were closed because they were idle, ever.
    pub reaped: u64,
}

/// Figures of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct AddressFigures {
    /// Whether it answered when it was last needed. A fresh one has the benefit of the doubt.
    pub healthy: bool,
    /// Members there now.
    pub members: usize,
    /// Calls there now.
    pub outstanding: usize,
}

impl<T: Clone> Pool<T> {
    /// Whether an address is not in trouble.
    pub fn is_healthy(&self) -> bool {
        let mut addresses = self.addresses.iter();
        addresses.any(|address| address.trouble.is_none())
    }

    /// Whether a server has sessions, as far as one was greeted.
    pub fn has_sessions(&self) -> bool {
        self.addresses.iter().any(|address| address.has_sessions)
    }

    /// The figures now.
    pub fn figures(&self) -> Figures {
        Figures {
            members: self.count(|_, member| member.standing != Standing::Retired),
            outstanding: self.addresses.iter().map(|a| a.outstanding).sum(),
            created: self.created,
            replaced: self.replaced,
            reaped: self.reaped,
        }
    }

    /// The figures of each address now.
    pub fn address_figures(&self) -> Vec<AddressFigures> {
        let figures = |(at, address): (usize, &Address)| AddressFigures {
            healthy: address.trouble.is_none(),
            members: self.members_at(at),
            outstanding: address.outstanding,
        };
        self.addresses.iter().enumerate().map(figures).collect()
    }
}
