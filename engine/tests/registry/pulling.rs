//! Images in: from an honest registry, over bad connections, for a platform.

use keel::image::digest::Digest;
use keel::image::manifest::Platform;
use keel::image::reference::Reference;
use keel::image::registry::{Client, News, PullError, Silent, pull};
use keel::storage::DriverName;
use serde_json::{Value, json};

use super::fake::{Fake, MANIFEST, Reply, Served, blob};
use super::scene::sample::{Pack, Sample, assert_usual, gzip, told, zstd};
use super::scene::{Scene, file, tar};
use super::{pulled, settings};

#[test]
fn layers_of_every_compression_and_driver_are_pulled() {
    let packs: [Pack; 3] = [gzip, zstd, <[u8]>::to_vec];
    let drivers = [DriverName::Overlay, DriverName::Btrfs, DriverName::Vfs];
    for (pack, driver) in packs.into_iter().zip(drivers) {
        let scene = Scene::new(driver);
        let served = Served::new(&Sample::usual(), pack);
        let fake = Fake::start(move |request| served.answer(request));
        let store = scene.store();
        let image = pulled(&store, &fake.name("app:1"), &settings(&scene.beside("s"))).unwrap();
        assert_eq!(image.id, Sample::usual().id());
        assert_eq!(image.news, News::Newer);
        assert_usual(&store);
    }
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let scene = Scene::new(DriverName::Overlay);
    let served = Served::usual();
    let fake = Fake::start(move |request| served.answer(request));
    let (store, settings) = (scene.store(), settings(&scene.beside("s")));
    let first = pulled(&store, &fake.name("app:1"), &settings).unwrap();
    let blobs = fake.asked_for("/blobs/").len();
    assert_eq!(blobs, 3);
    let again = pulled(&store, &fake.name("app:1"), &settings).unwrap();
    assert_eq!(again.news, News::None);
    assert_eq!(again.digest, first.digest);
    // The configuration alone.
    assert_eq!(fake.asked_for("/blobs/").len(), blobs + 1);
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_stopped() {
    let scene = Scene::new(DriverName::Vfs);
    let noise: Vec<u8> = (0..60_000_u32).flat_map(u32::to_le_bytes).collect();
    let sample = Sample::new(vec![tar(&[file("noise", noise)])]);
    let served = Served::new(&sample, <[u8]>::to_vec);
    let layer = served.layers()[0];
    let fake = Fake::start(move |request| {
        if request.path.ends_with(&layer.to_string()) {
            return blob(request, &served.blobs[&layer]).cut_after(50_000);
        }
        served.answer(request)
    });
    pulled(
        &scene.store(),
        &fake.name("app:1"),
        &settings(&scene.beside("s")),
    )
    .unwrap();
    let asked = fake.asked_for(&layer.to_string());
    let ranges: Vec<_> = asked
        .iter()
        .map(|request| request.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges[0], None);
    assert_eq!(ranges[1].as_deref(), Some("bytes=50000-"));
    // 240,000 bytes and what a tar has around them.
    assert_eq!(ranges[4].as_deref(), Some("bytes=200000-"));
    assert_eq!(ranges.len(), 5);
}

#[test]
fn a_registry_that_is_busy_is_asked_again_when_it_says() {
    let scene = Scene::new(DriverName::Vfs);
    let served = Served::usual();
    let asked = std::sync::atomic::AtomicU32::new(0);
    let fake = Fake::start(move |request| {
        if request.path == "/v2/" {
            return served.answer(request);
        }
        // Every second time it is too much.
        match asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 2 {
            0 => Reply::new(429, "").header("Retry-After", "3600"),
            _ => served.answer(request),
        }
    });
    // An hour is more than the longest pause: it is cut to that.
    pulled(
        &scene.store(),
        &fake.name("app:1"),
        &settings(&scene.beside("s")),
    )
    .unwrap();
}

#[test]
fn a_registry_that_stays_broken_is_given_up() {
    let scene = Scene::new(DriverName::Vfs);
    let fake = Fake::start(|request| match request.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        _ => Reply::new(503, ""),
    });
    let error = pulled(
        &scene.store(),
        &fake.name("app:1"),
        &settings(&scene.beside("s")),
    )
    .unwrap_err();
    assert!(told(&error).contains("tried 3 times"), "{}", told(&error));
    assert_eq!(fake.asked_for("/manifests/").len(), 3);
}

/// A registry with an index of images for several platforms, each with its name in a file.
fn of_platforms(platforms: &[&str]) -> (Fake, Vec<Sample>) {
    let mut blobs = std::collections::BTreeMap::new();
    let mut manifests = Vec::new();
    let mut samples = Vec::new();
    for text in platforms {
        let platform: Platform = text.parse().unwrap();
        let mut sample = Sample::new(vec![tar(&[file("platform", text)])]);
        let mut config: Value = serde_json::from_slice(&sample.config).unwrap();
        config["os"] = json!(platform.os);
        config["architecture"] = json!(platform.architecture);
        config["variant"] = json!(platform.variant);
        sample.config = config.to_string().into_bytes();
        let served = Served::new(&sample, gzip);
        manifests.push(json!({
            "mediaType": MANIFEST, "digest": Digest::of(&served.manifest),
            "size": served.manifest.len(), "platform": platform,
        }));
        blobs.extend(served.blobs);
        samples.push(sample);
    }
    let index = json!({"schemaVersion": 2, "manifests": manifests});
    let served = Served {
        blobs,
        manifest: index.to_string().into_bytes(),
    };
    (Fake::start(move |request| served.answer(request)), samples)
}

#[test]
fn of_an_index_the_image_for_the_platform_is_pulled() {
    let platforms = [
        "linux/arm/v7",
        "linux/amd64",
        "linux/arm64",
        "windows/amd64",
    ];
    let (fake, samples) = of_platforms(&platforms);
    let scene = Scene::new(DriverName::Vfs);
    let (store, settings) = (scene.store(), settings(&scene.beside("s")));
    let name: Reference = fake.name("app:1").parse().unwrap();
    let client = Client::new(name.registry(), &settings).unwrap();
    for (text, sample) in platforms.iter().zip(&samples).take(3) {
        let platform = text.parse().unwrap();
        let image = pull(&store, &client, &name, Some(&platform), &Silent).unwrap();
        assert_eq!(image.id, sample.id(), "{text}");
    }
    let image = pulled(&store, &fake.name("app:1"), &settings).unwrap();
    let here = Platform::here().to_string();
    let expected = platforms.iter().position(|text| **text == here).unwrap();
    assert_eq!(image.id, samples[expected].id());

    let other = "linux/s390x".parse().unwrap();
    let error = pull(&store, &client, &name, Some(&other), &Silent).unwrap_err();
    insta::assert_snapshot!(
        error.to_string().replace(&fake.address, "HOST"),
        @"`HOST/app:1` has no image for linux/s390x, only for linux/arm/v7, linux/amd64, linux/arm64, windows/amd64"
    );
}

#[test]
fn an_image_is_pulled_by_its_digest_and_found_by_it() {
    let scene = Scene::new(DriverName::Vfs);
    let served = Served::usual();
    let digest = Digest::of(&served.manifest);
    let fake = Fake::start(move |request| served.answer(request));
    let store = scene.store();
    let name = fake.name(&format!("app@{digest}"));
    let image = pulled(&store, &name, &settings(&scene.beside("s"))).unwrap();
    assert_eq!(image.digest, digest);
    assert_eq!(store.resolve(&name).unwrap().id, image.id);
    let asked = fake.asked_for("/manifests/");
    assert!(asked[0].path.ends_with(&digest.to_string()));
}

#[test]
fn all_tags_are_listed_page_by_page() {
    let scene = Scene::new(DriverName::Vfs);
    let fake = Fake::start(|request| match request.path.as_str() {
        "/v2/" => Reply::new(200, "{}"),
        "/v2/app/tags/list?n=1000" => Reply::new(200, r#"{"name":"app","tags":["1","2"]}"#)
            .header("Link", r#"</v2/app/tags/list?n=1000&last=2>; rel="next""#),
        "/v2/app/tags/list?n=1000&last=2" => Reply::new(200, r#"{"name":"app","tags":["3"]}"#),
        other => panic!("asked for {other}"),
    });
    let client = Client::new(&fake.address, &settings(&scene.beside("s"))).unwrap();
    assert_eq!(client.tags("app").unwrap(), ["1", "2", "3"]);
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let scene = Scene::new(DriverName::Vfs);
    let served = Served::usual();
    let fake = Fake::start(move |request| served.answer(request));
    let settings = settings(&scene.beside("s"));
    let error = pulled(&scene.store(), &fake.name("app:2"), &settings).unwrap_err();
    insta::assert_snapshot!(
        error.to_string().replace(&fake.address, "HOST"),
        @"registry `HOST` has no manifest `app:2` (it says: no such thing)"
    );
    assert!(matches!(error, PullError::Registry(_)));
}
