//! The laws of storage drivers, held by each of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure is a failed test"
)]

mod scene;

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use keel::image::digest::{ChainId, Digest};
use keel::storage::{ChangeKind, DriverName, Filled, Keep, Storage, StorageError, Tree, TreeName};
use scene::{Scene, picture};

macro_rules! for_each_driver {
    ($($law:ident),* $(,)?) => {
        mod overlay { $(#[test] fn $law() { super::$law(keel::storage::DriverName::Overlay) })* }
        mod btrfs { $(#[test] fn $law() { super::$law(keel::storage::DriverName::Btrfs) })* }
        mod vfs { $(#[test] fn $law() { super::$law(keel::storage::DriverName::Vfs) })* }
    };
}

for_each_driver!(
    layers_show_as_if_made_in_one_folder,
    a_failed_layer_leaves_nothing,
    a_killed_process_leaves_only_what_a_clean_up_removes,
    containers_do_not_see_each_other_nor_change_layers,
    everything_can_be_done_twice,
    changes_are_all_that_differs_and_nothing_else,
    a_container_without_layers_starts_empty,
    a_hundred_and_twenty_eight_layers_can_be_mounted,
    a_layer_that_is_missing_is_named,
);

fn chain(of: &str) -> ChainId {
    ChainId::new(Digest::of(of.as_bytes()))
}

fn name(text: &str) -> TreeName {
    TreeName::new(text).unwrap()
}

/// The path of an open folder, for the convenience of `std::fs`.
fn path_of(root: BorrowedFd<'_>) -> PathBuf {
    use std::os::fd::AsRawFd as _;
    PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd()))
}

fn commit(
    storage: &Storage,
    id: &str,
    parent: Option<&ChainId>,
    fill: impl Fn(&Path) + Sync,
) -> ChainId {
    storage
        .driver()
        .commit_layer(parent, &mut |layer| {
            fill(&path_of(layer.root));
            Ok(Filled {
                chain: chain(id),
                bytes: 0,
            })
        })
        .unwrap()
}

fn set_attribute(path: &Path, attribute: &std::ffi::CStr, value: &[u8]) {
    let folder = File::open(path.parent().unwrap()).unwrap();
    keel::sys::xattr::set_at(folder.as_fd(), path.file_name().unwrap(), attribute, value).unwrap();
}

fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, 123_456_789);
    File::open(path).unwrap().set_modified(time).unwrap();
}

fn lowest(root: &Path) {
    for folder in ["bin", "etc", "etc/conf.d", "gone", "hidden", "hidden/deep"] {
        fs::create_dir(root.join(folder)).unwrap();
    }
    fs::write(root.join("bin/tool"), "tool").unwrap();
    fs::set_permissions(root.join("bin/tool"), Permissions::from_mode(0o4755)).unwrap();
    // cap_net_raw=ep, revision 2.
    let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    fs::write(root.join("bin/ping"), "ping").unwrap();
    set_attribute(&root.join("bin/ping"), c"security.capability", &capability);
    set_attribute(&root.join("etc/conf.d"), c"user.note", b"a\0b");
    fs::hard_link(root.join("bin/tool"), root.join("bin/same")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0").unwrap();
    chown(root.join("etc/passwd"), Some(12), Some(34)).unwrap();
    symlink("../bin/tool", root.join("etc/link")).unwrap();
    let time = nix::sys::time::TimeSpec::new(1_000_000_000, 7);
    let how = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
    let here = nix::fcntl::AT_FDCWD;
    nix::sys::stat::utimensat(here, &root.join("etc/link"), &time, &time, how).unwrap();
    fs::write(root.join("etc/replaced"), "a file").unwrap();
    fs::write(root.join("gone/file"), "x").unwrap();
    fs::write(root.join("hidden/below"), "x").unwrap();
    fs::write(root.join("hidden/deep/below"), "x").unwrap();
    let holes = File::create(root.join("holes")).unwrap();
    holes.set_len(10 << 20).unwrap();
    holes.write_all_at(b"data", 5 << 20).unwrap();
    fs::set_permissions(root.join("etc"), Permissions::from_mode(0o1750)).unwrap();
    for path in [
        "bin/tool",
        "bin/ping",
        "etc/passwd",
        "etc/replaced",
        "holes",
        "etc/conf.d",
        "etc",
        "bin",
        "gone",
        "hidden",
        "hidden/deep",
    ] {
        set_time(&root.join(path), 1_000_000_000);
    }
    fs::set_permissions(root, Permissions::from_mode(0o711)).unwrap();
    set_time(root, 900_000_000);
}

fn middle(root: &Path) {
    fs::remove_dir_all(root.join("gone")).unwrap();
    fs::remove_dir_all(root.join("hidden")).unwrap();
    fs::create_dir(root.join("hidden")).unwrap();
    fs::write(root.join("hidden/above"), "y").unwrap();
    fs::remove_file(root.join("etc/replaced")).unwrap();
    fs::create_dir(root.join("etc/replaced")).unwrap();
    fs::hard_link(root.join("etc/passwd"), root.join("etc/passwd-")).unwrap();
    fs::write(root.join("etc/conf.d/new"), "new").unwrap();
    for path in [
        "hidden/above",
        "hidden",
        "etc/replaced",
        "etc/conf.d/new",
        "etc/conf.d",
        "etc",
    ] {
        set_time(&root.join(path), 1_100_000_000);
    }
    set_time(root, 1_100_000_000);
}

fn upper(root: &Path) {
    fs::create_dir(root.join("gone")).unwrap();
    fs::remove_file(root.join("hidden/above")).unwrap();
    fs::remove_dir(root.join("hidden")).unwrap();
    fs::write(root.join("hidden"), "now a file").unwrap();
    for path in ["gone", "hidden"] {
        set_time(&root.join(path), 1_200_000_000);
    }
    set_time(root, 1_200_000_000);
}

fn three_layers(storage: &Storage) -> ChainId {
    let one = commit(storage, "1", None, lowest);
    let two = commit(storage, "2", Some(&one), middle);
    commit(storage, "3", Some(&two), upper)
}

fn layers_show_as_if_made_in_one_folder(driver: DriverName) {
    let scene = Scene::new(driver);
    let plain = scene.root.join("plain");
    fs::create_dir(&plain).unwrap();
    lowest(&plain);
    middle(&plain);
    upper(&plain);

    let storage = scene.storage();
    let top = three_layers(&storage);
    storage.driver().create(&name("web"), Some(&top)).unwrap();
    let rootfs = storage.driver().mount(&name("web"), Keep::Yes).unwrap();

    let (shown, expected) = (picture(&rootfs, &[]), picture(&plain, &[]));
    for (shown, expected) in shown.0.iter().zip(&expected.0) {
        assert_eq!(shown, expected);
    }
    assert_eq!(shown.0.len(), expected.0.len());
    let stat = fs::metadata(rootfs.join("holes")).unwrap();
    assert!(
        stat.blocks() * 512 < 1 << 20,
        "the hole was filled: {} blocks",
        stat.blocks()
    );
    storage.driver().unmount(&name("web")).unwrap();
}

fn a_failed_layer_leaves_nothing(driver: DriverName) {
    let scene = Scene::new(driver);
    let storage = scene.storage();
    let one = commit(&storage, "1", None, lowest);

    let result = storage.driver().commit_layer(Some(&one), &mut |layer| {
        fs::write(path_of(layer.root).join("half"), "x")?;
        Err("the tar is cut off".into())
    });

    assert!(matches!(result, Err(StorageError::Fill(_))), "{result:?}");
    assert_eq!(storage.layer_bytes(&one).unwrap(), Some(0));
    assert_eq!(staged(&scene), 0);
    assert_eq!(layers(&scene), 1);
}

fn staged(scene: &Scene) -> usize {
    count(&scene.root.join(format!("storage/{}/staging", scene.driver)))
}

fn layers(scene: &Scene) -> usize {
    count(&scene.root.join(format!("storage/{}/layers", scene.driver)))
}

fn count(folder: &Path) -> usize {
    fs::read_dir(folder).unwrap().count()
}

/// Set in the process that is to be killed: the root folder.
const VICTIM: &str = "KEEL_TEST_VICTIM";

fn a_killed_process_leaves_only_what_a_clean_up_removes(driver: DriverName) {
    if let Some(root) = std::env::var_os(VICTIM) {
        let storage = Storage::open(Path::new(&root), Some(driver)).unwrap();
        drop(
            storage
                .driver()
                .commit_layer(Some(&chain("1")), &mut |layer| {
                    fs::write(path_of(layer.root).join("half"), "x")?;
                    let me = nix::unistd::Pid::this();
                    nix::sys::signal::kill(me, nix::sys::signal::Signal::SIGKILL)?;
                    unreachable!("killed by itself")
                }),
        );
    }
    let scene = Scene::new(driver);
    let storage = scene.storage();
    let one = commit(&storage, "1", None, lowest);
    let test = format!("{driver}::a_killed_process_leaves_only_what_a_clean_up_removes");

    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &test, "--nocapture"])
        .env(VICTIM, &scene.root)
        .status()
        .unwrap();

    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(9)
    );
    assert_eq!((layers(&scene), staged(&scene)), (1, 1));
    storage.prune(|chain| *chain == one).unwrap();
    assert_eq!((layers(&scene), staged(&scene)), (1, 0));
}

fn containers_do_not_see_each_other_nor_change_layers(driver: DriverName) {
    let scene = Scene::new(driver);
    let storage = scene.storage();
    let top = three_layers(&storage);
    let driver = storage.driver();
    let mut roots = Vec::new();
    for container in ["a", "b"] {
        driver.create(&name(container), Some(&top)).unwrap();
        roots.push(driver.mount(&name(container), Keep::Yes).unwrap());
    }
    let before = picture(&roots[1], &[]);

    fs::write(roots[0].join("bin/tool"), "changed").unwrap();
    fs::remove_file(roots[0].join("holes")).unwrap();
    fs::remove_dir_all(roots[0].join("etc")).unwrap();
    fs::set_permissions(&roots[0], Permissions::from_mode(0o700)).unwrap();

    assert_eq!(picture(&roots[1], &[]), before);
    driver.create(&name("c"), Some(&top)).unwrap();
    let later = driver.mount(&name("c"), Keep::Yes).unwrap();
    assert_eq!(picture(&later, &[]), before);
}

fn everything_can_be_done_twice(driver: DriverName) {
    let scene = Scene::new(driver);
    let storage = scene.storage();
    let one = commit(&storage, "1", None, |root| {
        fs::write(root.join("first"), "x").unwrap();
    });

    let again = commit(&storage, "1", None, |root| {
        fs::write(root.join("second"), "x").unwrap();
    });

    let driver = storage.driver();
    assert_eq!(one, again);
    driver.create(&name("web"), Some(&one)).unwrap();
    let exists = driver.create(&name("web"), Some(&one));
    assert!(matches!(exists, Err(StorageError::Exists(_))), "{exists:?}");
    let rootfs = driver.mount(&name("web"), Keep::Yes).unwrap();
    assert!(rootfs.join("first").exists());
    for _ in 0..2 {
        driver.unmount(&name("web")).unwrap();
    }
    for _ in 0..2 {
        driver.remove(Tree::Container(&name("web"))).unwrap();
        driver.remove(Tree::Layer(&one)).unwrap();
    }
    assert_eq!((layers(&scene), staged(&scene)), (0, 0));
}

fn changes_are_all_that_differs_and_nothing_else(driver: DriverName) {
    let scene = Scene::new(driver);
    let storage = scene.storage();
    let top = three_layers(&storage);
    let driver = storage.driver();
    driver.create(&name("web"), Some(&top)).unwrap();
    let rootfs = driver.mount(&name("web"), Keep::Yes).unwrap();
    assert_eq!(driver.changes(&name("web")).unwrap(), []);

    fs::write(rootfs.join("etc/conf.d/added"), "x").unwrap();
    fs::write(rootfs.join("etc/passwd"), "other text").unwrap();
    set_time(&rootfs.join("etc/passwd"), 1_000_000_000);
    fs::remove_file(rootfs.join("bin/ping")).unwrap();
    fs::remove_dir_all(rootfs.join("gone")).unwrap();
    fs::create_dir(rootfs.join("gone")).unwrap();
    fs::write(rootfs.join("gone/inside"), "x").unwrap();
    fs::remove_file(rootfs.join("hidden")).unwrap();
    fs::create_dir_all(rootfs.join("new/deep")).unwrap();
    set_attribute(&rootfs.join("holes"), c"user.note", b"1");

    let shown: Vec<String> = driver
        .changes(&name("web"))
        .unwrap()
        .iter()
        .map(|change| format!("{} {}", change.kind.letter(), change.path.display()))
        .collect();
    assert_eq!(
        shown,
        [
            "C /bin",
            "D /bin/ping",
            "C /etc",
            "C /etc/conf.d",
            "A /etc/conf.d/added",
            "C /etc/passwd",
            "C /etc/passwd-",
            "C /gone",
            "A /gone/inside",
            "D /hidden",
            "C /holes",
            "A /new",
            "A /new/deep",
        ]
        .into_iter()
        // An overlay breaks the link between the names of a file that is changed.
        .filter(|line| *line != "C /etc/passwd-" || storage.driver().name() != DriverName::Overlay)
        .collect::<Vec<_>>()
    );
    assert_eq!(ChangeKind::Added.letter(), 'A');
}

fn a_container_without_layers_starts_empty(driver: DriverName) {
    let scene = Scene::new(driver);
    let storage = scene.storage();
    let driver = storage.driver();
    driver.create(&name("empty"), None).unwrap();
    let rootfs = driver.mount(&name("empty"), Keep::Yes).unwrap();
    assert_eq!(count(&rootfs), 0);
    assert_eq!(fs::metadata(&rootfs).unwrap().mode() & 0o7777, 0o755);

    fs::write(rootfs.join("file"), "x").unwrap();

    let changes = driver.changes(&name("empty")).unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].path, Path::new("/file"));
    driver.unmount(&name("empty")).unwrap();
    driver.remove(Tree::Container(&name("empty"))).unwrap();
}

fn a_hundred_and_twenty_eight_layers_can_be_mounted(driver: DriverName) {
    let scene = Scene::new(driver);
    let storage = scene.storage();
    let mut top = None;
    for number in 0..128 {
        let file = format!("file-{number}");
        top = Some(commit(&storage, &file, top.as_ref(), |root| {
            fs::write(root.join(&file), "x").unwrap();
        }));
    }
    storage
        .driver()
        .create(&name("high"), top.as_ref())
        .unwrap();
    let rootfs = storage.driver().mount(&name("high"), Keep::Yes).unwrap();
    assert_eq!(count(&rootfs), 128);
    assert_eq!(storage.driver().changes(&name("high")).unwrap(), []);
}

fn a_layer_that_is_missing_is_named(driver: DriverName) {
    let scene = Scene::new(driver);
    let storage = scene.storage();
    let missing = chain("missing");
    let result = storage.driver().create(&name("web"), Some(&missing));
    assert!(
        matches!(result, Err(StorageError::NoLayer(id)) if id == missing),
        "{result:?}"
    );
    let result = storage.driver().commit_layer(Some(&missing), &mut |_| {
        Ok(Filled {
            chain: chain("above"),
            bytes: 0,
        })
    });
    assert!(
        matches!(result, Err(StorageError::NoLayer(id)) if id == missing),
        "{result:?}"
    );
}

#[test]
fn a_subvolume_that_a_container_made_goes_with_it() {
    let scene = Scene::new(DriverName::Btrfs);
    let storage = scene.storage();
    let driver = storage.driver();
    driver.create(&name("web"), None).unwrap();
    let rootfs = driver.mount(&name("web"), Keep::Yes).unwrap();
    fs::create_dir(rootfs.join("inner")).unwrap();
    let inner = File::open(rootfs.join("inner")).unwrap();
    keel::sys::btrfs::create(inner.as_fd(), c"one").unwrap();
    let one = File::open(rootfs.join("inner/one")).unwrap();
    keel::sys::btrfs::create(one.as_fd(), c"two").unwrap();
    fs::write(rootfs.join("inner/one/two/file"), "x").unwrap();

    driver.remove(Tree::Container(&name("web"))).unwrap();

    assert!(!rootfs.exists());
    assert_eq!(staged(&scene), 0);
}

#[test]
fn an_empty_root_gets_the_best_driver_and_keeps_it() {
    let scene = Scene::new(DriverName::Overlay);
    let storage = Storage::open(&scene.root, None).unwrap();
    assert_eq!(storage.driver().name(), DriverName::Overlay);
    assert_eq!(
        fs::read_to_string(scene.root.join("storage/driver")).unwrap(),
        "overlay\n"
    );

    let other = scene.beside("other");
    drop(Storage::open(&other, Some(DriverName::Vfs)).unwrap());
    assert_eq!(
        Storage::open(&other, None).unwrap().driver().name(),
        DriverName::Vfs
    );
}

#[test]
fn a_driver_that_cannot_work_here_is_refused_with_the_requirement_and_a_remedy() {
    let scene = Scene::new(DriverName::Vfs);
    let error = Storage::open(&scene.root, Some(DriverName::Btrfs)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`kernel.storage.btrfs`"), "{text}");
    assert!(
        text.contains("put `--root` on a btrfs file system"),
        "{text}"
    );
    let error = Storage::open(&scene.root, Some(DriverName::Aufs)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`kernel.storage.aufs`"), "{text}");
    assert!(text.contains("use a kernel that carries aufs"), "{text}");
}

#[test]
fn an_overlay_on_an_overlay_is_refused_and_another_driver_chosen() {
    let scene = Scene::new(DriverName::Overlay);
    let storage = scene.storage();
    storage.driver().create(&name("outer"), None).unwrap();
    let inside = storage.driver().mount(&name("outer"), Keep::Yes).unwrap();

    let error = Storage::open(&inside, Some(DriverName::Overlay)).unwrap_err();
    assert!(
        error.to_string().contains("`kernel.storage.overlay`"),
        "{error}"
    );
    let chosen = Storage::open(&inside, None).unwrap();
    assert_eq!(chosen.driver().name(), DriverName::Vfs);
    assert_eq!(fs::read_dir(inside.join("storage")).unwrap().count(), 2);
}

#[test]
fn odd_characters_in_the_root_folder_do_not_matter() {
    let scene = Scene::new(DriverName::Overlay);
    let root = scene.beside("a:b,upperdir=c\\d");
    fs::create_dir(&root).unwrap();
    let storage = Storage::open(&root, Some(DriverName::Overlay)).unwrap();
    let top = three_layers(&storage);
    storage.driver().create(&name("web"), Some(&top)).unwrap();
    let rootfs = storage.driver().mount(&name("web"), Keep::Yes).unwrap();
    assert!(rootfs.join("bin/tool").exists());
    assert_eq!(rootfs.file_name(), Some(OsStr::new("rootfs")));
    storage.driver().unmount(&name("web")).unwrap();
}
