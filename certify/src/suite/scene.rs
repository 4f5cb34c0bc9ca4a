//! What a case works with: the engine, the images, the machine, and names of its own.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::case::{Proof, Unproven};
use super::check::same;
use super::container::Container;
use super::image::BASE;
use super::lab::Lab;
use super::machine::Machine;
use super::process::Process;
use crate::adapter::{Finished, Running};

/// What one case sees.
#[derive(Debug)]
pub(super) struct Scene<'lab> {
    lab: &'lab Lab,
    case: &'static str,
}

impl<'lab> Scene<'lab> {
    /// A scene for `case`.
    pub(super) fn new(lab: &'lab Lab, case: &'static str) -> Self {
        Self { lab, case }
    }

    /// What this machine offers.
    pub(super) fn machine(&self) -> &'lab Machine {
        &self.lab.machine
    }

    /// The engine's program.
    pub(super) fn engine_program(&self) -> &'lab Path {
        self.lab.cli.engine().program()
    }

    /// The storage driver's name, where the run chose one.
    pub(super) fn engine_options(&self) -> Vec<String> {
        let options = self.lab.cli.engine().global_options();
        options
            .iter()
            .map(|option| option.to_string_lossy().into_owned())
            .collect()
    }

    /// A name that no other container of this process has.
    pub(super) fn name(&self) -> String {
        self.lab.name(self.case)
    }

    /// A fresh folder on the host, readable for every user.
    pub(super) fn folder(&self) -> Proof<TempDir> {
        let folder = tempfile::Builder::new()
            .prefix("case-")
            .tempdir_in(self.lab.workshop.folder())?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    }

    /// The tool as a file of the host.
    pub(super) fn tool_file(&self) -> Proof<PathBuf> {
        self.lab.images()?;
        Ok(self.lab.workshop.tool())
    }

    /// Runs any verb of the engine, whatever it comes to.
    pub(super) fn engine<S: AsRef<OsStr>>(
        &self,
        verb: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Proof<Finished> {
        Ok(self.lab.cli.run(verb, args, None)?)
    }

    /// Starts any verb of the engine, without waiting for its end.
    pub(super) fn engine_beside<S: AsRef<OsStr>>(
        &self,
        verb: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Proof<Running> {
        Ok(self.lab.cli.start(verb, args, None)?)
    }

    /// Ends a container, whatever it is doing, and removes it.
    pub(super) fn remove(&self, name: &str) {
        self.lab.remove(name);
    }

    /// The same with something on standard input.
    pub(super) fn engine_fed<S: AsRef<OsStr>>(
        &self,
        verb: &str,
        args: impl IntoIterator<Item = S>,
        stdin: &[u8],
    ) -> Proof<Finished> {
        Ok(self.lab.cli.run(verb, args, Some(stdin))?)
    }

    /// Runs any verb of the engine, which must succeed; its standard output.
    pub(super) fn engine_ok<S: AsRef<OsStr>>(
        &self,
        verb: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Proof<String> {
        let done = self.engine(verb, args)?;
        succeeded(&done)?;
        Ok(done.out())
    }

    /// `run --rm OPTIONS IMAGE COMMAND` in the foreground, whatever it comes to.
    pub(super) fn run_image(
        &self,
        image: &str,
        options: &[&str],
        command: &[&str],
    ) -> Proof<Finished> {
        self.run_fed(image, options, command, None)
    }

    /// The same with something on standard input.
    pub(super) fn run_fed(
        &self,
        image: &str,
        options: &[&str],
        command: &[&str],
        stdin: Option<&[u8]>,
    ) -> Proof<Finished> {
        self.lab.images()?;
        let line = self.line(&["--rm"], image, options, command);
        match stdin {
            None => self.engine("run", line),
            Some(bytes) => self.engine_fed("run", line, bytes),
        }
    }

    /// `run --rm` of the base image, whatever it comes to.
    pub(super) fn run(&self, options: &[&str], command: &[&str]) -> Proof<Finished> {
        self.run_image(BASE, options, command)
    }

    /// `run --rm` of the base image, which must succeed; its standard output.
    pub(super) fn says(&self, options: &[&str], command: &[&str]) -> Proof<String> {
        self.image_says(BASE, options, command)
    }

    /// The same for any image.
    pub(super) fn image_says(
        &self,
        image: &str,
        options: &[&str],
        command: &[&str],
    ) -> Proof<String> {
        let done = self.run_image(image, options, command)?;
        succeeded(&done)?;
        Ok(done.out())
    }

    /// That the engine takes a good image and runs it, as it was seen once in this run.
    pub(super) fn takes_good_images(&self) -> Proof {
        self.lab.takes_good_images()
    }

    /// That a good image runs now.
    pub(super) fn runs_good_image(&self) -> Proof {
        let said = self.image_says(BASE, &[], &["echo", "good"])?;
        same("a good image", said.as_str(), "good\n")
    }

    /// Runs several applets in one container of the base image; for each `ok …` or the error.
    pub(super) fn attempts(&self, options: &[&str], applets: &[&[&str]]) -> Proof<Vec<String>> {
        self.image_attempts(BASE, options, applets)
    }

    /// The same for any image.
    pub(super) fn image_attempts(
        &self,
        image: &str,
        options: &[&str],
        applets: &[&[&str]],
    ) -> Proof<Vec<String>> {
        let text = self.image_says(image, options, &trying(applets))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// `run` in the foreground, without waiting for its end.
    pub(super) fn run_beside(
        &self,
        options: &[&str],
        command: &[&str],
    ) -> Proof<(String, Running)> {
        self.lab.images()?;
        let line = self.line(&[], BASE, options, command);
        // The name stands behind `--name`, where `line` put it.
        let name = line.get(1).cloned().unwrap_or_default();
        Ok((name, self.engine_beside("run", line)?))
    }

    /// `run -d` of the base image: a container whose process shows that it is ready.
    pub(super) fn start(&self, options: &[&str], command: &[&str]) -> Proof<Container<'_>> {
        let container = self.start_unready(options, command)?;
        container.ready()?;
        Ok(container)
    }

    /// `run -d` of the base image: a container that may have ended already.
    pub(super) fn start_unready(&self, options: &[&str], command: &[&str]) -> Proof<Container<'_>> {
        self.lab.images()?;
        let line = self.line(&["-d"], BASE, options, command);
        let name = line.get(1).cloned().unwrap_or_default();
        Container::start(self, name, line)
    }

    /// Process 1 of a container with nothing but defaults. Only to be looked at.
    pub(super) fn standard(&self) -> Proof<Process> {
        self.lab.standard()
    }

    /// `--name NAME --network none FLAGS OPTIONS IMAGE COMMAND`. Without a network, as nothing
    /// here is about it and engines differ most in how they set one up.
    fn line(&self, flags: &[&str], image: &str, options: &[&str], command: &[&str]) -> Vec<String> {
        let name = self.name();
        let own = ["--name", &name, "--network", "none"];
        [&own[..], flags, options, &[image], command]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }
}

/// `try APPLET ARG… , APPLET ARG…`
pub(super) fn trying<'a>(applets: &[&[&'a str]]) -> Vec<&'a str> {
    let mut command = vec!["try"];
    for (index, applet) in applets.iter().enumerate() {
        if index > 0 {
            command.push(",");
        }
        command.extend_from_slice(applet);
    }
    command
}

/// Fails unless the engine succeeded.
pub(super) fn succeeded(done: &Finished) -> Proof {
    if done.code() == 0 {
        return Ok(());
    }
    Err(Unproven::Fail(done.account()))
}
