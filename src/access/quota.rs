//! How often calls may come: of each client, to tools of a pattern, and of all clients together.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use wildmatch::WildMatch;

use super::client::Client;
use crate::resilience::rate::{Rate, Standing, Usage};

/// The rates; what has none is not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of all clients together.
    pub total: Option<Rate>,
    /// Of each client that has none of its own.
    pub client: Option<Rate>,
    /// Of each client, to all tools together whose name fits.
    pub tools: Vec<(String, Rate)>,
}

/// A pattern of tools, with its rate.
#[derive(Debug)]
struct Tools {
    pattern: WildMatch,
    rate: Rate,
}

/// More keys than that are looked through for such as no longer count.
const MANY: usize = 4096;

/// How much of each rate is used up.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    total: Option<Rate>,
    client: Option<Rate>,
    tools: Vec<Tools>,
    used: HashMap<Key, Usage>,
}

/// What is counted by itself. A tool's name comes from outside and is no key; its pattern is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Total,
    Client(String),
    Tools(String, usize),
}

/// A call that came too early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooOften {
    pub(super) rate: Rate,
    /// What the rate is for, in words.
    pub(super) scope: &'static str,
    pub(super) wait: Duration,
}

impl Quotas {
    pub(super) fn new(rates: &Rates) -> Self {
        let tools = rates.tools.iter().map(|(pattern, rate)| Tools {
            pattern: WildMatch::new_case_insensitive(pattern),
            rate: *rate,
        });
        Self {
            total: rates.total,
            client: rates.client,
            tools: tools.collect(),
            used: HashMap::new(),
        }
    }

    /// Counts a call; one that comes too early for any of its rates counts for none.
    pub(super) fn count(
        &mut self,
        client: &Client,
        tool: Option<&str>,
        now: Instant,
    ) -> Result<(), TooOften> {
        let mut after = Vec::new();
        for (key, rate, scope) in self.rates_of(client, tool) {
            match self.usage(&key).with_one_more(rate, now) {
                Ok(usage) => after.push((key, usage)),
                Err(wait) => return Err(TooOften { rate, scope, wait }),
            }
        }
        self.used.extend(after);
        if self.used.len() > MANY {
            self.used.retain(|_, usage| !usage.is_over(now));
        }
        Ok(())
    }

    /// The rate that leaves least to such a call.
    pub(super) fn standing(
        &self,
        client: &Client,
        tool: Option<&str>,
        now: Instant,
    ) -> Option<Standing> {
        let rates = self.rates_of(client, tool).into_iter();
        let standings = rates.map(|(key, rate, _)| self.usage(&key).standing(rate, now));
        standings.min_by_key(|standing| standing.remaining)
    }

    fn usage(&self, key: &Key) -> Usage {
        self.used.get(key).copied().unwrap_or_default()
    }

    fn rates_of(&self, client: &Client, tool: Option<&str>) -> Vec<(Key, Rate, &'static str)> {
        let name = &client.name;
        let own = client.terms.rate.or(self.client);
        let own = own.map(|rate| (Key::Client(name.clone()), rate, "this client"));
        let total = self
            .total
            .map(|rate| (Key::Total, rate, "all clients together"));
        let fitting = self
            .tools
            .iter()
            .enumerate()
            .filter(|(_, tools)| tool.is_some_and(|tool| tools.pattern.matches(tool)));
        let fitting = fitting.map(|(n, tools)| {
            let key = Key::Tools(name.clone(), n);
            (key, tools.rate, "this client and such tools")
        });
        own.into_iter().chain(fitting).chain(total).collect()
    }
}

/// Whether calls of this method are counted: not those that clients make to find their way, and
/// which cost Home Assistant nothing.
pub(super) fn is_counted(method: &str) -> bool {
    let finds_its_way = matches!(
        method,
        "initialize" | "ping" | "server/discover" | "logging/setLevel"
    );
    let subscribes = method.ends_with("subscribe") || method == "subscriptions/listen";
    !(finds_its_way
        || subscribes
        || method.ends_with("/list")
        || method.starts_with("notifications/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Terms;

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn client(name: &str, rate: Option<&str>) -> Client {
        Client {
            name: name.to_owned(),
            terms: Terms {
                rate: rate.map(|rate| rate.parse().unwrap()),
                ..Terms::default()
            },
            ..Client::anyone()
        }
    }

    fn rate(text: &str) -> Rate {
        text.parse().unwrap()
    }

    /// How many of these calls are let in at once.
    fn let_in(quotas: &mut Quotas, client: &Client, tool: &str, now: Instant) -> usize {
        (0..100)
            .take_while(|_| quotas.count(client, Some(tool), now).is_ok())
            .count()
    }

    #[test]
    fn without_rates_nothing_is_counted() {
        let (mut quotas, now) = (Quotas::default(), now());
        let client = client("a", None);
        assert_eq!(let_in(&mut quotas, &client, "x", now), 100);
        assert!(quotas.used.is_empty());
        assert_eq!(quotas.standing(&client, Some("x"), now), None);
    }

    #[test]
    fn each_client_has_its_own_share_and_its_own_rate_goes_first() {
        let rates = Rates {
            client: Some(rate("5/min")),
            ..Rates::default()
        };
        let (mut quotas, now) = (Quotas::new(&rates), now());
        let special = client("c", Some("10/min"));
        for (client, calls) in [
            (client("a", None), 5),
            (client("b", None), 5),
            (special, 10),
        ] {
            assert_eq!(let_in(&mut quotas, &client, "x", now), calls);
            let standing = quotas.standing(&client, Some("x"), now).unwrap();
            assert_eq!((standing.remaining, standing.reset.as_secs()), (0, 60));
        }
    }

    #[test]
    fn tools_of_one_pattern_share_a_rate_and_other_tools_do_not() {
        let rates = Rates {
            tools: vec![("*lock*".to_owned(), rate("2/h"))],
            ..Rates::default()
        };
        let (mut quotas, now) = (Quotas::new(&rates), now());
        let client = client("a", None);
        assert_eq!(let_in(&mut quotas, &client, "HassUnlock", now), 2);
        assert_eq!(let_in(&mut quotas, &client, "lock_door", now), 0);
        assert_eq!(let_in(&mut quotas, &client, "HassTurnOn", now), 100);
        assert_eq!(quotas.used.len(), 1);
    }

    #[test]
    fn a_call_that_is_refused_uses_nothing_up() {
        let rates = Rates {
            total: Some(rate("3/min")),
            client: Some(rate("2/min")),
            ..Rates::default()
        };
        let (mut quotas, now) = (Quotas::new(&rates), now());
        assert_eq!(let_in(&mut quotas, &client("a", None), "x", now), 2);
        let refused = quotas.count(&client("a", None), None, now).unwrap_err();
        assert_eq!((refused.scope, refused.wait.as_secs()), ("this client", 30));
        assert_eq!(let_in(&mut quotas, &client("b", None), "x", now), 1);
        let refused = quotas.count(&client("c", None), None, now).unwrap_err();
        assert_eq!(refused.scope, "all clients together");
    }

    #[test]
    fn what_no_longer_counts_takes_no_memory() {
        let rates = Rates {
            client: Some(rate("1/s")),
            ..Rates::default()
        };
        let (mut quotas, start) = (Quotas::new(&rates), now());
        for n in 0..3 * u32::try_from(MANY).unwrap() {
            let now = start + n * Duration::from_millis(1);
            quotas
                .count(&client(&n.to_string(), None), None, now)
                .unwrap();
        }
        assert!(quotas.used.len() <= MANY + 1, "{}", quotas.used.len());
    }

    #[test]
    fn only_what_reaches_the_house_is_counted() {
        for method in [
            "tools/call",
            "prompts/get",
            "resources/read",
            "something/new",
        ] {
            assert!(is_counted(method), "{method}");
        }
        for method in [
            "initialize",
            "tools/list",
            "resources/templates/list",
            "ping",
            "server/discover",
            "notifications/cancelled",
            "resources/subscribe",
            "resources/unsubscribe",
        ] {
            assert!(!is_counted(method), "{method}");
        }
    }
}
