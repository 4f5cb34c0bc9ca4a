//! What a stage has come to.

use serde_json::{Value, json};

use super::arguments::Scope;
use crate::container::config::ImageUsed;
use crate::dockerfile::{Changes, ConfigInstruction, GivenCommand};
use crate::image::config::{History, ImageConfig};
use crate::image::digest::{ChainId, Digest};
use crate::image::store::{Image, StoredLayer};
use crate::image::{complete_history, empty, fixed_time};

/// Whether a step made a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HasLayer {
    Yes,
    No,
}

/// A stage, as far as it is built.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// What its containers are said to be of.
    pub(super) base: ImageUsed,
    pub(super) layers: Vec<StoredLayer>,
    pub(super) config: ImageConfig,
    pub(super) scope: Scope,
    command: GivenCommand,
}

impl State {
    /// Nothing at all.
    pub(super) fn scratch() -> Self {
        let config = empty();
        let id = serde_json::to_vec(&config).unwrap_or_default();
        Self {
            base: ImageUsed {
                reference: "scratch".to_owned(),
                id: Digest::of(&id).to_string(),
            },
            layers: Vec::new(),
            config,
            scope: Scope::default(),
            command: GivenCommand::No,
        }
    }

    /// An image.
    pub(super) fn on_image(image: Image, reference: &str) -> Self {
        let mut config = image.config;
        complete_history(&mut config, image.layers.len());
        Self {
            base: ImageUsed {
                reference: reference.to_owned(),
                id: image.id.to_string(),
            },
            layers: image.layers,
            config,
            scope: Scope::default(),
            command: GivenCommand::No,
        }
    }

    /// What another stage has come to. Its `ARG`s are its own.
    pub(super) fn on_stage(stage: &Self) -> Self {
        Self {
            scope: Scope::default(),
            command: GivenCommand::No,
            ..stage.clone()
        }
    }

    /// The uppermost layer.
    pub(super) fn top(&self) -> Option<&ChainId> {
        self.layers.last().map(|layer| &layer.chain_id)
    }

    /// The value of a variable: `ENV` comes before `ARG`.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let mut env = self.config.config.env.iter();
        let of_env = env.find_map(|assignment| {
            let (known, value) = assignment.split_once('=')?;
            (known == name).then(|| value.to_owned())
        });
        of_env.or_else(|| self.scope.value(name))
    }

    /// Makes a change of the configuration.
    pub(super) fn change(&mut self, instruction: ConfigInstruction) {
        let mut changes = Changes::after(&mut self.config.config, self.command);
        changes.make(instruction);
        self.command = changes.command();
    }

    /// All that a step depends on, as one digest: the files and the configuration that it finds, the
    /// instruction, and `content`. Neither times nor history are among it, so that a step that comes
    /// to the same as before changes nothing for those behind it.
    pub(super) fn key(&self, instruction: &str, content: &Value) -> Digest {
        let all = json!([
            "keel.build-step/1",
            self.top(),
            self.config.config,
            fixed_time(),
            instruction,
            content,
        ]);
        Digest::of(all.to_string().as_bytes())
    }

    /// Records a step that made a layer, or none.
    pub(super) fn done(&mut self, created_by: String, created: String, layers: Vec<StoredLayer>) {
        let layer = if layers.len() == self.layers.len() {
            HasLayer::No
        } else {
            HasLayer::Yes
        };
        self.layers = layers;
        self.config.rootfs.diff_ids = self.layers.iter().map(|layer| layer.diff_id).collect();
        self.config.created = Some(created);
        self.tell(created_by, layer);
    }

    /// Records a step that changed the configuration only. It takes no time: it was made when the step
    /// before it was, so that the same instructions give the same image.
    pub(super) fn configured(&mut self, created_by: String) {
        self.tell(created_by, HasLayer::No);
    }

    fn tell(&mut self, created_by: String, layer: HasLayer) {
        self.config.history.push(History {
            created: self.config.created.clone(),
            created_by: Some(created_by),
            author: self.config.author.clone(),
            comment: None,
            empty_layer: layer == HasLayer::No,
        });
    }
}
