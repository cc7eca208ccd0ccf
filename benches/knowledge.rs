//! What it costs to keep up with a home: a state that changes, and what clients ask of it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a benchmark that cannot go on is over"
)]

#[path = "../tests/it/support/home.rs"]
mod home;

use std::hint::black_box;
use tokio::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use home::{changes, hear, id, known};

fn keeping_up(criterion: &mut Criterion) {
    let now = Instant::now().into_std();
    for entities in [100, 1000, 10_000] {
        let mut knowledge = known(entities);
        let changes = changes(entities, 1000);
        let mut next = changes.iter().cycle();
        criterion.bench_function(&format!("a state changes, of {entities}"), |bencher| {
            bencher.iter(|| hear(&mut knowledge, now, next.next().unwrap()));
        });
        let middle = id(entities / 2);
        criterion.bench_function(&format!("an entity is read, of {entities}"), |bencher| {
            bencher.iter(|| black_box(knowledge.told(now, &middle)));
        });
        criterion.bench_function(&format!("a hundred are listed, of {entities}"), |bencher| {
            bencher.iter(|| black_box(knowledge.things_after(Some(&middle), 100)));
        });
    }
}

criterion_group!(benches, keeping_up);
criterion_main!(benches);
