//! What Linux says about this process (proc(5)). Elsewhere there is nothing to read.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Metric, Readings};

/// In units of what `/proc/self/stat` counts time: `USER_HZ`, 100 on every architecture of today.
const TICKS_PER_SECOND: f64 = 100.0;

/// Notes everything that can be read; what cannot is left out.
pub(super) fn read(readings: &mut Readings, age: Duration) {
    let started = SystemTime::now().checked_sub(age);
    if let Some(since) = started.and_then(|at| at.duration_since(UNIX_EPOCH).ok()) {
        readings.note(Metric::StartTime, &[], since.as_secs_f64());
    }
    if let Some(seconds) = text("stat").as_deref().and_then(cpu_seconds) {
        readings.note(Metric::Cpu, &[], seconds);
    }
    if let Some(status) = text("status") {
        for (metric, name) in [
            (Metric::ResidentMemory, "VmRSS:"),
            (Metric::VirtualMemory, "VmSize:"),
        ] {
            if let Some(kib) = field(&status, name, 0) {
                readings.number(metric, &[], kib * 1024);
            }
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them reads the folder.
        readings.size(Metric::OpenFiles, &[], files.count().saturating_sub(1));
    }
    if let Some(most) = text("limits").and_then(|limits| field(&limits, "Max open files", 0)) {
        readings.number(Metric::MaxFiles, &[], most);
    }
}

fn text(file: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{file}")).ok()
}

/// The number in column `column` behind the name of a line.
fn field(text: &str, name: &str, column: usize) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().nth(column)?.parse().ok()
}

/// User and system time. The name of the program stands before them, in brackets, and may hold
/// anything.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut times = rest.split_whitespace().skip(11).map(str::parse::<f64>);
    let (user, system) = (times.next()?.ok()?, times.next()?.ok()?);
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "12 (a) b (c) S 1 1 1 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 3 0 1 2 3";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("12 (x) S 1"), None);
    }

    #[test]
    fn columns_of_both_files_are_found() {
        assert_eq!(
            field("A: 1 kB\nVmRSS:\t  2048 kB\n", "VmRSS:", 0),
            Some(2048)
        );
        let limits = "Max open files            1024                 524288               files";
        assert_eq!(field(limits, "Max open files", 0), Some(1024));
        assert_eq!(field("Max open files unlimited", "Max open files", 0), None);
    }
}
