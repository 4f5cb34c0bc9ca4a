//! All about an image, under Docker's names.

use serde_json::{Map, Value, json};

use crate::image::reference::Reference;
use crate::image::store::{Image, Store, StoreError};

impl Store {
    /// What `keel image inspect` shows: Docker's document. The configuration is the image's own,
    /// with all that Keel itself does not use, on top of what Docker shows for what is left out.
    ///
    /// # Errors
    /// Those of reading the image's files.
    pub fn inspect(&self, image: &Image) -> Result<Value, StoreError> {
        let bytes = self.config_bytes(&image.id)?;
        // It has been read once already, so it is JSON.
        let whole: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let text = |name: &str| whole.get(name).and_then(Value::as_str).unwrap_or_default();
        let names: Vec<Reference> = self
            .names()?
            .into_iter()
            .filter_map(|(name, id)| (id == image.id).then_some(name))
            .collect();
        let tags = names.iter().filter(|name| name.digest().is_none());
        let digests = names.iter().filter(|name| name.digest().is_some());
        let layers = image.layers.iter();
        let last = image.config.history.last();
        Ok(json!({
            "Id": image.id,
            "RepoTags": tags.map(Reference::familiar).collect::<Vec<_>>(),
            "RepoDigests": digests.map(Reference::familiar).collect::<Vec<_>>(),
            "Parent": "",
            "Comment": last.and_then(|step| step.comment.as_deref()).unwrap_or_default(),
            "Created": image.config.created.as_deref().unwrap_or(&image.loaded),
            "DockerVersion": text("docker_version"),
            "Author": text("author"),
            "Config": run_config(whole.get("config")),
            "Architecture": text("architecture"),
            "Variant": text("variant"),
            "Os": text("os"),
            "Size": image.bytes(),
            "GraphDriver": {
                "Name": self.storage().driver().name().as_str(),
                "Data": {"TopLayer": image.top().map(ToString::to_string)},
            },
            "RootFS": {
                "Type": "layers",
                "Layers": layers.map(|layer| layer.diff_id).collect::<Vec<_>>(),
            },
            "Metadata": {"LastTagTime": image.loaded},
        }))
    }
}

/// The fields that Docker always shows, so that templates can name them.
fn run_config(own: Option<&Value>) -> Value {
    let mut shown = json!({
        "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
        "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": null,
        "Cmd": null, "Image": "", "Volumes": null, "WorkingDir": "", "Entrypoint": null,
        "OnBuild": null, "Labels": null,
    });
    if let (Some(shown), Some(own)) = (shown.as_object_mut(), own.and_then(Value::as_object)) {
        shown.extend(own.clone().into_iter().collect::<Map<_, _>>());
    }
    shown
}
