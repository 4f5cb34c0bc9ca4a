//! What is known of an image at a registry: it saves a second push all work, and keeps the digest
//! that others know the image by.

use serde::{Deserialize, Serialize};

use crate::image::manifest::{Document, MANIFESTS, Manifest};
use crate::image::reference::Reference;

/// The registry that has an image, and its manifest there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    schema: String,
    repository: Reference,
    media_type: String,
    /// To the byte, as its digest is what it is known by.
    manifest: String,
}

const SCHEMA: &str = "keel.origin/1";

impl Origin {
    /// What `repository`'s registry has: a manifest, as it is there. `None` if it is none.
    pub fn new(repository: &Reference, manifest: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Typed {
            media_type: Option<String>,
        }
        let text = std::str::from_utf8(manifest).ok()?;
        let Document::Manifest(parsed) = Document::parse(manifest).ok()? else {
            return None;
        };
        let typed: Typed = serde_json::from_str(text).ok()?;
        let media_type = typed
            .media_type
            .unwrap_or_else(|| parsed.implied_type().to_owned());
        Some(Self {
            schema: SCHEMA.to_owned(),
            repository: repository.clone(),
            media_type,
            manifest: text.to_owned(),
        })
    }

    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let origin: Self = serde_json::from_slice(text).ok()?;
        let known = MANIFESTS.contains(&origin.media_type.as_str());
        (origin.schema == SCHEMA && known).then_some(origin)
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// A name of the image there.
    pub fn repository(&self) -> &Reference {
        &self.repository
    }

    /// The manifest's media type.
    pub fn media_type(&self) -> &str {
        &self.media_type
    }

    /// The manifest's bytes.
    pub fn bytes(&self) -> &[u8] {
        self.manifest.as_bytes()
    }

    /// The manifest, if its bytes still are one.
    pub fn manifest(&self) -> Option<Manifest> {
        match Document::parse(self.bytes()) {
            Ok(Document::Manifest(manifest)) => Some(manifest),
            Ok(Document::Index(_)) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;

    #[test]
    fn an_origin_keeps_the_manifest_to_the_byte() {
        let digest = Digest::of(b"");
        let manifest = format!(
            r#"{{ "schemaVersion": 2,  "config":{{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"{digest}","size":0}},"layers":[]}}"#
        );
        let name: Reference = "a.b/c:d".parse().unwrap();
        let origin = Origin::new(&name, manifest.as_bytes()).unwrap();
        let again = Origin::parse(&origin.to_json().unwrap()).unwrap();
        assert_eq!(again, origin);
        assert_eq!(again.bytes(), manifest.as_bytes());
        assert_eq!(again.media_type(), MANIFESTS[1]);
        assert_eq!(Origin::parse(b"{}"), None);
        assert_eq!(Origin::new(&name, b"{}"), None);
    }
}
