//! Runs an OCI bundle (a folder with `config.json` and the rootfs that it names) and exits with
//! its program's status: `run-bundle FOLDER [CGROUP]`.

use std::env;
use std::error::Error;
use std::fs;
use std::process::ExitCode;

use keel::runtime::cgroup::CgroupPath;
use keel::runtime::{Console, Init, Launch, Stdio, launch};
use oci_spec::runtime::Spec;

fn run() -> Result<u8, Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let bundle = args.next().ok_or("usage: run-bundle FOLDER [CGROUP]")?;
    let cgroup = args
        .next()
        .map(|path| CgroupPath::parse(&path))
        .transpose()?;
    let bundle = fs::canonicalize(bundle)?;
    let spec: Spec = serde_json::from_slice(&fs::read(bundle.join("config.json"))?)?;
    let root = spec.root().as_ref().ok_or("the bundle has no root")?;
    let process = launch(Launch {
        id: "example",
        spec: &spec,
        filter: None,
        rootfs: &bundle.join(root.path()),
        mount: None,
        cgroup: cgroup.as_ref(),
        stdio: Stdio::Inherit,
        init: Init::No,
        console: Console::None,
    })?;
    let status = process.wait()?;
    if let Some(cgroup) = process.cgroup() {
        cgroup.remove()?;
    }
    Ok(status.code())
}

#[expect(clippy::print_stderr, reason = "an example is a program of its own")]
fn main() -> ExitCode {
    match run() {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let mut reason: Option<&dyn Error> = Some(error.as_ref());
            while let Some(error) = reason {
                eprintln!("run-bundle: {error}");
                reason = error.source();
            }
            ExitCode::from(125)
        }
    }
}
