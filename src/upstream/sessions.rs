//! The pool at work: greets servers, lends sessions to calls, and keeps and closes them as the pool
//! decides.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acquaintance::Acquaintance;
use super::exchange::Context;
use super::pool::{self, Choice, MemberId, Outcome, Pool, Work};
use super::streamable_http::{Session, StreamableHttp};
use super::trouble::Trouble;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Id, Request, Response};

/// A session that does not answer a ping within this time is taken for broken.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// What a bridge that stops has for closing its sessions.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(3);

/// Whether a server was greeted; nothing as long as that is not known.
type Greeted = Option<Result<(), Trouble>>;

/// The sessions with one upstream, at all its addresses.
#[derive(Debug)]
pub(super) struct Sessions {
    addresses: Vec<StreamableHttp>,
    acquaintance: Acquaintance,
    state: Mutex<State>,
    /// Told when a call that waits for a session may find one.
    usable: Notify,
    /// Told when there is work sooner than the keeper thinks.
    due: Notify,
    /// What is being done for the pool. All of it ends by itself within the time limits.
    tasks: TaskTracker,
}

#[derive(Debug)]
struct State {
    pool: Pool<Arc<Session>>,
    openings: HashMap<MemberId, watch::Receiver<Greeted>>,
    /// Until when the keeper sleeps; nothing if it waits to be told.
    alarm: Option<std::time::Instant>,
}

/// How a call goes on.
enum Step {
    Go(Lease),
    Wait(MemberId, watch::Receiver<Greeted>),
}

impl Sessions {
    pub(super) fn new(settings: pool::Settings, addresses: Vec<StreamableHttp>) -> Arc<Self> {
        let state = State {
            pool: Pool::new(settings, addresses.len()),
            openings: HashMap::new(),
            alarm: None,
        };
        Arc::new(Self {
            addresses,
            acquaintance: Acquaintance::default(),
            state: Mutex::new(state),
            usable: Notify::new(),
            due: Notify::new(),
            tasks: TaskTracker::new(),
        })
    }

    pub(super) fn addresses(&self) -> &[StreamableHttp] {
        &self.addresses
    }

    pub(super) const fn acquaintance(&self) -> &Acquaintance {
        &self.acquaintance
    }

    /// A session for a call that has tried some addresses in vain; greets a server if need be, and
    /// adds those to the list that could not be greeted. Nothing of the call is sent by this.
    ///
    /// # Errors
    /// [`Trouble::Greeting`], if no address is left.
    pub(super) async fn lease(self: &Arc<Self>, tried: &mut Vec<usize>) -> Result<Lease, Trouble> {
        let mut last = Trouble::Connect("no address is left".into());
        loop {
            let usable = self.usable.notified();
            tokio::pin!(usable);
            usable.as_mut().enable();
            let (id, mut opening) = match self.step(tried) {
                Some(Step::Go(lease)) => return Ok(lease),
                Some(Step::Wait(id, opening)) => (id, opening),
                None => return Err(last),
            };
            // The outcome first: all that waited for a greeting share its failure, instead of
            // greeting one after the other.
            tokio::select! {
                biased;
                greeted = opening.wait_for(Option::is_some) => {
                    if let Ok(Some(Err(trouble))) = greeted.as_deref() {
                        tried.push(id.address());
                        last = trouble.clone();
                    }
                }
                () = usable => {}
            }
        }
    }

    fn step(self: &Arc<Self>, tried: &[usize]) -> Option<Step> {
        let mut begun = None;
        let step = self.change(|state, now| {
            Some(match state.pool.choose(tried, now, rand::random())? {
                Choice::Use(id, session) => Step::Go(Lease {
                    sessions: self.clone(),
                    id,
                    session,
                    outcome: Outcome::Unclear,
                }),
                Choice::Open(id) => {
                    let (opening, greeted) = self.opening(state, id);
                    begun = Some(opening);
                    Step::Wait(id, greeted)
                }
                Choice::Join(id) => Step::Wait(id, state.openings.get(&id)?.clone()),
            })
        });
        if let Some(opening) = begun {
            self.tasks.spawn(opening.run());
        }
        step
    }

    /// A greeting, which gets a task of its own: a caller that leaves must not leave a session
    /// behind that only the server knows of. To be spawned without the lock, since a runtime that
    /// ends drops what is spawned at once, and a dropped greeting takes the lock.
    fn opening(
        self: &Arc<Self>,
        state: &mut State,
        id: MemberId,
    ) -> (Opening, watch::Receiver<Greeted>) {
        let (told, greeted) = watch::channel(None);
        state.openings.insert(id, greeted.clone());
        let opening = Opening {
            sessions: self.clone(),
            id,
            told,
            greeted: Err(Trouble::NotAnAnswer("the greeting was given up".into())),
        };
        (opening, greeted)
    }

    /// Does what the pool wants done until it is told to stop, then closes every idle session. A
    /// session in which something runs is left to the server: closing it might cut an action short.
    pub(super) async fn keep(self: &Arc<Self>, stop: CancellationToken) {
        loop {
            let alarm = self.do_due();
            let due = async {
                match alarm {
                    Some(alarm) => sleep_until(Instant::from_std(alarm)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.due.notified() => {}
                () = due => {}
            }
        }
        self.change(|state, _| state.pool.stop());
        let farewell = async {
            // A greeting that was under way leaves one more to close.
            while self.do_due().is_some() || !self.tasks.is_empty() {
                self.tasks.close();
                self.tasks.wait().await;
            }
        };
        if timeout(FAREWELL_TIMEOUT, farewell).await.is_err() {
            tracing::warn!("not every session with the upstream could be closed");
        }
    }

    /// Starts everything that is due; gives the time of what is due next.
    fn do_due(self: &Arc<Self>) -> Option<std::time::Instant> {
        let mut begun: Vec<Pin<Box<dyn Future<Output = ()> + Send>>> = Vec::new();
        let alarm = {
            let mut state = self.lock();
            let now = Instant::now().into_std();
            while let Some(work) = state.pool.work(now) {
                let this = self.clone();
                begun.push(match work {
                    Work::Open(id) => Box::pin(self.opening(&mut state, id).0.run()),
                    Work::Check(id, session) => Box::pin(this.check(id, session)),
                    Work::Close(id, session) => Box::pin(this.close(id, session)),
                });
            }
            state.alarm = state.pool.next_due(now);
            state.alarm
        };
        for task in begun {
            self.tasks.spawn(task);
        }
        alarm
    }

    async fn check(self: Arc<Self>, id: MemberId, session: Arc<Session>) {
        let ping = Request::new(Id::number(0), "ping", None);
        let own = Context::own();
        let answer = self.addresses[id.address()].call(&ping, &session, &own);
        let (answer, outcome) = match timeout(CHECK_TIMEOUT, answer).await {
            Ok(answer) => (answer.map(drop), None),
            Err(_) => (Err(Trouble::Timeout), Some(Outcome::Broken)),
        };
        let outcome = outcome.unwrap_or_else(|| outcome_of(&answer, &session));
        tracing::debug!(address = id.address(), ?outcome, "a session was checked");
        self.change(|state, now| {
            state.pool.checked(id, outcome, now, rand::random());
        });
        self.remember_of_pool(&answer);
        self.usable.notify_waiters();
    }

    async fn close(self: Arc<Self>, id: MemberId, session: Arc<Session>) {
        self.addresses[id.address()].close(&session).await;
    }

    /// What the pool learns by itself. Trouble at one address is no trouble of the upstream as long
    /// as there is a better one.
    fn remember_of_pool(&self, outcome: &Result<(), Trouble>) {
        if outcome.is_ok() || !self.lock().pool.is_healthy() {
            self.acquaintance.remember(outcome);
        }
    }

    pub(super) fn has_sessions(&self) -> bool {
        self.lock().pool.has_sessions()
    }

    pub(super) fn figures(&self) -> (pool::Figures, Vec<pool::AddressFigures>) {
        let state = self.lock();
        (state.pool.figures(), state.pool.address_figures())
    }

    /// Changes the state, and wakes the keeper if it would sleep too long after that.
    fn change<R>(&self, change: impl FnOnce(&mut State, std::time::Instant) -> R) -> R {
        let mut state = self.lock();
        let now = Instant::now().into_std();
        let result = change(&mut state, now);
        let due = state.pool.next_due(now);
        if due.is_some_and(|due| state.alarm.is_none_or(|alarm| due < alarm)) {
            self.due.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A greeting under way. However it ends, the pool and those who wait are told.
struct Opening {
    sessions: Arc<Sessions>,
    id: MemberId,
    told: watch::Sender<Greeted>,
    greeted: Result<Arc<Session>, Trouble>,
}

impl Opening {
    async fn run(mut self) {
        let address = &self.sessions.addresses[self.id.address()];
        let nothing = RawJson::of(&serde_json::json!({}));
        self.greeted = address
            .greet(&nothing)
            .await
            .map(|(session, introduction)| {
                self.sessions.acquaintance.greeted(introduction);
                Arc::new(session)
            });
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let Self { sessions, id, .. } = &*self;
        sessions.change(|state, now| {
            state.openings.remove(id);
            match &self.greeted {
                Ok(session) => {
                    let is_session = session.is_stateful();
                    state.pool.opened(*id, session.clone(), is_session, now);
                }
                Err(trouble) => {
                    let outcome = outcome_of_trouble(trouble, false);
                    tracing::debug!(address = id.address(), %trouble, "a greeting failed");
                    state.pool.not_opened(*id, outcome, now, rand::random());
                }
            }
        });
        let told = match &self.greeted {
            Ok(_) => Ok(()),
            Err(trouble) => Err(Trouble::Greeting(trouble.clone().into())),
        };
        sessions.remember_of_pool(&told);
        self.told.send_replace(Some(told));
        sessions.usable.notify_waiters();
    }
}

/// A call's hold on a session.
#[derive(Debug)]
pub(super) struct Lease {
    sessions: Arc<Sessions>,
    id: MemberId,
    session: Arc<Session>,
    outcome: Outcome,
}

impl Lease {
    /// Sends a request and gives its answer. What the server says meanwhile goes to `downstream`.
    pub(super) async fn call(
        &mut self,
        request: &Request,
        context: &Context,
    ) -> Result<Response, Trouble> {
        let address = &self.sessions.addresses[self.id.address()];
        let answer = address.call(request, &self.session, context).await;
        self.outcome = outcome_of(&answer, &self.session);
        answer
    }

    /// Whether the server remembers the session.
    pub(super) fn is_stateful(&self) -> bool {
        self.session.is_stateful()
    }

    /// The place of its address in the list of addresses.
    pub(super) const fn address(&self) -> usize {
        self.id.address()
    }

    /// Whether the server said that it does not know the session, and so did not look at the call.
    pub(super) fn is_forgotten(&self) -> bool {
        self.outcome == Outcome::Forgotten
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.sessions.change(|state, now| {
            let outcome = self.outcome;
            state.pool.release(self.id, outcome, now, rand::random());
        });
    }
}

fn outcome_of<T>(answer: &Result<T, Trouble>, session: &Session) -> Outcome {
    match answer {
        Ok(_) => Outcome::Answered,
        Err(trouble) => outcome_of_trouble(trouble, session.is_stateful()),
    }
}

fn outcome_of_trouble(trouble: &Trouble, in_session: bool) -> Outcome {
    match trouble {
        Trouble::Status { status: 404, .. } if in_session => Outcome::Forgotten,
        // Some servers say 400 where the specification wants 404; and one that does not answer may
        // be stuck with this session only. A ping tells.
        Trouble::Timeout | Trouble::Status { status: 400, .. } if in_session => Outcome::Suspect,
        Trouble::Connect(_) | Trouble::Tls(_) => Outcome::Unreachable,
        Trouble::Lost(_)
        | Trouble::Truncated(_)
        | Trouble::Status {
            status: 502 | 503, ..
        } => Outcome::Broken,
        _ => Outcome::Unclear,
    }
}
