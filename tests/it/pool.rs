//! Sessions and addresses of an upstream: shared, kept, replaced, closed; and nothing is left
//! behind.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcp_bridge::demo::{self, DemoHouse, Fault};
use mcp_bridge::protocol::json::RawJson;
use mcp_bridge::protocol::message::{Id, Payload, Request, Response};
use mcp_bridge::upstream::{self, Context, Trouble, Upstream, http_client, pool};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::support::Bridge;
use crate::support::bridge::{PATIENCE, house};

/// Longer than any test.
const NEVER: Duration = Duration::from_hours(1);
/// Sessions that are neither checked nor closed as long as the test lasts.
const QUIET: pool::Settings = pool::Settings {
    max_members: 8,
    idle_timeout: NEVER,
    health_interval: NEVER,
};

async fn house_with_sessions() -> DemoHouse {
    let settings = demo::Settings {
        sessions: true,
        ..demo::Settings::default()
    };
    DemoHouse::start(settings).await.unwrap()
}

fn upstream(houses: &[&DemoHouse], pool: pool::Settings) -> Arc<Upstream> {
    let mut urls = houses.iter().map(|house| house.url().parse().unwrap());
    let upstream = Upstream::new(upstream::Settings {
        insight: None,
        url: urls.next().unwrap(),
        further_urls: urls.collect(),
        token: None,
        max_answer: 1 << 20,
        http: http_client::Settings {
            connect_timeout: PATIENCE,
            response_timeout: PATIENCE,
            verify_tls: true,
        },
        pool,
    });
    Arc::new(upstream.unwrap())
}

/// The task that keeps an upstream's sessions, as the app starts it.
struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeper {
    fn of(upstream: &Arc<Upstream>) -> Self {
        let (upstream, stop) = (upstream.clone(), CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move { upstream.keep(stopped).await });
        Self { stop, task }
    }

    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it stops")
            .unwrap();
    }
}

trait Ask {
    /// An exchange with all the time of the test.
    async fn ask(&self, request: &Request) -> Result<Response, Trouble>;
}

impl Ask for Upstream {
    async fn ask(&self, request: &Request) -> Result<Response, Trouble> {
        let deadline = Instant::now() + NEVER;
        self.exchange(request, &Context::own(), deadline).await
    }
}

fn request(id: u64, tool: &str) -> Request {
    let params = RawJson::of(&json!({"name": tool, "arguments": {"name": "Kitchen Light"}}));
    Request::new(Id::number(id), "tools/call", Some(params))
}

fn read_clock() -> Request {
    let params = RawJson::of(&json!({"name": "llm__GetDateTime", "arguments": {}}));
    Request::new(Id::number(1), "tools/call", Some(params))
}

fn assert_answered(answer: Result<Response, Trouble>) {
    let Payload::Result(result) = answer.unwrap().payload else {
        panic!("an error");
    };
    assert_eq!(result.read::<Value>().unwrap()["isError"], false);
}

/// Of each address, whether it is healthy.
fn healthy(upstream: &Upstream) -> Vec<bool> {
    let addresses = upstream.figures().addresses;
    addresses.iter().map(|a| a.pool.healthy).collect()
}

/// Waits until something is so that nobody announces.
async fn until(condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it never happened");
}

/// Waits until a house sees something.
async fn seen(house: &DemoHouse, condition: impl Fn(&DemoHouse) -> bool) {
    tokio::time::timeout(PATIENCE, house.until(condition))
        .await
        .expect("it never happened");
}

/// Calls that are held at the houses until the gate lets them through.
fn held(
    upstream: &Arc<Upstream>,
    houses: &[&DemoHouse],
    count: u64,
) -> (Arc<Semaphore>, JoinSet<Result<Response, Trouble>>) {
    let gate = Arc::new(Semaphore::new(0));
    for house in houses {
        house.set_fault(Some(Fault::Hold(gate.clone())));
    }
    let mut calls = JoinSet::new();
    for id in 0..count {
        let upstream = upstream.clone();
        calls.spawn(async move { upstream.ask(&request(id, "intent__HassTurnOn")).await });
    }
    (gate, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_houses_share_the_load_and_one_is_enough() {
    let (first, second) = (house().await, house().await);
    let upstream = upstream(&[&first, &second], QUIET);
    let keeper = Keeper::of(&upstream);
    assert_answered(upstream.ask(&read_clock()).await);
    until(|| upstream.figures().pool.created == 2).await;

    let (gate, calls) = held(&upstream, &[&first, &second], 8);
    seen(&first, |house| house.in_flight() == 4).await;
    seen(&second, |house| house.in_flight() == 4).await;
    gate.add_permits(1000);
    for answer in calls.join_all().await {
        assert_answered(answer);
    }

    let (address, before) = (first.address(), second.executed().len());
    first.stop().await;
    // What is sent on a connection whose end was not noticed yet may have arrived.
    until(|| sockets(address.port()) == 0).await;
    for _ in 0..30 {
        assert_answered(upstream.ask(&read_clock()).await);
    }
    assert_eq!(second.executed().len(), before + 30);
    assert!(upstream.health().trouble.is_none(), "nobody noticed");
    assert_eq!(healthy(&upstream), [false, true]);

    let settings = demo::Settings {
        listen: address,
        ..demo::Settings::default()
    };
    let first = DemoHouse::start(settings).await.unwrap();
    until(|| healthy(&upstream) == [true, true]).await;
    let (gate, calls) = held(&upstream, &[&first, &second], 6);
    seen(&first, |house| house.in_flight() == 3).await;
    seen(&second, |house| house.in_flight() == 3).await;
    gate.add_permits(1000);
    for answer in calls.join_all().await {
        assert_answered(answer);
    }
    keeper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_to_one_house_is_not_sent_to_another() {
    let (first, second) = (house().await, house().await);
    let upstream = upstream(&[&first, &second], QUIET);
    assert_answered(upstream.ask(&read_clock()).await);
    for fault in [Fault::Reset, Fault::ResetBefore, Fault::Truncated] {
        for house in [&first, &second] {
            house.fail_next_calls(fault.clone(), 1);
        }
        let before = first.executed().len() + second.executed().len();
        let ran = usize::from(!matches!(fault, Fault::ResetBefore));
        let trouble = upstream
            .ask(&request(1, "intent__HassTurnOn"))
            .await
            .unwrap_err();
        assert!(trouble.may_have_run(), "{trouble}");
        let after = first.executed().len() + second.executed().len();
        assert_eq!(after, before + ran, "{fault:?}");
        first.set_fault(None);
        second.set_fault(None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_that_is_not_there_is_passed_by_from_the_first_call_on() {
    let (gone, there) = (house_with_sessions().await, house_with_sessions().await);
    let upstream = upstream(&[&gone, &there], QUIET);
    gone.stop().await;
    for _ in 0..10 {
        assert_answered(upstream.ask(&read_clock()).await);
    }
    assert_eq!(there.executed().len(), 10);
    let port = there.address().port();
    there.stop().await;
    until(|| sockets(port) == 0).await;
    let trouble = upstream.ask(&read_clock()).await.unwrap_err();
    assert!(!trouble.may_have_run(), "{trouble}");
    assert!(upstream.health().trouble.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_that_does_not_answer_its_greeting_holds_nobody_up() {
    let (silent, well) = (house().await, house().await);
    let gate = Arc::new(Semaphore::new(0));
    silent.set_fault(Some(Fault::Hold(gate.clone())));
    for _ in 0..8 {
        let upstream = upstream(&[&silent, &well], QUIET);
        let keeper = Keeper::of(&upstream);
        let call = read_clock();
        let answer = tokio::time::timeout(PATIENCE, upstream.ask(&call)).await;
        assert_answered(answer.expect("the other house"));
        gate.add_permits(1);
        until(|| upstream.figures().pool.created == 2).await;
        keeper.stop().await;
    }
}

#[tokio::test]
async fn calls_that_wait_for_a_greeting_share_its_failure() {
    let house = house().await;
    let upstream = upstream(&[&house], QUIET);
    house.fail_next(
        Fault::Status {
            status: 503,
            body: String::new(),
            content_type: String::new(),
        },
        1,
    );
    let call = read_clock();
    let (one, two, three) = tokio::join!(
        upstream.ask(&call),
        upstream.ask(&call),
        upstream.ask(&call)
    );
    for answer in [one, two, three] {
        assert!(matches!(answer, Err(Trouble::Greeting(_))), "{answer:?}");
    }
    assert_eq!(house.requests(), 1);
    assert_answered(upstream.ask(&call).await);
}

#[tokio::test]
async fn a_caller_that_leaves_during_the_greeting_leaves_no_session_behind() {
    let house = house_with_sessions().await;
    let upstream = upstream(&[&house], QUIET);
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(gate.clone())));
    assert!(upstream.introduction(Duration::ZERO).await.is_none());
    seen(&house, |house| house.in_flight() == 1).await;
    gate.add_permits(1000);
    assert_answered(upstream.ask(&read_clock()).await);
    assert!(upstream.introduction(Duration::ZERO).await.is_some());
    assert_eq!((house.open_sessions(), house.requests()), (1, 3));
}

#[tokio::test]
async fn clients_that_share_a_session_may_use_the_same_ids() {
    let house = house_with_sessions().await;
    let upstream = upstream(&[&house], QUIET);
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let answer = upstream.ask(&request(7, "llm__GetDateTime")).await;
        assert_eq!(answer.unwrap().id, Some(Id::number(7)));
        let id = house.last_request().unwrap().json()["id"].clone();
        assert!(
            seen.insert(id.to_string()),
            "{id} was used twice in a session"
        );
    }
    assert_eq!(house.open_sessions(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_grow_with_the_calls_and_are_closed_when_they_are_idle() {
    let house = house_with_sessions().await;
    let upstream = upstream(
        &[&house],
        pool::Settings {
            max_members: 3,
            idle_timeout: Duration::from_millis(50),
            ..QUIET
        },
    );
    let keeper = Keeper::of(&upstream);
    assert_answered(upstream.ask(&read_clock()).await);
    let (gate, calls) = held(&upstream, &[&house], 6);
    // The greeting for a further session is held as well.
    seen(&house, |house| house.in_flight() == 7).await;
    gate.add_permits(1000);
    for answer in calls.join_all().await {
        assert_answered(answer);
    }
    let closed = || {
        let figures = upstream.figures().pool;
        figures.members == 1 && figures.reaped > 0 && figures.reaped == figures.created - 1
    };
    until(closed).await;
    seen(&house, |house| house.open_sessions() == 1).await;
    keeper.stop().await;
    assert_eq!(house.open_sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_is_kept_alive_and_replaced_when_the_server_has_lost_it() {
    let house = house_with_sessions().await;
    let settings = pool::Settings {
        health_interval: Duration::from_millis(20),
        ..QUIET
    };
    let upstream = upstream(&[&house], settings);
    let keeper = Keeper::of(&upstream);
    assert_answered(upstream.ask(&read_clock()).await);
    let before = house.requests();
    seen(&house, |house| house.requests() >= before + 3).await;
    let ping = house.last_request().unwrap();
    assert_eq!(ping.json()["method"], "ping");
    assert!(ping.header("mcp-session-id").is_some());
    assert_eq!(upstream.figures().pool.members, 1);
    house.forget_sessions();
    until(|| upstream.figures().pool.members == 0).await;
    assert_answered(upstream.ask(&read_clock()).await);
    let figures = upstream.figures().pool;
    assert_eq!((figures.created, figures.replaced), (2, 1));
    keeper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_the_loss_of_a_connection() {
    let house = house_with_sessions().await;
    let upstream = upstream(&[&house], QUIET);
    let keeper = Keeper::of(&upstream);
    assert_answered(upstream.ask(&read_clock()).await);
    for fault in [Fault::Reset, Fault::Truncated] {
        house.fail_next_calls(fault, 1);
        let before = house.requests();
        assert!(upstream.ask(&read_clock()).await.is_err());
        seen(&house, |house| house.requests() == before + 2).await;
        until(|| healthy(&upstream) == [true]).await;
        assert_answered(upstream.ask(&read_clock()).await);
    }
    let figures = upstream.figures().pool;
    assert_eq!((figures.created, figures.replaced), (1, 0));
    keeper.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_greeting_went_wrong_is_closed() {
    let house = house_with_sessions().await;
    let upstream = upstream(&[&house], QUIET);
    for fault in [
        Fault::Garbage,
        Fault::NotRpc,
        Fault::WrongId,
        Fault::Truncated,
    ] {
        house.fail_next(fault.clone(), 1);
        let trouble = upstream.ask(&read_clock()).await.unwrap_err();
        assert!(matches!(trouble, Trouble::Greeting(_)), "{trouble}");
        assert_eq!(house.open_sessions(), 0, "{fault:?}");
    }
    assert_answered(upstream.ask(&read_clock()).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_in_front_of_two_houses_uses_both() {
    let (first, second) = (house().await, house().await);
    let further = format!("[\"http://{}\"]", second.address());
    let bridge = Bridge::start_with(
        &["--upstream", &first.url()],
        &[("MCP_BRIDGE__UPSTREAM_URLS", &further)],
    )
    .await;
    while first.executed().is_empty() || second.executed().is_empty() {
        let answer = bridge.call("llm__GetDateTime", json!({})).await;
        assert_eq!(answer.result()["isError"], false);
    }
    let status = bridge.status().await;
    let addresses = status["upstream"]["pool"]["addresses"].as_array().unwrap();
    assert_eq!(addresses.len(), 2, "{status}");
    assert!(addresses.iter().all(|address| address["healthy"] == true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_stops_closes_its_sessions() {
    let house = house_with_sessions().await;
    let mut bridge = Bridge::before(&house).await;
    assert_eq!(
        bridge.call("llm__GetDateTime", json!({})).await.result()["isError"],
        false
    );
    assert_eq!(house.open_sessions(), 1);
    bridge.signal("TERM");
    assert_eq!(bridge.wait().code(), Some(0));
    assert_eq!(house.open_sessions(), 0);
}

/// Sockets of this process that have to do with a port.
fn sockets(port: u16) -> usize {
    let own: HashSet<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?.strip_prefix("socket:[")?;
            Some(link.strip_suffix(']')?.to_owned())
        })
        .collect();
    let port = format!(":{port:04X}");
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let rows = table.lines().skip(1).map(str::split_whitespace);
    let rows = rows.map(Iterator::collect::<Vec<_>>);
    rows.filter(|row| row[1].ends_with(&port) || row[2].ends_with(&port))
        .filter(|row| own.contains(row[9]))
        .count()
}

/// Memory of this process, in MiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}

/// Kills sessions and connections from several callers at once, until there were so many.
async fn torment(upstream: &Arc<Upstream>, house: &Arc<DemoHouse>, kills: u64) {
    let (turn, lost) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let before = upstream.figures().pool.created;
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let (upstream, house) = (upstream.clone(), house.clone());
        let (turn, lost) = (turn.clone(), lost.clone());
        callers.spawn(async move {
            let killed = || {
                let sessions = upstream.figures().pool.created - before;
                sessions + lost.load(Ordering::Relaxed)
            };
            while killed() < kills {
                match turn.fetch_add(1, Ordering::Relaxed) % 32 {
                    3 => house.fail_next_calls(Fault::Reset, 1),
                    11 => house.fail_next_calls(Fault::ResetBefore, 1),
                    19 => house.fail_next_calls(Fault::Truncated, 1),
                    27 => house.fail_next(Fault::Garbage, 2),
                    turn if turn % 2 == 0 => house.forget_sessions(),
                    _ => house.fail_next_calls(Fault::Reset, 1),
                }
                match upstream.ask(&read_clock()).await {
                    Err(Trouble::Lost(_) | Trouble::Truncated(_)) => {
                        lost.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(_) | Err(Trouble::NotAnAnswer(_) | Trouble::Greeting(_)) => {}
                    Err(trouble) => {
                        // Forgotten once more, at the wish of another caller.
                        let again = matches!(trouble, Trouble::Status { status: 404, .. });
                        assert!(again, "{trouble}");
                    }
                }
            }
        });
    }
    callers.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_killed_sessions_and_connections_leave_nothing_behind() {
    let house = Arc::new(house_with_sessions().await);
    let port = house.address().port();
    let runtime = tokio::runtime::Handle::current().metrics();
    let (tasks, listening) = (runtime.num_alive_tasks(), sockets(port));
    let settings = pool::Settings {
        max_members: 4,
        ..QUIET
    };
    let upstream = upstream(&[&house], settings);
    let keeper = Keeper::of(&upstream);

    torment(&upstream, &house, 1_000).await;
    let memory_before = memory();
    torment(&upstream, &house, 9_000).await;
    let grown = memory().saturating_sub(memory_before);
    assert!(grown < 30, "{grown} MiB more");

    house.set_fault(None);
    let figures = upstream.figures().pool;
    assert!(figures.members <= 4, "{figures:?}");
    assert_eq!(figures.outstanding, 0);
    // Each idle connection is a socket and a task at both ends; 16 are kept.
    let idle = || sockets(port) - listening <= 32 && runtime.num_alive_tasks() - tasks <= 64;
    until(idle).await;

    keeper.stop().await;
    assert_eq!(house.open_sessions(), 0);
    drop(upstream);
    until(|| sockets(port) == listening && runtime.num_alive_tasks() == tasks).await;
}
