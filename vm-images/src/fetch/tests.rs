use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::fake_mirror::{Fault as ServerFault, Server};
use crate::progress::Unwatched;

/// A server with one file, and a cache.
struct Scene {
    dir: tempfile::TempDir,
    server: Server,
}

const NAME: &str = "pool/file.deb";

fn content() -> Vec<u8> {
    (0..100_000_u32).flat_map(u32::to_le_bytes).collect()
}

impl Scene {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            server: Server::start(BTreeMap::from([(NAME.to_owned(), content())])),
        }
    }

    fn cache(&self) -> Cache {
        Cache::at(self.dir.path())
    }

    fn wanted(&self) -> Download {
        let (sha256, size) = digest_of(content().as_slice()).unwrap();
        Download {
            what: "package file".to_owned(),
            name: "file".to_owned(),
            urls: vec![format!("{}/{NAME}", self.server.url())],
            file: Described { size, sha256 },
        }
    }

    fn get(&self) -> Result<Vec<u8>, FetchError> {
        self.get_with(&Unwatched)
    }

    fn get_with(&self, progress: &dyn Progress) -> Result<Vec<u8>, FetchError> {
        let path = fetcher().file(&self.wanted(), &self.cache(), progress)?;
        Ok(std::fs::read(path).unwrap())
    }

    /// Puts this into the place where an earlier attempt leaves what it got.
    fn leave_partial(&self, bytes: &[u8]) {
        let path = self.cache().partial(&self.wanted().file.sha256);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// Where each request for the file began.
    fn starts(&self) -> Vec<Option<usize>> {
        self.server
            .requests()
            .into_iter()
            .map(|(_, from)| from)
            .collect()
    }

    fn said(&self, error: &FetchError) -> String {
        error
            .to_string()
            .replace(&self.server.url(), "http://mirror")
    }
}

fn fetcher() -> Fetcher {
    fetcher_through(&Proxies::default())
}

fn fetcher_through(proxies: &Proxies) -> Fetcher {
    let retry = Retry {
        attempts: 3,
        first_pause: Duration::from_millis(500),
        wait: |_| (),
    };
    Fetcher::new(retry, proxies)
}

/// Keeps the pauses that were announced.
#[derive(Default)]
struct Pauses(Mutex<Vec<u128>>);

impl Progress for Pauses {
    fn event(&self, event: &Event<'_>) {
        if let Event::Retrying { pause, .. } = event {
            self.0.lock().unwrap().push(pause.as_millis());
        }
    }
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_stopped() {
    let scene = Scene::new();
    scene.server.fail(
        NAME,
        &[
            ServerFault::BreakOff(100_000),
            ServerFault::BreakOff(50_000),
        ],
    );
    assert!(scene.get().unwrap() == content());
    assert_eq!(scene.starts(), [None, Some(100_000), Some(150_000)]);
}

#[test]
fn what_an_earlier_process_got_is_not_asked_for_again() {
    let scene = Scene::new();
    scene.leave_partial(&content()[..399_999]);
    assert!(scene.get().unwrap() == content());
    assert_eq!(scene.starts(), [Some(399_999)]);
}

#[test]
fn a_whole_file_that_was_not_checked_yet_is_checked_without_a_request() {
    let scene = Scene::new();
    scene.leave_partial(&content());
    assert!(scene.get().unwrap() == content());
    assert_eq!(scene.starts(), []);
}

#[test]
fn a_server_without_ranges_is_read_from_the_start() {
    let scene = Scene::new();
    scene.server.without_ranges();
    scene.leave_partial(&content()[..1000]);
    assert!(scene.get().unwrap() == content());
    assert_eq!(scene.starts(), [Some(1000)]);
}

#[test]
fn a_file_that_changed_meanwhile_is_not_glued_to_its_past() {
    let scene = Scene::new();
    scene.leave_partial(&content()[..1000]);
    let tag = scene
        .cache()
        .partial(&scene.wanted().file.sha256)
        .with_extension("etag");
    std::fs::write(tag, "\"of another version\"").unwrap();
    assert!(scene.get().unwrap() == content());
    assert_eq!(scene.starts(), [Some(1000)]);
}

#[test]
fn a_partial_file_of_another_content_costs_one_more_attempt() {
    let scene = Scene::new();
    scene.leave_partial(&[7; 1000]);
    assert!(scene.get().unwrap() == content());
    assert_eq!(scene.starts(), [Some(1000), None]);
}

#[test]
fn an_altered_file_is_refused_and_not_kept() {
    let scene = Scene::new();
    scene.server.tamper(NAME);
    let error = scene.get().unwrap_err();
    insta::assert_snapshot!(scene.said(&error), @"the package file from http://mirror/pool/file.deb is not what the signed index describes: its SHA-256 is 05e0d4f5430653e7ee6b6f4c13cc5630365e33b4ae4bce2d01dfe6e5c1f59b29, it should be 20ff50e632cc575386b15d7fcd9c3842ef435388ed29ae8c30617158ee907dc5; it was altered or the mirror is broken, and it is not used");
    assert!(!scene.cache().partial(&scene.wanted().file.sha256).exists());
    assert!(!scene.cache().blob(&scene.wanted().file.sha256).exists());
}

#[test]
fn a_longer_file_is_refused_before_it_fills_the_disk() {
    let scene = Scene::new();
    scene
        .server
        .put(NAME, [content(), vec![0; 1 << 20]].concat());
    let error = scene.get().unwrap_err();
    insta::assert_snapshot!(scene.said(&error), @"the package file from http://mirror/pool/file.deb is longer than the 400000 bytes that it may have; it was altered or the mirror is broken, and it is not used");
    assert!(!scene.cache().partial(&scene.wanted().file.sha256).exists());
}

#[test]
fn a_passing_fault_is_waited_out_with_growing_pauses() {
    let scene = Scene::new();
    scene
        .server
        .fail(NAME, &[ServerFault::Status(503), ServerFault::Status(429)]);
    let pauses = Pauses::default();
    assert!(scene.get_with(&pauses).unwrap() == content());
    assert_eq!(pauses.0.into_inner().unwrap(), [500, 1000]);
}

#[test]
fn a_fault_that_stays_is_given_up_and_what_came_is_kept() {
    let scene = Scene::new();
    let mut faults = vec![ServerFault::BreakOff(1000)];
    faults.extend(vec![ServerFault::Status(503); 5]);
    scene.server.fail(NAME, &faults);
    let error = scene.get().unwrap_err();
    insta::assert_snapshot!(scene.said(&error), @"can't get http://mirror/pool/file.deb, tried 3 times; what came is kept and the same command goes on from there; `--offline` uses what was fetched before");
    let partial = scene.cache().partial(&scene.wanted().file.sha256);
    assert_eq!(std::fs::metadata(partial).unwrap().len(), 1000);
}

#[test]
fn a_refusal_is_final() {
    let scene = Scene::new();
    scene.server.fail(NAME, &[ServerFault::Status(403)]);
    let error = scene.get().unwrap_err();
    insta::assert_snapshot!(scene.said(&error), @"http://mirror/pool/file.deb is refused with HTTP status 403; look at the proxy's settings, or use another mirror with `--mirror URL`");
    assert_eq!(scene.starts().len(), 1);
}

#[test]
fn a_missing_file_is_sought_at_the_next_address() {
    let scene = Scene::new();
    let mut wanted = scene.wanted();
    wanted
        .urls
        .insert(0, format!("{}/by-hash/x", scene.server.url()));
    assert!(fetcher().file(&wanted, &scene.cache(), &Unwatched).is_ok());
    wanted.urls.truncate(1);
    let error = fetcher()
        .file(
            &wanted,
            &Cache::at(&scene.dir.path().join("other")),
            &Unwatched,
        )
        .unwrap_err();
    insta::assert_snapshot!(scene.said(&error), @"the mirror has no package file (http://mirror/by-hash/x); use another mirror with `--mirror URL`");
}

#[test]
fn plain_http_is_asked_of_the_proxy_by_its_whole_address() {
    let url = "http://mirror.example.org/debian/dists/sid/InRelease";
    let proxy = Server::start(BTreeMap::from([(url.to_owned(), b"signed".to_vec())]));
    let address = proxy.url();
    let proxies =
        Proxies::of_environment(|name| (name == "http_proxy").then(|| address.clone().into()));
    let fetcher = fetcher_through(&proxies.unwrap());
    assert_eq!(
        fetcher.small("index", url, 10, &Unwatched).unwrap(),
        b"signed"
    );
    assert_eq!(proxy.requests(), [(url.to_owned(), None)]);
}

#[test]
fn a_small_file_is_bounded() {
    let scene = Scene::new();
    let url = format!("{}/{NAME}", scene.server.url());
    assert_eq!(
        fetcher()
            .small("index", &url, 400_000, &Unwatched)
            .unwrap()
            .len(),
        400_000
    );
    assert!(matches!(
        fetcher().small("index", &url, 399_999, &Unwatched),
        Err(FetchError::TooLong { .. })
    ));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let scene = Scene::new();
    // A port that was just given back: nobody listens.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = fetcher()
        .small("index", &format!("http://{address}/x"), 10, &Unwatched)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("can't get http://{address}/x, tried 3 times")),
        "{error}"
    );
    drop(scene);
}
