//! Each fault, over a real socket.

use std::io;

use tokio::time::Instant;

use super::super::client::{Answer, house, open, post, read, rpc, send, turn_on, until};
use super::*;

fn name(fault: Option<Fault>) -> String {
    fault.map_or_else(|| "none".to_owned(), |fault| format!("{fault:?}"))
}

#[test]
fn planned_faults_come_before_the_standing_one_and_run_out() {
    let mut faults = Faults::default();
    faults.set(Some(Fault::Hang));
    faults.plan(Fault::Garbage, 2, false);
    faults.plan(Fault::NotRpc, 1, false);
    let met: Vec<_> = (0..5).map(|_| name(faults.take(false))).collect();
    assert_eq!(met, ["Garbage", "Garbage", "NotRpc", "Hang", "Hang"]);
}

#[test]
fn faults_for_calls_wait_for_a_call() {
    let mut faults = Faults::default();
    faults.plan(Fault::Garbage, 1, true);
    assert_eq!(name(faults.take(false)), "none");
    assert_eq!(name(faults.take(true)), "Garbage");
    assert_eq!(name(faults.take(true)), "none");
}

#[test]
fn clearing_the_fault_clears_what_was_planned() {
    let mut faults = Faults::default();
    faults.plan(Fault::Garbage, 3, false);
    faults.plan(Fault::Hang, 0, false);
    faults.set(None);
    assert_eq!(name(faults.take(true)), "none");
}

#[tokio::test]
async fn a_slow_house_takes_its_time_and_then_answers() {
    let house = house().await;
    let pause = Duration::from_millis(30);
    house.fail_next(Fault::Slow(pause), 1);
    let start = Instant::now();
    let answer = send(&house, &post(&turn_on(1))).await;
    assert!(start.elapsed() >= pause);
    assert_eq!(answer.json()["result"]["isError"], false);
}

#[tokio::test]
async fn a_held_call_runs_when_it_is_let_go() {
    let house = house().await;
    let gate = Arc::new(Semaphore::new(0));
    house.set_fault(Some(Fault::Hold(Arc::clone(&gate))));
    let first = open(&house, &post(&turn_on(1))).await;
    let second = open(&house, &post(&turn_on(2))).await;
    until(&house, |house| house.in_flight() == 2).await;
    assert!(house.executed().is_empty());
    gate.add_permits(1);
    until(&house, |house| house.executed().len() == 1).await;
    gate.add_permits(1);
    for stream in [first, second] {
        assert_eq!(
            Answer::parse(&read(stream).await.unwrap()).unwrap().status,
            200
        );
    }
    assert_eq!(house.peak_in_flight(), 2);
}

#[tokio::test]
async fn a_hanging_house_executes_nothing_and_says_nothing() {
    let house = house().await;
    house.set_fault(Some(Fault::Hang));
    let stream = open(&house, &post(&turn_on(1))).await;
    until(&house, |house| house.in_flight() == 1).await;
    assert!(house.executed().is_empty());
    house.stop().await;
    assert_eq!(read(stream).await.unwrap_or_default(), b"");
}

#[tokio::test]
async fn a_house_that_hangs_afterwards_has_executed() {
    let house = house().await;
    house.set_fault(Some(Fault::HangAfter));
    let stream = open(&house, &post(&turn_on(1))).await;
    until(&house, |house| house.executed().len() == 1).await;
    assert_eq!(house.in_flight(), 1);
    drop(stream);
    until(&house, |house| house.in_flight() == 0).await;
}

#[tokio::test]
async fn a_status_is_answered_without_executing() {
    let house = house().await;
    let fault = Fault::Status {
        status: 502,
        body: "<h1>Bad Gateway</h1>".to_owned(),
        content_type: "text/html".to_owned(),
    };
    house.fail_next(fault, 1);
    let answer = send(&house, &post(&turn_on(1))).await;
    assert_eq!(
        (answer.status, answer.text()),
        (502, "<h1>Bad Gateway</h1>")
    );
    assert_eq!(answer.header("content-type"), "text/html");
    let fault = Fault::Status {
        status: 504,
        body: String::new(),
        content_type: String::new(),
    };
    house.fail_next(fault, 1);
    let answer = send(&house, &post(&turn_on(1))).await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("content-type")),
        (504, "", "")
    );
    assert!(house.executed().is_empty());
}

#[tokio::test]
async fn garbage_is_no_json_and_not_rpc_is_no_json_rpc() {
    let house = house().await;
    house.fail_next(Fault::Garbage, 1);
    let garbage = send(&house, &post(&turn_on(1))).await;
    assert_eq!(garbage.status, 200);
    assert!(
        garbage
            .header("content-type")
            .starts_with("application/json")
    );
    assert!(serde_json::from_slice::<Value>(&garbage.body).is_err());
    house.fail_next(Fault::NotRpc, 1);
    let other = send(&house, &post(&turn_on(2))).await.json();
    assert!(other.is_object() && other.get("jsonrpc").is_none());
    assert_eq!(house.executed().len(), 2);
}

#[tokio::test]
async fn a_wrong_id_belongs_to_nobody() {
    let house = house().await;
    house.set_fault(Some(Fault::WrongId));
    for id in [json!(1), json!("one")] {
        let answer = send(&house, &post(&turn_on(id.clone()))).await.json();
        assert_ne!(answer["id"], id);
        assert_eq!(answer["result"]["isError"], false);
    }
}

#[tokio::test]
async fn a_truncated_answer_keeps_less_than_it_promised() {
    let house = house().await;
    house.set_fault(Some(Fault::Truncated));
    let answer = send(&house, &post(&turn_on(1))).await;
    let promised: usize = answer.header("content-length").parse().unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body.len(), promised / 2);
    assert_eq!(house.executed().len(), 1);
}

#[tokio::test]
async fn a_reset_comes_after_the_execution_or_before_it() {
    let house = house().await;
    for (fault, executed) in [(Fault::ResetBefore, 0), (Fault::Reset, 1)] {
        house.fail_next(fault, 1);
        let error = read(open(&house, &post(&turn_on(1))).await)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(house.executed().len(), executed);
    }
}

#[tokio::test]
async fn a_huge_answer_has_the_size_asked_for_and_is_valid() {
    let house = house().await;
    for size in [200, 65_536, 3_000_000] {
        house.fail_next(Fault::Huge(size), 1);
        let answer = send(&house, &post(&turn_on("x}"))).await;
        assert_eq!(answer.body.len(), size);
        assert_eq!(answer.json()["id"], "x}");
    }
}

#[tokio::test]
async fn a_redirect_points_elsewhere_and_executes_nothing() {
    let house = house().await;
    house.set_fault(Some(Fault::Redirect("http://elsewhere/api/mcp".to_owned())));
    let answer = send(&house, &post(&turn_on(1))).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (307, "http://elsewhere/api/mcp")
    );
    assert!(house.executed().is_empty());
}

#[tokio::test]
async fn an_event_stream_ends_with_the_response() {
    let house = house().await;
    house.set_fault(Some(Fault::EventStream));
    let answer = send(&house, &post(&turn_on(5))).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(answer.header("transfer-encoding"), "chunked");
    let text = answer.text();
    let at = |part: &str| {
        text.find(part)
            .unwrap_or_else(|| panic!("{part} is not in {text}"))
    };
    let order = [
        at("data:\n\n"),
        at(": still here"),
        at("notifications/message"),
        at("\"id\": 5"),
    ];
    assert!(order.is_sorted(), "{order:?}");
}

#[tokio::test]
async fn faults_leave_what_is_no_json_rpc_answer_alone() {
    let house = house().await;
    house.set_fault(Some(Fault::Garbage));
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    assert_eq!(send(&house, &post(&notification)).await.status, 202);
}

#[tokio::test]
async fn a_fault_for_calls_lets_everything_else_pass() {
    let house = house().await;
    house.fail_next_calls(Fault::NotRpc, 1);
    let ping = send(&house, &post(&rpc(1, "ping", &json!({})))).await;
    assert_eq!(ping.json()["result"], json!({}));
    let call = send(&house, &post(&turn_on(2))).await;
    assert!(call.json().get("id").is_none());
    assert_eq!(send(&house, &post(&turn_on(3))).await.json()["id"], 3);
}
