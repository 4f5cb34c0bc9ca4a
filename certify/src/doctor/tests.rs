use matrix::matrix_file::MatrixFile;
use matrix::plan::{Filter, Plan};

use super::*;
use crate::render::Colour;

/// A host that has everything, below `folder`.
fn good_host(folder: &Path) -> Host {
    let bin = folder.join("bin");
    fs::create_dir_all(folder.join("apt/sources.list.d")).unwrap();
    fs::create_dir(&bin).unwrap();
    for (name, ..) in PROGRAMS {
        fs::write(bin.join(name), "").unwrap();
    }
    let kvm = folder.join("kvm");
    fs::write(&kvm, "").unwrap();
    Host {
        path: vec![bin],
        apt: folder.join("apt"),
        mirror: Some("https://mirror.example.org/debian".to_owned()),
        keyring: Some(folder.join("keyring.gpg")),
        kvm,
        meminfo: "MemTotal:  8000000 kB\nMemAvailable:  4194304 kB\n".to_owned(),
        space: (folder.join("out"), Some(50_000)),
        refusal: None,
    }
}

fn told(host: &Host, folder: &Path) -> String {
    render(&examine(host), Colour::No).replace(&folder.display().to_string(), "DIR")
}

#[test]
fn a_host_with_everything_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let host = good_host(folder.path());
    assert!(examine(&host).ready);
    insta::assert_snapshot!(told(&host, folder.path()));
}

#[test]
fn each_thing_that_is_missing_comes_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let bare = Host {
        path: Vec::new(),
        mirror: None,
        keyring: None,
        kvm: folder.path().join("no-kvm"),
        meminfo: "MemFree: 102400 kB\nCached: 102400 kB\n".to_owned(),
        space: (folder.path().join("out"), Some(100)),
        ..good_host(folder.path())
    };
    let diagnosis = examine(&bare);
    assert!(!diagnosis.ready);
    assert!(diagnosis.checks.iter().all(|check| check.remedy.is_some()));
    insta::assert_snapshot!(told(&bare, folder.path()));
}

#[test]
fn a_folder_that_takes_no_runs_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = good_host(folder.path());
    host.refusal = Some("Permission denied".to_owned());
    let told = told(&host, folder.path());
    assert!(
        told.contains("nothing can be written to DIR/out: Permission denied"),
        "{told}"
    );
    assert!(told.contains("`--out DIR`"), "{told}");
}

#[test]
fn what_the_machines_of_a_plan_take_is_looked_for_before_anything_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let host = good_host(folder.path());
    let matrix = MatrixFile::built_in("quick").unwrap();
    let cells = |only: &str| {
        let filter = Filter {
            only: vec![only.parse().unwrap()],
            skip: Vec::new(),
        };
        Plan::new("quick", &matrix, None, &filter).unwrap().cells
    };
    assert_eq!(lacks_for(&cells("*"), &host.path), [""; 0]);
    fs::remove_file(folder.path().join("bin/mkfs.btrfs")).unwrap();
    assert_eq!(lacks_for(&cells("storage=vfs"), &host.path), [""; 0]);
    insta::assert_snapshot!(lacks_for(&cells("*"), &host.path).join("\n"), @"`mkfs.btrfs`, which makes the disks of btrfs cells, is not in PATH: install the package `btrfs-progs`");
    assert!(lacks_for(&cells("storage=vfs"), &[])[0].contains("`qemu-system-x86`"));
}

#[test]
fn slowness_alone_does_not_stop_anyone() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = good_host(folder.path());
    host.kvm = folder.path().join("no-kvm");
    fs::remove_file(folder.path().join("bin/mkfs.xfs")).unwrap();
    assert!(examine(&host).ready);
}
