//! Images out, to Debian's registry and back.

use std::fs;

use keel::image::digest::Digest;
use keel::image::reference::Reference;
use keel::image::registry::{Client, News, PushError, RegistryError};
use keel::image::store::Store;
use keel::storage::DriverName;

use super::fake::{Fake, Reply, Served};
use super::real::{Protection, Registry};
use super::scene::Scene;
use super::scene::sample::{Sample, assert_usual, loaded, pack, told};
use super::{pulled, pushed, settings};

/// A store with the usual image under `name`.
fn with_image(scene: &Scene, name: &str) -> Store {
    let store = scene.store();
    loaded(&store, pack(&Sample::usual_oci()));
    let name: Reference = name.parse().unwrap();
    store.tag(&name, &Sample::usual().id()).unwrap();
    store
}

#[test]
fn a_pushed_image_is_pulled_again_as_it_was() {
    let registry = Registry::start(Protection::None);
    let (here, there) = (Scene::new(DriverName::Overlay), Scene::new(DriverName::Vfs));
    let name = registry.name("some/app:1");
    let store = with_image(&here, &name);
    let sent = pushed(&store, &name, &settings(&here.beside("s"))).unwrap();

    let other = there.store();
    let image = pulled(&other, &name, &settings(&there.beside("s"))).unwrap();
    assert_eq!(image.id, Sample::usual().id());
    assert_eq!(image.digest, sent.digest);
    assert_eq!(image.news, News::Newer);
    assert_usual(&other);
    // Another keel, another driver, and compressed anew: the same blobs.
    let second = registry.name("second/app:1");
    other.tag(&second.parse().unwrap(), &image.id).unwrap();
    let blobs = registry.blobs();
    let again = pushed(&other, &second, &settings(&there.beside("s"))).unwrap();
    assert_eq!(again.digest, sent.digest);
    assert_eq!(registry.blobs(), blobs);
}

#[test]
fn the_same_image_is_compressed_alike_by_everyone() {
    let registry = Registry::start(Protection::None);
    let digests = [DriverName::Overlay, DriverName::Btrfs, DriverName::Vfs].map(|driver| {
        let scene = Scene::new(driver);
        let name = registry.name(&format!("{driver}/app:1"));
        let store = with_image(&scene, &name);
        pushed(&store, &name, &settings(&scene.beside("s")))
            .unwrap()
            .digest
    });
    assert!(digests.iter().all(|digest| *digest == digests[0]));
}

#[test]
fn a_large_blob_goes_in_parts() {
    let registry = Registry::start(Protection::None);
    let scene = Scene::new(DriverName::Vfs);
    let name = registry.name("app:1");
    let store = with_image(&scene, &name);
    let mut settings = settings(&scene.beside("s"));
    settings.part_bytes = 100;
    let sent = pushed(&store, &name, &settings).unwrap();
    let other = Scene::new(DriverName::Vfs);
    let image = pulled(&other.store(), &name, &settings).unwrap();
    assert_eq!(image.digest, sent.digest);
}

#[test]
fn a_pulled_image_goes_back_with_its_manifest_to_the_byte() {
    // A registry that has everything already, and notes what it is sent.
    let served = Served::usual();
    let manifest = served.manifest.clone();
    let fake = Fake::start(move |request| match request.method.as_str() {
        "GET" | "HEAD" => served.answer(request),
        "PUT" if request.path == "/v2/app/manifests/2" => Reply::new(201, ""),
        _ => Reply::new(500, ""),
    });
    let scene = Scene::new(DriverName::Vfs);
    let (store, settings) = (scene.store(), settings(&scene.beside("s")));
    let image = pulled(&store, &fake.name("app:1"), &settings).unwrap();
    let second = fake.name("app:2");
    store.tag(&second.parse().unwrap(), &image.id).unwrap();
    let sent = pushed(&store, &second, &settings).unwrap();
    assert_eq!(sent.digest, Digest::of(&manifest));
    let put = fake.asked_for("/manifests/2");
    assert!(put.last().unwrap().body == manifest);
}

#[test]
fn layers_are_mounted_from_the_repository_that_has_them() {
    let served = Served::usual();
    let fake = Fake::start(move |request| {
        let mount = request.path.starts_with("/v2/other/blobs/uploads/?mount=");
        match request.method.as_str() {
            "GET" => served.answer(request),
            "HEAD" => Reply::new(404, ""),
            "POST" if mount => Reply::new(201, ""),
            "POST" => Reply::new(202, "").header("Location", "/v2/other/blobs/uploads/1"),
            "PUT" => Reply::new(201, ""),
            _ => Reply::new(500, ""),
        }
    });
    let scene = Scene::new(DriverName::Vfs);
    let (store, settings) = (scene.store(), settings(&scene.beside("s")));
    let image = pulled(&store, &fake.name("app:1"), &settings).unwrap();
    let other = fake.name("other:1");
    store.tag(&other.parse().unwrap(), &image.id).unwrap();
    pushed(&store, &other, &settings).unwrap();
    assert_eq!(fake.asked_for("from=app").len(), 2);
    // The configuration is all that was uploaded.
    let uploads = fake.asked_for("/uploads/1?digest=");
    assert_eq!(uploads.len(), 1);
    assert!(uploads[0].body == Sample::usual().config);
}

#[test]
fn an_upload_that_the_registry_loses_starts_again() {
    let lost = std::sync::atomic::AtomicU32::new(0);
    let fake = Fake::start(move |request| match request.method.as_str() {
        "GET" => Reply::new(200, "{}"),
        "HEAD" => Reply::new(404, ""),
        "POST" => Reply::new(202, "").header("Location", "/v2/app/blobs/uploads/1?state=x"),
        "PUT" if request.path.contains("/manifests/") => Reply::new(201, ""),
        "PUT" => match lost.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Reply::new(404, ""),
            _ => Reply::new(201, ""),
        },
        _ => Reply::new(500, ""),
    });
    let scene = Scene::new(DriverName::Vfs);
    let store = with_image(&scene, &fake.name("app:1"));
    pushed(&store, &fake.name("app:1"), &settings(&scene.beside("s"))).unwrap();
    // Two layers and the configuration, one of them twice.
    assert_eq!(fake.asked_for("state=x&digest=").len(), 4);
}

#[test]
fn a_name_with_a_digest_is_not_pushed() {
    let scene = Scene::new(DriverName::Vfs);
    let name = format!("localhost:1/app@{}", Digest::of(b""));
    let error = pushed(&scene.store(), &name, &settings(&scene.beside("s"))).unwrap_err();
    assert!(matches!(error, PushError::Digest(_)), "{error}");
}

#[test]
fn a_certificate_of_an_own_authority_is_trusted_where_it_is_named_and_only_there() {
    let registry = Registry::start(Protection::Tls);
    let scene = Scene::new(DriverName::Vfs);
    let mut settings = settings(&scene.beside("s"));
    let refused = Client::new(&registry.address, &settings)
        .unwrap()
        .check()
        .unwrap_err();
    assert!(
        matches!(refused, RegistryError::Tls { .. }),
        "{}",
        told(&refused)
    );

    let folder = settings.certificates.join(&registry.address);
    fs::create_dir_all(&folder).unwrap();
    fs::copy(registry.authority(), folder.join("ca.crt")).unwrap();
    let name = registry.name("app:1");
    let store = with_image(&scene, &name);
    pushed(&store, &name, &settings).unwrap();

    fs::remove_dir_all(&folder).unwrap();
    settings.authorities = Some(registry.authority());
    pulled(&store, &name, &settings).unwrap();
}
