//! What the bridge spares a real Home Assistant, and what that costs: the same questions directly and
//! through the bridge, in turns, with the processor time that Home Assistant spent on them.
//!
//! `tests/home_assistant/start PORT FOLDER` starts one; `MCP_BRIDGE_TEST_HOME_ASSISTANT=FOLDER cargo
//! bench --bench home_assistant` asks it. Prints tables in Markdown.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark that cannot go on is over, and tells what it found"
)]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use serde_json::{Value, json};

/// How long each cell is measured.
const CELL: Duration = Duration::from_secs(4);
/// Requests at the same time.
const AT_ONCE: [usize; 3] = [1, 8, 32];

/// Of the next request.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// What is asked.
#[derive(Clone, Copy)]
enum Question {
    Tools,
    LiveContext,
    Act,
}

impl Question {
    const ALL: [Self; 3] = [Self::Tools, Self::LiveContext, Self::Act];

    const fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::LiveContext => "GetLiveContext",
            Self::Act => "HassLightSet",
        }
    }

    fn body(self, number: u64) -> String {
        let call = |name: &str, arguments: Value| json!({"name": name, "arguments": arguments});
        let (method, params) = match self {
            Self::Tools => ("tools/list", json!({})),
            Self::LiveContext => (
                "tools/call",
                call("homeassistant__GetLiveContext", json!({})),
            ),
            Self::Act => {
                let arguments = json!({"name": "Reading Lamp", "brightness": 1 + number % 100});
                ("tools/call", call("light__HassLightSet", arguments))
            }
        };
        json!({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).to_string()
    }
}

/// Where it is asked.
struct Place {
    name: &'static str,
    url: String,
    token: String,
}

/// What a cell came to.
struct Cell {
    answers: usize,
    seconds: f64,
    /// Of each answer, in milliseconds, in order.
    latencies: Vec<f64>,
    /// Seconds of processor time that Home Assistant spent.
    spent: f64,
}

impl Cell {
    fn rate(&self) -> f64 {
        self.answers as f64 / self.seconds
    }

    fn percentile(&self, percent: usize) -> f64 {
        self.latencies[(self.latencies.len() - 1) * percent / 100]
    }

    fn spent_per_thousand(&self) -> f64 {
        self.spent * 1000.0 / self.answers as f64
    }
}

/// The process of Home Assistant.
struct Process(u32);

impl Process {
    /// The one below the script that keeps it running.
    fn below(supervisor: &str) -> Self {
        let children = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = std::fs::read_to_string(children).unwrap();
        Self(children.split_whitespace().next().unwrap().parse().unwrap())
    }

    /// Seconds of processor time until now.
    fn spent(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        // Behind the name, which may hold anything: fields 14 and 15 of proc(5), in hundredths.
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let ticks = |field: usize| fields[field - 3].parse::<u64>().unwrap();
        (ticks(14) + ticks(15)) as f64 / 100.0
    }
}

/// A bridge in front of it; its end ends the process.
struct Bridge {
    child: Child,
    place: Place,
    _data: tempfile::TempDir,
}

impl Bridge {
    fn start(name: &'static str, url: &str, token: &str, environment: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-bridge"));
        command
            .env_clear()
            .args(["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--admin-listen", "127.0.0.1:0", "--log-format", "json"]);
        command.args(["--upstream", url, "--upstream-token", token]);
        command.arg("--data").arg(data.path());
        command.envs(environment.iter().copied());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            let line: Value = serde_json::from_str(&line).ok()?;
            Some(line["lan"].as_str()?.to_owned())
        });
        std::thread::spawn(move || log.for_each(drop));
        let token = std::fs::read_to_string(data.path().join("first-token")).unwrap();
        let place = Place {
            name,
            url: format!("http://{}/mcp", address.expect("the bridge did not start")),
            token: token.trim().to_owned(),
        };
        Self {
            child,
            place,
            _data: data,
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks there as fast as answers come, by so many at once.
async fn measure(place: &Place, question: Question, at_once: usize, home: &Process) -> Cell {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async || {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut request = client
            .post(&place.url)
            .bearer_auth(&place.token)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25");
        if matches!(question, Question::Act) {
            // Each of them is meant.
            request = request.header("idempotency-key", number.to_string());
        }
        let reply = request.body(question.body(number)).send().await.unwrap();
        assert_eq!(reply.status(), 200);
        let answer: Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap();
        assert!(answer["result"].is_object(), "{answer}");
        assert_ne!(answer["result"]["isError"], true, "{answer}");
    };
    ask().await;
    let (begun, before) = (Instant::now(), home.spent());
    let work = (0..at_once).map(|_| async {
        let mut latencies = Vec::new();
        while begun.elapsed() < CELL {
            let asked = Instant::now();
            ask().await;
            latencies.push(asked.elapsed().as_secs_f64() * 1000.0);
        }
        latencies
    });
    let mut latencies = futures_util::future::join_all(work).await.concat();
    let (seconds, spent) = (begun.elapsed().as_secs_f64(), home.spent() - before);
    latencies.sort_by(f64::total_cmp);
    Cell {
        answers: latencies.len(),
        seconds,
        latencies,
        spent,
    }
}

fn main() {
    // `cargo test` and `cargo nextest` start it, too, to see what tests it has.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(compare());
}

async fn compare() {
    let folder = std::env::var_os("MCP_BRIDGE_TEST_HOME_ASSISTANT").map(PathBuf::from);
    let folder =
        folder.expect("no Home Assistant is running: tests/home_assistant/start PORT FOLDER");
    let read = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        text.trim().to_owned()
    };
    let (url, token) = (read("url"), read("token"));
    let home = Process::below(&read("pid"));
    // Here nobody goes round in circles, and one client may ask as much as many together.
    let patient = [
        ("MCP_BRIDGE__LOOPS__CALLS", "0"),
        ("MCP_BRIDGE__QUEUE__MAX_WAITING_PER_CLIENT", "50"),
    ];
    let keeps_nothing = [&patient[..], &[("MCP_BRIDGE__CACHE__ENABLED", "false")]].concat();
    let cached = Bridge::start("bridged", &url, &token, &patient);
    let uncached = Bridge::start("bridged, nothing kept", &url, &token, &keeps_nothing);
    let direct = Place {
        name: "direct",
        url: format!("{url}/api/mcp"),
        token,
    };
    // It takes a moment until the events are heard.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for question in Question::ALL {
        println!("\n### {}\n", question.name());
        println!(
            "| at once | way | answers/s | against direct | p50 ms | p99 ms | HA CPU s / 1,000 | against direct |"
        );
        println!("| ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |");
        for at_once in AT_ONCE {
            let base = measure(&direct, question, at_once, &home).await;
            tell(&direct, at_once, &base, &base);
            for place in [&uncached.place, &cached.place] {
                let cell = measure(place, question, at_once, &home).await;
                tell(place, at_once, &cell, &base);
            }
        }
    }
}

fn tell(place: &Place, at_once: usize, cell: &Cell, base: &Cell) {
    println!(
        "| {at_once} | {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.3} |",
        place.name,
        cell.rate(),
        cell.rate() / base.rate(),
        cell.percentile(50),
        cell.percentile(99),
        cell.spent_per_thousand(),
        cell.spent_per_thousand() / base.spent_per_thousand(),
    );
}
