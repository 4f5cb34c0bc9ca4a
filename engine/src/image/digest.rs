//! Digests, and the three things that they name: images, layers, and stacks of layers.
//!
//! Only SHA-256 is known: it is what every image in use is addressed by, and one algorithm
//! means that two names never stand for the same bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Another algorithm than SHA-256.
    #[error("digest `{0}` does not start with `sha256:`; only SHA-256 digests are supported")]
    Algorithm(String),
    /// Not 64 lower-case hexadecimal figures.
    #[error("digest `{0}` must have 64 lower-case hexadecimal figures after `sha256:`")]
    Hex(String),
}

/// The SHA-256 of some bytes, written `sha256:` and 64 lower-case hexadecimal figures.
///
/// It never holds anything else, so its [`hex`](Digest::hex) form is safe as a file's name
/// (CVE-2014-9358: image ids were used as paths unchecked).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest that a hasher has arrived at.
    pub fn from_hasher(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// From 64 lower-case hexadecimal figures, without `sha256:`.
    pub fn from_hex(hex: &str) -> Result<Self, DigestError> {
        let wrong = || DigestError::Hex(shown(hex));
        if hex.len() != 64 {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let &[high, low] = pair else {
                return Err(wrong());
            };
            *byte = (figure(high).ok_or_else(wrong)? << 4) | figure(low).ok_or_else(wrong)?;
        }
        Ok(Self(bytes))
    }

    /// The 64 figures without `sha256:`.
    pub fn hex(&self) -> String {
        use fmt::Write as _;
        self.0
            .iter()
            .fold(String::with_capacity(64), |mut hex, byte| {
                // Writing to a String cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    /// The first twelve figures, as people see them in lists.
    pub fn short(&self) -> String {
        let mut hex = self.hex();
        hex.truncate(12);
        hex
    }
}

/// At most 100 characters of a foreign text, for messages.
fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

fn figure(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let hex = text
            .strip_prefix("sha256:")
            .ok_or_else(|| DigestError::Algorithm(shown(text)))?;
        Self::from_hex(hex)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! digest_of {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Digest);

        impl $name {
            /// Says that `digest` is one of these.
            pub const fn new(digest: Digest) -> Self {
                Self(digest)
            }

            /// The plain digest.
            pub const fn digest(&self) -> &Digest {
                &self.0
            }

            /// The 64 figures without `sha256:`.
            pub fn hex(&self) -> String {
                self.0.hex()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

digest_of! {
    /// An image's id: the digest of its configuration's bytes.
    ImageId
}
digest_of! {
    /// A layer's identity: the digest of its uncompressed tar (image-spec, "Layer `DiffID`").
    DiffId
}
digest_of! {
    /// The identity of a layer on top of all that lie below it (image-spec, "Layer `ChainID`").
    ChainId
}

impl ChainId {
    /// The chain of `layer` on top of `parent`.
    ///
    /// `ChainID(L0) = DiffID(L0)`; `ChainID(Ln) = SHA256(ChainID(Ln-1) + " " + DiffID(Ln))`.
    pub fn on_top_of(parent: Option<&Self>, layer: DiffId) -> Self {
        match parent {
            None => Self(layer.0),
            Some(parent) => Self(Digest::of(format!("{parent} {layer}").as_bytes())),
        }
    }

    /// The chains of a whole stack, lowest layer first.
    pub fn stack(layers: &[DiffId]) -> Vec<Self> {
        let mut chains: Vec<Self> = Vec::with_capacity(layers.len());
        for layer in layers {
            chains.push(Self::on_top_of(chains.last(), *layer));
        }
        chains
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_digest_of_nothing_is_the_well_known_one() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(Digest::of(b"").short(), "e3b0c44298fc");
    }

    #[test]
    fn only_sha256_in_lower_case_is_a_digest() {
        let hex = &EMPTY[7..];
        for wrong in [
            String::new(),
            hex.to_owned(),
            format!("sha512:{hex}"),
            format!("sha256:{}", &hex[1..]),
            format!("sha256:{hex}0"),
            format!("sha256:{}", hex.to_uppercase()),
            format!("sha256:../{}", &hex[3..]),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong} was accepted");
        }
    }

    #[test]
    fn a_chain_depends_on_the_order_of_its_layers() {
        let (a, b) = (DiffId::new(Digest::of(b"a")), DiffId::new(Digest::of(b"b")));
        let ab = ChainId::stack(&[a, b]);
        assert_eq!(ab[0].digest(), a.digest());
        // From the formula, computed with sha256sum.
        assert_eq!(ab[1].digest(), &Digest::of(format!("{a} {b}").as_bytes()));
        assert_ne!(ab[1], ChainId::stack(&[b, a])[1]);
    }

    proptest! {
        #[test]
        fn printing_and_parsing_give_the_same_digest(bytes in any::<[u8; 32]>()) {
            let digest = Digest(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            let json = serde_json::to_string(&digest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            drop(text.parse::<Digest>().map_err(|error| error.to_string()));
        }
    }
}
