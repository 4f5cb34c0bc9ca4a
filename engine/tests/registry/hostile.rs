//! Registries that lie, stall, or point elsewhere: an error that says what, and nothing stored.

use std::time::Duration;

use keel::image::digest::Digest;
use keel::image::manifest::Platform;
use keel::image::registry::{PullError, Settings};
use keel::storage::DriverName;
use serde_json::json;

use super::fake::{Fake, MANIFEST, Reply, Request, Served, blob, not_found};
use super::scene::Scene;
use super::scene::sample::told;
use super::{pulled, settings};

/// Pulls `app:1` from a registry that answers as `lie` says where it says something, and honestly
/// else; the pull has to fail and to leave nothing.
#[track_caller]
fn refused(
    lie: impl Fn(&Served, &Request) -> Option<Reply> + Send + Sync + 'static,
) -> (PullError, Fake) {
    refused_by(lie, |_| {})
}

#[track_caller]
fn refused_by(
    lie: impl Fn(&Served, &Request) -> Option<Reply> + Send + Sync + 'static,
    change: impl Fn(&mut Settings),
) -> (PullError, Fake) {
    let scene = Scene::new(DriverName::Vfs);
    let served = Served::usual();
    let fake =
        Fake::start(move |request| lie(&served, request).unwrap_or_else(|| served.answer(request)));
    let mut settings = settings(&scene.beside("settings"));
    change(&mut settings);
    let store = scene.store();
    let error = pulled(&store, &fake.name("app:1"), &settings).unwrap_err();
    scene.assert_nothing_stored();
    (error, fake)
}

#[track_caller]
fn assert_told(error: &PullError, expected: &str) {
    let text = told(error);
    assert!(text.contains(expected), "{text}");
}

fn is_manifest(request: &Request) -> bool {
    request.path.contains("/manifests/")
}

fn is_layer(served: &Served, request: &Request) -> bool {
    let layers = served.layers();
    layers
        .iter()
        .any(|digest| request.path.ends_with(&digest.to_string()))
}

/// A manifest in place of the usual one.
fn manifest(text: &str) -> Reply {
    Reply::new(200, text).header("Content-Type", MANIFEST)
}

#[test]
fn a_blob_of_another_digest_is_not_used() {
    let (error, _fake) = refused(|served, request| {
        is_layer(served, request).then(|| {
            let digest = request.path.rsplit('/').next().unwrap().parse().unwrap();
            let length = served.blobs[&digest].len();
            Reply::new(200, vec![b'x'; length])
        })
    });
    assert_told(&error, "it is not used");
}

#[test]
fn a_blob_that_is_longer_or_shorter_than_it_should_be_is_not_used() {
    let (longer, _fake) = refused(|served, request| {
        is_layer(served, request).then(|| Reply::new(200, vec![b'x'; 1 << 20]))
    });
    assert_told(&longer, "is larger than the");
    let (shorter, _fake) =
        refused(|served, request| is_layer(served, request).then(|| blob(request, b"short")));
    assert_told(&shorter, "and 5 bytes instead of");
}

#[test]
fn a_manifest_of_another_digest_than_told_is_not_used() {
    let (error, _fake) = refused(|served, request| {
        is_manifest(request).then(|| {
            Reply::new(200, &served.manifest)
                .header("Content-Type", MANIFEST)
                .header("Docker-Content-Digest", Digest::of(b"another").to_string())
        })
    });
    assert_told(&error, "instead of");
}

#[test]
fn an_image_of_another_digest_than_asked_for_is_not_used() {
    let scene = Scene::new(DriverName::Vfs);
    let served = Served::usual();
    let fake = Fake::start(move |_| Reply::new(200, &served.manifest));
    let name = fake.name(&format!("app@{}", Digest::of(b"asked for")));
    let error = pulled(&scene.store(), &name, &settings(&scene.beside("s"))).unwrap_err();
    assert_told(&error, "instead of");
    scene.assert_nothing_stored();
}

#[test]
fn endless_and_enormous_manifests_are_refused_early() {
    let (endless, _fake) = refused(|_, request| is_manifest(request).then(Reply::endless));
    assert_told(&endless, "is larger than the 4194304 bytes");
    // It says that it is a gigabyte, and sends none of it.
    let (enormous, _fake) = refused(|_, request| {
        is_manifest(request).then(|| Reply::endless().header("Content-Length", "1073741824"))
    });
    assert_told(&enormous, "is larger than the 4194304 bytes");
}

#[test]
fn endless_blobs_and_configurations_end_at_their_size() {
    let (blobs, _fake) =
        refused(|_, request| request.path.contains("/blobs/").then(Reply::endless));
    assert_told(&blobs, "is larger than");
    let (layers, _fake) = refused(|served, request| is_layer(served, request).then(Reply::endless));
    assert_told(&layers, "is larger than");
}

#[test]
fn a_layer_that_is_said_to_be_huge_is_not_begun() {
    let (error, fake) = refused(|served, request| {
        let text = String::from_utf8(served.manifest.clone()).unwrap();
        let mut huge: serde_json::Value = serde_json::from_str(&text).unwrap();
        huge["layers"][0]["size"] = json!(1_u64 << 40);
        is_manifest(request).then(|| manifest(&huge.to_string()))
    });
    assert!(matches!(error, PullError::LayerTooLarge { .. }), "{error}");
    assert_eq!(fake.asked_for("/blobs/").len(), 1); // The configuration.
}

#[test]
fn a_server_that_sends_a_byte_now_and_then_is_given_up() {
    for part in ["/manifests/", "/blobs/"] {
        let (error, _fake) = refused_by(
            move |_, request| request.path.contains(part).then(|| Reply::drip(20)),
            |settings| {
                settings.patience.window = Duration::from_millis(200);
                settings.retry.attempts = 1;
            },
        );
        assert_told(&error, "sends next to nothing");
    }
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let scene = Scene::new(DriverName::Vfs);
    let mut settings = settings(&scene.beside("s"));
    settings.patience.silence = Duration::from_millis(100);
    settings.retry.attempts = 2;
    let name = format!("{}/app:1", listener.local_addr().unwrap());
    let error = pulled(&scene.store(), &name, &settings).unwrap_err();
    assert_told(&error, "cannot reach");
    scene.assert_nothing_stored();
}

#[test]
fn a_web_page_is_told_from_a_registry() {
    let (error, _fake) = refused(|_, request| {
        is_manifest(request).then(|| {
            Reply::new(200, "<html>Welcome").header("Content-Type", "text/html; charset=utf-8")
        })
    });
    assert_told(&error, "is it a registry?");
    let (nonsense, _fake) = refused(|_, request| is_manifest(request).then(|| manifest("{\"a\":")));
    assert_told(&nonsense, "not valid JSON");
}

#[test]
fn schema_1_is_refused_by_name() {
    let (error, _fake) = refused(|_, request| {
        is_manifest(request).then(|| {
            Reply::new(
                200,
                r#"{"schemaVersion":1,"name":"app","tag":"1","fsLayers":[]}"#,
            )
            .header(
                "Content-Type",
                "application/vnd.docker.distribution.manifest.v1+prettyjws",
            )
        })
    });
    assert_told(&error, "only schema 2 is supported");
}

#[test]
fn redirects_to_files_and_other_schemes_are_not_followed() {
    for target in [
        "file:///etc/shadow",
        "file:/etc/shadow",
        "ftp://127.0.0.1/x",
        "gopher://127.0.0.1:1/x",
        "http://user:password@127.0.0.1:1/x",
        "http://",
    ] {
        let (error, _fake) = refused(move |served, request| {
            is_layer(served, request).then(|| Reply::new(307, "").header("Location", target))
        });
        assert_told(&error, "where nothing is asked");
    }
}

#[test]
fn redirects_in_a_circle_end() {
    let (error, fake) = refused(|served, request| {
        is_layer(served, request)
            .then(|| Reply::new(302, "").header("Location", request.path.as_str()))
    });
    assert_told(&error, "redirects in a row");
    assert!(fake.asked().len() < 40);
}

#[test]
fn indexes_of_indexes_end() {
    let (error, fake) = refused(|served, request| {
        let mut served = served.clone();
        for _ in 0..20 {
            let index = json!({"schemaVersion": 2, "manifests": [{
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "digest": Digest::of(&served.manifest), "size": served.manifest.len(),
                "platform": {"os": "linux", "architecture": Platform::here().architecture},
            }]});
            let inner = std::mem::replace(&mut served.manifest, index.to_string().into_bytes());
            served.blobs.insert(Digest::of(&inner), inner);
        }
        Some(served.answer(request))
    });
    assert!(matches!(error, PullError::TooDeep(_)), "{error}");
    assert!(fake.asked_for("/manifests/").len() < 10);
}

#[test]
fn a_layer_that_must_not_be_distributed_is_fetched_from_nowhere_else() {
    let elsewhere = Fake::start(|_| Reply::new(200, "secret"));
    let url = format!("http://{}/layer", elsewhere.address);
    let (error, _fake) = refused(move |served, request| {
        let mut foreign: serde_json::Value = serde_json::from_slice(&served.manifest).unwrap();
        foreign["layers"][0]["mediaType"] =
            json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        foreign["layers"][0]["urls"] = json!([url]);
        if is_manifest(request) {
            return Some(manifest(&foreign.to_string()));
        }
        let lowest = served.layers()[0].to_string();
        request.path.ends_with(&lowest).then(not_found)
    });
    assert_told(&error, "CVE-2020-15157");
    assert!(elsewhere.asked().is_empty());
}

#[test]
fn what_a_registry_says_is_shown_without_its_control_characters() {
    let (error, _fake) = refused(|_, request| {
        is_manifest(request).then(|| {
            Reply::new(
                400,
                "{\"errors\":[{\"code\":\"X\",\"message\":\"a\\u001b[2Jb\"}]}",
            )
        })
    });
    let text = told(&error);
    assert!(
        text.contains("a\\u{1b}[2Jb") && !text.contains('\x1b'),
        "{text}"
    );
}

#[test]
fn a_layer_that_is_no_tar_is_refused_after_the_others_came() {
    let (error, _fake) = refused(|served, request| {
        let mut changed = served.clone();
        let evil = Digest::of(b"no tar at all");
        let mut manifest_json: serde_json::Value =
            serde_json::from_slice(&served.manifest).unwrap();
        manifest_json["layers"][1]["digest"] = json!(evil);
        manifest_json["layers"][1]["size"] = json!(13);
        changed.manifest = manifest_json.to_string().into_bytes();
        changed.blobs.insert(evil, b"no tar at all".to_vec());
        Some(changed.answer(request))
    });
    assert!(
        matches!(error, PullError::Layer { at: 1, of: 2, .. }),
        "{error}"
    );
}
