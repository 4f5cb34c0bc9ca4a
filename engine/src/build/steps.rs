//! The steps that make layers: a command, files, a working folder.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use super::builder::{Builder, Cache, Event, Output, Setup};
use super::error::StepError;
use super::place::{There, follow};
use super::run::{Redirected, request};
use super::sources::{Tree, failed};
use super::state::State;
use super::transfer::{Arrival, Load, Plan, TransferError, missing};
use crate::container::user::Identity;
use crate::container::{Scratch, Step, run_step};
use crate::dockerfile::{Command, Ignore, Transfer};
use crate::files::{PackError, Packed, Times, stream};
use crate::image::store::StoredLayer;
use crate::image::{CachedStep, add_layer, created, fixed_time};

impl<'a> Builder<'a> {
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

    /// `RUN`.
    pub(super) fn run(&mut self, state: &mut State, command: &Command) -> Result<(), StepError> {
        let words = command.with_shell(&state.config.config.shell);
        let known = |(name, value): &(String, String)| format!("{name}={value}");
        let arguments: Vec<String> = state.scope.all().iter().map(known).collect();
        // As Docker writes it: with the arguments that the command sees.
        let mut instruction = "RUN ".to_owned();
        if !arguments.is_empty() {
            let count = format!("|{} ", arguments.len());
            instruction.extend([count, arguments.join(" "), " ".to_owned()]);
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
    pub(super) fn working_dir(&mut self, state: &mut State, text: &str) -> Result<(), StepError> {
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

    /// `COPY` and `ADD`.
    pub(super) fn transfer(
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
