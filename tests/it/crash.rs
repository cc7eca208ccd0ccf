//! The register of clients outlives whoever is killed while it is written.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mcp_bridge::access::{Client, Registry, Terms};
use tokio::time::Instant;

use crate::support::bridge::program;

/// How many writers are killed, unless `REGISTER_KILLS` says another number.
const KILLS: u32 = 500;

/// A program that gives `n8n` a new token.
fn writer(data: &Path) -> Child {
    let mut command: Command = program(["token", "rotate", "n8n", "--data"]);
    command.arg(data).stdout(Stdio::null());
    command.spawn().unwrap()
}

fn n8n(clients: &[Client]) -> &Client {
    clients.iter().find(|client| client.name == "n8n").unwrap()
}

/// Whether `new` is `old` with one more token of `n8n`, and with nothing else that is different.
fn is_next(old: &[Client], new: &[Client]) -> bool {
    let (before, after) = (n8n(old), n8n(new));
    let kept = before.tokens.len().min(after.tokens.len() - 1);
    let hash = |client: &Client, n: usize| client.tokens[n].sha256;
    let others = old.iter().zip(new).all(|(a, b)| a == b || a.name == "n8n");
    old.len() == new.len()
        && others
        && (0..kept).all(|n| hash(before, n) == hash(after, n + 1))
        && old.iter().all(|client| {
            let mut tokens = client.tokens.iter();
            tokens.all(|kept| kept.sha256 != hash(after, 0))
        })
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "no worker is blocked: the moment of the kill is the point"
)]
fn whenever_its_writer_is_killed_the_register_is_the_old_one_or_the_new_one() {
    let kills = std::env::var("REGISTER_KILLS").ok();
    let kills = kills.map_or(KILLS, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::new(folder.path());
    for n in 0..30 {
        registry
            .create(&format!("client {n}"), Terms::default())
            .unwrap();
    }
    registry.create("n8n", Terms::default()).unwrap();
    let began = Instant::now();
    for _ in 0..10 {
        assert!(writer(folder.path()).wait().unwrap().success());
    }
    let took = began.elapsed() / 10;
    let fresh = folder.path().join("clients.new");
    let (mut done, mut halfway) = (0, 0);
    let leftover = || std::fs::remove_file(&fresh).is_ok();
    for n in 0..kills {
        let old = registry.load().unwrap();
        let watches = n % 2 == 1;
        if watches {
            leftover();
        }
        let mut writer = writer(folder.path());
        // A part of the whole way, another one each time (by the golden ratio, evenly spread).
        let part = (f64::from(n) * 0.618_034).fract();
        if watches {
            // From the moment in which the new file is there, a little further.
            while !fresh.exists() && writer.try_wait().unwrap().is_none() {}
            std::thread::sleep(Duration::from_micros(300).mul_f64(part));
        } else {
            std::thread::sleep(took.mul_f64(part * 1.1));
        }
        writer.kill().unwrap();
        writer.wait().unwrap();
        halfway += u32::from(watches && fresh.exists());
        let new = registry.load();
        let new = new.unwrap_or_else(|error| panic!("kill {n}: {error}"));
        assert!(
            new == old || is_next(&old, &new),
            "kill {n}: {old:?} became {new:?}"
        );
        done += u32::from(new != old);
    }
    let mut out = std::io::stdout();
    let told = writeln!(
        out,
        "{kills} writers killed: {done} were done, {halfway} had begun a new file"
    );
    told.unwrap();
    let old = registry.load().unwrap();
    assert!(
        writer(folder.path()).wait().unwrap().success(),
        "no lock is left behind"
    );
    assert!(is_next(&old, &registry.load().unwrap()));
    assert!(!fresh.exists());
}
