//! HTTPS for clients: versions, renewal, and certificates in the place of tokens.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::Bridge;
use crate::support::bridge::{house, program, send};

/// An authority that makes certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
struct Made {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    fn make(&self, name: &str) -> Made {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        let key = key.serialize_pem();
        Made { certificate, key }
    }

    /// A client that trusts it.
    fn client(&self) -> reqwest::ClientBuilder {
        let root = reqwest::Certificate::from_pem(self.pem.as_bytes()).unwrap();
        let client = reqwest::Client::builder().no_proxy();
        client.tls_certs_only([root])
    }
}

impl Made {
    fn write(&self, folder: &Path) {
        std::fs::write(folder.join("certificate.pem"), &self.certificate).unwrap();
        std::fs::write(folder.join("key.pem"), &self.key).unwrap();
    }

    fn identity(&self) -> reqwest::Identity {
        let whole = format!("{}{}", self.certificate, self.key);
        reqwest::Identity::from_pem(whole.as_bytes()).unwrap()
    }
}

/// The environment of a bridge with the certificate in that folder.
fn environment(folder: &Path) -> [(&'static str, String); 2] {
    let path = |name| folder.join(name).to_str().unwrap().to_owned();
    [
        ("MCP_BRIDGE__TLS__CERTIFICATE", path("certificate.pem")),
        ("MCP_BRIDGE__TLS__KEY", path("key.pem")),
    ]
}

async fn start(url: &str, folder: &Path, more: &[(&str, &str)]) -> Bridge {
    let environment = environment(folder);
    let mut all: Vec<_> = environment
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    all.extend(more);
    Bridge::start_with(&["--upstream", url], &all).await
}

fn https(bridge: &Bridge, path: &str) -> String {
    format!("https://localhost:{}{path}", bridge.lan.port())
}

/// What the bridge answers to a client that speaks no later version of TLS than this: the type of
/// the record, and its last byte.
async fn greeting(bridge: &Bridge, version: [u8; 2]) -> (u8, u8) {
    let random = [7; 32];
    // No session, one cipher suite, no compression; P-256 or X25519 with ECDSA.
    let suite = [0, 0, 2, 0xc0, 0x2b, 1, 0];
    let extensions = [
        &[0, 20][..],
        &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23],
        &[0, 13, 0, 6, 0, 4, 4, 3, 8, 4],
    ];
    let hello = [&version[..], &random, &suite, &extensions.concat()].concat();
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
    let message = [&[1, 0][..], &length(&hello), &hello].concat();
    let record = [&[0x16, 3, 1][..], &length(&message), &message].concat();
    let mut socket = TcpStream::connect(bridge.lan).await.unwrap();
    socket.write_all(&record).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer).await;
    (answer[0], *answer.last().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_spoken_in_both_versions_of_http_and_plain_http_is_told_so() {
    let (house, folder) = (house().await, tempfile::tempdir().unwrap());
    let authority = Authority::new();
    authority.make("localhost").write(folder.path());
    let bridge = start(&house.url(), folder.path(), &[]).await;
    for (client, version) in [
        (authority.client(), http::Version::HTTP_2),
        (authority.client().http1_only(), http::Version::HTTP_11),
        (
            authority
                .client()
                .tls_version_max(reqwest::tls::Version::TLS_1_2),
            http::Version::HTTP_2,
        ),
    ] {
        let client = client.build().unwrap();
        let request = client.post(https(&bridge, "/mcp/tools/list"));
        let reply = request.bearer_auth(&bridge.token).send().await.unwrap();
        assert_eq!((reply.status().as_u16(), reply.version()), (200, version));
        let reply = send(client.post(https(&bridge, "/mcp/tools/list"))).await;
        assert_eq!(reply.code(), "token_missing");
    }
    for path in ["/mcp", "/mcp/tools/list", "/anything"] {
        let reply = send(bridge.post(path, "{}")).await;
        assert_eq!(
            (reply.status, reply.code().as_str()),
            (400, "tls_required"),
            "{path}"
        );
    }
    let probe = send(bridge.request(http::Method::GET, "/health/live")).await;
    assert_eq!(probe.status, 200);
    // The alert is `protocol_version`; the other way, a hello.
    assert_eq!(greeting(&bridge, [3, 2]).await, (0x15, 70));
    assert_eq!(greeting(&bridge, [3, 3]).await.0, 0x16);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_counts_without_a_restart_and_a_broken_one_never() {
    let (house, folder) = (house().await, tempfile::tempdir().unwrap());
    let (old, new) = (Authority::new(), Authority::new());
    old.make("localhost").write(folder.path());
    let bridge = start(&house.url(), folder.path(), &[]).await;
    let asks = async |authority: &Authority| {
        let client = authority.client().build().unwrap();
        client
            .get(https(&bridge, "/health/live"))
            .send()
            .await
            .is_ok()
    };
    assert!(asks(&old).await);
    // The certificate has come, its key has not yet.
    let made = new.make("localhost");
    std::fs::write(folder.path().join("certificate.pem"), &made.certificate).unwrap();
    bridge.logged_line("the certificate stays as it was");
    assert!(asks(&old).await);
    made.write(folder.path());
    bridge.logged_line("the certificate was renewed");
    assert!(asks(&new).await && !asks(&old).await);
    std::fs::remove_file(folder.path().join("key.pem")).unwrap();
    bridge.logged_line("the certificate stays as it was");
    assert!(asks(&new).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_takes_the_place_of_a_token_where_its_client_says_so() {
    let (house, folder) = (house().await, tempfile::tempdir().unwrap());
    let authority = Authority::new();
    authority.make("localhost").write(folder.path());
    let clients = Authority::new();
    let ca = folder.path().join("clients.pem");
    std::fs::write(&ca, &clients.pem).unwrap();
    let ca = [("MCP_BRIDGE__TLS__CLIENT_CA", ca.to_str().unwrap())];
    let bridge = start(&house.url(), folder.path(), &ca).await;
    bridge.command(&["token", "create", "n8n", "--certificate", "n8n.home.arpa"]);
    let ask = async |identity: Option<&Made>, token: Option<&str>| {
        let client = authority.client();
        let client = match identity {
            Some(made) => client.identity(made.identity()),
            None => client,
        };
        let request = client
            .build()
            .unwrap()
            .post(https(&bridge, "/mcp/tools/list"));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        request.send().await
    };
    let n8n = clients.make("n8n.home.arpa");
    while ask(Some(&n8n), None).await.unwrap().status() != 200 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let unknown = clients.make("other.home.arpa");
    for (identity, token, code) in [
        (Some(&n8n), None, None),
        (None, None, Some("token_missing")),
        (None, Some(bridge.token.as_str()), None),
        (Some(&unknown), None, Some("certificate_unknown")),
        (Some(&unknown), Some(bridge.token.as_str()), None),
        (Some(&n8n), Some("mcpb_x"), Some("token_malformed")),
    ] {
        let reply = ask(identity, token).await.unwrap();
        let status = if code.is_some() { 401 } else { 200 };
        assert_eq!(reply.status(), status, "{code:?}");
        let text = reply.text().await.unwrap();
        assert!(code.is_none_or(|code| text.contains(code)), "{text}");
    }
    let stranger = Authority::new().make("n8n.home.arpa");
    assert!(ask(Some(&stranger), None).await.is_err());
    bridge.command(&["token", "revoke", "n8n"]);
    while ask(Some(&n8n), None).await.unwrap().status() == 200 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_tls_end_their_own_connection_only() {
    let (house, folder) = (house().await, tempfile::tempdir().unwrap());
    let authority = Authority::new();
    authority.make("localhost").write(folder.path());
    let bridge = start(&house.url(), folder.path(), &[]).await;
    for bytes in [
        &b"\x16\x03\x01\xff\xff"[..],
        b"\0\0\0\0",
        b"\x16garbage and more of it",
        b"\xff",
    ] {
        let mut socket = TcpStream::connect(bridge.lan).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    let client = authority.client().build().unwrap();
    let ping = client
        .post(https(&bridge, "/mcp/ping"))
        .bearer_auth(&bridge.token);
    assert_eq!(send(ping).await.json(), json!({}));
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new();
    let made = authority.make("localhost");
    let told = |certificate: &str, key: &str| {
        std::fs::write(folder.join("certificate.pem"), certificate).unwrap();
        std::fs::write(folder.join("key.pem"), key).unwrap();
        let mut command = program(["serve", "--demo", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(folder).args(["--admin-listen", "127.0.0.1:0"]);
        let output = command.envs(environment(folder)).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let other = authority.make("localhost").key;
    for (certificate, key, word) in [
        (
            "",
            made.key.as_str(),
            "certificate.pem: there is no certificate",
        ),
        (&made.certificate, "", "key.pem: "),
        (&made.certificate, &other, "certificate.pem: "),
        (
            &made.key,
            &made.key,
            "certificate.pem: there is no certificate",
        ),
    ] {
        let said = told(certificate, key);
        assert!(said.contains(word), "{said}");
        assert!(!said.contains("PRIVATE KEY"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_of_the_app_turns_https_on_and_says_who_may_come() {
    let (authority, house) = (Authority::new(), house().await);
    let (certificates, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    authority.make("localhost").write(certificates.path());
    let form = |networks: &[&str]| {
        let file = |name| certificates.path().join(name);
        let options = json!({
            "ssl": true,
            "certfile": file("certificate.pem"),
            "keyfile": file("key.pem"),
            "allowed_networks": networks,
        });
        std::fs::write(data.path().join("options.json"), options.to_string()).unwrap();
    };
    form(&["127.0.0.0/8", "::1/128"]);
    let place = data.path().to_owned();
    let bridge = Bridge::start_in(data, &["--upstream", &house.url()], &[]).await;
    let client = authority.client().build().unwrap();
    let live = || {
        send(
            client
                .post(https(&bridge, "/mcp/ping"))
                .bearer_auth(&bridge.token),
        )
    };
    assert_eq!(live().await.status, 200);
    let options = place.join("options.json");
    let text = std::fs::read_to_string(&options).unwrap();
    std::fs::write(options, text.replace("127.0.0.0/8", "10.0.0.0/8")).unwrap();
    send(bridge.admin_request(http::Method::POST, "/api/reload")).await;
    assert_eq!(live().await.code(), "network_refused");
}
