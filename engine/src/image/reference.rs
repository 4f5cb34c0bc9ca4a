//! References: how people name images.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::image::digest::{Digest, DigestError};

/// The registry of names that have none.
pub const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";
const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing.
    #[error("an image's name is empty: write `NAME[:TAG]`, such as `busybox:latest`")]
    Empty,
    /// The name as a whole.
    #[error("image name of {0} bytes is longer than {MAX_NAME}: shorten it")]
    TooLong(usize),
    /// The registry.
    #[error("`{0}` is no registry: write `host` or `host:port`")]
    Registry(String),
    /// A part of the path.
    #[error(
        "`{0}` in an image's name must be lower-case letters and figures, joined by `.`, `_`, `__` or `-`s"
    )]
    Component(String),
    /// The tag.
    #[error(
        "tag `{0}` must have 1 to {MAX_TAG} letters, figures, `_`, `.` or `-`, not starting with `.` or `-`"
    )]
    Tag(String),
    /// The digest after `@`.
    #[error("the part after `@` is no digest")]
    Digest(#[source] DigestError),
}

/// `[REGISTRY/]PATH[:TAG][@DIGEST]`, complete: what was left out is filled in as Docker does.
///
/// The first component is a registry if it has a `.` or `:` or is `localhost` (distribution's
/// reference grammar); a single component at docker.io lies below `library/`; with neither tag
/// nor digest the tag is `latest`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry's `host[:port]`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path at the registry, such as `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if there is one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The repository that `text` names, if it names one without tag and digest; the reference's
    /// tag is `latest`.
    pub fn of_repository(text: &str) -> Option<Self> {
        // What has a tag or digest cannot take another tag.
        format!("{text}:{DEFAULT_TAG}").parse().ok()
    }

    /// Another tag of the same repository; `None` if that can be no tag.
    pub fn with_tag(&self, tag: &str) -> Option<Self> {
        Some(Self {
            tag: Some(tag_of(tag).ok()?),
            digest: None,
            ..self.clone()
        })
    }

    /// Whether this is of the same repository.
    pub fn is_in(&self, other: &Self) -> bool {
        (&self.registry, &self.path) == (&other.registry, &other.path)
    }

    /// As people write it: without `docker.io/` and `library/`.
    pub fn familiar(&self) -> String {
        let full = self.to_string();
        let short = full.strip_prefix("docker.io/").unwrap_or(&full);
        let short = short.strip_prefix("library/").unwrap_or(short);
        // What is left must not look as if it named another registry, or another path.
        match short.parse::<Self>() {
            Ok(same) if same == *self => short.to_owned(),
            _ => full,
        }
    }

    /// The name without tag and digest, as people write it, for lists.
    pub fn familiar_name(&self) -> String {
        let bare = Self {
            tag: Some(DEFAULT_TAG.to_owned()),
            digest: None,
            ..self.clone()
        };
        let text = bare.familiar();
        text.strip_suffix(":latest").unwrap_or(&text).to_owned()
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (text, digest) = match text.split_once('@') {
            Some((name, digest)) => {
                let digest = digest.parse().map_err(ReferenceError::Digest)?;
                (name, Some(digest))
            }
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before belongs to the registry's port.
        let (name, tag) = match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag_of(tag)?)),
            _ => (text, None),
        };
        if name.len() > MAX_NAME {
            return Err(ReferenceError::TooLong(name.len()));
        }
        let (registry, path) = match name.split_once('/') {
            Some((first, rest)) if is_registry(first) => (registry_of(first)?, rest.to_owned()),
            _ => (DEFAULT_REGISTRY.to_owned(), name.to_owned()),
        };
        let path = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path
        };
        for component in path.split('/') {
            check_component(component)?;
        }
        let length = registry.len() + 1 + path.len();
        if length > MAX_NAME {
            return Err(ReferenceError::TooLong(length));
        }
        let tag = match (tag, &digest) {
            (None, None) => Some(DEFAULT_TAG.to_owned()),
            (tag, _) => tag,
        };
        Ok(Self {
            registry,
            path,
            tag,
            digest,
        })
    }
}

fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

fn is_registry(first: &str) -> bool {
    first == "localhost" || first.contains(['.', ':'])
}

fn registry_of(text: &str) -> Result<String, ReferenceError> {
    let wrong = || ReferenceError::Registry(shown(text));
    // Docker Hub's old name is the same place.
    if text == "index.docker.io" {
        return Ok(DEFAULT_REGISTRY.to_owned());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or_else(wrong)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            (
                None,
                port.strip_prefix(':').or(port.is_empty().then_some("80")),
            )
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), Some("80")),
        },
    };
    let port = port.ok_or_else(wrong)?;
    if port.is_empty()
        || !port.bytes().all(|byte| byte.is_ascii_digit())
        || port.parse::<u16>().is_err()
    {
        return Err(wrong());
    }
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match host {
        Some(host) if !host.split('.').all(label) => Err(wrong()),
        _ => Ok(text.to_owned()),
    }
}

fn tag_of(tag: &str) -> Result<String, ReferenceError> {
    let fits = (1..=MAX_TAG).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    if fits {
        Ok(tag.to_owned())
    } else {
        Err(ReferenceError::Tag(shown(tag)))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn check_component(component: &str) -> Result<(), ReferenceError> {
    let wrong = || ReferenceError::Component(shown(component));
    let separator = |byte: char| matches!(byte, '.' | '_' | '-');
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let well_spelled = !component.is_empty()
        && component
            .bytes()
            .all(|byte| alphanumeric(byte) || separator(char::from(byte)))
        && !component.starts_with(separator)
        && !component.ends_with(separator);
    let well_joined = component
        .split(|c: char| !separator(c))
        .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-'));
    if well_spelled && well_joined {
        Ok(())
    } else {
        Err(wrong())
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for Reference {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap().to_string()
    }

    #[test]
    fn what_is_left_out_is_filled_in_as_docker_does() {
        assert_eq!(full("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full("me/app:1.0"), "docker.io/me/app:1.0");
        assert_eq!(full("localhost/app"), "localhost/app:latest");
        assert_eq!(full("localhost:5000/a/b:t"), "localhost:5000/a/b:t");
        assert_eq!(
            full("index.docker.io/busybox"),
            "docker.io/library/busybox:latest"
        );
        assert_eq!(full("[::1]:5000/a"), "[::1]:5000/a:latest");
        let digest = Digest::of(b"");
        assert_eq!(full(&format!("a.b/c@{digest}")), format!("a.b/c@{digest}"));
    }

    #[test]
    fn a_repository_is_named_without_tag_and_digest() {
        let named = |text: &str| Reference::of_repository(text).map(|name| name.to_string());
        let latest = Some("localhost:5000/a:latest".to_owned());
        assert_eq!(named("localhost:5000/a"), latest);
        assert_eq!(named("a:b"), None);
        assert_eq!(named(&format!("a@{}", Digest::of(b""))), None);
    }

    #[test]
    fn the_familiar_form_names_the_same_image() {
        for (text, familiar) in [
            ("busybox", "busybox:latest"),
            ("docker.io/me/app", "me/app:latest"),
            ("quay.io/a/b:c", "quay.io/a/b:c"),
            // Without `library/` this would be another path, at another registry.
            ("docker.io/library/a.b/c", "docker.io/library/a.b/c:latest"),
        ] {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.familiar(), familiar);
            assert_eq!(reference.familiar().parse(), Ok(reference));
        }
    }

    #[test]
    fn ill_formed_names_are_refused() {
        for wrong in [
            "",
            ":",
            "@",
            "/",
            "a//b",
            "UPPER",
            "a:",
            "a:.b",
            "a b",
            "../etc/passwd",
            "a/../b",
            "-a",
            "a-",
            "a___b",
            "a._b",
            "a..b",
            "host:port/a",
            "a.b:70000/c",
            "a@sha256:00",
            "a@md5:0",
            "-.b/c",
            "[::1/a",
            "[x]/a",
            "a\0b",
            "a\n",
            "é",
        ] {
            assert!(
                wrong.parse::<Reference>().is_err(),
                "{wrong:?} was accepted"
            );
        }
        assert!("a".repeat(300).parse::<Reference>().is_err());
        assert!(
            format!("a:{}", "t".repeat(129))
                .parse::<Reference>()
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn printing_and_parsing_give_the_same_reference(
            registry in prop::option::of("([a-z]{1,5}\\.[a-z]{2,3}|localhost)(:[1-9][0-9]{0,3})?"),
            path in "[a-z0-9]{1,8}((_|__|-{1,3}|\\.)[a-z0-9]{1,4})?(/[a-z0-9]{1,8}){0,3}",
            tag in prop::option::of("[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}"),
        ) {
            let mut text = registry.map(|registry| registry + "/").unwrap_or_default() + &path;
            if let Some(tag) = tag {
                text = text + ":" + &tag;
            }
            let reference: Reference = text.parse().unwrap();
            prop_assert_eq!(&reference.to_string().parse::<Reference>().unwrap(), &reference);
            prop_assert_eq!(&reference.familiar().parse::<Reference>().unwrap(), &reference);
        }

        #[test]
        fn whatever_is_accepted_prints_and_parses_to_itself(text in "[a-zA-Z0-9.:/@_\\[\\]-]{0,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                prop_assert_eq!(reference.to_string().parse(), Ok(reference));
            }
        }
    }
}
