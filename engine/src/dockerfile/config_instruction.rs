//! The instructions that change only an image's configuration.

use std::path::{Component, Path, PathBuf};

use super::expand::expand;
use super::healthcheck;
use super::words::{Escape, strings, words};
use crate::container::options::Signal;
use crate::image::config::{Healthcheck, RunConfig};

/// Why an instruction is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstructionError {
    /// It is none of those that change a configuration.
    #[error(
        "`{0}` is no instruction that changes an image's configuration: use CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME or WORKDIR"
    )]
    Unknown(String),
    /// It is none at all.
    #[error("`{0}` is no instruction")]
    NoInstruction(String),
    /// What follows it is wrong.
    #[error("{instruction}: {why}")]
    Arguments {
        /// The instruction.
        instruction: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// A command in one of its two ways of writing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `["program", "argument"]`
    Exec(Vec<String>),
    /// A text for the shell.
    Shell(String),
}

impl Command {
    /// What is no list of strings is for the shell.
    pub fn parse(text: &str) -> Self {
        match strings(text) {
            Some(list) => Self::Exec(list),
            None => Self::Shell(text.trim().to_owned()),
        }
    }

    /// The whole command; `shell`: that of the image, empty for the default.
    pub fn with_shell(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::Exec(list) => list.clone(),
            Self::Shell(text) if text.is_empty() => Vec::new(),
            Self::Shell(text) => {
                let mut all = shell.to_vec();
                if all.is_empty() {
                    all = vec!["/bin/sh".to_owned(), "-c".to_owned()];
                }
                all.push(text.clone());
                all
            }
        }
    }
}

/// One instruction, with the values of variables in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigInstruction {
    /// What a container runs unless told otherwise.
    Cmd(Command),
    /// The beginning of it, which arguments do not replace.
    Entrypoint(Command),
    /// Variables.
    Env(Vec<(String, String)>),
    /// Ports, as `80/tcp`.
    Expose(Vec<String>),
    /// How to tell whether a container is well.
    Healthcheck(Healthcheck),
    /// Labels.
    Label(Vec<(String, String)>),
    /// An instruction for the build of an image on top.
    OnBuild(String),
    /// The words before a command that is written as one text.
    Shell(Vec<String>),
    /// What asks a container to end.
    StopSignal(String),
    /// Who runs the command.
    User(String),
    /// Paths whose files outlive the container.
    Volume(Vec<String>),
    /// The folder to start in, from the one before if it is relative.
    Workdir(String),
}

impl ConfigInstruction {
    /// Reads one: a name, in capitals or not, and what follows it. `value` gives variables their
    /// values.
    ///
    /// # Errors
    /// [`InstructionError`].
    pub fn parse(
        text: &str,
        escape: Escape,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, InstructionError> {
        let text = text.trim();
        let (name, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let upper = name.to_ascii_uppercase();
        let Some(instruction) = NAMES.into_iter().find(|known| *known == upper) else {
            return Err(InstructionError::Unknown(name.chars().take(50).collect()));
        };
        let rest = rest.trim();
        let arguments = Arguments {
            instruction,
            rest,
            escape,
            value,
        };
        if rest.is_empty() && !matches!(instruction, "CMD" | "ENTRYPOINT") {
            return Err(arguments.wrong("nothing follows it"));
        }
        Ok(match instruction {
            "CMD" => Self::Cmd(Command::parse(rest)),
            "ENTRYPOINT" => Self::Entrypoint(Command::parse(rest)),
            "ENV" => Self::Env(arguments.assignments()?),
            "EXPOSE" => Self::Expose(arguments.ports()?),
            "HEALTHCHECK" => Self::Healthcheck(healthcheck::parse(rest)?),
            "LABEL" => Self::Label(arguments.assignments()?),
            "ONBUILD" => Self::OnBuild(arguments.trigger()?),
            "SHELL" => match strings(rest) {
                Some(list) if !list.is_empty() => Self::Shell(list),
                _ => return Err(arguments.wrong("it takes a list: `SHELL [\"/bin/sh\", \"-c\"]`")),
            },
            "STOPSIGNAL" => {
                let signal = arguments.one()?;
                if signal.parse::<Signal>().is_err() {
                    return Err(arguments.wrong(&format!("there is no signal `{signal}`")));
                }
                Self::StopSignal(signal)
            }
            "USER" => Self::User(arguments.one()?),
            "VOLUME" => Self::Volume(arguments.paths()?),
            _ => Self::Workdir(arguments.expanded(rest)?),
        })
    }
}

const NAMES: [&str; 12] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

struct Arguments<'a> {
    instruction: &'static str,
    rest: &'a str,
    escape: Escape,
    value: &'a dyn Fn(&str) -> Option<String>,
}

impl Arguments<'_> {
    fn wrong(&self, why: &str) -> InstructionError {
        InstructionError::Arguments {
            instruction: self.instruction,
            why: why.to_owned(),
        }
    }

    fn expanded(&self, word: &str) -> Result<String, InstructionError> {
        expand(word, self.escape, self.value).map_err(|error| self.wrong(&error.to_string()))
    }

    /// One word.
    fn one(&self) -> Result<String, InstructionError> {
        match words(self.rest, self.escape).as_slice() {
            [word] => self.expanded(word),
            _ => Err(self.wrong("it takes one word")),
        }
    }

    /// `NAME=value …`; or, as of old, one name and all that follows it.
    fn assignments(&self) -> Result<Vec<(String, String)>, InstructionError> {
        let all = words(self.rest, self.escape);
        if all.first().is_some_and(|first| !first.contains('=')) {
            let (name, value) = self
                .rest
                .split_once(char::is_whitespace)
                .ok_or_else(|| self.wrong("a name without a value: write `NAME=value`"))?;
            return Ok(vec![(self.name(name)?, self.expanded(value.trim())?)]);
        }
        let assignment = |word: &String| {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| self.wrong(&format!("`{word}` has no `=`: write `NAME=value`")))?;
            Ok((self.name(name)?, self.expanded(value)?))
        };
        all.iter().map(assignment).collect()
    }

    fn name(&self, word: &str) -> Result<String, InstructionError> {
        let name = self.expanded(word)?;
        if name.is_empty() {
            return Err(self.wrong("a value without a name: write `NAME=value`"));
        }
        Ok(name)
    }

    /// `PORT[-PORT][/PROTOCOL] …`
    fn ports(&self) -> Result<Vec<String>, InstructionError> {
        let mut ports = Vec::new();
        for word in words(self.rest, self.escape) {
            // A variable may hold several.
            for word in self.expanded(&word)?.split_whitespace() {
                let bad = || self.wrong(&format!("`{word}` is no port such as `80` or `53/udp`"));
                let (range, protocol) = word.split_once('/').unwrap_or((word, "tcp"));
                let protocol = protocol.to_ascii_lowercase();
                if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
                    return Err(bad());
                }
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let port = |text: &str| text.parse::<u16>().map_err(|_| bad());
                let (first, last) = (port(first)?, port(last)?);
                if first > last {
                    return Err(bad());
                }
                ports.extend((first..=last).map(|port| format!("{port}/{protocol}")));
            }
        }
        Ok(ports)
    }

    /// A list in JSON, or words.
    fn paths(&self) -> Result<Vec<String>, InstructionError> {
        let all = strings(self.rest).unwrap_or_else(|| words(self.rest, self.escape));
        let paths: Vec<String> = all
            .iter()
            .map(|word| self.expanded(word))
            .collect::<Result<_, _>>()?;
        if paths.is_empty() || paths.iter().any(|path| path.trim().is_empty()) {
            return Err(self.wrong("a path is empty"));
        }
        Ok(paths)
    }

    /// What is to be done later: it is read when it is done.
    fn trigger(&self) -> Result<String, InstructionError> {
        let name = self.rest.split_whitespace().next().unwrap_or_default();
        match name.to_ascii_uppercase().as_str() {
            "ONBUILD" => Err(self.wrong("it cannot be followed by itself")),
            name @ ("FROM" | "MAINTAINER") => {
                Err(self.wrong(&format!("`{name}` cannot be left to a later build")))
            }
            _ => Ok(self.rest.to_owned()),
        }
    }
}

/// Changes of a configuration, one after the other.
#[derive(Debug)]
pub struct Changes<'a> {
    config: &'a mut RunConfig,
    command: GivenCommand,
}

/// Whether one of the changes gave a command, which a new entry point then leaves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum GivenCommand {
    /// One did.
    Yes,
    /// The command is that of the image below, for its own entry point.
    #[default]
    No,
}

impl<'a> Changes<'a> {
    /// Of this configuration.
    pub const fn of(config: &'a mut RunConfig) -> Self {
        Self::after(config, GivenCommand::No)
    }

    /// Further ones, of a configuration that was changed before.
    pub const fn after(config: &'a mut RunConfig, command: GivenCommand) -> Self {
        Self { config, command }
    }

    /// Whether a command was given by now.
    pub const fn command(&self) -> GivenCommand {
        self.command
    }

    /// The configuration as it is now.
    pub const fn config(&self) -> &RunConfig {
        self.config
    }

    /// The value of a variable of the configuration.
    pub fn variable(&self, name: &str) -> Option<String> {
        let mut known = self.config.env.iter();
        known.find_map(|assignment| {
            let (known, value) = assignment.split_once('=')?;
            (known == name).then(|| value.to_owned())
        })
    }

    /// Makes one.
    pub fn make(&mut self, instruction: ConfigInstruction) {
        let config = &mut *self.config;
        match instruction {
            ConfigInstruction::Cmd(command) => {
                config.cmd = command.with_shell(&config.shell);
                self.command = GivenCommand::Yes;
            }
            ConfigInstruction::Entrypoint(command) => {
                config.entrypoint = command.with_shell(&config.shell);
                if self.command == GivenCommand::No {
                    config.cmd.clear();
                }
            }
            ConfigInstruction::Env(variables) => {
                for (name, value) in variables {
                    let assignment = format!("{name}={value}");
                    let start = format!("{name}=");
                    let known = config
                        .env
                        .iter_mut()
                        .find(|known| known.starts_with(&start));
                    match known {
                        Some(known) => *known = assignment,
                        None => config.env.push(assignment),
                    }
                }
            }
            ConfigInstruction::Expose(ports) => config.exposed_ports.extend(ports),
            ConfigInstruction::Healthcheck(check) => config.healthcheck = Some(check),
            ConfigInstruction::Label(labels) => config.labels.extend(labels),
            ConfigInstruction::OnBuild(trigger) => config.on_build.push(trigger),
            ConfigInstruction::Shell(words) => config.shell = words,
            ConfigInstruction::StopSignal(signal) => config.stop_signal = signal,
            ConfigInstruction::User(user) => config.user = user,
            ConfigInstruction::Volume(paths) => config.volumes.extend(paths),
            ConfigInstruction::Workdir(folder) => {
                config.working_dir = joined(&config.working_dir, &folder);
            }
        }
    }
}

/// The folder `folder` as seen from `from`, by its text.
fn joined(from: &str, folder: &str) -> String {
    let mut path = PathBuf::from("/");
    for part in Path::new(from).join(folder).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value(name: &str) -> Option<String> {
        (name == "x").then(|| "of x".to_owned())
    }

    fn parse(text: &str) -> Result<ConfigInstruction, InstructionError> {
        ConfigInstruction::parse(text, Escape::Backslash, &value)
    }

    fn changed(config: &mut RunConfig, changes: &[&str]) {
        let mut all = Changes::of(config);
        for change in changes {
            all.make(parse(change).unwrap());
        }
    }

    #[test]
    fn every_instruction_leaves_its_mark() {
        let mut config = RunConfig::default();
        changed(
            &mut config,
            &[
                r#"CMD ["/bin/server", "-v"]"#,
                "entrypoint exec /entry",
                r#"ENV A=1 B="two words" C=$x"#,
                "ENV D all of this",
                "EXPOSE 80 53/UDP 8000-8002",
                "LABEL a.b=c d=\"e f\"",
                "ONBUILD RUN echo $x",
                "STOPSIGNAL SIGUSR1",
                "USER web:logs",
                r#"VOLUME ["/data", "/log"]"#,
                "VOLUME /more /still",
                "WORKDIR /srv",
                "WORKDIR www/../app",
                "HEALTHCHECK --interval=5s CMD true",
            ],
        );
        insta::assert_json_snapshot!(config);
    }

    #[test]
    fn an_entry_point_takes_only_a_command_of_before_away() {
        let mut config = RunConfig {
            cmd: vec!["of the image".into()],
            ..RunConfig::default()
        };
        changed(&mut config, &["ENTRYPOINT [\"/entry\"]"]);
        assert_eq!(config.cmd, Vec::<String>::new());
        changed(&mut config, &["CMD [\"new\"]", "ENTRYPOINT [\"/entry\"]"]);
        assert_eq!(config.cmd, ["new"]);
    }

    #[test]
    fn a_shell_of_the_images_own_runs_texts() {
        let mut config = RunConfig::default();
        changed(
            &mut config,
            &["SHELL [\"/bin/ash\", \"-ec\"]", "CMD a && b"],
        );
        assert_eq!(config.cmd, ["/bin/ash", "-ec", "a && b"]);
        changed(&mut config, &["CMD"]);
        assert_eq!(config.cmd, Vec::<String>::new());
    }

    #[test]
    fn a_variable_that_is_set_again_stays_in_its_place() {
        let mut config = RunConfig::default();
        changed(&mut config, &["ENV A=1 AB=2", "ENV A=3"]);
        assert_eq!(config.env, ["A=3", "AB=2"]);
        let all = Changes::of(&mut config);
        assert_eq!(all.variable("A").as_deref(), Some("3"));
        assert_eq!(all.variable("B"), None);
    }

    #[test]
    fn what_has_no_meaning_is_refused_with_its_reason() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                "RUN true",
                "",
                "ENV",
                "ENV A",
                "ENV A=1 B",
                "ENV =1",
                "ENV A='1",
                "EXPOSE http",
                "EXPOSE 90-80",
                "EXPOSE 80/icmp",
                "EXPOSE 70000",
                "ONBUILD ONBUILD RUN x",
                "ONBUILD from x",
                "SHELL /bin/sh",
                "STOPSIGNAL SIGNOPE",
                "USER a b",
                "VOLUME []",
                "VOLUME [\"\"]",
                "WORKDIR ${y:?must be set}",
            ]
            .map(refused)
            .join("\n")
        );
    }

    proptest! {
        #[test]
        fn any_variable_can_be_set_to_anything(name in "[A-Za-z_][A-Za-z0-9_]{0,8}", value in "[^'\n\r]*") {
            let instruction = parse(&format!("ENV {name}='{value}'")).unwrap();
            prop_assert_eq!(instruction, ConfigInstruction::Env(vec![(name, value)]));
        }

        #[test]
        fn any_command_can_be_given_as_a_list(list in prop::collection::vec(".*", 0..4)) {
            let text = format!("CMD {}", serde_json::to_string(&list).unwrap());
            prop_assert_eq!(parse(&text).unwrap(), ConfigInstruction::Cmd(Command::Exec(list)));
        }

        #[test]
        fn no_text_makes_it_panic(name in prop::sample::select(&NAMES[..]), rest in ".{0,40}") {
            drop(parse(&format!("{name} {rest}")));
        }
    }
}
