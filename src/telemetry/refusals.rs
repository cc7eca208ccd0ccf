//! Requests that were not let in, gathered: the same mistake of the same address is one row.

use core::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Code;

/// Rows that are kept; the one that was seen least recently gives way.
const CAPACITY: usize = 50;

/// One mistake of one address.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Refusal {
    /// From where the requests came.
    #[schemars(with = "Option<String>")]
    pub address: Option<IpAddr>,
    /// The code of the catalogue.
    pub code: &'static str,
    /// What is wrong, in English.
    pub title: &'static str,
    /// What can be done about it, in English.
    pub fix: &'static str,
    /// The program that sent them, as it calls itself (`User-Agent`).
    pub program: Option<String>,
    /// How many there were.
    pub times: u64,
    /// When the last one came, in milliseconds since 1970.
    pub last: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<Refusal>);

impl Refusals {
    /// Notes one.
    pub(super) fn add(
        &mut self,
        now: u64,
        address: Option<IpAddr>,
        code: Code,
        program: Option<String>,
    ) {
        let entry = code.entry();
        let same = |row: &&mut Refusal| row.address == address && row.code == entry.name;
        if let Some(row) = self.0.iter_mut().find(same) {
            row.times += 1;
            row.last = now;
            row.program = program;
            return;
        }
        if self.0.len() == CAPACITY
            && let Some(stalest) = (0..CAPACITY).min_by_key(|&n| self.0[n].last)
        {
            self.0.swap_remove(stalest);
        }
        self.0.push(Refusal {
            address,
            code: entry.name,
            title: entry.title,
            fix: entry.fix,
            program,
            times: 1,
            last: now,
        });
    }

    /// All since that moment, the latest first.
    pub(super) fn since(&self, moment: u64) -> Vec<Refusal> {
        let mut rows: Vec<_> = self.0.iter().filter(|row| row.last >= moment).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.last));
        rows.into_iter().cloned().collect()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const fn address(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(192, 168, 1, last))
    }

    fn add(refusals: &mut Refusals, now: u64, last: u8, code: Code, program: Option<&str>) {
        refusals.add(now, Some(address(last)), code, program.map(str::to_owned));
    }

    #[test]
    fn the_same_mistake_of_the_same_address_is_one_row() {
        let mut refusals = Refusals::default();
        add(&mut refusals, 1, 4, Code::TokenUnknown, None);
        add(&mut refusals, 2, 4, Code::TokenMissing, None);
        add(&mut refusals, 3, 4, Code::TokenUnknown, Some("n8n"));
        let rows = refusals.since(0);
        let told: Vec<_> = rows
            .iter()
            .map(|row| (row.code, row.times, row.last))
            .collect();
        assert_eq!(told, [("token_unknown", 2, 3), ("token_missing", 1, 2)]);
        assert_eq!(rows[0].program.as_deref(), Some("n8n"));
        assert_eq!(refusals.since(3).len(), 1);
        refusals.clear();
        assert_eq!(refusals.since(0).len(), 0);
    }

    #[test]
    fn rows_are_bounded_and_the_stalest_gives_way() {
        let mut refusals = Refusals::default();
        for n in 0..=CAPACITY {
            let last = u8::try_from(n).unwrap();
            add(&mut refusals, n as u64, last, Code::TokenUnknown, None);
        }
        let rows = refusals.since(0);
        assert_eq!(rows.len(), CAPACITY);
        assert!(rows.iter().all(|row| row.address != Some(address(0))));
    }
}
