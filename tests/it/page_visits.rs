//! The status page in a real Chromium, on the real program. `tests/page/visit.mjs` has the visits; what
//! they saw lies in `tests/page/screenshots` afterwards.

use tokio::process::Command;

use crate::support::bridge::{Bridge, PATIENCE, root};
use crate::support::configured::Configured;

/// Lets Chromium visit the page of `bridge`; the environment tells the visit more.
pub(crate) async fn visit(bridge: &Bridge, name: &str, environment: &[(&str, &str)]) {
    browse(bridge, "visit.mjs", &[name], environment).await;
}

/// Runs a script of `tests/page` that drives Chromium.
pub(crate) async fn browse(
    bridge: &Bridge,
    script: &str,
    args: &[&str],
    environment: &[(&str, &str)],
) {
    let mut command = Command::new("node");
    command
        .arg(root().join("tests/page").join(script))
        .args(args)
        .env("ADMIN", format!("http://{}", bridge.admin))
        .env("LAN", bridge.url(""))
        .env("ADMIN_TOKEN", &bridge.admin_token)
        .env("TOKEN", &bridge.token)
        .envs(environment.iter().copied())
        .kill_on_drop(true);
    let output = tokio::time::timeout(5 * PATIENCE, command.output());
    let output = output
        .await
        .expect("the browser hangs")
        .expect("there is no node; tests/page/install was not run");
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said == "fine\n",
        "{script} {args:?}: {said}{errors}"
    );
}

async fn visit_the_demo(name: &str) {
    visit(&Bridge::start(&["--demo"]).await, name, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_leads_from_the_first_start_to_a_connected_client() {
    visit_the_demo("first_run").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_follows_home_assistants_theme_language_and_direction() {
    let ingress = [("MCP_BRIDGE__INGRESS_PEER", "127.0.0.1")];
    let bridge = Bridge::start_with(&["--demo"], &ingress).await;
    visit(&bridge, "ingress", &[]).await;
    let log = bridge.whole_log().join("\n");
    assert!(log.contains(r#""by":"Anna""#), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn page_does_what_its_buttons_say() {
    visit_the_demo("buttons").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_makes_changes_and_revokes_clients() {
    visit_the_demo("clients").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_lets_a_person_agree_to_held_calls_or_refuse_them() {
    visit_the_demo("approvals").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_tries_the_whole_way() {
    visit_the_demo("check").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_shows_the_tools_and_what_they_cost() {
    visit_the_demo("tools").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_shows_the_settings_in_force_and_forgets_answers() {
    visit_the_demo("settings").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_stays_light_with_a_thousand_calls() {
    visit_the_demo("thousand_calls").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_fits_from_a_small_telephone_to_a_large_screen() {
    visit_the_demo("sizes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_is_accessible_in_light_and_dark() {
    visit_the_demo("accessible").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_has_a_core_without_any_script() {
    visit_the_demo("without_script").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_asks_where_events_do_not_come_through() {
    visit_the_demo("without_events").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_says_what_is_wrong_and_what_to_do() {
    let bridge = Bridge::start(&["--upstream", "http://127.0.0.1:9"]).await;
    visit(&bridge, "trouble", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_says_what_became_of_a_configuration_that_changed() {
    let configured = Configured::start("demo: true").await;
    let file = configured.file.to_str().unwrap();
    visit(&configured.bridge, "configuration", &[("FILE", file)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn page_weighs_less_than_sixty_kilobytes() {
    visit_the_demo("weight").await;
}
