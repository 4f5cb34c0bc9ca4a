//! `keel run --rm IMAGE /bin/true` against `crun run` of the same rootfs, whole processes, in
//! one interleaved run on the same control groups.
//!
//! `cargo bench -p benches --bench run [PAIRS]`, as root, after `make build`. Fails when the
//! promise is broken: at most 1.0 times crun's time with the interval's lower end, and at most
//! twice its memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use benches::pair::interleave;
use benches::peak::peak_kib;

/// At most this many times crun's time.
const TIME: f64 = 1.0;
/// At most this many times crun's peak memory.
const MEMORY: u64 = 2;

fn main() -> ExitCode {
    // `cargo test` runs bench targets too, to see that they build; `cargo bench` says `--bench`.
    if !std::env::args().any(|arg| arg == "--bench") {
        return ExitCode::SUCCESS;
    }
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report(&format!("run: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn compare() -> io::Result<bool> {
    let pairs = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(200);
    let keel = keel()?;
    let scene = Scene::set(&keel)?;
    let by_keel = || {
        let mut command = Command::new(&keel);
        command
            .arg("--root")
            .arg(scene.path("keel"))
            .args(["--storage-driver", "overlay"]);
        command.args(["run", "--rm", "bench", "/bin/true"]);
        command
    };
    let mut n = 0;
    let by_crun = || {
        n += 1;
        let mut command = Command::new("crun");
        command
            .arg("--root")
            .arg(scene.path("crun"))
            .arg("run")
            .arg("--bundle")
            .arg(scene.path("bundle"));
        command.arg(format!("bench-{}-{n}", std::process::id()));
        command
    };
    let taken = interleave(pairs, by_keel, by_crun)?;
    report(&taken.line("run --rm /bin/true", "keel", "crun"));

    let keel_kib = peak_kib(&by_keel())?;
    let mut crun = Command::new("crun");
    crun.arg("--root")
        .arg(scene.path("crun"))
        .arg("run")
        .arg("--bundle")
        .arg(scene.path("bundle"));
    crun.arg(format!("bench-{}-peak", std::process::id()));
    let crun_kib = peak_kib(&crun)?;
    report(&format!(
        "peak memory: keel {keel_kib} KiB, crun {crun_kib} KiB"
    ));

    let is_fast = taken.ratio().is_some_and(|ratio| ratio.low <= TIME);
    Ok(is_fast && keel_kib <= MEMORY * crun_kib)
}

/// The engine as `make build` leaves it.
fn keel() -> io::Result<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let keel = target.join(triple).join("engine/keel");
    if keel.exists() {
        Ok(keel)
    } else {
        Err(io::Error::other(format!(
            "{} is not there: run `make build` first",
            keel.display()
        )))
    }
}

/// One rootfs, as an image of keel's and as a bundle of crun's.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn set(keel: &Path) -> io::Result<Self> {
        let scene = Self {
            dir: tempfile::tempdir()?,
        };
        let rootfs = scene.path("bundle/rootfs");
        for folder in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
            fs::create_dir_all(rootfs.join(folder))?;
        }
        fs::copy("/bin/busybox", rootfs.join("bin/busybox")).map_err(|error| {
            io::Error::other(format!("/bin/busybox (package `busybox-static`): {error}"))
        })?;
        std::os::unix::fs::symlink("busybox", rootfs.join("bin/true"))?;

        run(Command::new("tar")
            .arg("-C")
            .arg(&rootfs)
            .arg("-cf")
            .arg(scene.path("rootfs.tar"))
            .arg("."))?;
        run(Command::new(keel)
            .arg("--root")
            .arg(scene.path("keel"))
            .args(["--storage-driver", "overlay", "import"])
            .arg(scene.path("rootfs.tar"))
            .arg("bench"))?;

        run(Command::new("crun")
            .arg("spec")
            .current_dir(scene.path("bundle")))?;
        let config = scene.path("bundle/config.json");
        let mut spec: serde_json::Value = serde_json::from_slice(&fs::read(&config)?)?;
        if let Some(process) = spec.get_mut("process").and_then(|p| p.as_object_mut()) {
            process.insert("terminal".to_owned(), false.into());
            process.insert("args".to_owned(), serde_json::json!(["/bin/true"]));
        }
        fs::write(&config, spec.to_string())?;
        Ok(scene)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!(
            "{command:?} ended with {}: {said}",
            output.status
        )))
    }
}

#[expect(clippy::print_stdout, reason = "the figures are the answer")]
fn report(line: &str) {
    println!("{line}");
}
