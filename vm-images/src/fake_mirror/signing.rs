//! Just enough `OpenPGP` (RFC 4880, with `EdDSA` as `GnuPG` has it) to sign an index with a
//! fixed key, so that tests need gpgv, as the product does, and no gpg.

use ed25519_dalek::{Signer, SigningKey};
use sha2::{Digest, Sha256};

/// When the key and its signatures were made: 2021-01-01.
const MADE: u32 = 1_609_459_200;
/// SHA-1 of the key's packet, as `gpg --show-keys` prints it.
const FINGERPRINT: &str = "69F7BF00A1B53196044FCFF9DE3F8DB63C28061F";
const USER: &[u8] = b"Fake mirror <fake@example.org>";

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// The public key as a keyring that gpgv reads.
pub(crate) fn public_key() -> Vec<u8> {
    let body = key_body();
    let mut certified = vec![0x99];
    certified.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    certified.extend(&body);
    certified.push(0xb4);
    certified.extend(u32::try_from(USER.len()).unwrap().to_be_bytes());
    certified.extend(USER);
    // 0x13: a positive certification of the user's name; key flags: may sign.
    let signature = signature(0x13, &certified, &[&[2, 27, 3]]);
    [packet(6, &body), packet(13, USER), signature].concat()
}

/// The text with its signature, as `gpg --clearsign` makes it.
pub(crate) fn clear_sign(text: &str) -> Vec<u8> {
    let canonical = text.trim_end_matches('\n').replace('\n', "\r\n");
    let signature = signature(0x01, canonical.as_bytes(), &[]);
    let mut message = String::from("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n");
    message.push_str(text);
    message.push_str("-----BEGIN PGP SIGNATURE-----\n\n");
    message.push_str(&base64(&signature));
    message.push_str("\n-----END PGP SIGNATURE-----\n");
    message.into_bytes()
}

fn key_body() -> Vec<u8> {
    let mut body = vec![4];
    body.extend(MADE.to_be_bytes());
    // EdDSA on Ed25519, by its object identifier.
    body.extend([22, 9, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01]);
    let mut point = vec![0x40];
    point.extend(key().verifying_key().as_bytes());
    body.extend(mpi(&point));
    body
}

fn fingerprint() -> Vec<u8> {
    (0..20)
        .map(|i| u8::from_str_radix(&FINGERPRINT[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn signature(kind: u8, signed: &[u8], more: &[&[u8]]) -> Vec<u8> {
    let mut hashed = vec![5, 2];
    hashed.extend(MADE.to_be_bytes());
    hashed.extend([22, 33, 4]);
    hashed.extend(fingerprint());
    for subpacket in more {
        hashed.extend(*subpacket);
    }
    // Version 4, EdDSA, SHA-256.
    let mut body = vec![4, kind, 22, 8];
    body.extend(u16::try_from(hashed.len()).unwrap().to_be_bytes());
    body.extend(hashed);
    let mut trailer = vec![4, 0xff];
    trailer.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    let digest = Sha256::digest([signed, &body, &trailer].concat());
    let signature = key().sign(&digest);
    let mut issuer = vec![9, 16];
    issuer.extend(&fingerprint()[12..]);
    body.extend(u16::try_from(issuer.len()).unwrap().to_be_bytes());
    body.extend(issuer);
    body.extend(&digest[..2]);
    body.extend(mpi(signature.r_bytes()));
    body.extend(mpi(signature.s_bytes()));
    packet(2, &body)
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0xc0 | tag, 0xff];
    packet.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
    packet.extend(body);
    packet
}

fn mpi(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|b| **b == 0).count();
    let number = &number[zeros..];
    let bits = number.len() * 8 - number.first().map_or(0, |b| b.leading_zeros() as usize);
    let mut mpi = u16::try_from(bits).unwrap().to_be_bytes().to_vec();
    mpi.extend(number);
    mpi
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for (line, chunk) in bytes.chunks(48).enumerate() {
        if line > 0 {
            text.push('\n');
        }
        for three in chunk.chunks(3) {
            let number = three
                .iter()
                .chain(&[0, 0])
                .take(3)
                .fold(0_usize, |n, b| n << 8 | usize::from(*b));
            for place in 0..4 {
                if place <= three.len() {
                    text.push(char::from(ALPHABET[number >> (18 - 6 * place) & 63]));
                } else {
                    text.push('=');
                }
            }
        }
    }
    text
}
