//! Who is let in: Basic, Bearer, and what is never sent to whom.

use std::sync::Mutex;

use keel::image::registry::{Client, Credentials, PullError, RegistryError, Settings};
use keel::image::store::Store;
use keel::storage::DriverName;

use super::fake::{Fake, Reply, Request, Served};
use super::real::{PASSWORD, Protection, Registry, USER};
use super::scene::Scene;
use super::scene::sample::told;
use super::{pulled, settings};

fn password(user: &str, password: &str) -> Credentials {
    Credentials::Password {
        user: user.to_owned(),
        password: password.to_owned(),
    }
}

/// A registry that wants a token of its own service, and lets `me` have one; each is good for
/// `uses` requests.
fn wants_token(uses: usize) -> Fake {
    let served = Served::usual();
    let tokens: Mutex<Vec<usize>> = Mutex::default();
    Fake::start(move |request| {
        let authorization = request.headers.get("authorization").map(String::as_str);
        let mut tokens = tokens.lock().unwrap();
        if request.path.starts_with("/token") {
            // "me:secret" in base64.
            if authorization != Some("Basic bWU6c2VjcmV0") {
                return Reply::new(401, r#"{"details":"incorrect username or password"}"#);
            }
            tokens.push(uses);
            let token = tokens.len() - 1;
            return Reply::new(200, format!(r#"{{"token":"{token}","expires_in":300}}"#));
        }
        let token = authorization.and_then(|text| text.strip_prefix("Bearer ")?.parse().ok());
        if let Some(left) = token.and_then(|number: usize| tokens.get_mut(number)) {
            if *left > 0 {
                *left -= 1;
                return served.answer(request);
            }
        }
        let host = &request.headers["host"];
        let challenge = format!(
            r#"Bearer realm="http://{host}/token",service="fake",scope="repository:app:pull""#
        );
        Reply::new(401, "").header("WWW-Authenticate", challenge)
    })
}

fn logged_in(scene: &Scene, fake: &Fake, credentials: &Credentials) -> (Store, Settings) {
    let settings = settings(&scene.beside("s"));
    settings.config.store(&fake.address, credentials).unwrap();
    (scene.store(), settings)
}

#[test]
fn a_token_is_had_once_and_used_for_all() {
    let scene = Scene::new(DriverName::Vfs);
    let fake = wants_token(100);
    let (store, settings) = logged_in(&scene, &fake, &password("me", "secret"));
    pulled(&store, &fake.name("app:1"), &settings).unwrap();
    let asked = fake.asked_for("/token");
    assert_eq!(asked.len(), 1);
    assert_eq!(
        asked[0].path,
        "/token?service=fake&scope=repository%3Aapp%3Apull&account=me"
    );
}

#[test]
fn a_token_that_runs_out_midway_is_renewed() {
    let scene = Scene::new(DriverName::Vfs);
    // Good for the manifest and the configuration; the layers want another one.
    let fake = wants_token(2);
    let (store, settings) = logged_in(&scene, &fake, &password("me", "secret"));
    pulled(&store, &fake.name("app:1"), &settings).unwrap();
    assert_eq!(fake.asked_for("/token").len(), 2);
}

#[test]
fn a_registry_that_takes_no_token_is_not_asked_for_ever() {
    let scene = Scene::new(DriverName::Vfs);
    let fake = wants_token(0);
    let (store, settings) = logged_in(&scene, &fake, &password("me", "secret"));
    let error = pulled(&store, &fake.name("app:1"), &settings).unwrap_err();
    assert!(
        matches!(error, PullError::Registry(RegistryError::Denied { .. })),
        "{error}"
    );
    assert_eq!(fake.asked_for("/token").len(), 1);
}

#[test]
fn a_wrong_password_is_told_with_a_remedy() {
    let scene = Scene::new(DriverName::Vfs);
    let fake = wants_token(100);
    let (store, settings) = logged_in(&scene, &fake, &password("me", "wrong"));
    let error = pulled(&store, &fake.name("app:1"), &settings).unwrap_err();
    let text = told(&error).replace(&fake.address, "HOST");
    insta::assert_snapshot!(text, @"registry `HOST` denies access: log in with `keel login HOST`, or see whether the name is right");
    scene.assert_nothing_stored();
}

#[test]
fn an_identity_token_is_exchanged_by_a_form() {
    let scene = Scene::new(DriverName::Vfs);
    let served = Served::usual();
    let fake = Fake::start(move |request| {
        if request.path == "/token" && request.method == "POST" {
            return Reply::new(200, r#"{"access_token":"good"}"#);
        }
        if request
            .headers
            .get("authorization")
            .is_some_and(|a| a == "Bearer good")
        {
            return served.answer(request);
        }
        let challenge = format!(
            r#"Bearer realm="http://{}/token",service="fake""#,
            request.headers["host"]
        );
        Reply::new(401, "").header("WWW-Authenticate", challenge)
    });
    let token = Credentials::IdentityToken("refresh me".to_owned());
    let (store, settings) = logged_in(&scene, &fake, &token);
    pulled(&store, &fake.name("app:1"), &settings).unwrap();
    let form = String::from_utf8(fake.asked_for("/token")[0].body.clone()).unwrap();
    assert!(form.contains("grant_type=refresh_token"), "{form}");
    assert!(form.contains("refresh_token=refresh%20me"), "{form}");
    assert!(form.contains("scope=repository%3Aapp%3Apull"), "{form}");
}

#[test]
fn credentials_do_not_follow_a_redirect_to_another_host() {
    let scene = Scene::new(DriverName::Vfs);
    let served = Served::usual();
    let behind = served.clone();
    let storage = Fake::start(move |request| behind.answer(request));
    let to = storage.address.clone();
    let fake = Fake::start(move |request| {
        let known = request.headers.contains_key("authorization");
        match request.path.as_str() {
            _ if !known => Reply::new(401, "").header("WWW-Authenticate", r#"Basic realm="r""#),
            path if path.contains("/blobs/") => {
                Reply::new(307, "").header("Location", format!("http://{to}{path}"))
            }
            _ => served.answer(request),
        }
    });
    let (store, settings) = logged_in(&scene, &fake, &password("me", "secret"));
    pulled(&store, &fake.name("app:1"), &settings).unwrap();
    assert_eq!(storage.asked().len(), 3);
    let leaked = |request: &Request| request.headers.contains_key("authorization");
    assert!(!storage.asked().iter().any(leaked));
}

#[test]
fn a_realm_that_is_no_address_of_the_web_is_not_asked() {
    for realm in [
        "file:///etc/shadow",
        "ftp://127.0.0.1/t",
        "http://u:p@127.0.0.1/t",
        "http://",
    ] {
        let scene = Scene::new(DriverName::Vfs);
        let fake = Fake::start(move |_| {
            let challenge = format!(r#"Bearer realm="{realm}",service="s""#);
            Reply::new(401, "").header("WWW-Authenticate", challenge)
        });
        let (store, settings) = logged_in(&scene, &fake, &password("me", "secret"));
        let error = pulled(&store, &fake.name("app:1"), &settings).unwrap_err();
        assert!(
            matches!(error, PullError::Registry(RegistryError::Away { .. })),
            "{error}"
        );
    }
}

#[test]
fn a_token_service_that_sends_something_else_is_told() {
    let tokens = [
        "{}",
        "<html>",
        "[]",
        r#"{"token":""}"#,
        "{\"token\":\"a\\nb\"}",
    ];
    for answer in tokens {
        let scene = Scene::new(DriverName::Vfs);
        let fake = Fake::start(move |request| {
            if request.path.starts_with("/token") {
                return Reply::new(200, answer);
            }
            let host = &request.headers["host"];
            let challenge = format!(r#"Bearer realm="http://{host}/token""#);
            Reply::new(401, "").header("WWW-Authenticate", challenge)
        });
        let settings = settings(&scene.beside("s"));
        let error = pulled(&scene.store(), &fake.name("app:1"), &settings).unwrap_err();
        assert!(
            matches!(error, PullError::Registry(RegistryError::Answer { .. })),
            "{answer}: {error}"
        );
    }
}

#[test]
fn debians_registry_lets_in_who_has_the_password() {
    let registry = Registry::start(Protection::Password);
    let scene = Scene::new(DriverName::Vfs);
    let settings = settings(&scene.beside("s"));
    let check = |credentials| {
        Client::with_credentials(&registry.address, &settings, credentials)
            .unwrap()
            .check()
    };
    check(Some(password(USER, PASSWORD))).unwrap();
    for wrong in [
        None,
        Some(password(USER, "wrong")),
        Some(password("x", PASSWORD)),
    ] {
        let error = check(wrong).unwrap_err();
        assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    }
}
