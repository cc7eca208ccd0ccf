//! What is to be done for the pool without a call that waits for it: growing, checking, closing.

use std::time::Instant;

use super::member::{Member, Standing};
use super::{MemberId, Outcome, Pool, Settings, Work};

/// Something that is due at some time.
#[derive(Debug, Clone, Copy)]
enum Task {
    Open(usize),
    Check(MemberId),
    Reap(MemberId),
    Close(MemberId),
}

impl<T: Clone> Pool<T> {
    /// The next piece of work that is due. To be asked until it says `None`, after every change and
    /// at [`Pool::next_due`].
    pub fn work(&mut self, now: Instant) -> Option<Work<T>> {
        let (_, task) = self.agenda(now).filter(|(due, _)| *due <= now)?;
        match task {
            Task::Open(address) => Some(Work::Open(self.open(address, now))),
            Task::Check(id) => {
                let member = self.members.get_mut(&id)?;
                member.checking = true;
                Some(Work::Check(id, member.handle.clone()?))
            }
            Task::Reap(id) | Task::Close(id) => {
                self.reaped += u64::from(matches!(task, Task::Reap(_)));
                Some(Work::Close(id, self.members.remove(&id)?.handle?))
            }
        }
    }

    /// When there is work next if nothing happens until then.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.agenda(now).map(|(due, _)| due)
    }

    fn agenda(&self, now: Instant) -> Option<(Instant, Task)> {
        let members = self.members.iter();
        let sessions = members.filter_map(|(id, member)| self.task_of(*id, member, now));
        let openings = (0..self.addresses.len())
            .filter(|_| !self.stopping)
            .filter_map(|address| Some((self.opening_due(address, now)?, Task::Open(address))));
        sessions.chain(openings).min_by_key(|(due, _)| *due)
    }

    fn task_of(&self, id: MemberId, member: &Member<T>, now: Instant) -> Option<(Instant, Task)> {
        if !member.is_session {
            return None;
        }
        let is_idle = member.outstanding == 0;
        match member.standing {
            Standing::Opening => None,
            // What runs in a session is never cut short by closing it.
            Standing::Retired => is_idle.then_some((now, Task::Close(id))),
            _ if self.stopping => is_idle.then_some((now, Task::Close(id))),
            _ if member.checking => None,
            Standing::Doubtful => Some((now, Task::Check(id))),
            Standing::Sound if is_idle => {
                let Settings {
                    idle_timeout,
                    health_interval,
                    ..
                } = self.settings;
                let reap = member.idle_since.checked_add(idle_timeout);
                let reap = reap.filter(|_| !self.is_last(id));
                let heard = member.idle_since.max(member.seen);
                let trouble = self.addresses[id.address].trouble.until();
                let check = trouble.or_else(|| heard.checked_add(health_interval));
                let due = [
                    reap.map(|due| (due, Task::Reap(id))),
                    check.map(|due| (due, Task::Check(id))),
                ];
                due.into_iter().flatten().min_by_key(|(due, _)| *due)
            }
            Standing::Sound => None,
        }
    }

    /// Whether it is the only sound session of its address.
    fn is_last(&self, id: MemberId) -> bool {
        let sound = |other: &MemberId, member: &Member<T>| {
            other.address == id.address && member.standing == Standing::Sound
        };
        self.count(sound) < 2
    }

    /// When a member is to be opened without a call that waits for it.
    fn opening_due(&self, at: usize, now: Instant) -> Option<Instant> {
        let address = &self.addresses[at];
        let opening =
            |id: &MemberId, m: &Member<T>| id.address == at && m.standing == Standing::Opening;
        if self.count(opening) > 0 {
            return None;
        }
        let (members, alone) = (self.members_at(at), self.addresses.len() == 1);
        match (members, address.trouble.until()) {
            // A lone address is only tried by the calls that need it.
            (0, Some(until)) => (!alone).then_some(until),
            // Once one address is in use, the load is spread over all.
            (0, None) => (!alone && !self.members.is_empty()).then_some(now),
            (_, Some(_)) => None,
            // More calls than sessions: the pool grows, one by one.
            (_, None) => {
                let wanted = address.has_sessions && address.outstanding > members;
                let due = address.growth.until().map_or(now, |until| until.max(now));
                (wanted && self.has_room(at)).then_some(due)
            }
        }
    }

    /// From now on there is no other work than to close what is idle.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// A check of a session is over. One that did not prove itself is taken out.
    pub fn checked(&mut self, id: MemberId, outcome: Outcome, now: Instant, random: u64) {
        let Some(member) = self.members.get_mut(&id) else {
            return;
        };
        member.checking = false;
        self.learn(id, outcome, now, random);
        match outcome {
            Outcome::Answered => {}
            // There is nothing left that could be closed.
            Outcome::Forgotten | Outcome::Unreachable => self.take_out(id),
            Outcome::Suspect | Outcome::Broken | Outcome::Unclear => self.retire(id),
        }
    }

    fn retire(&mut self, id: MemberId) {
        if let Some(member) = self.members.get_mut(&id)
            && member.standing != Standing::Retired
        {
            member.standing = Standing::Retired;
            self.replaced += 1;
        }
    }
}
