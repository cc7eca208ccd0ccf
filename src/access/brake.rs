//! The brake on wrong tokens: an address that sends too many of them is told to wait.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use tokio::time::Instant;

/// How much an address may try.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Wrong tokens that it may send within the window.
    pub wrong_tokens: u32,
    /// How long they count, from the first of them.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wrong_tokens: 20,
            window: Duration::from_mins(15),
        }
    }
}

/// Addresses that are remembered, so that a flood of them does not grow the memory.
const MAX_ADDRESSES: usize = 4096;

/// Who failed how often. Whoever takes many addresses is forgotten sooner, which gains nothing: no
/// number of attempts finds a token. The brake spares the log and the machine.
#[derive(Debug, Default)]
pub(super) struct Brake {
    settings: Settings,
    failures: HashMap<IpAddr, Failures>,
    /// The addresses by the time of their first failure.
    oldest: VecDeque<IpAddr>,
}

#[derive(Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

/// What becomes of an address that has failed once more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may go on trying.
    Bearable,
    /// It has to wait.
    Braked {
        /// For so long.
        wait: Duration,
        /// Whether it is the first time that it is told so.
        first: bool,
    },
}

impl Brake {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            ..Self::default()
        }
    }

    /// Other settings from now on, also for the wrong tokens that were counted already.
    pub(super) const fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// How long an address still has to wait, if it has sent too many.
    pub(super) fn wait(&mut self, address: IpAddr, now: Instant) -> Option<Duration> {
        self.forget(now);
        let failures = self.failures.get(&prefix(address))?;
        let end = failures.since + self.settings.window;
        let braked = failures.count > self.settings.wrong_tokens;
        braked.then(|| end.saturating_duration_since(now))
    }

    /// Counts a wrong token.
    pub(super) fn fail(&mut self, address: IpAddr, now: Instant) -> Verdict {
        self.forget(now);
        let Settings {
            wrong_tokens,
            window,
        } = self.settings;
        let address = prefix(address);
        let failures = self.failures.entry(address).or_insert_with(|| {
            self.oldest.push_back(address);
            Failures {
                since: now,
                count: 0,
            }
        });
        failures.count = failures.count.saturating_add(1);
        if failures.count <= wrong_tokens {
            return Verdict::Bearable;
        }
        Verdict::Braked {
            wait: (failures.since + window).saturating_duration_since(now),
            first: failures.count - 1 == wrong_tokens,
        }
    }

    /// Forgets what no longer counts, and the oldest if there is no room.
    fn forget(&mut self, now: Instant) {
        while let Some(address) = self.oldest.front() {
            let over = |failures: &Failures| failures.since + self.settings.window <= now;
            let full = self.oldest.len() >= MAX_ADDRESSES;
            if !full && !self.failures.get(address).is_none_or(over) {
                return;
            }
            self.failures.remove(address);
            self.oldest.pop_front();
        }
    }
}

/// What stands for one sender: an IPv4 address, or the 64 bits that a network is given in IPv6, of
/// which each of its machines has as many addresses as it likes.
fn prefix(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail_often(brake: &mut Brake, address: &str, times: u32, now: Instant) -> Verdict {
        let address = address.parse().unwrap();
        let mut fail = |_| brake.fail(address, now);
        (0..times).map(&mut fail).last().unwrap()
    }

    #[test]
    fn after_twenty_failures_an_address_waits_until_the_first_of_them_is_a_quarter_of_an_hour_old()
    {
        let (mut brake, start) = (Brake::default(), Instant::now());
        let later = start + Duration::from_mins(5);
        assert_eq!(
            fail_often(&mut brake, "10.0.0.1", 1, start),
            Verdict::Bearable
        );
        assert_eq!(
            fail_often(&mut brake, "10.0.0.1", 19, later),
            Verdict::Bearable
        );
        let wait = Duration::from_mins(10);
        let braked = |first| Verdict::Braked { wait, first };
        assert_eq!(fail_often(&mut brake, "10.0.0.1", 1, later), braked(true));
        assert_eq!(fail_often(&mut brake, "10.0.0.1", 1, later), braked(false));
        assert_eq!(
            fail_often(&mut brake, "10.0.0.2", 20, later),
            Verdict::Bearable
        );
        let over = start + Settings::default().window;
        assert_eq!(
            fail_often(&mut brake, "10.0.0.1", 20, over),
            Verdict::Bearable
        );
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_ipv4_in_ipv6_is_ipv4() {
        let (mut brake, now) = (Brake::default(), Instant::now());
        for (one, other, same) in [
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("::ffff:10.0.0.3", "::ffff:10.0.0.4", false),
        ] {
            fail_often(&mut brake, one, 20, now);
            let braked = fail_often(&mut brake, other, 1, now) != Verdict::Bearable;
            assert_eq!(braked, same, "{one} {other}");
        }
    }

    #[test]
    fn a_flood_of_addresses_does_not_grow_the_memory() {
        let (mut brake, now) = (Brake::default(), Instant::now());
        for n in 0..3 * u32::try_from(MAX_ADDRESSES).unwrap() {
            brake.fail(IpAddr::V4(n.into()), now);
        }
        assert_eq!(brake.failures.len(), MAX_ADDRESSES);
        assert_eq!(brake.oldest.len(), MAX_ADDRESSES);
        brake.fail(
            "10.0.0.1".parse().unwrap(),
            now + Settings::default().window,
        );
        assert_eq!((brake.failures.len(), brake.oldest.len()), (1, 1));
    }
}
