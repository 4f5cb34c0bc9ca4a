//! Stage after stage, step after step.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::arguments::{Given, Scope};
use super::context::{Context, Text};
use super::error::{BuildError, StepError};
use super::state::State;
use crate::dockerfile::{
    ConfigInstruction, Escape, Instruction, InstructionError, Line, Stages, expand,
};
use crate::image::digest::ImageId;
use crate::image::record;
use crate::image::reference::Reference;
use crate::image::store::Store;

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
pub(super) struct Setup<'a> {
    pub(super) root: &'a Path,
    pub(super) store: &'a Store,
    pub(super) request: &'a Request,
    pub(super) file: &'a Stages,
}

/// A build at work.
pub(super) struct Builder<'a> {
    pub(super) setup: Setup<'a>,
    pub(super) tell: &'a mut dyn FnMut(Event<'_>),
    pub(super) given: Given,
    /// What is known before the first stage.
    globals: Scope,
    /// Stages that are built.
    pub(super) done: BTreeMap<usize, State>,
    number: usize,
    of: usize,
}

impl Builder<'_> {
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
        let mut built = if let Some(earlier) = file.find(&base, at) {
            let below = self.stage(earlier)?;
            self.begin(&stage.from.text);
            State::on_stage(&below)
        } else {
            self.begin(&stage.from.text);
            self.base(&base, stage.platform.as_deref())
                .map_err(|error| self.at(&stage.from)(error))?
        };
        for text in std::mem::take(&mut built.config.config.on_build) {
            (self.tell)(Event::Trigger(&text));
            let line = Line {
                number: stage.from.number,
                text: text.clone(),
                documents: Vec::new(),
            };
            self.needed(&line, at)?;
            self.instruction(&mut built, &line, at)
                .map_err(|source| StepError::Trigger {
                    text,
                    source: Box::new(source),
                })
                .map_err(|error| self.at(&stage.from)(error))?;
        }
        for line in &stage.lines {
            self.needed(line, at)?;
            self.begin(&line.text);
            self.instruction(&mut built, line, at)
                .map_err(|error| self.at(line)(error))?;
        }
        self.done.insert(at, built.clone());
        Ok(built)
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
            if !same {
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
}
