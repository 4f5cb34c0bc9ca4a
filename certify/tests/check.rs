//! `seaworthy check` from outside: what it accepts, what it refuses, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can't set its scene has to fail"
)]

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::write::GzEncoder;
use tempfile::TempDir;

/// A made-up kernel that has all that is required and little more.
const ENOUGH: &str = include_str!("fixtures/enough.config");

/// A folder with inputs, and the program to judge them.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn check(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_seaworthy"))
            .current_dir(self.folder.path())
            .arg("check")
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs with the address space bounded, so that reading without a bound is a failure.
    fn check_in_64_mib(&self, args: &[&str]) -> Output {
        let mut command = Command::new("prlimit");
        command
            .arg("--as=67108864")
            .arg(env!("CARGO_BIN_EXE_seaworthy"))
            .arg0("prlimit")
            .current_dir(self.folder.path())
            .arg("check")
            .args(args);
        command.output().unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(content).unwrap();
    packed.finish().unwrap()
}

#[test]
fn a_packager_is_told_what_to_change() {
    let scene = Scene::new();
    let lacking = ENOUGH
        .replace("CONFIG_VETH=m", "# CONFIG_VETH is not set")
        .replace("CONFIG_CGROUP_PIDS=y", "# CONFIG_CGROUP_PIDS is not set");
    scene.file("lacking.config", lacking);
    let output = scene.check(&["--config", "lacking.config", "--level", "should"]);
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn a_kernel_with_enough_is_supported() {
    let scene = Scene::new();
    scene.file("enough.config", ENOUGH);
    let output = scene.check(&["--config", "enough.config", "--level", "should"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    insta::assert_snapshot!(stdout(&output));
}

#[test]
fn several_configurations_give_a_document_a_line_in_order() {
    let scene = Scene::new();
    scene.file("a.config", ENOUGH);
    scene.file(
        "b.config.gz",
        gzip(
            ENOUGH
                .replace("CONFIG_PID_NS=y", "# CONFIG_PID_NS is not set")
                .as_bytes(),
        ),
    );
    let output = scene.check(&[
        "--config",
        "a.config",
        "--config",
        "b.config.gz",
        "--format",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    let documents: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [a, b] = documents.as_slice() else {
        panic!("not two documents: {text}");
    };
    assert_eq!(a["schema"], "seaworthy.check/1");
    assert_eq!(a["verdict"], "supported");
    assert_eq!(b["verdict"], "unsupported");
    assert_eq!(b["missing"], serde_json::json!(["kernel.ns.pid"]));
}

#[test]
fn one_bad_configuration_of_several_keeps_none_of_the_others_from_being_judged() {
    let scene = Scene::new();
    scene.file("bad.config", "no configuration");
    scene.file("good.config", ENOUGH);
    let output = scene.check(&[
        "--config",
        "bad.config",
        "--config",
        "good.config",
        "--format",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("bad.config"),
        "{}",
        stderr(&output)
    );
    assert_eq!(stdout(&output).lines().count(), 1, "{}", stdout(&output));
}

#[test]
fn a_version_that_nobody_tells_is_said_to_be_unknown() {
    let scene = Scene::new();
    let headless = ENOUGH.replace("# Linux/x86 6.1.0 Kernel Configuration", "#");
    scene.file("headless.config", headless);
    let unknown = scene.check(&["--config", "headless.config", "--level", "must"]);
    assert_eq!(unknown.status.code(), Some(0));
    assert!(
        stdout(&unknown).contains("version is unknown"),
        "{}",
        stdout(&unknown)
    );
    let told = scene.check(&[
        "--config",
        "headless.config",
        "--kernel-version",
        "6.1",
        "--level",
        "must",
    ]);
    assert!(!stdout(&told).contains("unknown"), "{}", stdout(&told));
}

#[test]
fn what_is_no_configuration_is_refused_with_a_reason() {
    let scene = Scene::new();
    scene.file("empty", "");
    scene.file("binary", b"\x7fELF\x02\x01\x01\0");
    scene.file("latin1", b"CONFIG_A=y\n# caf\xe9\n");
    scene.file("page.html", "<html>\n");
    scene.file("cut", ENOUGH.split_once("_NS=y").unwrap().0);
    scene.file("cut.gz", &gzip(ENOUGH.as_bytes())[..400]);
    scene.file("not.xz", b"\xfd7zXZ\0 and no more");
    fs::create_dir(scene.folder.path().join("folder")).unwrap();
    let fifo = scene.folder.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
    let mut told = String::new();
    for name in [
        "empty",
        "binary",
        "latin1",
        "page.html",
        "cut",
        "cut.gz",
        "not.xz",
        "folder",
        "fifo",
        "absent",
    ] {
        let output = scene.check(&["--config", name]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{name}");
        told.push_str(name);
        told.push_str("\n  ");
        told.push_str(&stderr(&output).trim().replace('\n', "\n  "));
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}

#[test]
fn huge_inputs_are_refused_in_bounded_memory() {
    let scene = Scene::new();
    let sparse = File::create(scene.folder.path().join("sparse")).unwrap();
    sparse.set_len(1 << 30).unwrap();
    // 200 MiB of text in some 200 KiB.
    let mut bomb = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let line = b"CONFIG_A=y\n".repeat(100_000);
    for _ in 0..200 {
        bomb.write_all(&line).unwrap();
    }
    scene.file("bomb.gz", bomb.finish().unwrap());
    for name in ["sparse", "bomb.gz"] {
        let output = scene.check_in_64_mib(&["--config", name]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("16 MiB"),
            "{name}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn a_package_is_judged_by_the_configuration_in_it() {
    let scene = Scene::new();
    package(
        &scene.folder.path().join("kernel.deb"),
        "./boot/config-6.1.0-99-amd64",
        ENOUGH.as_bytes(),
    );
    let output = scene.check(&["--package", "kernel.deb", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["kernel"]["release"], "6.1.0-99-amd64");
    assert_eq!(document["verdict"], "supported");

    package(
        &scene.folder.path().join("other.deb"),
        "./usr/share/doc/config",
        b"no",
    );
    let output = scene.check(&["--package", "other.deb"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("holds no kernel configuration"),
        "{}",
        stderr(&output)
    );

    scene.file("kernel.rpm", b"\xed\xab\xee\xdb\x03\0");
    let output = scene.check(&["--package", "kernel.rpm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("RPM"), "{}", stderr(&output));
}

#[test]
fn a_kernel_image_is_judged_by_the_configuration_in_it() {
    let scene = Scene::new();
    let mut vmlinux = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0".to_vec();
    vmlinux.extend(b"Linux version 6.1.0-test (me) #1 SMP\n\0");
    let bare = scene.file("bare", &vmlinux);
    vmlinux.extend(b"IKCFG_ST");
    vmlinux.extend(gzip(ENOUGH.as_bytes()));
    vmlinux.extend(b"IKCFG_ED");
    scene.file("vmlinux", &vmlinux);
    scene.file("vmlinux.gz", gzip(&vmlinux));
    // arm64's Image is no ELF.
    let mut image = b"MZ\x40\xfa".to_vec();
    image.resize(56, 0);
    image.extend(b"ARMd");
    image.extend(&vmlinux[16..]);
    scene.file("Image.gz", gzip(&image));
    for name in ["vmlinux", "vmlinux.gz", "Image.gz"] {
        let output = scene.check(&["--kernel", name, "--format", "json"]);
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert_eq!(document["verdict"], "supported", "{name}");
        assert_eq!(document["kernel"]["release"], "6.1.0-test", "{name}");
    }
    let output = scene.check(&["--kernel", &bare.display().to_string()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("CONFIG_IKCONFIG"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_running_system_is_judged_by_trying_it_out() {
    let scene = Scene::new();
    let output = scene.check(&["--running", "--format", "json"]);
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        stderr(&output)
    );
    let document: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(document["kernel"]["source"], "running");
    let state = |id: &str| {
        let all = document["requirements"].as_array().unwrap();
        let one = all.iter().find(|r| r["id"] == id).unwrap();
        one["state"].as_str().unwrap().to_owned()
    };
    // The suites can't run without these, so wherever this test runs they are there.
    for id in [
        "kernel.ns.pid",
        "kernel.ns.mnt",
        "kernel.fs.proc",
        "kernel.version",
    ] {
        assert_eq!(state(id), "met", "{id}");
    }
}

/// A Debian package with one file in it.
fn package(path: &Path, name: &str, content: &[u8]) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, content).unwrap();
    let data = gzip(&archive.into_inner().unwrap());
    let mut out = b"!<arch>\n".to_vec();
    for (member, content) in [("debian-binary", &b"2.0\n"[..]), ("data.tar.gz", &data)] {
        writeln!(
            out,
            "{member:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
            0,
            0,
            0,
            100_644,
            content.len()
        )
        .unwrap();
        out.extend(content);
        if content.len() % 2 == 1 {
            out.push(b'\n');
        }
    }
    fs::write(path, out).unwrap();
}
