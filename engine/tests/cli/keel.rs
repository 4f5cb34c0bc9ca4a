//! Sets the scene: a root folder of its own, an image of busybox, and `keel`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The image in every scene.
pub(crate) const IMAGE: &str = "small";
const BUSYBOX: &str = "/bin/busybox";
const COMMANDS: [&str; 27] = [
    "cat", "chmod", "chown", "dd", "echo", "env", "false", "grep", "head", "hostname", "id", "ip",
    "kill", "ls", "mkdir", "mount", "ps", "pwd", "rm", "sh", "sleep", "stty", "tail", "touch",
    "true", "tty", "umount",
];

/// A root folder with one image, and the means to call keel on it.
#[derive(Debug)]
pub(crate) struct Keel {
    folder: tempfile::TempDir,
    driver: &'static str,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Keel {
    /// On the overlay driver.
    pub(crate) fn new() -> Self {
        Self::on("overlay")
    }

    pub(crate) fn on(driver: &'static str) -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "these tests make containers: run them as root"
        );
        let keel = Self {
            folder: tempfile::tempdir().unwrap(),
            driver,
        };
        if driver == "btrfs" {
            // Seen by this test's thread and what it starts, and gone with them.
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
            std::fs::create_dir(keel.root()).unwrap();
            super::btrfs::mount_new(&keel.folder.path().join("disk"), &keel.root());
        }
        let tar = keel.folder.path().join("rootfs.tar");
        std::fs::write(&tar, rootfs_tar()).unwrap();
        keel.call(["import", tar.to_str().unwrap(), IMAGE])
            .success();
        keel
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// A folder of the host, for volumes.
    pub(crate) fn host_folder(&self) -> PathBuf {
        let folder = self.folder.path().join("host");
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    pub(crate) fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keel"));
        command
            .arg("--root")
            .arg(self.root())
            .args(["--storage-driver", self.driver])
            .args(args)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn call<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Answer {
        Answer::of(&self.command(args).output().unwrap())
    }

    /// `keel run --rm FLAGS small sh -c SCRIPT`
    pub(crate) fn sh(&self, flags: &[&str], script: &str) -> Answer {
        let before = ["run", "--rm"].iter().chain(flags);
        self.call(before.chain(&[IMAGE, "sh", "-c", script]).copied())
    }

    /// The same with standard input.
    pub(crate) fn sh_with_input(&self, flags: &[&str], script: &str, input: &str) -> Answer {
        let before = ["run", "--rm"].iter().chain(flags);
        let mut child = self
            .command(before.chain(&[IMAGE, "sh", "-c", script]).copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        Answer::of(&child.wait_with_output().unwrap())
    }

    /// `keel run -d --name NAME FLAGS small sh -c SCRIPT`; returns when the script says `ready`.
    pub(crate) fn start(&self, name: &str, flags: &[&str], script: &str) -> String {
        let before = ["run", "-d", "--name", name];
        let command = [IMAGE, "sh", "-c", script];
        let all = before.iter().chain(flags).chain(&command);
        let answer = self.call(all.copied());
        let id = answer.success().trim_end().to_owned();
        self.await_line(name, "ready");
        id
    }

    /// A container that waits to be stopped and ends at once when it is.
    pub(crate) fn start_idle(&self, name: &str, flags: &[&str]) -> String {
        self.start(
            name,
            flags,
            "trap 'exit 0' TERM; echo ready; while :; do sleep 1000 & wait; done",
        )
    }

    /// Follows a log until the line comes.
    pub(crate) fn await_line(&self, container: &str, line: &str) {
        let mut child = self
            .command(["logs", "-f", container])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let found = lines
            .map_while(Result::ok)
            .any(|said| said.trim_end() == line);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            found,
            "`{container}` ended and never said `{line}`: {:?}",
            self.call(["logs", container])
        );
    }

    pub(crate) fn inspect(&self, container: &str) -> Value {
        let text = self.call(["inspect", container]).success();
        serde_json::from_str::<Value>(&text).unwrap()[0].clone()
    }

    /// The id, on the host, of the container's first process.
    pub(crate) fn pid(&self, container: &str) -> u32 {
        let pid = self.inspect(container)["State"]["Pid"].as_u64().unwrap();
        assert_ne!(pid, 0, "`{container}` does not run");
        u32::try_from(pid).unwrap()
    }

    /// A line of `/proc/PID/status` of the container's first process.
    pub(crate) fn status(&self, container: &str, field: &str) -> String {
        status_of(self.pid(container), field)
    }

    /// What is left below a folder of keel's root: no lock, no empty folder is counted.
    pub(crate) fn containers_left(&self) -> Vec<PathBuf> {
        let mut left = list(&self.root().join("containers"));
        left.retain(|path| !path.ends_with("lock"));
        left.extend(list(
            &self
                .root()
                .join("storage")
                .join(self.driver)
                .join("containers"),
        ));
        left
    }
}

impl Drop for Keel {
    fn drop(&mut self) {
        let ids = self.call(["ps", "-aq"]).stdout;
        if !ids.is_empty() {
            self.call(["rm", "-f"].into_iter().chain(ids.lines()));
        }
        if self.driver == "btrfs" {
            umount2(&self.root(), MntFlags::MNT_DETACH).ok();
        }
    }
}

impl Answer {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// What it said, if it went well.
    #[track_caller]
    pub(crate) fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// What it complained of, if it failed with this code.
    #[track_caller]
    pub(crate) fn failure(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.stderr
    }
}

pub(crate) fn status_of(pid: u32, field: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let value = lines.find(|(name, _)| *name == field).expect(field).1;
    value.trim().to_owned()
}

pub(crate) fn list(folder: &Path) -> Vec<PathBuf> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Ends a child that a test leaves waiting, and gives what it said.
pub(crate) fn collect(mut child: Child) -> (Option<i32>, String) {
    let mut said = String::new();
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut said).unwrap();
    }
    (child.wait().unwrap().code(), said)
}

/// A docker-archive of an image called `high`, of busybox and `further` layers with a file each.
pub(crate) fn archive_of_layers(further: usize) -> Vec<u8> {
    let mut layers = vec![rootfs_tar().to_vec()];
    for number in 0..further {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = header(tar::EntryType::Regular, 0o644);
        let path = format!("srv/layer-{number}");
        tar.append_data(&mut header, path, [].as_slice()).unwrap();
        layers.push(tar.into_inner().unwrap());
    }
    let digest = |bytes: &[u8]| format!("{:x}", Sha256::digest(bytes));
    let ids: Vec<String> = layers
        .iter()
        .map(|layer| format!("sha256:{}", digest(layer)))
        .collect();
    let names: Vec<String> = (0..layers.len())
        .map(|number| format!("{number}/layer.tar"))
        .collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let config = config.to_string().into_bytes();
    let manifest = json!([{"Config": "config.json", "RepoTags": ["high:latest"], "Layers": names}]);
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |path: &str, bytes: &[u8]| {
        let mut header = header(tar::EntryType::Regular, 0o644);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, bytes).unwrap();
    };
    add("config.json", &config);
    add("manifest.json", manifest.to_string().as_bytes());
    for (name, layer) in names.iter().zip(&layers) {
        add(name, layer);
    }
    archive.into_inner().unwrap()
}

/// A root file system of busybox.
fn rootfs_tar() -> &'static [u8] {
    static TAR: OnceLock<Vec<u8>> = OnceLock::new();
    TAR.get_or_init(|| {
        let mut busybox = Vec::new();
        File::open(BUSYBOX)
            .unwrap_or_else(|error| {
                panic!("{BUSYBOX}: {error}; `apt-get install busybox-static` provides it")
            })
            .read_to_end(&mut busybox)
            .unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for folder in ["bin", "dev", "etc", "proc", "srv", "sys", "tmp"] {
            let mut header = header(tar::EntryType::Directory, 0o755);
            tar.append_data(&mut header, folder, [].as_slice()).unwrap();
        }
        let mut file = |path: &str, mode, bytes: &[u8]| {
            let mut header = header(tar::EntryType::Regular, mode);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, bytes).unwrap();
        };
        file("bin/busybox", 0o755, &busybox);
        file(
            "etc/passwd",
            0o644,
            b"root:x:0:0::/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n",
        );
        file("etc/group", 0o644, b"root:x:0:\nweb:x:34:\nlogs:x:40:web\n");
        file("etc/plain", 0o644, b"not executable\n");
        let mut away = header(tar::EntryType::Symlink, 0o777);
        tar.append_link(&mut away, "away", "/../../../../../../tmp")
            .unwrap();
        for command in COMMANDS {
            let mut header = header(tar::EntryType::Symlink, 0o777);
            let path = Path::new("bin").join(command);
            tar.append_link(&mut header, path, "busybox").unwrap();
        }
        tar.into_inner().unwrap()
    })
}

fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header
}
