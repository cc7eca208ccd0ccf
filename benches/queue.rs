//! What it costs to take a call into the queue and to start the next one, however many wait.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on is over")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mcp_bridge::dispatch::queue::{Arrival, Effect, Queue, Settings, Targets};
use mcp_bridge::protocol::priority::Priority;

const CLIENTS: usize = 16;
const THINGS: usize = 100;

/// What waits.
#[derive(Clone, Copy)]
enum Mix {
    Reads,
    /// Half of it writes, each to one of [`THINGS`].
    Writes,
    /// Half of it writes of which nobody knows what they touch.
    Anything,
}

impl Mix {
    const ALL: [(Self, &str); 3] = [
        (Self::Reads, "reads"),
        (Self::Writes, "writes to many things"),
        (Self::Anything, "writes to anything"),
    ];

    fn effect(self, n: usize) -> Effect {
        match self {
            _ if n.is_multiple_of(2) => Effect::Read,
            Self::Reads => Effect::Read,
            Self::Writes => {
                let thing = format!("light.{}", n / 2 % THINGS);
                Effect::Write(Targets::Only(vec![Arc::from(thing)]))
            }
            Self::Anything => Effect::Write(Targets::Everything),
        }
    }
}

/// A queue with so many waiting calls, and the calls that come next.
struct Load {
    queue: Queue,
    now: Instant,
    clients: Vec<Arc<str>>,
    mix: Mix,
    next: usize,
}

impl Load {
    fn new(mix: Mix, waiting: usize) -> Self {
        let queue = Queue::new(Settings {
            max_waiting: usize::MAX,
            max_waiting_per_client: usize::MAX,
            aging_interval: Duration::from_secs(5),
        });
        let clients = (0..CLIENTS).map(|n| Arc::from(format!("client {n}")));
        let mut load = Self {
            queue,
            now: tokio::time::Instant::now().into_std(),
            clients: clients.collect(),
            mix,
            next: 0,
        };
        for _ in 0..waiting {
            let arrival = load.arrival();
            load.queue.offer(load.now, arrival).unwrap();
        }
        load
    }

    /// Calls come every 50 microseconds, so that the first of 100,000 have waited long enough to
    /// have risen.
    fn arrival(&mut self) -> Arrival {
        self.next += 1;
        self.now += Duration::from_micros(50);
        Arrival {
            client: self.clients[self.next * 7 % CLIENTS].clone(),
            priority: Priority::ALL[self.next % 3],
            deadline: self.now + Duration::from_hours(1),
            effect: self.mix.effect(self.next),
            cost: 3,
        }
    }
}

fn queue(criterion: &mut Criterion) {
    for (mix, name) in Mix::ALL {
        let mut group = criterion.benchmark_group(name);
        for waiting in [10, 1_000, 100_000] {
            let mut load = Load::new(mix, waiting);
            group.bench_function(
                BenchmarkId::new("enqueue and dequeue", waiting),
                |bencher| {
                    load.queue.set_limit(1);
                    bencher.iter(|| {
                        let arrival = load.arrival();
                        load.queue.offer(load.now, arrival).unwrap();
                        let started = load.queue.start(load.now).unwrap();
                        load.queue.finish(black_box(started), None);
                    });
                },
            );
            group.bench_function(BenchmarkId::new("enqueue and leave", waiting), |bencher| {
                load.queue.set_limit(0);
                bencher.iter(|| {
                    let arrival = load.arrival();
                    let taken = load.queue.offer(load.now, arrival).unwrap();
                    load.queue.finish(black_box(taken.ticket), None);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, queue);
criterion_main!(benches);
