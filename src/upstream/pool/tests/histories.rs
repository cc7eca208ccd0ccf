//! The pool against a model, through any history.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// One thing that can happen to a pool. Indices pick one of what is under way.
#[derive(Debug, Clone)]
enum Step {
    /// A call that has tried some addresses; a bit for each.
    Call(u8, u64),
    /// A call ends.
    End(usize, Outcome, u64),
    /// A greeting ends well.
    Opened(usize),
    /// A greeting fails.
    NotOpened(usize, Outcome, u64),
    /// A check ends.
    Checked(usize, Outcome, u64),
    /// The keeper looks for work.
    Work,
    /// Time passes, in seconds.
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let outcome = || {
        prop_oneof![
            6 => Just(Outcome::Answered),
            1 => Just(Outcome::Forgotten),
            1 => Just(Outcome::Suspect),
            1 => Just(Outcome::Unreachable),
            1 => Just(Outcome::Broken),
            1 => Just(Outcome::Unclear),
        ]
    };
    let index = any::<usize>;
    let step = prop_oneof![
        6 => (prop_oneof![3 => Just(0), 1 => any::<u8>()], any::<u64>())
            .prop_map(|(tried, random)| Step::Call(tried, random)),
        4 => (index(), outcome(), any::<u64>()).prop_map(|(i, o, r)| Step::End(i, o, r)),
        4 => index().prop_map(Step::Opened),
        1 => (index(), outcome(), any::<u64>()).prop_map(|(i, o, r)| Step::NotOpened(i, o, r)),
        2 => (index(), outcome(), any::<u64>()).prop_map(|(i, o, r)| Step::Checked(i, o, r)),
        6 => Just(Step::Work),
        2 => (0u64..120).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 0..150)
}

/// What is known of the pool from outside, in the plainest form.
#[derive(Default)]
struct Model {
    /// Members that were opened and that neither the pool nor the server has ended, with their
    /// handles.
    open: BTreeMap<MemberId, u32>,
    /// Those of them that nothing bad is known of.
    sound: BTreeSet<MemberId>,
    /// Those that did not stand a check: no call may get them any more.
    retired: BTreeSet<MemberId>,
    /// When each was last used.
    used: BTreeMap<MemberId, Instant>,
    calls: Vec<MemberId>,
    openings: Vec<MemberId>,
    checks: Vec<MemberId>,
    handles: u32,
}

impl Model {
    fn load(&self, id: MemberId) -> usize {
        self.calls.iter().filter(|other| **other == id).count()
    }

    /// What a report says about the members, in the plainest form.
    fn learn(&mut self, id: MemberId, outcome: Outcome, stateful: impl Fn(usize) -> bool) {
        if !self.open.contains_key(&id) {
            return;
        }
        let same = |other: &MemberId| other.address == id.address;
        match outcome {
            Outcome::Answered if !self.retired.contains(&id) => drop(self.sound.insert(id)),
            Outcome::Answered | Outcome::Unclear => {}
            Outcome::Suspect | Outcome::Broken => drop(self.sound.remove(&id)),
            Outcome::Forgotten => {
                self.open.remove(&id);
                self.sound.retain(|other| !same(other));
            }
            Outcome::Unreachable => self.sound.retain(|other| !same(other)),
        }
        // Without sessions, what is not sound is gone.
        let sound = &self.sound;
        self.open
            .retain(|id, _| stateful(id.address) || sound.contains(id));
    }
}

/// At least so many; `PROPTEST_CASES` may ask for more.
fn histories() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig {
        cases: default.cases.max(1000),
        ..default
    }
}

fn pick<T: Copy>(list: &mut Vec<T>, index: usize) -> Option<T> {
    let index = index.checked_rem(list.len())?;
    Some(list.swap_remove(index))
}

proptest! {
    #![proptest_config(histories())]

    #[test]
    fn every_history_is_bounded_balanced_and_leaks_nothing(
        steps in steps(), max_members in 1usize..6, addresses in 1usize..4, sessions in any::<u8>()
    ) {
        let (mut pool, mut now) = pool(max_members, addresses);
        let stateful = |address: usize| sessions & (1 << address) != 0;
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Call(bits, random) => {
                    let tried: Vec<_> = (0..addresses).filter(|a| bits & (1 << a) != 0).collect();
                    let before = pool.address_figures();
                    let may_be = |id: &MemberId| !tried.contains(&id.address);
                    let choice = pool.choose(&tried, now, random);
                    prop_assert_eq!(choice.is_none(), tried.len() == addresses);
                    let Some(choice) = choice else { continue };
                    let (Choice::Use(id, _) | Choice::Open(id) | Choice::Join(id)) = choice;
                    prop_assert!(may_be(&id), "an address was tried twice");
                    let better = (0..addresses).any(|a| before[a].healthy && !tried.contains(&a));
                    prop_assert!(before[id.address].healthy || !better, "an address in trouble without need");
                    let alike = before[id.address].healthy;
                    let rivals: Vec<_> = model.sound.iter()
                        .filter(|id| may_be(id) && before[id.address].healthy == alike)
                        .collect();
                    match choice {
                        Choice::Use(id, handle) => {
                            prop_assert_eq!(model.open.get(&id), Some(&handle), "not open");
                            prop_assert!(!model.retired.contains(&id), "did not stand a check");
                            if model.sound.contains(&id) {
                                let lighter = rivals.iter().filter(|r| model.load(***r) < model.load(id)).count();
                                prop_assert!(lighter == 0 || lighter < rivals.len() - 1, "the worst of all");
                            } else {
                                prop_assert!(rivals.is_empty(), "a doubtful one without need");
                            }
                            model.calls.push(id);
                        }
                        Choice::Open(id) => {
                            prop_assert!(rivals.is_empty(), "a call waits although there is a session");
                            model.openings.push(id);
                        }
                        Choice::Join(id) => {
                            prop_assert!(rivals.is_empty(), "a call waits although there is a session");
                            prop_assert!(model.openings.contains(&id), "nobody opens it");
                        }
                    }
                }
                Step::End(index, outcome, random) => if let Some(id) = pick(&mut model.calls, index) {
                    pool.release(id, outcome, now, random);
                    model.used.insert(id, now);
                    model.learn(id, outcome, stateful);
                }
                Step::Opened(index) => if let Some(id) = pick(&mut model.openings, index) {
                    model.handles += 1;
                    pool.opened(id, model.handles, stateful(id.address), now);
                    model.open.insert(id, model.handles);
                    model.sound.insert(id);
                    model.used.insert(id, now);
                }
                Step::NotOpened(index, outcome, random) => if let Some(id) = pick(&mut model.openings, index) {
                    pool.not_opened(id, outcome, now, random);
                    if outcome == Outcome::Unreachable {
                        model.sound.retain(|other| other.address != id.address);
                        model.open.retain(|other, _| stateful(other.address) || other.address != id.address);
                    }
                }
                Step::Checked(index, outcome, random) => if let Some(id) = pick(&mut model.checks, index) {
                    pool.checked(id, outcome, now, random);
                    model.learn(id, outcome, stateful);
                    match outcome {
                        Outcome::Answered | Outcome::Forgotten => {}
                        Outcome::Unreachable => drop(model.open.remove(&id)),
                        _ => {
                            model.sound.remove(&id);
                            model.retired.insert(id);
                        }
                    }
                }
                Step::Pass(seconds) => now += Duration::from_secs(seconds),
                Step::Work => loop {
                    let due = pool.next_due(now);
                    let work = pool.work(now);
                    prop_assert_eq!(due.is_some_and(|due| due <= now), work.is_some());
                    match work {
                        None => break,
                        Some(Work::Open(id)) => {
                            let same = model.openings.iter().any(|other| other.address == id.address);
                            prop_assert!(!same, "two at once");
                            model.openings.push(id);
                        }
                        Some(Work::Check(id, handle)) => {
                            prop_assert_eq!(model.open.get(&id), Some(&handle));
                            prop_assert!(stateful(id.address) && !model.checks.contains(&id));
                            model.checks.push(id);
                        }
                        Some(Work::Close(id, handle)) => {
                            prop_assert_eq!(model.open.remove(&id), Some(handle), "closed twice");
                            prop_assert_eq!(model.load(id), 0, "cut short");
                            prop_assert!(stateful(id.address));
                            if model.sound.remove(&id) {
                                prop_assert!(model.sound.iter().any(|o| o.address == id.address), "the last one");
                                prop_assert!(now >= model.used[&id] + IDLE, "too soon");
                            }
                        }
                    }
                }
            }
            let figures = pool.figures();
            prop_assert!(figures.members <= max_members.max(addresses), "too many");
            prop_assert_eq!(figures.outstanding, model.calls.len());
            for (address, figures) in pool.address_figures().iter().enumerate() {
                let calls = model.calls.iter().filter(|id| id.address == address).count();
                prop_assert_eq!(figures.outstanding, calls);
                let members = model.open.keys().chain(&model.openings).filter(|id| id.address == address);
                prop_assert!(figures.members <= members.count());
            }
        }
        for id in std::mem::take(&mut model.openings) {
            model.handles += 1;
            pool.opened(id, model.handles, stateful(id.address), now);
            model.open.insert(id, model.handles);
        }
        for id in std::mem::take(&mut model.calls) {
            pool.release(id, Outcome::Unclear, now, 0);
        }
        pool.stop();
        while let Some(work) = pool.work(now) {
            let Work::Close(id, handle) = work else {
                return Err(TestCaseError::fail("other work than closing"));
            };
            prop_assert_eq!(model.open.remove(&id), Some(handle), "closed twice");
        }
        model.open.retain(|id, _| stateful(id.address));
        prop_assert_eq!(model.open, BTreeMap::new(), "left open at the server");
        prop_assert_eq!(pool.next_due(now), None);
    }

    #[test]
    fn a_pool_that_is_left_alone_shrinks_to_one_session_an_address(
        burst in 1usize..30, max_members in 1usize..9, addresses in 1usize..4, randoms in any::<[u64; 30]>()
    ) {
        let (mut pool, mut now) = pool(max_members, addresses);
        let mut handles = 2..;
        opened(&mut pool, 1, true, now);
        grow(&mut pool, &mut handles, now);
        let calls: Vec<_> = randoms[..burst].iter().map(|random| {
            let id = call(&mut pool, now, *random);
            grow(&mut pool, &mut handles, now);
            id
        }).collect();
        for id in calls {
            pool.release(id, Outcome::Answered, now, 0);
        }
        let end = now + IDLE + HEALTH;
        while let Some(due) = pool.next_due(now).filter(|due| *due < end) {
            now = due;
            if let Some(Work::Check(id, _)) = pool.work(now) {
                pool.checked(id, Outcome::Answered, now, 0);
            }
        }
        prop_assert_eq!(pool.figures().members, addresses);
    }
}
