//! Sessions that are opened for clients which the server may ask something. What they can be asked
//! is agreed on when a session is opened, so only clients that declared the same share one; and a
//! client with a session of its own has one here, too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::downstream::Downstream;
use super::exchange::Context;
use super::streamable_http::{Session, StreamableHttp};
use super::trouble::Trouble;
use crate::protocol::json::RawJson;
use crate::protocol::message::{Request, Response};

/// How many there are at most.
const MAX_SESSIONS: usize = 256;
/// How often it is looked for idle ones.
const SWEEP_INTERVAL: Duration = Duration::from_secs(15);

/// The sessions at one address.
#[derive(Debug)]
pub(super) struct OwnSessions {
    server: StreamableHttp,
    idle_timeout: Duration,
    open: Mutex<HashMap<Owner, Arc<Own>>>,
}

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Owner {
    session: Option<Arc<str>>,
    capabilities: RawJson,
}

#[derive(Debug)]
struct Own {
    session: OnceCell<Session>,
    used: Mutex<Use>,
}

#[derive(Debug)]
struct Use {
    outstanding: usize,
    last: Instant,
}

impl OwnSessions {
    pub(super) fn new(server: StreamableHttp, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            server,
            idle_timeout,
            open: Mutex::default(),
        })
    }

    /// Sends a request in the session of its client; opens one if need be, and once more if the
    /// server has forgotten it.
    pub(super) async fn call(
        self: &Arc<Self>,
        request: &Request,
        context: &Context,
        downstream: &dyn Downstream,
        capabilities: &RawJson,
    ) -> Result<Response, Trouble> {
        let owner = Owner {
            session: downstream.session().map(Into::into),
            capabilities: capabilities.clone(),
        };
        for is_first in [true, false] {
            let hold = self.hold(&owner)?;
            let session = self.opened(&owner, &hold.0).await?;
            let answer = self.server.call(request, session, context).await;
            match answer {
                Err(Trouble::Status { status: 404, .. }) if is_first => {
                    self.forget(&owner, &hold.0);
                }
                other => return other,
            }
        }
        Err(Trouble::NotAnAnswer("it forgets every session".into()))
    }

    /// The session of an owner. To open it is a task of its own: a caller that leaves must not
    /// leave a session behind that only the server knows of.
    async fn opened<'a>(
        self: &Arc<Self>,
        owner: &Owner,
        own: &'a Arc<Own>,
    ) -> Result<&'a Session, Trouble> {
        if let Some(session) = own.session.get() {
            return Ok(session);
        }
        let (this, owner, opening) = (self.clone(), owner.clone(), own.clone());
        let opened = tokio::spawn(async move {
            let greet = || async {
                let greeted = this.server.greet(&owner.capabilities).await;
                greeted.map(|(session, _)| session)
            };
            let opened = opening.session.get_or_try_init(greet).await.map(drop);
            if opened.is_err() {
                this.forget(&owner, &opening);
            }
            opened
        });
        let failed = |trouble: Trouble| Trouble::Greeting(trouble.into());
        opened
            .await
            .map_err(|error| failed(Trouble::Connect(error.to_string())))?
            .map_err(failed)?;
        own.session
            .get()
            .ok_or_else(|| failed(Trouble::Connect("the session is gone".into())))
    }

    fn hold(&self, owner: &Owner) -> Result<Hold, Trouble> {
        let mut open = self.lock();
        if open.len() >= MAX_SESSIONS && !open.contains_key(owner) {
            let why = format!("{MAX_SESSIONS} sessions of clients are open already");
            return Err(Trouble::Greeting(Trouble::NotAnAnswer(why).into()));
        }
        let own = open.entry(owner.clone()).or_insert_with(|| {
            Arc::new(Own {
                session: OnceCell::new(),
                used: Mutex::new(Use {
                    outstanding: 0,
                    last: Instant::now(),
                }),
            })
        });
        Ok(Hold::of(own))
    }

    fn forget(&self, owner: &Owner, own: &Arc<Own>) {
        let mut open = self.lock();
        if open
            .get(owner)
            .is_some_and(|latest| Arc::ptr_eq(latest, own))
        {
            open.remove(owner);
        }
    }

    /// Closes idle sessions until told to stop, and then all in which nothing runs.
    pub(super) async fn keep(&self, stop: CancellationToken) {
        let mut sweep = interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(sweep.tick()).await.is_some() {
            self.close_idle(self.idle_timeout).await;
        }
        self.close_idle(Duration::ZERO).await;
    }

    async fn close_idle(&self, idle: Duration) {
        let mut closing = Vec::new();
        self.lock().retain(|_, own| {
            let is_idle = own.is_idle(idle);
            if is_idle {
                closing.push(own.clone());
            }
            !is_idle
        });
        for own in closing {
            if let Some(session) = own.session.get() {
                self.server.close(session).await;
            }
        }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, Arc<Own>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Own {
    fn change(&self, change: impl FnOnce(&mut Use)) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut used);
        used.last = Instant::now();
    }

    fn is_idle(&self, time: Duration) -> bool {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.outstanding == 0 && used.last.elapsed() >= time
    }
}

/// A call's hold on a session: it is not closed meanwhile.
struct Hold(Arc<Own>);

impl Hold {
    fn of(own: &Arc<Own>) -> Self {
        own.change(|used| used.outstanding += 1);
        Self(own.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0
            .change(|used| used.outstanding = used.outstanding.saturating_sub(1));
    }
}
