//! `keel run --rm IMAGE /bin/true` against `crun run` of the same root file system, whole
//! processes, in one interleaved run on the same control groups: once with v1, once with v2, where
//! this host can show both.
//!
//! `cargo bench -p benches --bench run [PAIRS]`, as root, after `make build`. Fails unless the
//! promise is shown to be kept: at most 1.0 times crun's time with the whole interval, and at most
//! twice its memory.
//!
//! crun is given the same spec as Keel gives its own container: namespaces, mounts, capabilities,
//! filter, device rules. What remains is to Keel's disadvantage: it finds the image by its name,
//! records the container so that `keel ps` shows it, writes `hostname`, `hosts` and `resolv.conf`,
//! and makes, mounts and removes an overlay, while crun's bundle has a plain folder, used again and
//! again.
//!
//! A second comparison, which the promise is not about, gives crun the spec that `crun spec`
//! suggests: without a filter, which crun 1.8 compiles anew for each container, and with fewer
//! device rules it has less to do than Keel.
//!
//! All files are in the temporary folder, so `TMPDIR` says on which file system. It matters: ext4
//! without a journal looks for a place that was not in use during the last minutes for each new
//! file, which after some hundred runs takes a quarter of a millisecond each, and with `discard`
//! it waits for the disk for each folder that goes.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};

use benches::pair::interleave;
use benches::peak::peak_kib;
use benches::peers::{Crun, Given, Keel};
use benches::verdict::Verdict;
use benches::view::View;
use oci_spec::runtime::Spec;

/// At most this many times crun's time.
const TIME: f64 = 1.0;
/// At most this many times crun's peak memory.
const MEMORY: u64 = 2;
/// The kernel counts memory in batches, so one look at the peak is off by some pages.
const LOOKS: usize = 5;

fn main() -> ExitCode {
    // `cargo test` runs bench targets too, to see that they build; `cargo bench` says `--bench`.
    if !std::env::args().any(|arg| arg == "--bench") {
        return ExitCode::SUCCESS;
    }
    match compare_all() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report(&format!("run: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn compare_all() -> io::Result<bool> {
    let pairs = std::env::args()
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(200);
    let mut all_met = true;
    for view in View::possible()? {
        all_met &= view.within(|| compare(view, pairs))?;
    }
    Ok(all_met)
}

fn compare(view: View, pairs: usize) -> io::Result<bool> {
    let folder = tempfile::tempdir()?;
    let bundle = folder.path().join("bundle");
    let rootfs = folder.path().join("rootfs.tar");
    make_rootfs(&bundle.join("rootfs"), &rootfs)?;
    let keel = Keel::set_up(folder.path().join("keel"), &rootfs)?;
    let versus = |name: &str, spec: Spec| -> io::Result<bool> {
        let root = folder.path().join("crun");
        let (crun, given) = Crun::set_up(root, bundle.clone(), spec)?;
        let setting = format!("{view}, {name}");
        if let Given::WithoutDeviceRules(why) = given {
            let why = why.trim_end();
            report(&format!(
                "{setting}: crun runs without device rules, which Keel has; with them: {why}"
            ));
        }
        let fast = is_fast(&setting, pairs, &keel, &crun)?;
        let small = is_small(&setting, &keel, &crun)?;
        Ok(fast && small)
    };
    let kept = versus("the same spec", keel.spec()?)?;
    // Said, as it is what a comparison by hand shows, but no part of the promise.
    versus("`crun spec` (no part of the promise)", Crun::suggestion()?)?;
    Ok(kept)
}

fn is_fast(setting: &str, pairs: usize, keel: &Keel, crun: &Crun) -> io::Result<bool> {
    let taken = interleave(pairs, || keel.run(), || crun.run())?;
    let time = Verdict::of(taken.ratio(), TIME);
    let line = taken.line("run --rm /bin/true", "keel", "crun");
    report(&format!("{setting}: {line}; at most {TIME:.1}: {time}"));
    Ok(time == Verdict::Met)
}

fn is_small(setting: &str, keel: &Keel, crun: &Crun) -> io::Result<bool> {
    let peaks = |command: &dyn Fn() -> Command| -> io::Result<Vec<u64>> {
        (0..LOOKS).map(|_| peak_kib(&command())).collect()
    };
    let most = peaks(&|| keel.run())?.into_iter().max().unwrap_or(u64::MAX);
    let least = peaks(&|| crun.run())?.into_iter().min().unwrap_or_default();
    let is_small = most <= MEMORY * least;
    let memory = if is_small { "met" } else { "NOT MET" };
    report(&format!(
        "{setting}: peak memory: keel at most {most} KiB, crun at least {least} KiB; at most {MEMORY} times: {memory}"
    ));
    Ok(is_small)
}

/// A root file system with nothing but busybox, in a folder and as an archive of it.
fn make_rootfs(folder: &Path, archive: &Path) -> io::Result<()> {
    for part in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
        fs::create_dir_all(folder.join(part))?;
    }
    fs::copy("/bin/busybox", folder.join("bin/busybox")).map_err(|error| {
        io::Error::other(format!("/bin/busybox (package `busybox-static`): {error}"))
    })?;
    std::os::unix::fs::symlink("busybox", folder.join("bin/true"))?;
    let mut tar = tar::Builder::new(fs::File::create(archive)?);
    tar.follow_symlinks(false);
    tar.append_dir_all(".", folder)?;
    tar.finish()
}

#[expect(clippy::print_stdout, reason = "the figures are the answer")]
fn report(line: &str) {
    println!("{line}");
}
