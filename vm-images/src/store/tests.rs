use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::compression::Compression;
use crate::fake_mirror::{Archive, Fault, Server, SuiteSpec, module_file, public_key, vmlinuz};
use crate::fetch::Retry;
use crate::mirror::{Mirror, Validity};
use crate::progress::{Event, Progress, Unwatched};
use crate::proxy::Proxies;
use crate::verify::Keyring;

/// A cache, a keyring of the fake mirror's key, and a clock.
struct Scene {
    dir: tempfile::TempDir,
    catalogue: Catalogue,
    validity: Validity,
}

const CATALOGUE: &str = r#"
[[kernel]]
id = "debian-12/6.1/amd64"
suite = "bookworm"
flavour = "cloud-amd64"
[[kernel]]
id = "debian-13/newest/amd64"
suite = "trixie-backports"
flavour = "cloud-amd64"
[[kernel]]
id = "debian-sid/newest/amd64"
suite = "sid"
flavour = "cloud-amd64"
"#;

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("keyring.gpg"), public_key()).unwrap();
        Self {
            catalogue: Catalogue::parsed(CATALOGUE),
            dir,
            validity: Validity::Enforced,
        }
    }

    fn store(&self) -> ImageStore {
        ImageStore::open(&self.dir.path().join("cache"), self.catalogue.clone())
    }

    fn source(&self, mirror: Option<&str>) -> Source {
        Source {
            mirror: mirror.map(|url| Mirror::at(url, self.validity).unwrap()),
            keyring: Keyring::at(&self.dir.path().join("keyring.gpg")).unwrap(),
            proxies: Proxies::default(),
            jobs: 3,
            retry: Retry {
                attempts: 3,
                first_pause: Duration::from_millis(1),
                wait: |_| (),
            },
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn fetch(&self, server: &Server, ids: &[&str]) -> Result<Vec<Kernel>, StoreError> {
        let source = self.source(Some(&server.url()));
        self.store().fetch(&wanted(ids), &source, &Unwatched)
    }

    fn fetch_offline(&self, ids: &[&str]) -> Result<Vec<Kernel>, StoreError> {
        self.store()
            .fetch(&wanted(ids), &self.source(None), &Unwatched)
    }

    /// The row of an entry in the list.
    fn listed(&self, id: &str) -> Listed {
        let all = self.store().list().unwrap();
        all.into_iter()
            .find(|row| row.id.to_string() == id)
            .unwrap()
    }
}

fn wanted(ids: &[&str]) -> Vec<Wanted> {
    ids.iter().map(|id| id.parse().unwrap()).collect()
}

/// The error with its causes, and the server's port taken out.
fn chain(error: &StoreError, server: &Server) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str("\n  because: ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.replace(&server.url(), "http://mirror")
}

const BOOKWORM: &str = "debian-12/6.1/amd64";
const INDEX: &str = "dists/bookworm/InRelease";
const DEB: &str = "pool/linux-image-6.1.0-50-cloud-amd64_6.1.176-1_amd64.deb";

fn bookworm() -> Archive {
    let mut archive = Archive::default();
    archive.kernel("bookworm", "6.1.0-50", "6.1.176-1");
    archive
}

#[test]
fn a_fetched_kernel_is_ready_to_boot() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    let kernel = scene.fetch(&server, &[BOOKWORM]).unwrap().remove(0);
    assert_eq!(kernel.release, "6.1.0-50-cloud-amd64");
    assert_eq!(kernel.id.unwrap().to_string(), BOOKWORM);
    assert_eq!(kernel.arch, Arch::Amd64);
    assert!(
        std::fs::read(&kernel.vmlinux)
            .unwrap()
            .starts_with(b"\x7fELF")
    );
    assert_eq!(
        std::fs::read(kernel.config.unwrap()).unwrap(),
        b"CONFIG_OVERLAY_FS=m\n"
    );
    let modules = kernel.modules.closure(&["overlay", "ext4"]).unwrap();
    let names: Vec<_> = modules
        .iter()
        .map(|m| (m.name.as_str(), m.compression))
        .collect();
    assert_eq!(
        names,
        [
            ("crc32c_generic", Compression::Gzip),
            ("helper_one", Compression::Xz),
            ("overlay", Compression::None)
        ]
    );
    assert!(modules.iter().all(|module| module.path.is_file()));
}

#[test]
fn a_module_that_the_kernel_lacks_is_named_with_what_needs_it() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    let kernel = scene.fetch(&server, &[BOOKWORM]).unwrap().remove(0);
    insta::assert_snapshot!(kernel.modules.closure(&["aufs"]).unwrap_err(), @"kernel 6.1.0-50-cloud-amd64 has no module `aufs`: it is neither in its modules nor built in; choose a kernel whose configuration has it");
}

#[test]
fn what_was_fetched_serves_without_the_network() {
    let scene = Scene::new();
    let server = bookworm().serve(&["bookworm"]);
    assert_eq!(scene.listed(BOOKWORM).cached, Cached::No);
    let fetched = scene.fetch(&server, &[BOOKWORM]).unwrap();
    drop(server);
    assert_eq!(scene.listed(BOOKWORM).cached, Cached::Yes);
    assert_eq!(
        scene
            .store()
            .kernel(&wanted(&[BOOKWORM])[0])
            .unwrap()
            .as_ref(),
        fetched.first()
    );
    assert_eq!(scene.fetch_offline(&[BOOKWORM]).unwrap(), fetched);
}

#[test]
fn without_the_network_and_the_cache_it_says_what_is_missing() {
    let error = Scene::new().fetch_offline(&[BOOKWORM]).unwrap_err();
    insta::assert_snapshot!(error, @"the index of bookworm is not in the cache; fetch it once without `--offline`");
}

#[test]
fn a_second_fetch_asks_for_the_index_only() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    scene.fetch(&server, &[BOOKWORM]).unwrap();
    server.requests();
    scene.fetch(&server, &[BOOKWORM]).unwrap();
    assert_eq!(server.requests(), [(INDEX.to_owned(), None)]);
}

#[test]
fn a_tampered_index_is_refused() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    let files = bookworm().publish(&[SuiteSpec {
        name: "bookworm",
        valid_until: None,
    }]);
    let altered = String::from_utf8(files[INDEX].clone())
        .unwrap()
        .replace("Origin: Debian", "Origin: debian");
    server.put(INDEX, altered.into_bytes());
    let error = scene.fetch(&server, &[BOOKWORM]).unwrap_err();
    insta::assert_snapshot!(chain(&error, &server), @"
    the index of bookworm from http://mirror/dists/bookworm/InRelease is not trusted
      because: the index has a BAD signature (key DE3F8DB63C28061F): it was altered after it was signed; don't use this mirror
    ");
}

#[test]
fn a_tampered_package_list_is_refused() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    server.tamper(&list_path());
    let error = scene.fetch(&server, &[BOOKWORM]).unwrap_err();
    assert!(
        matches!(&error, StoreError::Fetch(crate::fetch::FetchError::WrongDigest { what, .. }) if what == "package list of bookworm for amd64"),
        "{error}"
    );
}

/// The path under which the fake mirror has its package list by digest.
fn list_path() -> String {
    let files = bookworm().publish(&[SuiteSpec {
        name: "bookworm",
        valid_until: None,
    }]);
    files
        .into_keys()
        .find(|path| path.contains("by-hash"))
        .unwrap()
}

#[test]
fn a_tampered_package_is_refused() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    server.tamper(DEB);
    let error = scene.fetch(&server, &[BOOKWORM]).unwrap_err();
    assert!(
        matches!(&error, StoreError::Fetch(crate::fetch::FetchError::WrongDigest { what, .. }) if what == "package linux-image-6.1.0-50-cloud-amd64 6.1.176-1"),
        "{error}"
    );
    assert_eq!(scene.listed(BOOKWORM).cached, Cached::No);
}

#[test]
fn a_package_that_was_damaged_in_the_cache_is_fetched_again() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    let kernel = scene.fetch(&server, &[BOOKWORM]).unwrap().remove(0);
    let Origin::Packages(packages) = &kernel.origin else {
        panic!("{:?}", kernel.origin)
    };
    std::fs::write(scene.store().cache.blob(&packages[0].sha256), b"damaged").unwrap();
    std::fs::remove_dir_all(kernel.vmlinux.parent().unwrap()).unwrap();
    server.requests();
    scene.fetch(&server, &[BOOKWORM]).unwrap();
    assert!(server.requests().contains(&(DEB.to_owned(), None)));
}

#[test]
fn a_list_that_the_mirror_no_longer_has_by_digest_is_taken_by_name() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    server.fail(&list_path(), &[Fault::Status(404)]);
    assert!(scene.fetch(&server, &[BOOKWORM]).is_ok());
}

#[test]
fn a_mirror_in_a_folder_serves_as_well() {
    let scene = Scene::new();
    let root = scene.dir.path().join("mirror");
    for (path, content) in bookworm().publish(&[SuiteSpec {
        name: "bookworm",
        valid_until: None,
    }]) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let source = scene.source(Some(&format!("file://{}", root.display())));
    assert!(
        scene
            .store()
            .fetch(&wanted(&[BOOKWORM]), &source, &Unwatched)
            .is_ok()
    );
}

/// A kernel in the parts into which Debian splits it from 7.2 on.
fn split(archive: &mut Archive, suite: &str, abi: &str, version: &str) {
    let release = format!("{abi}-cloud-amd64");
    let of = |part: &str| format!("linux-{part}-{release}");
    let at = (suite, "amd64");
    let inside = |name: &str| format!("./usr/lib/modules/{release}/{name}");
    let (base, binary, modules) = (of("base"), of("binary"), of("modules"));
    archive
        .package(at, ("linux-image-cloud-amd64", version, &of("image")), &[])
        .package(
            at,
            (
                &of("image"),
                version,
                &format!("dracut | initramfs-tools, {base}, {binary}, {modules}"),
            ),
            &[],
        )
        .package(
            at,
            (&base, version, ""),
            &[
                (&inside("config"), b"CONFIG_BTRFS_FS=m\n"),
                (&inside("modules.builtin"), b"kernel/fs/fuse/fuse.ko\n"),
                (
                    &inside("modules.builtin.modinfo"),
                    b"fuse.alias=fs-fuseblk\0fuse.license=GPL\0",
                ),
            ],
        )
        .package(
            at,
            (&binary, version, &base),
            &[(&inside("vmlinuz"), &vmlinuz(&release))],
        )
        .package(
            at,
            (&modules, version, &base),
            &[(
                &inside("kernel/fs/btrfs/btrfs.ko.zst"),
                &module_file(&["depends="], Compression::Zstd),
            )],
        );
}

#[test]
fn a_kernel_in_parts_is_put_together() {
    let scene = Scene::new();
    let mut archive = Archive::default();
    split(&mut archive, "sid", "7.2.13+deb14", "7.2.13-1");
    let kernel = scene
        .fetch(&archive.serve(&["sid"]), &["debian-sid/newest/amd64"])
        .unwrap()
        .remove(0);
    assert_eq!(kernel.id.unwrap().to_string(), "debian-sid/7.2/amd64");
    assert!(kernel.config.is_some());
    let modules = kernel.modules.closure(&["btrfs", "fs-fuseblk"]).unwrap();
    assert_eq!(
        modules.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(),
        ["btrfs"]
    );
}

/// A mirror with two suites of which backports has the newer kernel.
fn two_suites() -> Archive {
    let mut archive = Archive::default();
    archive.kernel("trixie-backports", "7.3.4+deb13", "7.3.4-1");
    split(&mut archive, "sid", "7.2.13+deb14", "7.2.13-1");
    archive
}

#[test]
fn the_newest_is_the_newest_of_all_suites_and_planning_knows_it_offline() {
    let scene = Scene::new();
    let kernels = scene
        .fetch(
            &two_suites().serve(&["trixie-backports", "sid"]),
            &["newest/amd64"],
        )
        .unwrap();
    assert_eq!(
        kernels[0].id.as_ref().unwrap().to_string(),
        "debian-13/7.3/amd64"
    );
    let newest = wanted(&["newest/amd64"]).remove(0);
    assert_eq!(
        scene.store().settle(&newest).unwrap().unwrap().to_string(),
        "debian-13/7.3/amd64"
    );
    // The settled name, as it stands in a plan, leads back to the kernel.
    let settled = wanted(&["debian-13/7.3/amd64"]).remove(0);
    assert_eq!(
        scene.store().kernel(&settled).unwrap().as_ref(),
        kernels.first()
    );
    assert_eq!(
        scene
            .listed("debian-sid/newest/amd64")
            .settled
            .unwrap()
            .to_string(),
        "debian-sid/7.2/amd64"
    );
}

#[test]
fn a_name_outside_the_catalogue_is_refused() {
    let error = Scene::new()
        .fetch_offline(&["fedora-44/6.19/amd64"])
        .unwrap_err();
    insta::assert_snapshot!(error, @"there is no kernel `fedora-44/6.19/amd64` in the catalogue; `seaworthy image list` shows all");
}

#[test]
fn the_newest_of_a_distribution_is_no_others() {
    let (scene, server) = (
        Scene::new(),
        two_suites().serve(&["trixie-backports", "sid"]),
    );
    let kernels = scene.fetch(&server, &["newest/amd64", "debian/newest/amd64"]);
    let [any, debians] = &kernels.unwrap()[..] else {
        panic!("two were asked for");
    };
    assert_eq!(any, debians);
    let error = scene.fetch(&server, &["ubuntu/newest/amd64"]).unwrap_err();
    assert!(
        matches!(&error, StoreError::Unknown(wanted) if wanted.to_string() == "ubuntu/newest/amd64"),
        "{error:?}"
    );
}

#[test]
fn a_series_that_the_mirror_lacks_is_named() {
    let mut archive = Archive::default();
    archive.kernel("bookworm", "6.12.9+deb12", "6.12.9-1");
    let error = Scene::new()
        .fetch(&archive.serve(&["bookworm"]), &[BOOKWORM])
        .unwrap_err();
    insta::assert_snapshot!(error, @"the mirror has no kernel `debian-12/6.1/amd64` (looked in bookworm); `seaworthy image list` shows what there is");
}

/// Two suites, of which backports has expired.
fn half_expired() -> Server {
    Server::start(two_suites().publish(&[
        SuiteSpec {
            name: "trixie-backports",
            valid_until: Some("Sat, 16 Aug 2025 09:16:30 UTC"),
        },
        SuiteSpec {
            name: "sid",
            valid_until: None,
        },
    ]))
}

#[test]
fn an_expired_suite_is_refused_by_name_and_passed_over_for_the_newest() {
    let (scene, server) = (Scene::new(), half_expired());
    let error = scene
        .fetch(&server, &["debian-13/newest/amd64"])
        .unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Index(crate::index::IndexError::Expired { .. })
        ),
        "{error}"
    );
    let kernels = scene.fetch(&server, &["newest/amd64"]).unwrap();
    assert_eq!(
        kernels[0].id.as_ref().unwrap().to_string(),
        "debian-sid/7.2/amd64"
    );
}

#[test]
fn an_expired_suite_is_taken_with_a_warning_when_the_date_is_waived() {
    let mut scene = Scene::new();
    scene.validity = Validity::Waived;
    let server = half_expired();
    let watcher = Recorder::default();
    let source = scene.source(Some(&server.url()));
    scene
        .store()
        .fetch(&wanted(&["debian-13/newest/amd64"]), &source, &watcher)
        .unwrap();
    let warnings = watcher.warnings.into_inner().unwrap();
    assert!(
        warnings
            .iter()
            .any(|w| w.starts_with("the index of trixie-backports expired")
                && w.contains("taken nonetheless")),
        "{warnings:?}"
    );
}

#[derive(Default)]
struct Recorder {
    warnings: Mutex<Vec<String>>,
}

impl Progress for Recorder {
    fn event(&self, event: &Event<'_>) {
        if let Event::Warning(text) = event {
            self.warnings.lock().unwrap().push((*text).to_owned());
        }
    }
}

/// Fetches 6.1.176, then lets the mirror move on to 6.1.180 and reads its index for another
/// kernel's sake.
fn moved_on() -> (Scene, Server) {
    let scene = Scene::new();
    scene
        .fetch(&bookworm().serve(&["bookworm"]), &[BOOKWORM])
        .unwrap();
    let mut archive = Archive::default();
    archive.kernel("bookworm", "6.1.0-51", "6.1.180-1");
    let server = archive.serve(&["bookworm"]);
    server.fail(
        "pool/linux-image-6.1.0-51-cloud-amd64_6.1.180-1_amd64.deb",
        &[Fault::Status(403)],
    );
    scene.fetch(&server, &[BOOKWORM]).unwrap_err();
    (scene, server)
}

#[test]
fn an_older_build_serves_until_the_newer_is_fetched() {
    let (scene, _server) = moved_on();
    let row = scene.listed(BOOKWORM);
    assert_eq!(row.cached, Cached::Older("6.1.0-50-cloud-amd64".to_owned()));
    assert_eq!(row.release.as_deref(), Some("6.1.0-51-cloud-amd64"));
    let kernel = scene
        .store()
        .kernel(&wanted(&[BOOKWORM])[0])
        .unwrap()
        .unwrap();
    assert_eq!(kernel.release, "6.1.0-50-cloud-amd64");
}

/// What prune names, relative to the cache.
fn pruned(scene: &Scene, mode: PruneMode) -> Vec<String> {
    let store = scene.store();
    let pruned = store.prune(mode).unwrap();
    let short = |path: &Path| {
        path.strip_prefix(store.cache())
            .unwrap()
            .display()
            .to_string()
    };
    let blob = |path: String| {
        if path.starts_with("blobs") {
            "a blob".to_owned()
        } else {
            path
        }
    };
    pruned.iter().map(|item| blob(short(&item.path))).collect()
}

#[test]
fn prune_keeps_the_build_that_serves_and_removes_it_once_a_newer_does() {
    let (scene, server) = moved_on();
    // The list that the first index named.
    assert_eq!(pruned(&scene, PruneMode::Remove), ["a blob"]);
    scene.fetch(&server, &[BOOKWORM]).unwrap();
    let expected = ["a blob", "kernels/6.1.0-50-cloud-amd64_6.1.176-1"];
    assert_eq!(pruned(&scene, PruneMode::DryRun), expected);
    assert_eq!(pruned(&scene, PruneMode::Remove), expected);
    assert_eq!(pruned(&scene, PruneMode::Remove), [""; 0]);
    assert_eq!(scene.listed(BOOKWORM).cached, Cached::Yes);
    assert!(scene.fetch_offline(&[BOOKWORM]).is_ok());
}

#[test]
fn a_kernel_of_the_users_own_is_read_with_its_modules() {
    let scene = Scene::new();
    let file = |name: &str, content: &[u8]| {
        let path = scene.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    };
    let kernel = file("vmlinuz", &vmlinuz("6.6.6-mine"));
    let module = file(
        "modules/kernel/fs/overlay.ko.gz",
        &module_file(&["depends=other"], Compression::Gzip),
    );
    file(
        "modules/updates/other.ko",
        &module_file(&["depends="], Compression::None),
    );
    let modules = scene.dir.path().join("modules");
    let mut digests = Vec::new();
    for _ in ["computed", "from the cache"] {
        let own = scene.store().own(&kernel, Some(&modules)).unwrap();
        digests.push(modules_digest(&own));
        assert_eq!(
            (own.release.as_str(), own.arch),
            ("6.6.6-mine", Arch::Amd64)
        );
        let closure = own.modules.closure(&["overlay"]).unwrap();
        assert_eq!(closure.last().unwrap().path, module);
        assert_eq!(closure.len(), 2);
    }
    // A module that was built anew is another one, though its length and time are the same.
    let time = std::fs::metadata(&module).unwrap().modified().unwrap();
    let mut content = std::fs::read(&module).unwrap();
    // When it was packed (RFC 1952).
    content[4] ^= 1;
    std::fs::write(&module, content).unwrap();
    let file = std::fs::OpenOptions::new().write(true).open(&module);
    file.unwrap().set_modified(time).unwrap();
    let own = scene.store().own(&kernel, Some(&modules)).unwrap();
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[0], modules_digest(&own));
    let own = scene.store().own(&kernel, None).unwrap();
    // The fake kernel has no PVH entry.
    assert_eq!(
        std::fs::read(&own.boot).unwrap(),
        std::fs::read(&kernel).unwrap()
    );
    assert_eq!(own.modules.closure(&["overlay"]).unwrap(), []);
}

fn modules_digest(kernel: &Kernel) -> String {
    let Origin::Files { modules, .. } = &kernel.origin else {
        panic!("{:?}", kernel.origin);
    };
    modules.as_ref().unwrap().sha256.clone()
}

#[test]
fn a_kernel_that_was_changed_in_the_cache_is_not_booted() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    let kernel = scene.fetch(&server, &[BOOKWORM]).unwrap().remove(0);
    let module = kernel.modules.closure(&["overlay"]).unwrap().remove(0).path;
    for file in [kernel.boot, kernel.config.unwrap(), module] {
        let content = std::fs::read(&file).unwrap();
        let mut changed = content.clone();
        *changed.last_mut().unwrap() ^= 1;
        std::fs::write(&file, changed).unwrap();
        let error = scene.fetch(&server, &[BOOKWORM]).unwrap_err();
        assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
        let cached = scene.store().kernel(&BOOKWORM.parse().unwrap());
        assert!(matches!(cached, Err(StoreError::Damaged(_))), "{cached:?}");
        std::fs::write(&file, content).unwrap();
    }
    assert!(scene.fetch(&server, &[BOOKWORM]).is_ok());
}

#[test]
fn a_kernel_whose_contents_were_not_noted_is_unpacked_anew() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    let kernel = scene.fetch(&server, &[BOOKWORM]).unwrap().remove(0);
    let path = kernel.vmlinux.with_file_name(DESCRIPTION);
    let mut old: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    old.as_object_mut().unwrap().remove("contents").unwrap();
    std::fs::write(&path, old.to_string()).unwrap();
    assert_eq!(scene.listed(BOOKWORM).cached, Cached::No);
    assert!(scene.fetch_offline(&[BOOKWORM]).is_ok());
}

#[test]
fn what_an_own_kernel_has_built_in_is_known_by_its_list_alone() {
    let scene = Scene::new();
    let kernel = scene.dir.path().join("vmlinuz");
    std::fs::write(&kernel, vmlinuz("6.6.6-mine")).unwrap();
    let modules = scene.dir.path().join("modules");
    std::fs::create_dir(&modules).unwrap();
    let own = || scene.store().own(&kernel, Some(&modules));
    let error = own().unwrap_err().to_string();
    assert!(error.contains("there is no module in"), "{error}");

    let fuse = module_file(&["depends="], Compression::None);
    std::fs::write(modules.join("fuse.ko"), fuse).unwrap();
    assert_eq!(own().unwrap().modules.closure(&["ext4"]).unwrap(), []);
    std::fs::write(modules.join("modules.builtin"), "kernel/fs/fs.ko\n").unwrap();
    let listed = own().unwrap().modules;
    assert!(listed.closure(&["ext4"]).is_err() && listed.has("fs"));
}

#[test]
fn a_file_that_is_no_kernel_is_refused() {
    let scene = Scene::new();
    let path = scene.dir.path().join("README");
    std::fs::write(&path, "read me").unwrap();
    assert!(scene.store().own(&path, None).is_err());
    assert_eq!(scene.store().list().unwrap().len(), 3);
}

#[test]
fn a_stored_index_of_another_version_is_read_anew() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    scene.fetch(&server, &[BOOKWORM]).unwrap();
    let stored = scene.store().index_path("bookworm", Arch::Amd64);
    let old = std::fs::read_to_string(&stored)
        .unwrap()
        .replace("seaworthy.index/1", "seaworthy.index/0");
    std::fs::write(&stored, old).unwrap();
    assert_eq!(scene.store().index("bookworm", Arch::Amd64).unwrap(), None);
    assert!(scene.fetch_offline(&[BOOKWORM]).is_ok());
    assert_eq!(scene.listed(BOOKWORM).cached, Cached::Yes);
}

#[test]
fn what_a_killed_process_was_unpacking_is_cleared_away() {
    let (scene, server) = (Scene::new(), bookworm().serve(&["bookworm"]));
    let left = scene.store().cache.kernels().join(".unpacking-x/modules");
    std::fs::create_dir_all(&left).unwrap();
    scene.fetch(&server, &[BOOKWORM]).unwrap();
    assert!(!left.exists());
}
