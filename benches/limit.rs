//! The adaptive limit against fixed ones and against none: the real dispatcher in front of houses
//! that get slower with load. Prints a table for each, and fails if the adaptive limit is not
//! within 5 % of the throughput of the best fixed one, or its calls are not far sooner over than
//! those without a limit.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on is over, and it is there to print"
)]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use mcp_bridge::demo::{self, DemoHouse};
use mcp_bridge::dispatch::{
    AnswerSettings, ArgumentSettings, BrevitySettings, Call, Caller, DeduplicationSettings,
    Dispatcher, Origin, SchedulerSettings, Settings, ToolSettings, Wishes, guard, loops, queue,
};
use mcp_bridge::protocol::json::RawJson;
use mcp_bridge::protocol::message::{Id, Payload, Request};
use mcp_bridge::protocol::priority::Priority;
use mcp_bridge::protocol::revision::Revision;
use mcp_bridge::resilience::{breaker, limit};
use mcp_bridge::upstream::{self, Upstream, http_client, pool};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Callers that send the next call as soon as the last one is answered.
const CALLERS: usize = 64;
/// Fixed limits to compare with; one of [`CALLERS`] is none.
const FIXED: [usize; 7] = [1, 2, 4, 8, 16, 32, CALLERS];
/// The highest value of the adaptive limit.
const MOST: usize = CALLERS;
const WARM_UP: Duration = Duration::from_secs(4);
const MEASURED: Duration = Duration::from_secs(12);
/// How often the person calls who waits for the answer.
const PERSON_EVERY: Duration = Duration::from_millis(150);

/// What came of one run.
struct Report {
    name: String,
    /// Calls a second.
    rate: f64,
    /// Time at the house, sorted.
    at_house: Vec<Duration>,
    /// Time until a person has the answer while all the callers are at it, sorted.
    person: Vec<Duration>,
}

impl Report {
    fn row(&self, best: f64) -> String {
        let ms = |list: &[Duration], permille| quantile(list, permille).as_secs_f64() * 1000.0;
        format!(
            "| {} | {:.1} | {:.0} % | {:.0} | {:.0} | {:.0} | {:.0} |",
            self.name,
            self.rate,
            self.rate / best * 100.0,
            ms(&self.at_house, 500),
            ms(&self.at_house, 990),
            ms(&self.person, 500),
            ms(&self.person, 990),
        )
    }
}

fn quantile(sorted: &[Duration], permille: usize) -> Duration {
    let place = sorted.len() * permille / 1000;
    sorted.get(place).copied().unwrap_or_default()
}

fn dispatcher(house: &DemoHouse, limit: limit::Settings) -> (Arc<Dispatcher>, Arc<Upstream>) {
    let minute = Duration::from_mins(1);
    let upstream = Upstream::new(upstream::Settings {
        insight: None,
        url: house.url().parse().unwrap(),
        further_urls: Vec::new(),
        token: None,
        max_answer: 1 << 20,
        http: http_client::Settings {
            connect_timeout: minute,
            response_timeout: minute,
            verify_tls: true,
        },
        pool: pool::Settings::default(),
    });
    let upstream = Arc::new(upstream.unwrap());
    let settings = Settings {
        call_timeout: minute,
        scheduler: SchedulerSettings {
            hold: true,
            queue: queue::Settings {
                max_waiting: 2 * CALLERS,
                max_waiting_per_client: 2 * CALLERS,
                aging_interval: minute,
            },
            limit,
            breaker: breaker::Settings::default(),
        },
        // The callers all ask the same, and each is to be answered by the house.
        deduplication: DeduplicationSettings {
            write_window: Duration::ZERO,
            key_window: Duration::ZERO,
            max_kept: 0,
            max_kept_bytes: 0,
            max_running: 0,
        },
        answers: AnswerSettings::default(),
        brevity: BrevitySettings::default(),
        tools: ToolSettings::default(),
        arguments: ArgumentSettings {
            check: false,
            drop_empty: false,
            drop_null: false,
            convert: false,
            wrap: false,
            ignore_case: false,
        },
        approval_timeout: minute,
        loops: loops::Settings {
            calls: 0,
            window: minute,
            max_remembered: 0,
            max_bytes: 0,
        },
    };
    let dispatcher = Dispatcher::new(settings, upstream.clone(), Arc::default());
    (Arc::new(dispatcher), upstream)
}

/// Asks once; gives how long it took.
async fn ask(dispatcher: &Dispatcher, client: &Arc<str>, priority: Priority) -> Duration {
    let params = RawJson::of(&serde_json::json!({"name": "llm__GetDateTime", "arguments": {}}));
    let received = Instant::now();
    let call = Call {
        client: Caller {
            name: client.clone(),
            priority,
            timeout: None,
            guard: Arc::new(guard::Open),
        },
        request: Request::new(Id::number(1), "tools/call", Some(params)),
        revision: Revision::NEWEST_LEGACY,
        received,
        wishes: Wishes::default(),
        in_session: false,
        downstream: None,
        mirrored: HeaderMap::new(),
        origin: Origin::default(),
    };
    let response = dispatcher.handle(call).await.unwrap();
    assert!(matches!(response.payload, Payload::Result(_)));
    received.elapsed()
}

async fn run(name: String, settings: &demo::Settings, limit: limit::Settings) -> Report {
    let house = DemoHouse::start(settings.clone()).await.unwrap();
    let (dispatcher, upstream) = dispatcher(&house, limit);
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let until_stop = stop.clone();
    tasks.spawn(async move { upstream.keep(until_stop).await });
    for n in 0..CALLERS {
        let (dispatcher, stop) = (dispatcher.clone(), stop.clone());
        let client = Arc::from(format!("client {n}"));
        tasks.spawn(async move {
            while !stop.is_cancelled() {
                ask(&dispatcher, &client, Priority::Normal).await;
            }
        });
    }
    sleep(WARM_UP).await;
    let (begin, end) = (Instant::now(), Instant::now() + MEASURED);
    let mut person = Vec::new();
    let client = Arc::from("person");
    while Instant::now() < end {
        sleep(PERSON_EVERY).await;
        person.push(ask(&dispatcher, &client, Priority::Interactive).await);
    }
    let measured = begin.elapsed();
    let executed = house.executed();
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    house.stop().await;

    let in_time = executed.iter().filter(|call| call.finished >= begin);
    let mut at_house: Vec<_> = in_time.map(|call| call.finished - call.started).collect();
    at_house.sort_unstable();
    person.sort_unstable();
    let answered = u32::try_from(at_house.len()).unwrap();
    Report {
        name,
        rate: f64::from(answered) / measured.as_secs_f64(),
        at_house,
        person,
    }
}

/// Holds the adaptive limit against the others; says whether it is as good as it has to be.
async fn compare(title: &str, settings: demo::Settings) -> bool {
    let mut fixed = Vec::new();
    for limit in FIXED {
        let name = if limit == CALLERS {
            "none".to_owned()
        } else {
            limit.to_string()
        };
        let always = limit::Settings {
            min: limit,
            ..limit::Settings::up_to(limit)
        };
        fixed.push(run(name, &settings, always).await);
    }
    let adaptive = run(
        "**adaptive**".to_owned(),
        &settings,
        limit::Settings::up_to(MOST),
    )
    .await;
    let best = fixed.iter().map(|report| report.rate).fold(0.0, f64::max);
    println!("\n## {title}\n");
    println!(
        "| limit | calls/s | of the best | at the house p50 (ms) | p99 | a person p50 | p99 |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for report in fixed.iter().chain([&adaptive]) {
        println!("{}", report.row(best));
    }
    let p99 = |report: &Report| quantile(&report.at_house, 990);
    let unlimited = fixed.last().map(p99).unwrap_or_default();
    adaptive.rate >= 0.95 * best && 3 * p99(&adaptive) <= unlimited
}

#[tokio::main]
async fn main() -> ExitCode {
    let step = Duration::from_millis(10);
    let one = demo::Settings {
        service_time: step,
        latency_per_concurrent: step,
        ..demo::Settings::default()
    };
    let four = demo::Settings {
        service_time: 4 * step,
        workers: 4,
        ..demo::Settings::default()
    };
    println!("{CALLERS} callers that always want something, and a person who asks now and then.");
    let titles = [
        ("A house that does one thing at a time, 10 ms each", one),
        ("A house that does four things at a time, 40 ms each", four),
    ];
    let mut good = true;
    for (title, settings) in titles {
        good &= compare(title, settings).await;
    }
    if good {
        ExitCode::SUCCESS
    } else {
        println!("\nThe adaptive limit is not as good as it has to be.");
        ExitCode::FAILURE
    }
}
