//! How an image came about, step by step.

use crate::image::digest::ImageId;
use crate::image::store::Image;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The image, for its last step; the images of the steps before are not kept.
    pub id: Option<ImageId>,
    /// When, RFC 3339, if it is known.
    pub created: Option<String>,
    /// By which command; empty if it is not known.
    pub created_by: String,
    /// A remark; may be empty.
    pub comment: String,
    /// Bytes of the files that it brought.
    pub bytes: u64,
}

/// The steps, the newest first. A layer that the image's history does not tell of is a step of
/// which nothing is known but its size: images made by `load` of old archives have such.
pub fn steps(image: &Image) -> Vec<Step> {
    let mut layers = image.layers.iter();
    let mut steps: Vec<Step> = image
        .config
        .history
        .iter()
        .map(|told| {
            let layer = if told.empty_layer {
                None
            } else {
                layers.next()
            };
            Step {
                id: None,
                created: told.created.clone(),
                created_by: told.created_by.clone().unwrap_or_default(),
                comment: told.comment.clone().unwrap_or_default(),
                bytes: layer.map_or(0, |layer| layer.bytes),
            }
        })
        .collect();
    steps.extend(layers.map(|layer| Step {
        id: None,
        created: None,
        created_by: String::new(),
        comment: String::new(),
        bytes: layer.bytes,
    }));
    steps.reverse();
    if let Some(newest) = steps.first_mut() {
        newest.id = Some(image.id);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::config::{History, ImageConfig};
    use crate::image::digest::{ChainId, DiffId, Digest};
    use crate::image::store::StoredLayer;

    fn image(history: Vec<History>, layers: &[u64]) -> Image {
        let config = serde_json::json!({"rootfs": {"type": "layers", "diff_ids": []}});
        let mut config: ImageConfig = serde_json::from_value(config).unwrap();
        config.history = history;
        let diff_id = DiffId::new(Digest::of(b""));
        Image {
            id: ImageId::new(Digest::of(b"image")),
            config,
            layers: layers
                .iter()
                .map(|&bytes| StoredLayer {
                    diff_id,
                    chain_id: ChainId::on_top_of(None, diff_id),
                    bytes,
                })
                .collect(),
            loaded: String::new(),
        }
    }

    fn told(command: &str) -> History {
        History {
            created_by: Some(command.to_owned()),
            ..History::default()
        }
    }

    fn without_layer(command: &str) -> History {
        History {
            empty_layer: true,
            ..told(command)
        }
    }

    #[test]
    fn sizes_belong_to_the_steps_that_made_layers() {
        let history = vec![told("ADD"), without_layer("ENV"), told("RUN")];
        let steps = steps(&image(history, &[10, 20]));
        let shown: Vec<_> = steps
            .iter()
            .map(|step| (step.created_by.as_str(), step.bytes, step.id.is_some()))
            .collect();
        assert_eq!(
            shown,
            [("RUN", 20, true), ("ENV", 0, false), ("ADD", 10, false)]
        );
    }

    #[test]
    fn layers_without_a_history_are_steps_too() {
        let bytes: Vec<u64> = steps(&image(Vec::new(), &[1, 2]))
            .iter()
            .map(|step| step.bytes)
            .collect();
        assert_eq!(bytes, [2, 1]);
    }
}
