//! Stage after stage, step after step.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use super::arguments::{Given, Scope};
use super::context::{Context, Text};
use super::error::{BuildError, StepError};
use super::place::{There, follow};
use super::run::{Redirected, request};
use super::sources::{Tree, failed};
use super::state::State;
use super::transfer::{Arrival, Load, Plan, TransferError, missing};
use crate::container::user::Identity;
use crate::container::{Scratch, Step, run_step};
use crate::dockerfile::{
    Command, ConfigInstruction, Escape, Ignore, Instruction, InstructionError, Line, Stages,
    Transfer, expand,
};
use crate::files::{PackError, Packed, Times, stream};
use crate::image::digest::ImageId;
use crate::image::reference::Reference;
use crate::image::store::{Store, StoredLayer};
use crate::image::{CachedStep, add_layer, created, fixed_time, record};

/// What is to be built.
#[derive(Debug)]
pub struct Request {
    /// The Dockerfile.
    pub file: Text,
    /// The files to copy from.
    pub context: Context,
    /// `--build-arg`.
    pub arguments: BTreeMap<String, String>,
    /// `--label`.
    pub labels: Vec<(String, String)>,
    /// Names for the image.
    pub names: Vec<Reference>,
    /// The stage to build; `None`: the last.
    pub target: Option<String>,
    /// Whether steps that were done before are done again.
    pub cache: Cache,
    /// Where commands' output goes.
    pub output: Output,
}

/// Whether steps that were done before are done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// What they came to is taken.
    Use,
    /// They are done again.
    Renew,
}

/// Where commands' output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To this process's standard error.
    Stderr,
    /// Nowhere, but for that of a command that fails: [`StepError::said`].
    Kept,
}

/// What happens meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// A step begins.
    Step {
        /// Which, from 1.
        number: usize,
        /// Of how many.
        of: usize,
        /// The instruction.
        text: &'a str,
    },
    /// An instruction that the base image brought begins.
    Trigger(&'a str),
    /// The step was done before.
    Cached,
    /// A container runs the command; its id.
    Running(&'a str),
    /// Device nodes were left out.
    DevicesLeftOut(u64),
    /// Arguments that no `ARG` asked for.
    Unused(&'a [&'a str]),
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its id.
    pub id: ImageId,
}

/// Builds an image. The caller has no other thread that takes signals.
///
/// # Errors
/// When none was built. No container and no name stays then; steps that were done are remembered.
pub fn build(
    root: &Path,
    store: &Store,
    request: &Request,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Built, BuildError> {
    // So that no layer and no image that is built on goes meanwhile.
    let _hold = store.share()?;
    let file = Stages::parse(&request.file.text).map_err(|source| BuildError::File {
        file: request.file.name.clone(),
        source,
    })?;
    let count = file.stages.len();
    let target = match &request.target {
        None => count.saturating_sub(1),
        Some(name) => {
            let found = file.find(name, count);
            found.ok_or_else(|| BuildError::NoStage(name.clone()))?
        }
    };
    let mut builder = Builder {
        setup: Setup {
            root,
            store,
            request,
            file: &file,
        },
        tell,
        given: Given::new(request.arguments.clone()),
        globals: Scope::of_platform(),
        done: BTreeMap::new(),
        number: 0,
        of: 0,
    };
    builder.declare_globals()?;
    builder.of = builder.count(target);
    let mut state = builder.stage(target)?;
    let unused = builder.given.unused();
    if !unused.is_empty() {
        (builder.tell)(Event::Unused(&unused));
    }
    if !request.labels.is_empty() {
        let text = request.labels.iter();
        let text = text.map(|(name, value)| format!(" {name}={value}"));
        state.change(ConfigInstruction::Label(request.labels.clone()));
        state.configured(format!("LABEL{}", text.collect::<String>()));
    }
    let id = record(store, &state.config, state.layers, &request.names)?;
    Ok(Built { id })
}

/// What stays the same during a build.
#[derive(Debug, Clone, Copy)]
struct Setup<'a> {
    root: &'a Path,
    store: &'a Store,
    request: &'a Request,
    file: &'a Stages,
}

struct Builder<'a> {
    setup: Setup<'a>,
    tell: &'a mut dyn FnMut(Event<'_>),
    given: Given,
    /// What is known before the first stage.
    globals: Scope,
    /// Stages that are built.
    done: BTreeMap<usize, State>,
    number: usize,
    of: usize,
}

impl<'a> Builder<'a> {
    fn escape(&self) -> Escape {
        self.setup.file.escape
    }

    /// Says where an error came from.
    fn at(&self, line: &Line) -> impl FnOnce(StepError) -> BuildError + use<> {
        const SHOWN: usize = 100;
        let file = self.setup.request.file.name.clone();
        let mut text: String = line.text.chars().take(SHOWN).collect();
        if text.len() < line.text.len() {
            text.push('…');
        }
        let line = line.number;
        move |source| BuildError::Step {
            file,
            line,
            text,
            source: Box::new(source),
        }
    }

    fn declare_globals(&mut self) -> Result<(), BuildError> {
        let outside = self.globals.clone();
        for line in &self.setup.file.arguments {
            let globals = &self.globals;
            let value = |name: &str| globals.value(name);
            let instruction = Instruction::parse(line, self.escape(), &value);
            let instruction = instruction.map_err(|error| self.at(line)(error.into()))?;
            if let Instruction::Arg(names) = instruction {
                for (name, default) in names {
                    self.globals
                        .declare(name, default, &mut self.given, &outside);
                }
            }
        }
        Ok(())
    }

    /// A text of a `FROM` with the values of variables.
    fn global(&self, text: &str) -> Result<String, StepError> {
        let value = |name: &str| self.globals.value(name);
        let expanded = expand(text, self.escape(), &value);
        let wrong = |why: String| InstructionError::Arguments {
            instruction: "FROM",
            why,
        };
        match expanded {
            Ok(empty) if empty.is_empty() => {
                Err(wrong(format!("`{text}` stands for nothing")).into())
            }
            Ok(text) => Ok(text),
            Err(error) => Err(wrong(error.to_string()).into()),
        }
    }

    /// How many instructions a stage takes, with those of the stages that it needs.
    fn count(&self, target: usize) -> usize {
        let file = self.setup.file;
        let mut needed = BTreeSet::new();
        let mut todo = vec![target];
        while let Some(at) = todo.pop() {
            let Some(stage) = file.stages.get(at).filter(|_| needed.insert(at)) else {
                continue;
            };
            let base = self.global(&stage.base).unwrap_or_default();
            todo.extend(file.find(&base, at));
            todo.extend(stage.sources().filter_map(|name| file.find(name, at)));
        }
        let stages = needed.iter().filter_map(|at| file.stages.get(*at));
        stages.map(|stage| 1 + stage.lines.len()).sum()
    }

    /// Builds a stage, or takes what it came to.
    fn stage(&mut self, at: usize) -> Result<State, BuildError> {
        if let Some(done) = self.done.get(&at) {
            return Ok(done.clone());
        }
        let file = self.setup.file;
        let Some(stage) = file.stages.get(at) else {
            return Err(BuildError::NoStage(at.to_string()));
        };
        let base = self
            .global(&stage.base)
            .map_err(|error| self.at(&stage.from)(error))?;
        let mut begun = if let Some(earlier) = file.find(&base, at) {
            let built = self.stage(earlier)?;
            self.begin(&stage.from.text);
            State::on_stage(&built)
        } else {
            self.begin(&stage.from.text);
            self.base(&base, stage.platform.as_deref())
                .map_err(|error| self.at(&stage.from)(error))?
        };
        for text in std::mem::take(&mut begun.config.config.on_build) {
            (self.tell)(Event::Trigger(&text));
            let line = Line {
                number: stage.from.number,
                text: text.clone(),
                documents: Vec::new(),
            };
            self.needed(&line, at)?;
            self.instruction(&mut begun, &line, at)
                .map_err(|source| StepError::Trigger {
                    text,
                    source: Box::new(source),
                })
                .map_err(|error| self.at(&stage.from)(error))?;
        }
        for line in &stage.lines {
            self.needed(line, at)?;
            self.begin(&line.text);
            self.instruction(&mut begun, line, at)
                .map_err(|error| self.at(line)(error))?;
        }
        self.done.insert(at, begun.clone());
        Ok(begun)
    }

    /// Builds the stage that an instruction copies from.
    fn needed(&mut self, line: &Line, before: usize) -> Result<(), BuildError> {
        let from = line
            .source()
            .and_then(|name| self.setup.file.find(name, before));
        match from {
            Some(from) => self.stage(from).map(drop),
            None => Ok(()),
        }
    }

    fn begin(&mut self, text: &str) {
        self.number += 1;
        let of = self.of.max(self.number);
        let number = self.number;
        (self.tell)(Event::Step { number, of, text });
    }

    /// What a `FROM` names that is no stage.
    fn base(&self, name: &str, platform: Option<&str>) -> Result<State, StepError> {
        let state = if name == "scratch" {
            State::scratch()
        } else {
            State::on_image(self.setup.store.resolve(name)?, name)
        };
        if let Some(platform) = platform {
            let wanted = self.global(platform)?;
            let found = format!("{}/{}", state.config.os, state.config.architecture);
            // A variant, such as `v8`, is not told apart.
            let same = wanted == found || wanted.starts_with(&format!("{found}/"));
            if !same && !found.starts_with('/') {
                return Err(StepError::Platform { wanted, found });
            }
        }
        Ok(state)
    }

    fn instruction(&mut self, state: &mut State, line: &Line, at: usize) -> Result<(), StepError> {
        let value = |name: &str| state.variable(name);
        let instruction = Instruction::parse(line, self.escape(), &value)?;
        match instruction {
            Instruction::Arg(names) => {
                for (name, default) in names {
                    let globals = self.globals.clone();
                    state
                        .scope
                        .declare(name, default, &mut self.given, &globals);
                }
                state.configured(line.text.clone());
                Ok(())
            }
            Instruction::Maintainer(name) => {
                state.config.author = Some(name);
                state.configured(line.text.clone());
                Ok(())
            }
            Instruction::Config(workdir @ ConfigInstruction::Workdir(_)) => {
                state.change(workdir);
                self.working_dir(state, &line.text)
            }
            Instruction::Config(instruction) => {
                state.change(instruction);
                state.configured(line.text.clone());
                Ok(())
            }
            Instruction::Run(command) => self.run(state, &command),
            Instruction::Transfer(transfer) => self.transfer(state, &line.text, &transfer, at),
        }
    }

    /// Does a step that may make a layer, unless it was done before. `content`: what it depends on
    /// besides the state and the instruction.
    fn step(
        &mut self,
        state: &mut State,
        instruction: String,
        content: &Value,
        work: impl FnOnce(&mut Self, &State) -> Result<Vec<StoredLayer>, StepError>,
    ) -> Result<(), StepError> {
        let store = self.setup.store;
        let key = state.key(&instruction, content);
        let cached = match self.setup.request.cache {
            Cache::Use => store.cached_step(&key)?,
            Cache::Renew => None,
        };
        let step = if let Some(step) = cached {
            (self.tell)(Event::Cached);
            step
        } else {
            let layers = work(self, state)?;
            let step = CachedStep {
                instruction: instruction.clone(),
                created: created(),
                layers,
            };
            store.remember_step(&key, &step)?;
            step
        };
        state.done(instruction, step.created, step.layers);
        Ok(())
    }

    fn run(&mut self, state: &mut State, command: &Command) -> Result<(), StepError> {
        let words = command.with_shell(&state.config.config.shell);
        let known = |(name, value): &(String, String)| format!("{name}={value}");
        let arguments: Vec<String> = state.scope.all().iter().map(known).collect();
        // As Docker writes it: with the arguments that the command sees.
        let mut instruction = "RUN ".to_owned();
        if !arguments.is_empty() {
            instruction += "|";
            instruction += &arguments.len().to_string();
            instruction += " ";
            instruction += &arguments.join(" ");
            instruction += " ";
        }
        instruction += &words.join(" ");
        let content = json!([words, arguments]);
        self.step(state, instruction, &content, |builder, state| {
            let proxies = builder.given.proxies();
            let mut seen: Vec<String> = proxies.iter().map(known).collect();
            seen.extend(arguments);
            builder.container(state, words, seen)
        })
    }

    /// Runs a command in a container, and makes a layer of what it changed.
    fn container(
        &mut self,
        state: &State,
        words: Vec<String>,
        arguments: Vec<String>,
    ) -> Result<Vec<StoredLayer>, StepError> {
        let Setup {
            root,
            store,
            request: asked,
            ..
        } = self.setup;
        let redirected = match asked.output {
            Output::Stderr => Redirected::to_stderr(),
            Output::Kept => Redirected::kept(store),
        };
        let redirected = redirected.map_err(StepError::Output)?;
        let mut layers = state.layers.clone();
        let mut devices = 0;
        let tell = &mut *self.tell;
        let ran = run_step(
            root,
            store.storage(),
            request(state, words, arguments),
            times(),
            |container| tell(Event::Running(container.id().short())),
            |layer| {
                if let Some(layer) = layer {
                    devices = add_layer(store, &mut layers, layer)?;
                }
                Ok(())
            },
        )?;
        match ran {
            Step::Done(added) => {
                added.map_err(StepError::Layer)?;
                drop(redirected);
                self.tell_devices(devices);
                Ok(layers)
            }
            Step::Failed(status) => Err(StepError::Command {
                status,
                said: redirected.said().map_err(StepError::Output)?,
            }),
        }
    }

    fn tell_devices(&mut self, devices: u64) {
        if devices > 0 {
            (self.tell)(Event::DevicesLeftOut(devices));
        }
    }

    /// Makes the working folder, which is the user's, if it is not there.
    fn working_dir(&mut self, state: &mut State, text: &str) -> Result<(), StepError> {
        let content = json!(null);
        self.step(state, text.to_owned(), &content, |builder, state| {
            let Setup { root, store, .. } = builder.setup;
            let scratch = Scratch::new(root, store.storage(), state.top())?;
            let rootfs = scratch.root();
            let config = &state.config.config;
            let to = Path::new(&config.working_dir);
            let place = follow(rootfs, to).map_err(failed("follow", to))?;
            let folders = missing(rootfs, &place)?;
            if place.there == There::Other {
                return Err(TransferError::IntoFile(place.path).into());
            }
            if folders.is_empty() {
                return Ok(state.layers.clone());
            }
            let user = Identity::look_up(rootfs, &config.user)?;
            let plan = Plan::folders(folders, (user.uid, user.gid), now());
            let ignore = Ignore::default();
            let load = Load::nothing(Tree {
                root: rootfs,
                ignore: &ignore,
            });
            builder.layer(state, &load, &plan)
        })
    }

    fn transfer(
        &mut self,
        state: &mut State,
        text: &str,
        transfer: &Transfer,
        at: usize,
    ) -> Result<(), StepError> {
        let setup = self.setup;
        let everything = Ignore::default();
        let other;
        let tree = match &transfer.from {
            None => Tree {
                root: setup.request.context.root(),
                ignore: setup.request.context.ignore(),
            },
            Some(from) => {
                other = self.other(from, at)?;
                Tree {
                    root: other.root(),
                    ignore: &everything,
                }
            }
        };
        let load = Load::find(tree, transfer)?;
        let digest = load.digest()?;
        let content = json!([digest, transfer.owner, transfer.mode, transfer.to]);
        self.step(state, text.to_owned(), &content, |builder, state| {
            let Setup { root, store, .. } = builder.setup;
            let scratch = Scratch::new(root, store.storage(), state.top())?;
            let owner = match &transfer.owner {
                Some(owner) => Some(owner_of(scratch.root(), owner)?),
                None => None,
            };
            let plan = load.plan(&Arrival {
                root: scratch.root(),
                working_dir: &state.config.config.working_dir,
                owner,
                times: times(),
                now: now(),
            })?;
            let layers = builder.layer(state, &load, &plan)?;
            // What was packed is what the step is remembered by, or else nothing is.
            if load.digest()? != digest {
                return Err(TransferError::Changed.into());
            }
            Ok(layers)
        })
    }

    /// The files of a stage, or of an image.
    fn other(&self, from: &str, at: usize) -> Result<Scratch<'a>, StepError> {
        let Setup {
            root, store, file, ..
        } = self.setup;
        let stage = file.find(from, at).and_then(|stage| self.done.get(&stage));
        let top = match stage {
            Some(stage) => stage.top().copied(),
            None if from == "scratch" => return Err(StepError::FromScratch),
            None => store.resolve(from)?.top().copied(),
        };
        Ok(Scratch::new(root, store.storage(), top.as_ref())?)
    }

    /// Makes a layer of what is planned.
    fn layer(
        &mut self,
        state: &State,
        load: &Load<'_>,
        plan: &Plan,
    ) -> Result<Vec<StoredLayer>, StepError> {
        let store = self.setup.store;
        let mut layers = state.layers.clone();
        let (devices, packed) = thread::scope(|scope| {
            let (sender, packed) = std::sync::mpsc::channel();
            let pack = move |to: File| {
                let result = load.pack(plan, to);
                let short = match &result {
                    Ok(packed) => Ok(*packed),
                    Err(error) => Err(PackError::Write(io::Error::other(error.to_string()))),
                };
                // The reader waits for it.
                drop(sender.send(result));
                short
            };
            let tar = stream(scope, pack).map_err(StepError::Output)?;
            let devices = add_layer(store, &mut layers, Box::new(tar));
            Ok::<_, StepError>((devices, packed.recv()))
        })?;
        // The packer's own reason is the better one.
        let packed: Result<Packed, TransferError> = packed.unwrap_or(Err(TransferError::Changed));
        match (devices, packed) {
            (Ok(devices), Ok(packed)) => {
                self.tell_devices(devices + packed.devices);
                Ok(layers)
            }
            (_, Err(error)) if !is_broken_pipe(&error) => Err(error.into()),
            (Err(error), _) => Err(error.into()),
            (Ok(_), Err(error)) => Err(error.into()),
        }
    }
}

/// The packer's end of a tar that its reader refused.
fn is_broken_pipe(error: &TransferError) -> bool {
    matches!(error, TransferError::Pack(PackError::Write(source))
        if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Without a group, the group is called as the user is.
fn owner_of(root: BorrowedFd<'_>, owner: &str) -> Result<(u32, u32), StepError> {
    let both = if owner.contains(':') {
        owner.to_owned()
    } else {
        format!("{owner}:{owner}")
    };
    let identity = Identity::look_up(root, &both)?;
    Ok((identity.uid, identity.gid))
}

/// Where the time is fixed, nothing in an image is later.
fn times() -> Times {
    fixed_time().map_or(Times::Own, Times::NotAfter)
}

fn now() -> i64 {
    fixed_time().unwrap_or_else(|| jiff::Timestamp::now().as_second())
}
