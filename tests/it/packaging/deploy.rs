//! What Docker and Kubernetes are told fits the program.

use mcp_bridge::config::{Environment, Flags, load};
use serde::Deserialize;
use serde_json::Value;

use super::app_files::yaml;
use crate::documentation::read;
use crate::support::bridge::program;

/// The documents of the Kubernetes file, by their kind.
fn manifest(kind: &str) -> Value {
    let text = read("deploy/kubernetes/mcp-bridge.yaml");
    let documents = serde_yaml::Deserializer::from_str(&text);
    let mut documents = documents.map(|document| Value::deserialize(document).unwrap());
    documents.find(|document| document["kind"] == kind).unwrap()
}

#[test]
fn every_place_runs_the_image_and_version_of_the_app() {
    let app = yaml("config.yaml");
    let kustomization = yaml("deploy/kubernetes/kustomization.yaml");
    let image = &kustomization["images"][0];
    assert_eq!(
        (&image["name"], &image["newTag"]),
        (&app["image"], &app["version"])
    );
    let container = &manifest("Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], app["image"]);
    let compose = yaml("deploy/compose.yaml");
    let latest = format!("{}:latest", app["image"].as_str().unwrap());
    assert_eq!(compose["services"]["bridge"]["image"], latest);
}

#[test]
fn the_config_map_is_a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("home-assistant-token");
    std::fs::write(&token, "eyJ").unwrap();
    let text = manifest("ConfigMap")["data"]["bridge.yaml"]
        .as_str()
        .unwrap()
        .to_owned();
    let mounted = "/run/secrets/mcp-bridge/home-assistant-token";
    assert!(text.contains(mounted));
    let file = folder.path().join("bridge.yaml");
    std::fs::write(&file, text.replace(mounted, token.to_str().unwrap())).unwrap();
    let flags = Flags {
        config: Some(file),
        data: Some("/data".into()),
        ..Flags::default()
    };
    let settings = load(&flags, &Environment::default()).unwrap().settings;
    let pod = &manifest("Deployment")["spec"]["template"]["spec"];
    let patience = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
    assert!(settings.drain_timeout.as_secs() < patience);
    let port = &pod["containers"][0]["ports"][0]["containerPort"];
    assert_eq!(*port, settings.listen.port());
}

#[test]
fn the_clients_that_the_documents_declare_can_be_declared() {
    for document in ["deploy/README.md", "docs/security.md"] {
        let text = read(document);
        let blocks = text.split("```yaml\n").skip(1);
        let blocks = blocks.map(|rest| rest.split("```").next().unwrap());
        let example = blocks
            .into_iter()
            .find(|block| block.starts_with("clients:"));
        let folder = tempfile::tempdir().unwrap();
        let (file, token) = (
            folder.path().join("bridge.yaml"),
            folder.path().join("token"),
        );
        let made = mcp_bridge::access::Token::generate().unwrap();
        std::fs::write(&token, made.reveal()).unwrap();
        let mounted = "/run/secrets/mcp-bridge/n8n-token";
        assert!(example.unwrap().contains(mounted), "{document}");
        let example = example.unwrap().replace(mounted, token.to_str().unwrap());
        std::fs::write(&file, example).unwrap();
        let flags = Flags {
            config: Some(file),
            data: Some("/data".into()),
            ..Flags::default()
        };
        let settings = load(&flags, &Environment::default()).unwrap().settings;
        let mut clients = settings.access.clients.iter();
        assert!(clients.any(|client| client.name == "n8n"), "{document}");
    }
}

#[test]
fn the_compose_file_sets_variables_that_exist() {
    let compose = yaml("deploy/compose.yaml");
    let bridge = &compose["services"]["bridge"];
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "eyJ").unwrap();
    let mut command = program(["config", "print", "--data", "/data"]);
    let mut set = 0;
    for (name, value) in bridge["environment"].as_object().unwrap() {
        let value = match value.as_str().unwrap() {
            value if value.starts_with("/run/secrets/") => token.to_str().unwrap(),
            value if value.starts_with("${HOME_ASSISTANT:") => "http://192.168.1.10:8123",
            value => value,
        };
        command.env(name, value);
        set += usize::from(name.starts_with("MCP_BRIDGE__"));
    }
    assert!(set >= 3, "only {set}");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let config: Value = serde_yaml::from_slice(&output.stdout).unwrap();
    // Quicker than Docker loses patience.
    assert_eq!(config["limits"]["drain_timeout"], "25s");
    assert_eq!(bridge["stop_grace_period"], "30s");
}
