//! The files at the root by which the Supervisor knows the app, and its rules about them.

use std::process::Command;

use serde_json::{Value, json};

use crate::documentation::read;
use crate::support::bridge::root;

/// Keys of an app's configuration with their defaults; what equals its default must be left out.
/// Keys that are missing here are unknown, outdated, or none that this app should ever have.
const KEYS: [(&str, &str); 37] = [
    ("name", "required"),
    ("version", "required"),
    ("slug", "required"),
    ("description", "required"),
    ("arch", "required"),
    ("url", "none"),
    ("startup", "application"),
    ("boot", "auto"),
    ("init", "true"),
    ("stage", "stable"),
    ("ports", "none"),
    ("ingress", "false"),
    ("ingress_port", "8099"),
    ("ingress_entry", "none"),
    ("ingress_stream", "false"),
    ("panel_icon", "mdi:puzzle"),
    ("panel_title", "MCP Bridge"),
    ("panel_admin", "true"),
    ("homeassistant", "none"),
    ("tmpfs", "false"),
    ("map", "[]"),
    ("environment", "none"),
    ("privileged", "none"),
    ("apparmor", "true"),
    ("hassio_api", "false"),
    ("hassio_role", "default"),
    ("homeassistant_api", "false"),
    ("auth_api", "false"),
    ("services", "none"),
    ("backup", "hot"),
    ("backup_exclude", "none"),
    ("options", "{}"),
    ("schema", "{}"),
    ("image", "none"),
    ("ulimits", "{}"),
    ("timeout", "10"),
    ("breaking_versions", "[]"),
];

/// A YAML file of the repository.
pub(crate) fn yaml(path: &str) -> Value {
    serde_yaml::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files that git knows.
fn tracked() -> Vec<String> {
    let files = Command::new("git")
        .arg("ls-files")
        .current_dir(root())
        .output()
        .unwrap();
    let names = String::from_utf8(files.stdout).unwrap();
    names.lines().map(str::to_owned).collect()
}

/// Files named like this anywhere, with one of the endings that the Supervisor reads.
fn named<'a>(files: &'a [String], stem: &str) -> Vec<&'a str> {
    let fits = |path: &&str| {
        let name = path.rsplit('/').next().unwrap();
        ["yaml", "yml", "json"]
            .iter()
            .any(|ending| name == format!("{stem}.{ending}"))
    };
    files.iter().map(String::as_str).filter(fits).collect()
}

#[test]
fn the_repository_holds_exactly_one_app() {
    let files = tracked();
    assert_eq!(
        named(&files, "config"),
        ["config.yaml"],
        "the others would be apps, too"
    );
    // The first that is found anywhere counts, in hidden folders as well.
    assert_eq!(named(&files, "build"), ["build.yaml"]);
    assert_eq!(named(&files, "repository"), ["repository.yaml"]);
    for needed in [
        "DOCS.md",
        "README.md",
        "CHANGELOG.md",
        "Dockerfile",
        "apparmor.txt",
        "icon.png",
        "logo.png",
    ] {
        assert!(files.iter().any(|file| file == needed), "{needed}");
    }
}

#[test]
fn the_configuration_of_the_app_says_nothing_that_is_wrong_or_goes_without_saying() {
    let config = yaml("config.yaml");
    let keys = config.as_object().unwrap();
    for (key, value) in keys {
        let known = KEYS.iter().find(|(name, _)| name == key);
        let (_, default) = known.unwrap_or_else(|| panic!("config.yaml: {key}"));
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        assert_ne!(
            text, *default,
            "config.yaml: {key} is the default; leave it out"
        );
    }
    for (key, _) in KEYS.iter().filter(|(_, default)| *default == "required") {
        assert!(keys.contains_key(*key), "config.yaml: {key} is missing");
    }
    let text = |key: &str| config[key].as_str().unwrap();
    assert_eq!(text("version"), env!("CARGO_PKG_VERSION"));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    assert!(text("slug").chars().all(plain));
    // The last 32-bit system has gone.
    assert_eq!(config["arch"], json!(["aarch64", "amd64"]));
    let timeout = config["timeout"].as_u64().unwrap();
    assert!((10..=300).contains(&timeout));
    let (image, tag) = (text("image"), text("image").rsplit('/').next().unwrap());
    assert!(
        image == image.to_lowercase() && !tag.contains([':', '{']),
        "{image}"
    );
}

#[test]
fn the_ports_are_free_in_most_homes() {
    let config = yaml("config.yaml");
    // Home Assistant, LM Studio, n8n, MQTT, Matter, ESPHome and other apps.
    let taken = [
        80, 443, 1234, 1883, 4357, 5580, 5678, 6052, 8080, 8086, 8087, 8095, 8099, 8100, 8123,
        8485, 9583,
    ];
    for (inside, outside) in config["ports"].as_object().unwrap() {
        let (port, protocol) = inside.split_once('/').unwrap();
        let port: u64 = port.parse().unwrap();
        assert!(protocol == "tcp" && *outside == json!(port));
        assert!(
            !taken.contains(&port) && !(62000..=65500).contains(&port),
            "{port}"
        );
        assert!(read("Dockerfile").contains(&format!("EXPOSE {port}\n")));
    }
}

/// The Supervisor's security rating, which people see before they install.
fn rating(config: &Value, has_profile: bool) -> i32 {
    let is = |key: &str| config[key] == json!(true);
    let has = |key: &str| config.get(key).is_some_and(|value| *value != json!([]));
    let mut rating = 5;
    rating += if config["apparmor"] == json!(false) {
        -1
    } else {
        i32::from(has_profile)
    };
    rating += if is("ingress") {
        2
    } else {
        i32::from(is("auth_api"))
    };
    rating -= i32::from(has("privileged") || is("kernel_modules"));
    rating -= match config["hassio_role"].as_str() {
        Some("manager") => 1,
        Some("admin") => 2,
        _ => 0,
    };
    rating -= i32::from(is("host_network")) + 2 * i32::from(is("host_pid"));
    if is("docker_api") || is("full_access") {
        rating = 1;
    }
    rating.clamp(1, 8)
}

#[test]
fn the_security_rating_is_the_highest_there_is() {
    let config = yaml("config.yaml");
    assert_eq!(rating(&config, root().join("apparmor.txt").exists()), 8);
    assert_eq!(
        rating(&json!({"host_network": true, "ingress": true}), false),
        6
    );
}

#[test]
fn the_profile_of_apparmor_has_one_name_to_be_replaced() {
    let profile = read("apparmor.txt");
    let names: Vec<_> = profile
        .lines()
        .filter(|line| line.starts_with("profile "))
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let slug = yaml("config.yaml")["slug"].as_str().unwrap().to_owned();
    assert!(
        names[0].starts_with(&format!("profile {slug} ")),
        "{names:?}"
    );
}

#[test]
fn every_file_names_the_same_repository_image_and_base() {
    let (config, repository) = (yaml("config.yaml"), yaml("repository.yaml"));
    let url = env!("CARGO_PKG_REPOSITORY");
    assert_eq!(
        (&config["url"], &repository["url"]),
        (&json!(url), &json!(url))
    );
    let image = config["image"].as_str().unwrap();
    assert_eq!(
        image.strip_prefix("ghcr.io/"),
        url.strip_prefix("https://github.com/")
    );
    let (build, dockerfile) = (yaml("build.yaml"), read("Dockerfile"));
    let bases = build["build_from"].as_object().unwrap();
    let archs: Vec<_> = bases.keys().map(|arch| json!(arch)).collect();
    assert_eq!(json!(archs), config["arch"]);
    for base in bases.values() {
        let base = base.as_str().unwrap();
        assert!(base.contains('/'), "the Supervisor takes no other name");
        assert!(
            dockerfile.contains(&format!("ARG BUILD_FROM={base}\n")),
            "{base}"
        );
    }
    let toolchain = format!("/rust:{}-", env!("CARGO_PKG_RUST_VERSION"));
    assert!(dockerfile.contains(&toolchain), "{toolchain}");
}

#[test]
fn everything_that_goes_into_the_image_is_let_through() {
    let let_through = read(".dockerignore");
    for line in read("Dockerfile").lines() {
        let Some(names) = line
            .strip_prefix("COPY ")
            .filter(|names| !names.starts_with("--"))
        else {
            continue;
        };
        let names: Vec<_> = names.split(' ').collect();
        let (_, sources) = names.split_last().unwrap();
        for source in sources {
            assert!(root().join(source).exists(), "{source}");
            assert!(
                let_through.lines().any(|line| line == format!("!{source}")),
                "{source}"
            );
        }
    }
}

#[test]
fn the_end_is_over_before_anybody_kills() {
    let dockerfile = read("Dockerfile");
    let milliseconds = |name: &str| -> u64 {
        let (_, rest) = dockerfile.split_once(&format!("{name}=")).unwrap();
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
        rest[..digits].parse().unwrap()
    };
    let (services, kill) = (
        milliseconds("S6_SERVICES_GRACETIME"),
        milliseconds("S6_KILL_GRACETIME"),
    );
    let service = "rootfs/etc/s6-overlay/s6-rc.d/mcp-bridge";
    let longest: u64 = read(&format!("{service}/timeout-kill"))
        .trim()
        .parse()
        .unwrap();
    let environment = mcp_bridge::config::Environment {
        supervisor_token: Some("t".into()),
        ..Default::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let flags = mcp_bridge::config::Flags {
        data: Some(folder.path().into()),
        ..Default::default()
    };
    let settings = mcp_bridge::config::load(&flags, &environment)
        .unwrap()
        .settings;
    let drain = u64::try_from(settings.drain_timeout.as_millis()).unwrap();
    let timeout = 1000 * yaml("config.yaml")["timeout"].as_u64().unwrap();
    assert!(drain < longest && longest <= services && services + kill < timeout);
}

#[test]
fn the_pictures_have_the_sizes_that_the_store_shows() {
    for (name, width, height) in [("icon.png", 128, 128), ("logo.png", 250, 100)] {
        let bytes = std::fs::read(root().join(name)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{name}");
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!((number(16), number(20)), (width, height), "{name}");
        assert!(bytes.len() < 20_000, "{name} has {} bytes", bytes.len());
    }
}
