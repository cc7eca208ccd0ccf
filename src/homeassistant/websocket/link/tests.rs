//! The connection driven through its whole life, and through any other.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

const UP: &str = r#"{"id":1,"type":"result","success":true,"result":null}"#;

/// A machine with a clock that only the test moves.
struct Driver {
    link: Link<char>,
    now: Instant,
}

impl Driver {
    fn new() -> Self {
        let now = tokio::time::Instant::now().into_std();
        Self {
            link: Link::new(now),
            now,
        }
    }

    fn orders(&mut self) -> Vec<Order> {
        std::iter::from_fn(|| self.link.poll(self.now, 0.5)).collect()
    }

    fn pass(&mut self, time: Duration) -> Vec<Order> {
        self.now += time;
        self.orders()
    }

    /// Waits until there is something to do.
    fn next(&mut self) -> Vec<Order> {
        self.now = self.now.max(self.link.wake());
        self.orders()
    }

    fn hear(&mut self, text: &str) -> Vec<String> {
        let news = self.link.receive(self.now, text);
        news.iter().map(|news| format!("{news:?}")).collect()
    }

    /// From an order to connect to a connection that is up.
    fn greet(&mut self) {
        self.link.opened(self.now);
        self.hear(r#"{"type":"auth_required","ha_version":"2026.11.0"}"#);
        assert_eq!(self.orders(), [Order::Authenticate]);
        self.hear(r#"{"type":"auth_ok","ha_version":"2026.11.0"}"#);
        assert_eq!(sent(&self.orders()), ["supported_features"]);
        let news = self.hear(UP);
        assert_eq!(news, [r#"Up { version: "2026.11.0" }"#]);
    }

    fn up() -> Self {
        let mut driver = Self::new();
        assert_eq!(driver.orders(), [Order::Connect]);
        driver.greet();
        driver
    }

    fn lose(&mut self, loss: Loss) -> Duration {
        self.link.failed(self.now, loss.clone());
        assert_eq!(self.orders(), [Order::Disconnect(loss)]);
        let before = self.now;
        assert_eq!(self.next(), [Order::Connect]);
        self.now - before
    }
}

/// The types of the commands that are sent.
fn sent(orders: &[Order]) -> Vec<String> {
    let kind = |order: &Order| match order {
        Order::Send(text) => {
            let message: Value = serde_json::from_str(text).unwrap();
            message["type"].as_str().unwrap().to_owned()
        }
        other => format!("{other:?}"),
    };
    orders.iter().map(kind).collect()
}

fn unreachable() -> Loss {
    Loss::Unreachable("refused".to_owned())
}

#[test]
fn it_is_up_once_home_assistant_itself_has_answered() {
    let mut driver = Driver::new();
    assert_eq!(driver.orders(), [Order::Connect]);
    driver.link.opened(driver.now);
    driver.hear(r#"{"type":"auth_required"}"#);
    driver.hear(r#"{"type":"auth_ok","ha_version":"2026.11.0"}"#);
    assert!(
        !driver.link.is_up(),
        "the Supervisor says auth_ok by itself"
    );
    driver.link.command(driver.now, 'a', "ping", &json!({}));
    assert_eq!(
        sent(&driver.orders()),
        ["Authenticate", "supported_features"],
        "no command goes before"
    );
    driver.hear(UP);
    assert!(driver.link.is_up());
}

#[test]
fn an_old_home_assistant_that_knows_no_features_is_up_as_well() {
    let mut driver = Driver::new();
    driver.orders();
    driver.hear(r#"{"type":"auth_required"}"#);
    driver.hear(r#"{"type":"auth_ok","ha_version":"2022.1.0"}"#);
    driver.orders();
    let news = driver.hear(r#"{"id":1,"type":"result","success":false}"#);
    assert_eq!(news, [r#"Up { version: "2022.1.0" }"#]);
}

#[test]
fn answers_and_events_find_what_they_are_for() {
    let mut driver = Driver::up();
    driver
        .link
        .command(driver.now, 'c', "get_config", &json!({}));
    driver
        .link
        .subscribe(driver.now, 's', "subscribe_events", &json!({}));
    assert_eq!(sent(&driver.orders()), ["get_config", "subscribe_events"]);
    let text = r#"[{"id":3,"type":"event","event":7},{"id":3,"type":"result","success":true},
        {"id":2,"type":"result","success":false,"error":{"code":"c","message":"m"}},
        {"id":3,"type":"event","event":8},{"id":9,"type":"event","event":9},
        {"id":2,"type":"result","success":true}]"#;
    let news = driver.hear(text);
    assert_eq!(news.len(), 4, "{news:?}");
    assert!(news[0].contains("Event") && news[0].contains("'s'") && news[0].contains('7'));
    assert!(news[1].contains("Answer") && news[1].contains("'s'"));
    assert!(news[2].contains("Answer") && news[2].contains("'c'") && news[2].contains("Err"));
    assert!(news[3].contains("Event") && news[3].contains('8'));
}

#[test]
fn a_refused_subscription_has_no_events() {
    let mut driver = Driver::up();
    driver
        .link
        .subscribe(driver.now, 's', "subscribe_events", &json!({}));
    driver.hear(r#"{"id":2,"type":"result","success":false}"#);
    assert!(
        driver
            .hear(r#"{"id":2,"type":"event","event":1}"#)
            .is_empty()
    );
}

#[test]
fn nothing_comes_from_a_subscription_that_was_ended() {
    let mut driver = Driver::up();
    driver
        .link
        .subscribe(driver.now, 's', "subscribe_entities", &json!({}));
    driver.hear(r#"{"id":2,"type":"result","success":true}"#);
    driver.orders();
    driver.link.unsubscribe(driver.now, 's');
    assert_eq!(
        driver.orders(),
        [Order::Send(
            r#"{"id":3,"type":"unsubscribe_events","subscription":2}"#.to_owned()
        )]
    );
    assert!(
        driver
            .hear(r#"{"id":2,"type":"event","event":1}"#)
            .is_empty()
    );
    assert!(
        driver
            .hear(r#"{"id":3,"type":"result","success":true}"#)
            .is_empty()
    );
    driver.link.unsubscribe(driver.now, 's');
    assert!(driver.orders().is_empty());
}

#[test]
fn silence_is_asked_about_and_then_not_borne() {
    let mut driver = Driver::up();
    assert_eq!(sent(&driver.next()), ["ping"]);
    driver.hear(r#"{"id":2,"type":"pong"}"#);
    assert_eq!(sent(&driver.next()), ["ping"], "an answer ends the silence");
    assert_eq!(driver.next(), [Order::Disconnect(Loss::Silent)]);
    assert!(!driver.link.is_up());
    assert_eq!(driver.next(), [Order::Connect]);
}

#[test]
fn who_speaks_is_not_asked_for_a_sign_of_life() {
    let mut driver = Driver::up();
    driver
        .link
        .subscribe(driver.now, 's', "subscribe_events", &json!({}));
    driver.hear(r#"{"id":2,"type":"result","success":true}"#);
    driver.orders();
    for _ in 0..100 {
        assert!(driver.pass(SILENCE / 2).is_empty());
        driver.hear(r#"{"id":2,"type":"event","event":1}"#);
    }
}

#[test]
fn an_answer_that_never_comes_ends_the_connection() {
    let mut driver = Driver::up();
    driver
        .link
        .command(driver.now, 'c', "get_config", &json!({}));
    driver.orders();
    for _ in 0..100 {
        driver.now += Duration::from_secs(1);
        driver.hear(r#"{"type":"something","else":1}"#);
        if let [Order::Disconnect(Loss::Silent)] = driver.orders()[..] {
            return;
        }
    }
    panic!("it waits for ever");
}

#[test]
fn a_greeting_that_stalls_is_given_up() {
    let mut driver = Driver::new();
    assert_eq!(driver.orders(), [Order::Connect]);
    assert_eq!(driver.next(), [Order::Disconnect(Loss::Silent)]);
    assert_eq!(driver.next(), [Order::Connect]);
    driver.link.opened(driver.now);
    driver.hear(r#"{"type":"auth_required"}"#);
    assert_eq!(driver.orders(), [Order::Authenticate]);
    assert_eq!(driver.next(), [Order::Disconnect(Loss::Silent)]);
}

#[test]
fn pauses_grow_while_it_is_away_and_are_short_after_a_good_connection() {
    let mut driver = Driver::new();
    driver.orders();
    let pauses: Vec<Duration> = (0..10).map(|_| driver.lose(unreachable())).collect();
    assert!(pauses.is_sorted() && pauses[0] < pauses[9], "{pauses:?}");
    assert_eq!(
        pauses[9],
        AWAY.cap / 2,
        "half of the cap at a jitter of one half"
    );
    driver.greet();
    driver.now += STABLE;
    let closed = || Loss::Closed("1000".to_owned());
    assert_eq!(driver.lose(closed()), AWAY.base / 2);
    driver.greet();
    assert!(
        driver.lose(closed()) > AWAY.base / 2,
        "one that did not last is no good one"
    );
}

#[test]
fn a_refused_token_is_not_shown_again_for_a_while() {
    let mut driver = Driver::new();
    driver.orders();
    driver.link.opened(driver.now);
    driver.hear(r#"{"type":"auth_required"}"#);
    driver.orders();
    driver.hear(r#"{"type":"auth_invalid","message":"Invalid access token"}"#);
    let lost = driver.now;
    let refused = Loss::TokenRefused("Invalid access token".to_owned());
    assert_eq!(driver.orders(), [Order::Disconnect(refused)]);
    assert_eq!(driver.next(), [Order::Connect]);
    assert!(driver.now - lost >= REFUSED.base / 2);
}

#[test]
fn where_there_is_no_websocket_it_seldom_looks_again() {
    let mut driver = Driver::new();
    driver.orders();
    let mut pause = Duration::ZERO;
    for _ in 0..20 {
        pause = driver.lose(Loss::NotOffered("HTTP 404".to_owned()));
    }
    assert!(pause >= Duration::from_mins(2), "{pause:?}");
}

#[test]
fn what_is_not_understood_ends_the_connection() {
    let mut driver = Driver::up();
    driver.hear("<html>");
    let orders = driver.orders();
    assert!(
        matches!(orders[..], [Order::Disconnect(Loss::NotUnderstood(_))]),
        "{orders:?}"
    );
}

#[test]
fn what_was_awaited_is_forgotten_with_the_connection() {
    let mut driver = Driver::up();
    driver
        .link
        .subscribe(driver.now, 's', "subscribe_events", &json!({}));
    driver.lose(unreachable());
    driver.greet();
    let late = r#"[{"id":2,"type":"result","success":true},{"id":2,"type":"event","event":1}]"#;
    assert!(driver.hear(late).is_empty());
}

#[derive(Debug, Clone)]
enum Act {
    Hear(String),
    Lose,
    Command,
    Subscribe,
    Unsubscribe,
    Pass(u64),
    Wake,
}

fn any_text() -> impl Strategy<Value = String> {
    let id = 0_u64..12;
    prop_oneof![
        4 => Just(r#"{"type":"auth_required"}"#.to_owned()),
        4 => Just(r#"{"type":"auth_ok","ha_version":"1"}"#.to_owned()),
        1 => Just(r#"{"type":"auth_invalid"}"#.to_owned()),
        5 => (id.clone(), any::<bool>())
            .prop_map(|(id, ok)| format!(r#"{{"id":{id},"type":"result","success":{ok}}}"#)),
        2 => id.clone().prop_map(|id| format!(r#"{{"id":{id},"type":"pong"}}"#)),
        2 => id.prop_map(|id| format!(r#"[{{"id":{id},"type":"event","event":[]}}]"#)),
        1 => ".{0,20}",
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => any_text().prop_map(Act::Hear),
        1 => Just(Act::Lose),
        2 => Just(Act::Command),
        2 => Just(Act::Subscribe),
        1 => Just(Act::Unsubscribe),
        2 => (0_u64..40_000).prop_map(Act::Pass),
        2 => Just(Act::Wake),
    ]
}

/// What must hold of everything that is ordered, whatever happens.
#[derive(Default)]
struct Observer {
    connected: bool,
    last_id: u64,
    unanswered: BTreeSet<u64>,
}

impl Observer {
    fn see(&mut self, order: &Order) {
        match order {
            Order::Connect => {
                assert!(!self.connected, "one connection at a time");
                *self = Self {
                    connected: true,
                    ..Self::default()
                };
            }
            Order::Authenticate => assert!(self.connected),
            Order::Send(text) => {
                assert!(self.connected, "{text} into a closed connection");
                let message: Value = serde_json::from_str(text).unwrap();
                let id = message["id"].as_u64().unwrap();
                let first = message["type"] == "supported_features";
                assert!(id > self.last_id || first, "ids must rise: {text}");
                self.last_id = id;
                self.unanswered.insert(id);
            }
            Order::Disconnect(_) => {
                assert!(self.connected);
                self.connected = false;
            }
        }
    }
}

proptest! {
    #[test]
    fn in_every_history_it_keeps_the_protocol_and_finds_back(
        acts in proptest::collection::vec(any_act(), 0..120), random in 0.0..1.0
    ) {
        let mut driver = Driver::new();
        let mut observer = Observer::default();
        let advance = |driver: &mut Driver, observer: &mut Observer| {
            while let Some(order) = driver.link.poll(driver.now, random) {
                observer.see(&order);
                if order == Order::Connect {
                    driver.link.opened(driver.now);
                }
            }
        };
        advance(&mut driver, &mut observer);
        for act in acts {
            match act {
                Act::Hear(text) if observer.connected => {
                    let was_up = driver.link.is_up();
                    for news in driver.link.receive(driver.now, &text) {
                        let up = matches!(news, News::Up { .. });
                        prop_assert!(was_up || up, "{news:?}");
                    }
                }
                Act::Lose if observer.connected => {
                    driver.link.failed(driver.now, unreachable());
                }
                Act::Hear(_) | Act::Lose => {}
                Act::Command => driver.link.command(driver.now, 'c', "get_config", &json!({})),
                Act::Subscribe => {
                    driver.link.subscribe(driver.now, 's', "subscribe_events", &json!({}));
                }
                Act::Unsubscribe => driver.link.unsubscribe(driver.now, 's'),
                Act::Pass(millis) => driver.now += Duration::from_millis(millis),
                Act::Wake => driver.now = driver.now.max(driver.link.wake()),
            }
            advance(&mut driver, &mut observer);
        }
        // Left alone, it always comes back to asking for a connection, in bounded steps.
        let mut steps = 0;
        driver.link.failed(driver.now, unreachable());
        loop {
            driver.now = driver.now.max(driver.link.wake());
            let order = driver.link.poll(driver.now, random);
            if order == Some(Order::Connect) {
                break;
            }
            steps += 1;
            prop_assert!(steps < 10);
        }
    }
}
