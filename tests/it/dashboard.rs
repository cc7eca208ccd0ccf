//! The Grafana dashboard and the alert rules, in front of a real Prometheus that watches a bridge at
//! work.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use http::Method;
use mcp_bridge::telemetry::metrics::Metric;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::Bridge;
use crate::support::bridge::{PATIENCE, root, send, send_for_token};
use crate::support::core::Core;

/// The panels that show something.
fn panels() -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("deploy/grafana/mcp-bridge.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let panels = board["panels"].as_array().unwrap().clone();
    let shows = |panel: &Value| panel["type"] != "row";
    panels.into_iter().filter(shows).collect()
}

/// All queries of a panel, as Grafana sends them when everything is chosen.
fn queries(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().unwrap().iter();
    let queries = targets.map(|target| {
        let query = target["expr"].as_str().unwrap();
        query
            .replace("$job", ".*")
            .replace("$instance", ".*")
            .replace("$__rate_interval", "1m")
    });
    queries.collect()
}

/// A Prometheus that watches one address.
struct Prometheus {
    child: Child,
    url: String,
    client: reqwest::Client,
    _folder: TempDir,
}

impl Prometheus {
    fn watching(bridge: &Bridge) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let configuration = folder.path().join("prometheus.yml");
        let target = bridge.lan;
        let text = format!(
            "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
             scrape_configs:\n- job_name: mcp-bridge\n  authorization: {{credentials: {}}}\n  \
             static_configs: [{{targets: ['{target}']}}]\n",
            bridge.token
        );
        std::fs::write(&configuration, text).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", configuration.display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .arg(format!("--storage.tsdb.path={}", folder.path().display()))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("prometheus is missing; it is a package of Debian");
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = log.by_ref().map_while(Result::ok).find_map(|line| {
            let told = line.contains("msg=\"Listening on\"");
            let (_, address) = line.rsplit_once("address=")?;
            told.then(|| address.to_owned())
        });
        let address = address.expect("Prometheus did not start");
        // A full pipe would stop it.
        std::thread::spawn(move || log.for_each(drop));
        Self {
            child,
            url: format!("http://{address}/api/v1/query"),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            _folder: folder,
        }
    }

    /// How many series a query has now.
    async fn series(&self, query: &str) -> usize {
        let url = url::Url::parse_with_params(&self.url, [("query", query)]).unwrap();
        let reply = send(self.client.get(url)).await;
        assert_eq!(reply.status, 200, "{query}: {reply:?}");
        let series = reply.json()["data"]["result"].clone();
        let number = |sample: &&Value| sample["value"][1] != "NaN";
        series.as_array().unwrap().iter().filter(number).count()
    }

    async fn until_there_is_data(&self, query: &str) {
        let wait = async {
            while self.series(query).await == 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.unwrap_or_else(|_| panic!("no data: {query}"));
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with a name, rights and a rate; gives its token.
async fn client(bridge: &Bridge, name: &str, terms: Value) -> String {
    let body = json!({"name": name, "terms": terms}).to_string();
    let made = bridge.admin_request(Method::POST, "/api/clients");
    let made = made.header("content-type", "application/json").body(body);
    let made = send_for_token(made).await;
    made.json()["token"].as_str().unwrap().to_owned()
}

/// A bit of everything that can happen.
async fn traffic(bridge: &Bridge, looker: &str, hasty: &str) {
    let turn_on = json!({"name": "intent__HassTurnOn", "arguments": {"name": "Kitchen Light"}});
    let look = json!({"name": "llm__GetLiveContext"});
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    for body in [&turn_on, &turn_on, &look] {
        send(bridge.post("/mcp/tools/call", body)).await;
    }
    bridge.call("no_such_tool", json!({})).await;
    for (token, body) in [(looker, &turn_on), (hasty, &look), (hasty, &look)] {
        let call = stranger
            .post(bridge.url("/mcp/tools/call"))
            .bearer_auth(token);
        let call = call.header("content-type", "application/json");
        send(call.body(body.to_string())).await;
    }
    send(stranger.post(bridge.url("/mcp"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_of_the_dashboard_shows_data_of_a_bridge_at_work() {
    let core = Core::start().await;
    let bridge = core.bridge(&[]).await;
    let looker = client(&bridge, "looker", json!({"rights": {"read_only": true}})).await;
    let hasty = client(&bridge, "hasty", json!({"rate": "1/h"})).await;
    let prometheus = Prometheus::watching(&bridge);
    traffic(&bridge, &looker, &hasty).await;
    // A rate needs two scrapes.
    let scrapes = "count_over_time(mcp_bridge_rate_refusals_total[1m]) > 2";
    prometheus.until_there_is_data(scrapes).await;
    traffic(&bridge, &looker, &hasty).await;
    let panels = panels();
    assert!(panels.len() > 20, "{}", panels.len());
    for panel in panels {
        for query in queries(&panel) {
            prometheus.until_there_is_data(&query).await;
        }
    }
}

#[test]
fn alert_rules_fire_when_they_should_and_not_otherwise() {
    let folder = root().join("deploy/prometheus");
    let promtool = |args: &[&str]| {
        let output = Command::new("promtool")
            .args(args)
            .current_dir(&folder)
            .output();
        let output = output.expect("promtool is missing; Debian's package is `prometheus`");
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(output.status.success(), "{said}");
    };
    promtool(&["check", "rules", "rules.yaml"]);
    promtool(&["test", "rules", "rules.test.yaml"]);
    let read = |file: &str| std::fs::read_to_string(folder.join(file)).unwrap();
    let tests = read("rules.test.yaml");
    for alert in read("rules.yaml")
        .lines()
        .filter_map(|line| line.split_once("alert: "))
    {
        let tested = tests.matches(&format!("alertname: {}\n", alert.1)).count();
        assert_eq!(tested, 2, "{}: in trouble and without", alert.1);
    }
}

#[test]
fn dashboard_and_alerts_speak_of_metrics_that_there_are() {
    let known: BTreeSet<_> = Metric::ALL
        .iter()
        .map(|metric| metric.definition().query_name())
        .collect();
    let mut text: String = panels().iter().flat_map(queries).collect();
    text += &std::fs::read_to_string(root().join("deploy/prometheus/rules.yaml")).unwrap();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let mut seen = 0;
    for word in words.filter(|word| word.starts_with("mcp_bridge_") || word.starts_with("process_"))
    {
        let of_histogram = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|suffix| word.strip_suffix(suffix));
        assert!(known.contains(of_histogram.unwrap_or(word)), "{word}");
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}
