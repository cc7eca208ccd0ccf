//! The settings of the way of a call.

use std::time::Duration;

use crate::cache;
use crate::config::file::{Arguments, Cache, Limits, Loops, Queue};
use crate::dispatch::{
    AnswerSettings, ArgumentSettings, BrevitySettings, DeduplicationSettings, SchedulerSettings,
    Settings, ToolSettings, loops, queue,
};
use crate::resilience::{breaker, limit};

/// Puts together what is said about queue, memory and arguments. `instructions` is how many bytes of
/// Home Assistant's prompt clients get.
pub(super) fn settings(
    queue: Queue,
    arguments: &Arguments,
    cache: Cache,
    loops: &Loops,
    approval_timeout: Duration,
    limits: &Limits,
    instructions: usize,
) -> Settings {
    Settings {
        call_timeout: queue.call_timeout,
        scheduler: SchedulerSettings {
            queue: queue::Settings {
                max_waiting: queue.max_waiting,
                max_waiting_per_client: queue.max_waiting_per_client,
                aging_interval: queue.aging_interval,
            },
            limit: limit::Settings::up_to(queue.max_parallel_calls),
            breaker: breaker::Settings {
                probe_lease: limits.response_timeout + Duration::from_secs(10),
                ..breaker::Settings::default()
            },
            hold: queue.hold_during_restart,
        },
        deduplication: DeduplicationSettings {
            write_window: queue.duplicate_window,
            key_window: Duration::from_mins(10),
            max_kept: 1000,
            max_kept_bytes: 4 << 20,
            max_running: 1000,
        },
        tools: ToolSettings {
            reads: queue.reads,
            steps: queue.steps,
        },
        arguments: ArgumentSettings {
            check: arguments.check,
            drop_empty: arguments.drop_empty,
            drop_null: arguments.drop_null,
            convert: arguments.convert,
            wrap: arguments.wrap,
            ignore_case: arguments.ignore_case,
        },
        approval_timeout,
        answers: AnswerSettings {
            enabled: cache.enabled,
            bounds: cache::Settings {
                max_bytes: cache.size,
                list_ttl: cache.list_ttl,
                list_ttl_without_events: cache.list_ttl_without_events,
                state_ttl: cache.state_ttl,
                max_stale: cache.max_stale,
            },
            tools: cache.tools,
        },
        brevity: BrevitySettings {
            instructions,
            answer: limits.tool_answer,
        },
        loops: loops::Settings {
            calls: loops.calls,
            window: loops.window,
            max_remembered: 1000,
            max_bytes: 4 << 20,
        },
    }
}
