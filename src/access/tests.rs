//! The guard at the door, with a register on a disk.

use super::*;

fn open() -> (tempfile::TempDir, Access) {
    let folder = tempfile::tempdir().unwrap();
    let access = Access::open(Settings::default(), Registry::new(folder.path())).unwrap();
    (folder, access)
}

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn identify(
    access: &Access,
    authorization: Option<&str>,
    api_key: Option<&str>,
) -> Result<Arc<Client>, Failure> {
    let credentials = Credentials {
        authorization,
        api_key,
        ..Credentials::default()
    };
    access.identify(&credentials, HERE)
}

fn code(access: &Access, authorization: Option<&str>, api_key: Option<&str>) -> Code {
    identify(access, authorization, api_key).unwrap_err().code
}

#[test]
fn the_first_token_opens_as_bearer_and_as_api_key() {
    let (_folder, access) = open();
    let token = access.roster.registry().first_token().unwrap();
    let token = token.reveal();
    for authorization in [format!("Bearer {token}"), format!("bearer  {token} ")] {
        assert_eq!(
            identify(&access, Some(&authorization), None).unwrap().name,
            "default"
        );
    }
    assert_eq!(
        identify(&access, None, Some(token)).unwrap().name,
        "default"
    );
}

#[test]
fn each_mistake_has_its_own_code() {
    let (_folder, access) = open();
    let stranger = Token::generate().unwrap();
    let bearer = |token: &str| format!("Bearer {token}");
    assert_eq!(code(&access, None, None), Code::TokenMissing);
    assert_eq!(code(&access, Some("Bearer "), None), Code::TokenMissing);
    assert_eq!(
        code(&access, Some(stranger.reveal()), None),
        Code::TokenWithoutBearer
    );
    assert_eq!(
        code(&access, Some("Basic dTpw"), None),
        Code::TokenWithoutBearer
    );
    assert_eq!(
        code(&access, Some("Bearer eyJhbGciOi.J9.x"), None),
        Code::TokenOfHomeAssistant
    );
    assert_eq!(
        code(&access, Some("Bearer mcpb_abc"), None),
        Code::TokenMalformed
    );
    assert_eq!(
        code(&access, Some(&bearer(stranger.reveal())), None),
        Code::TokenUnknown
    );
    assert_eq!(code(&access, None, Some("nonsense")), Code::TokenMalformed);
}

#[test]
fn an_authorization_of_another_kind_leaves_room_for_a_token_elsewhere() {
    let (_folder, access) = open();
    let token = access.roster.registry().first_token().unwrap();
    let key = Some(token.reveal());
    for authorization in ["Basic dTpw", "Bearer", ""] {
        assert!(identify(&access, Some(authorization), key).is_ok());
    }
    let wrong = code(&access, Some("Bearer mcpb_x"), key);
    assert_eq!(wrong, Code::TokenMalformed);
}

#[test]
fn a_token_in_the_address_opens_only_where_its_client_allows_that() {
    let (_folder, access) = open();
    let allowed = Terms {
        path_token: true,
        ..Terms::default()
    };
    let token = access
        .roster
        .registry()
        .create("old client", allowed)
        .unwrap();
    let other = access.roster.registry().first_token().unwrap();
    access.refresh().unwrap();
    let open = |token: &Token, api_key| {
        let credentials = Credentials {
            address: Some(token.reveal()),
            api_key,
            ..Credentials::default()
        };
        access.identify(&credentials, HERE).map_err(|f| f.code)
    };
    assert_eq!(open(&token, None).unwrap().name, "old client");
    assert_eq!(open(&other, None).unwrap_err(), Code::TokenInAddress);
    assert_eq!(open(&token, Some(other.reveal())).unwrap().name, "default");
}

#[test]
fn a_client_comes_from_its_networks_only() {
    let (_folder, access) = open();
    let terms = Terms {
        networks: parse_networks("10.1.0.0/16").unwrap(),
        ..Terms::default()
    };
    let token = access.roster.registry().create("n8n", terms).unwrap();
    access.refresh().unwrap();
    let credentials = Credentials {
        api_key: Some(token.reveal()),
        ..Credentials::default()
    };
    let from = |address: &str| {
        let client = access.identify(&credentials, address.parse().unwrap());
        client.map(|client| client.name.clone()).map_err(|f| f.code)
    };
    assert_eq!(from("10.1.2.3"), Ok("n8n".to_owned()));
    assert_eq!(from("::ffff:10.1.2.3"), Ok("n8n".to_owned()));
    assert_eq!(from("10.2.2.3"), Err(Code::ClientNetworkRefused));
}

#[test]
fn wrong_tokens_are_braked_and_right_ones_are_not() {
    let (_folder, access) = open();
    let token = access.roster.registry().first_token().unwrap();
    let stranger = Token::generate().unwrap();
    for _ in 0..access.settings.load().brake.wrong_tokens {
        let wrong = code(&access, None, Some(stranger.reveal()));
        assert_eq!(wrong, Code::TokenUnknown);
        assert_eq!(code(&access, None, None), Code::TokenMissing);
    }
    let braked = identify(&access, None, Some(stranger.reveal())).unwrap_err();
    assert_eq!(braked.code, Code::TooManyWrongTokens);
    assert!(braked.retry_after.unwrap() > Duration::from_mins(14));
    assert_eq!(code(&access, None, None), Code::TokenMissing);
    assert!(identify(&access, None, Some(token.reveal())).is_ok());
}

#[test]
fn through_an_open_door_everybody_comes_but_those_with_a_wrong_token() {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        leave_front_door_open: true,
        ..Settings::default()
    };
    let access = Access::open(settings, Registry::new(folder.path())).unwrap();
    assert!(access.is_open());
    assert_eq!(identify(&access, None, None).unwrap().name, "anyone");
    assert_eq!(code(&access, None, Some("nonsense")), Code::TokenMalformed);
    let token = access.roster.registry().first_token().unwrap();
    let known = identify(&access, None, Some(token.reveal())).unwrap();
    assert_eq!(known.name, "default");
    assert_eq!(access.active_clients(), 1);
}

#[test]
fn when_a_client_was_last_there_outlives_a_restart_and_only_a_client_that_is_known() {
    let (folder, access) = open();
    let token = access.roster.registry().first_token().unwrap();
    access
        .roster
        .registry()
        .keep_last_seen(&[("gone".to_owned(), Timestamp::UNIX_EPOCH)].into())
        .unwrap();
    identify(&access, None, Some(token.reveal())).unwrap();
    access.keep_last_seen().unwrap();
    let again = Access::open(Settings::default(), Registry::new(folder.path())).unwrap();
    assert_eq!(again.last_seen(), access.last_seen());
    assert_eq!(again.last_seen().keys().collect::<Vec<_>>(), ["default"]);
    std::fs::write(folder.path().join("last-seen.json"), "{").unwrap();
    let again = Access::open(Settings::default(), Registry::new(folder.path())).unwrap();
    assert!(again.last_seen().is_empty());
}

#[test]
fn changes_of_the_register_are_seen_at_the_next_refresh() {
    let (_folder, access) = open();
    let token = access
        .roster
        .registry()
        .create("n8n", Terms::default())
        .unwrap();
    assert_eq!(
        code(&access, None, Some(token.reveal())),
        Code::TokenUnknown
    );
    assert!(access.refresh().unwrap());
    assert!(!access.refresh().unwrap());
    assert!(identify(&access, None, Some(token.reveal())).is_ok());
    access.roster.registry().revoke("n8n").unwrap();
    access.refresh().unwrap();
    assert_eq!(
        code(&access, None, Some(token.reveal())),
        Code::TokenRevoked
    );
}

#[test]
fn a_client_whose_token_was_replaced_or_who_is_switched_off_is_told_so() {
    let (_folder, access) = open();
    let old = access
        .roster
        .registry()
        .create("n8n", Terms::default())
        .unwrap();
    let middle = access
        .roster
        .registry()
        .rotate("n8n", Duration::ZERO)
        .unwrap();
    let hour = Duration::from_hours(1);
    let new = access.roster.registry().rotate("n8n", hour).unwrap();
    access.refresh().unwrap();
    let answer = |token: &Token| identify(&access, None, Some(token.reveal()));
    assert_eq!(answer(&old).unwrap_err().code, Code::TokenReplaced);
    assert_eq!(answer(&middle).unwrap(), answer(&new).unwrap());
    let off = access.roster.registry().update("n8n", |client| {
        client.enabled = false;
        Ok(())
    });
    off.unwrap();
    access.refresh().unwrap();
    assert_eq!(answer(&new).unwrap_err().code, Code::ClientDisabled);
    assert_eq!(access.active_clients(), 1);
}

#[test]
fn a_change_that_could_not_be_read_is_read_later() {
    let (folder, access) = open();
    let token = access
        .roster
        .registry()
        .create("n8n", Terms::default())
        .unwrap();
    let (file, aside) = (
        folder.path().join("clients.json"),
        folder.path().join("aside"),
    );
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert!(access.refresh().is_err());
    assert!(access.refresh().is_err(), "it is tried again");
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    assert!(access.refresh().unwrap());
    assert!(identify(&access, None, Some(token.reveal())).is_ok());
}

#[test]
fn a_register_that_becomes_unreadable_locks_nobody_out() {
    let (folder, access) = open();
    let token = access.roster.registry().first_token().unwrap();
    std::fs::write(folder.path().join("clients.json"), "{").unwrap();
    assert!(access.refresh().is_err());
    assert!(identify(&access, None, Some(token.reveal())).is_ok());
}
