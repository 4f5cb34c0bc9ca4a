//! DSSE: the envelope that a signature goes over.
//!
//! Source: "DSSE: Dead Simple Signing Envelope" v1.0, `protocol.md` (the pre-authentication
//! encoding) and `envelope.md` (the JSON form).

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::key::{PublicKey, SigningKey};

/// The type of in-toto statements.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";

/// An envelope, as it stands in `certificate.dsse.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The payload, in standard base64.
    pub payload: String,
    /// At least one.
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// SHA-256 of the public key's DER form, 64 hexadecimal digits.
    pub keyid: String,
    /// The 64 bytes of an Ed25519 signature, in standard base64.
    pub sig: String,
}

impl Envelope {
    /// Wraps and signs a payload.
    pub fn seal(payload_type: &str, payload: &[u8], key: &SigningKey) -> Self {
        let signature = key.sign(&pre_authentication(payload_type, payload));
        Self {
            payload_type: payload_type.to_owned(),
            payload: Base64::encode_string(payload),
            signatures: vec![Signature {
                keyid: key.public().id(),
                sig: Base64::encode_string(&signature),
            }],
        }
    }

    /// The payload's bytes; none if they are not base64.
    pub fn payload_bytes(&self) -> Option<Vec<u8>> {
        Base64::decode_vec(&self.payload).ok()
    }

    /// Whether `key` signed exactly this payload as exactly this type.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        let Some(payload) = self.payload_bytes() else {
            return false;
        };
        let signed = pre_authentication(&self.payload_type, &payload);
        let id = key.id();
        self.signatures
            .iter()
            .filter(|signature| signature.keyid == id)
            .filter_map(|signature| Base64::decode_vec(&signature.sig).ok())
            .any(|signature| key.verifies(&signed, &signature))
    }
}

/// What is really signed: type and payload, each with its length, so that neither can be
/// read as part of the other.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_that_of_the_specification() {
        // The example of protocol.md.
        let encoded = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            encoded,
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn a_signature_holds_for_its_payload_type_and_key_only() {
        let key = SigningKey::ephemeral().unwrap();
        let envelope = Envelope::seal(IN_TOTO, b"{}", &key);
        assert!(envelope.is_signed_by(key.public()));
        assert!(!envelope.is_signed_by(SigningKey::ephemeral().unwrap().public()));
        let other_type = Envelope {
            payload_type: "text/plain".into(),
            ..envelope.clone()
        };
        assert!(!other_type.is_signed_by(key.public()));
        let other_payload = Envelope {
            payload: Base64::encode_string(b"{ }"),
            ..envelope
        };
        assert!(!other_payload.is_signed_by(key.public()));
    }
}
