//! Registries: Debian's `docker-registry`, started on this machine, and a fake one for what no
//! honest registry does.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failure is a failed test"
)]

mod command_line;
mod fake;
mod hostile;
mod pulling;
mod pushing;
mod real;
#[path = "../scene/mod.rs"]
mod scene;
mod tokens;

use std::path::Path;
use std::time::Duration;

use keel::image::reference::Reference;
use keel::image::registry::{
    Client, DockerConfig, PullError, Pulled, PushError, Pushed, Retry, Settings, Silent, pull, push,
};
use keel::image::store::Store;

/// Settings that know nothing of this machine and do not wait long.
fn settings(folder: &Path) -> Settings {
    let mut settings = Settings::from_environment(|_| None);
    settings.config = DockerConfig::new(folder.join("config.json"));
    settings.certificates = folder.join("certs.d");
    settings.retry = Retry {
        attempts: 3,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(20),
        ..Retry::default()
    };
    settings
}

fn pulled(store: &Store, name: &str, settings: &Settings) -> Result<Pulled, PullError> {
    let name: Reference = name.parse().unwrap();
    let client = Client::new(name.registry(), settings)?;
    pull(store, &client, &name, None, &Silent)
}

fn pushed(store: &Store, name: &str, settings: &Settings) -> Result<Pushed, PushError> {
    let name: Reference = name.parse().unwrap();
    let client = Client::new(name.registry(), settings)?;
    push(store, &client, &name, &Silent)
}
