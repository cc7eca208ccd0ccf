//! The pool: which member a call takes, and what must be done to keep the members sound. A state
//! machine without clock, task or lock.
//!
//! A member is a session at one of the upstream's addresses. Where the server has no sessions it is
//! the mere fact that it was greeted, and one an address is enough for any number of calls. Whoever
//! drives the pool passes time and random numbers in, carries its decisions out, and reports how
//! they ended. `T` is what it takes to use a member; the pool only keeps it.

mod address;
mod figures;
mod member;
#[cfg(test)]
mod tests;
mod upkeep;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use address::Address;
pub use figures::{AddressFigures, Figures};
use member::{Member, Standing};

/// The bounds of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Members at the same time; each address may have one in any case.
    pub max_members: usize,
    /// How long a session may be idle before it is closed, unless it is the last of its address.
    pub idle_timeout: Duration,
    /// How long a session may be idle before it is asked whether it is still there.
    pub health_interval: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_members: 8,
            idle_timeout: Duration::from_mins(5),
            health_interval: Duration::from_secs(30),
        }
    }
}

/// The name of a member; it is not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId {
    serial: u64,
    address: usize,
}

impl MemberId {
    /// The place of its address in the list of addresses.
    pub const fn address(self) -> usize {
        self.address
    }
}

/// What a call is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<T> {
    /// Use this member, and [`release`](Pool::release) it afterwards.
    Use(MemberId, T),
    /// Open this member, then ask again.
    Open(MemberId),
    /// Wait for this member, which somebody else opens, then ask again.
    Join(MemberId),
}

/// What is to be done for the pool itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work<T> {
    /// Open this member.
    Open(MemberId),
    /// Ask this session whether it is still there; see [`checked`](Pool::checked).
    Check(MemberId, T),
    /// Close this session. It is no member any more.
    Close(MemberId, T),
}

/// How a call, a check or an opening ended, as far as it concerns the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With an answer.
    Answered,
    /// The server does not know the session.
    Forgotten,
    /// In a way that makes it doubtful whether the server still knows the session.
    Suspect,
    /// There was no connection.
    Unreachable,
    /// The connection broke, or the server says that it does not serve now.
    Broken,
    /// In a way that says nothing about the member, such as a caller that left.
    Unclear,
}

/// The state of the pool.
#[derive(Debug)]
pub struct Pool<T> {
    settings: Settings,
    addresses: Vec<Address>,
    members: BTreeMap<MemberId, Member<T>>,
    next: u64,
    stopping: bool,
    created: u64,
    replaced: u64,
    reaped: u64,
}

impl<T: Clone> Pool<T> {
    /// A pool without members, over so many addresses.
    pub fn new(settings: Settings, addresses: usize) -> Self {
        Self {
            settings,
            addresses: (0..addresses).map(|_| Address::default()).collect(),
            members: BTreeMap::new(),
            next: 0,
            stopping: false,
            created: 0,
            replaced: 0,
            reaped: 0,
        }
    }

    /// The member for a call that has tried some addresses in vain. Addresses in trouble come last;
    /// among sound members the less loaded of two random ones is taken. Nothing only if every
    /// address was tried.
    pub fn choose(&mut self, tried: &[usize], now: Instant, random: u64) -> Option<Choice<T>> {
        let mut dice = Dice(random);
        let left = (0..self.addresses.len()).filter(|address| !tried.contains(address));
        let (healthy, troubled): (Vec<_>, _) =
            left.partition(|address| self.addresses[*address].trouble.is_none());
        self.choose_among(&healthy, now, &mut dice)
            .or_else(|| self.choose_among(&troubled, now, &mut dice))
    }

    fn choose_among(
        &mut self,
        addresses: &[usize],
        now: Instant,
        dice: &mut Dice,
    ) -> Option<Choice<T>> {
        let standing = |standing| {
            let at = self.members.iter().filter(move |(id, member)| {
                member.standing == standing && addresses.contains(&id.address)
            });
            at.map(|(id, _)| *id).collect::<Vec<_>>()
        };
        if let Some(id) = self.less_loaded(&standing(Standing::Sound), dice) {
            return self.take(id);
        }
        if let Some(id) = standing(Standing::Opening).first() {
            return Some(Choice::Join(*id));
        }
        let doubtful = standing(Standing::Doubtful);
        if let Some(address) = self.place_to_open(addresses, dice) {
            return Some(Choice::Open(self.open(address, now)));
        }
        self.less_loaded(&doubtful, dice)
            .and_then(|id| self.take(id))
    }

    /// The better of two random ones. Where both are as good, the older one of an address is: so
    /// the younger ones become idle and can go.
    fn less_loaded(&self, members: &[MemberId], dice: &mut Dice) -> Option<MemberId> {
        let (&any, others) = members.split_first()?;
        if others.is_empty() {
            return Some(any);
        }
        let first = dice.below(members.len());
        let second = (first + 1 + dice.below(others.len())) % members.len();
        let (first, second) = (members[first], members[second]);
        let load = |id| self.members.get(id).map(|member| member.outstanding);
        let is_better = match load(&second).cmp(&load(&first)) {
            Ordering::Equal => second.address == first.address && second < first,
            order => order.is_lt(),
        };
        Some(if is_better { second } else { first })
    }

    fn take(&mut self, id: MemberId) -> Option<Choice<T>> {
        let member = self.members.get_mut(&id)?;
        let handle = member.handle.clone()?;
        member.outstanding += 1;
        self.addresses[id.address].outstanding += 1;
        Some(Choice::Use(id, handle))
    }

    /// Where another member may be opened: at the address whose trouble is the nearest to its end,
    /// then at the one with the fewest members, then at any.
    fn place_to_open(&self, addresses: &[usize], dice: &mut Dice) -> Option<usize> {
        let start = dice.below(addresses.len());
        let (before, after) = addresses.split_at(start);
        let in_turn = after.iter().chain(before).copied();
        in_turn
            .filter(|address| self.has_room(*address))
            .min_by_key(|address| {
                let trouble = self.addresses[*address].trouble.until();
                (trouble, self.members_at(*address))
            })
    }

    /// Whether there may be one more member at an address. An address that has none has its place
    /// kept for it.
    fn has_room(&self, address: usize) -> bool {
        let most = self.settings.max_members.max(self.addresses.len());
        let taken: usize = (0..self.addresses.len())
            .map(|address| self.members_at(address).max(1))
            .sum();
        self.members_at(address) == 0 || taken < most
    }

    fn members_at(&self, address: usize) -> usize {
        self.count(|id, member| id.address == address && member.standing != Standing::Retired)
    }

    fn count(&self, which: impl Fn(&MemberId, &Member<T>) -> bool) -> usize {
        let members = self.members.iter();
        members.filter(|(id, member)| which(id, member)).count()
    }

    fn open(&mut self, address: usize, now: Instant) -> MemberId {
        let serial = self.next;
        self.next += 1;
        let id = MemberId { serial, address };
        self.members.insert(id, Member::new(now));
        id
    }

    /// The server was greeted: the member can be used.
    pub fn opened(&mut self, id: MemberId, handle: T, is_session: bool, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        member.standing = Standing::Sound;
        member.handle = Some(handle);
        member.is_session = is_session;
        (member.idle_since, member.seen) = (now, now);
        let address = &mut self.addresses[id.address];
        address.has_sessions = is_session;
        address.trouble.clear();
        address.growth.clear();
        self.created += 1;
    }

    /// The server could not be greeted.
    pub fn not_opened(&mut self, id: MemberId, outcome: Outcome, now: Instant, random: u64) {
        if self.members.remove(&id).is_none() {
            return;
        }
        let others =
            self.count(|other, m| other.address == id.address && m.standing == Standing::Sound);
        if outcome == Outcome::Unreachable {
            self.doubt_all(id.address);
        }
        let address = &mut self.addresses[id.address];
        // A server that refuses one more session may be well otherwise.
        if others > 0 && outcome != Outcome::Unreachable {
            address.growth.fail(now, random);
        } else {
            address.trouble.fail(now, random);
        }
    }

    /// A call at a member is over.
    pub fn release(&mut self, id: MemberId, outcome: Outcome, now: Instant, random: u64) {
        let address = &mut self.addresses[id.address];
        address.outstanding = address.outstanding.saturating_sub(1);
        if let Some(member) = self.members.get_mut(&id) {
            member.outstanding = member.outstanding.saturating_sub(1);
            if member.outstanding == 0 {
                member.idle_since = now;
            }
            self.learn(id, outcome, now, random);
        }
    }

    fn learn(&mut self, id: MemberId, outcome: Outcome, now: Instant, random: u64) {
        match outcome {
            Outcome::Unclear => {}
            Outcome::Answered => {
                if let Some(member) = self.members.get_mut(&id) {
                    member.seen = now;
                    if member.standing == Standing::Doubtful {
                        member.standing = Standing::Sound;
                    }
                }
                self.addresses[id.address].trouble.clear();
            }
            Outcome::Forgotten => {
                self.take_out(id);
                // A server that forgot one session has mostly been started anew.
                self.doubt_all(id.address);
            }
            Outcome::Suspect => self.doubt(id),
            Outcome::Unreachable => {
                self.doubt_all(id.address);
                self.addresses[id.address].trouble.fail(now, random);
            }
            Outcome::Broken => {
                self.doubt(id);
                self.addresses[id.address].trouble.fail(now, random);
            }
        }
    }

    fn doubt_all(&mut self, address: usize) {
        let ids: Vec<_> = self.members.keys().copied().collect();
        for id in ids.into_iter().filter(|id| id.address == address) {
            self.doubt(id);
        }
    }

    /// A session may have survived, and is checked. Where there are none, greeting anew costs as
    /// little as a check, and tells more: the server may be another one now.
    fn doubt(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id)
            && member.standing == Standing::Sound
        {
            if member.is_session {
                member.standing = Standing::Doubtful;
            } else {
                self.take_out(id);
            }
        }
    }

    fn take_out(&mut self, id: MemberId) {
        if let Some(member) = self.members.remove(&id)
            && member.standing != Standing::Retired
        {
            self.replaced += 1;
        }
    }
}

/// Several small random numbers out of a large one.
struct Dice(u64);

impl Dice {
    /// A number below `n`, 0 if there is none.
    fn below(&mut self, n: usize) -> usize {
        let n = u64::try_from(n).unwrap_or(u64::MAX).max(1);
        let number = self.0 % n;
        self.0 /= n;
        usize::try_from(number).unwrap_or(0)
    }
}
