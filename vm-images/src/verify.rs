//! Checks the signature of a distribution's index with `gpgv`, the program that apt itself has
//! used for it.
//!
//! The verdict is read from gpgv's machine-readable status lines (`GnuPG`'s `doc/DETAILS`), not
//! from its exit code alone: an index is signed by several keys, and gpgv fails where one of
//! them is not in the keyring, though another is and is right.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ARMOUR: &str = "-----BEGIN PGP SIGNED MESSAGE-----";

/// Where distributions keep the keys of Debian's archive.
const KEYRINGS: [&str; 4] = [
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
    "/etc/apt/trusted.gpg.d/debian-archive-keyring.gpg",
    "/etc/apt/keyrings/debian-archive-keyring.gpg",
];

/// The public keys that an index may be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring(PathBuf);

/// Why an index is not trusted.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// No keyring.
    #[error(
        "the keyring of Debian's archive is not on this machine; install the package `debian-archive-keyring`, or give one with `--keyring FILE`"
    )]
    NoKeyring,
    /// The user's keyring is absent.
    #[error("the keyring {0} can't be read; give another with `--keyring FILE`")]
    KeyringUnreadable(PathBuf, #[source] std::io::Error),
    /// gpgv is absent or broken.
    #[error("can't run `gpgv`, which checks the index's signature; install the package `gpgv`")]
    NoGpgv(#[source] std::io::Error),
    /// The text is not clear-signed, or holds more than one signed part.
    #[error(
        "the index is not one clear-signed message; the mirror is broken, or something between it and here answers in its place"
    )]
    NotSigned,
    /// A signature is wrong.
    #[error(
        "the index has a BAD signature (key {key}): it was altered after it was signed; don't use this mirror"
    )]
    Bad {
        /// The key that it claims.
        key: String,
    },
    /// No signature by a known key.
    #[error(
        "the index is signed by no key of {keyring} (it names {}); update the package `debian-archive-keyring`, or give the right keyring with `--keyring FILE`",
        if .keys.is_empty() { "none".to_owned() } else { .keys.join(", ") }
    )]
    UnknownSigner {
        /// The keyring that was asked.
        keyring: PathBuf,
        /// The keys that the index claims.
        keys: Vec<String>,
    },
    /// Signatures are right, but their keys or they themselves have expired or were revoked.
    #[error("every key that signed the index has expired or was revoked ({}); update the package `debian-archive-keyring`, and look at this machine's clock", .keys.join(", "))]
    Expired {
        /// The keys.
        keys: Vec<String>,
    },
}

/// The part of an index that is covered by a good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was signed, as gpgv hands it out; nothing else may be used.
    pub text: String,
    /// The fingerprints of the keys whose signatures are good.
    pub signers: Vec<String>,
}

impl Keyring {
    /// The keyring in this file.
    pub fn at(path: &Path) -> Result<Self, VerifyError> {
        match std::fs::File::open(path) {
            // gpgv looks for a name without a slash in its own folder.
            Ok(_) => Ok(Self(std::path::absolute(path).unwrap_or(path.to_owned()))),
            Err(error) => Err(VerifyError::KeyringUnreadable(path.to_owned(), error)),
        }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The host's keyring of Debian's archive.
    pub fn of_host() -> Result<Self, VerifyError> {
        KEYRINGS
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
            .map(Self)
            .ok_or(VerifyError::NoKeyring)
    }

    /// Checks a clear-signed message and gives back what is signed in it: at least one good
    /// signature by a key of this keyring, and no bad one.
    pub fn verify(&self, message: &[u8]) -> Result<Verified, VerifyError> {
        if !is_one_message(message) {
            return Err(VerifyError::NotSigned);
        }
        let (status, text) = self.run_gpgv(message).map_err(VerifyError::NoGpgv)?;
        let signers = judge(&status, &self.0)?;
        Ok(Verified { text, signers })
    }

    /// Runs gpgv: what it says in its status lines, and the signed text.
    fn run_gpgv(&self, message: &[u8]) -> std::io::Result<(String, String)> {
        let dir = tempfile::tempdir()?;
        let text = dir.path().join("text");
        let mut gpgv = Command::new("gpgv")
            .env("LC_ALL", "C")
            .env("GNUPGHOME", dir.path())
            .arg("--keyring")
            .arg(&self.0)
            .args(["--status-fd", "1", "--output"])
            .arg(&text)
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut stdin) = gpgv.stdin.take() {
            // gpgv that stops reading early has its reason, which its status tells.
            drop(stdin.write_all(message));
        }
        let output = gpgv.wait_with_output()?;
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        let text = std::fs::read(&text).unwrap_or_default();
        Ok((status, String::from_utf8_lossy(&text).into_owned()))
    }
}

/// Whether the message is one clear-signed text from its first byte on: gpgv would check one
/// part of several, and a reader could take the other.
fn is_one_message(message: &[u8]) -> bool {
    let starts = message
        .split(|b| *b == b'\n')
        .filter(|line| line.starts_with(b"-----BEGIN PGP SIGNED"))
        .count();
    starts == 1 && message.starts_with(ARMOUR.as_bytes())
}

/// The fingerprints of good signatures, by gpgv's status lines.
fn judge(status: &str, keyring: &Path) -> Result<Vec<String>, VerifyError> {
    let mut good = false;
    let mut signers = Vec::new();
    let mut unknown = Vec::new();
    let mut expired = Vec::new();
    for line in status.lines() {
        let mut words = line
            .strip_prefix("[GNUPG:] ")
            .unwrap_or_default()
            .split(' ');
        let (word, key) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        match word {
            "NEWSIG" => good = false,
            "GOODSIG" => good = true,
            // VALIDSIG also follows a good signature of an expired key.
            "VALIDSIG" if good => signers.push(key.to_owned()),
            "BADSIG" => {
                return Err(VerifyError::Bad {
                    key: key.to_owned(),
                });
            }
            "EXPSIG" | "EXPKEYSIG" | "REVKEYSIG" => expired.push(key.to_owned()),
            "ERRSIG" => unknown.push(key.to_owned()),
            _ => {}
        }
    }
    if !signers.is_empty() {
        return Ok(signers);
    }
    if !expired.is_empty() {
        return Err(VerifyError::Expired { keys: expired });
    }
    Err(VerifyError::UnknownSigner {
        keyring: keyring.to_owned(),
        keys: unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: &str) -> Result<Vec<String>, VerifyError> {
        judge(status, Path::new("/k.gpg"))
    }

    #[test]
    fn one_good_signature_beside_unknown_keys_is_enough() {
        let status = "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG AAAA 1 8 01 1 9\n[GNUPG:] NO_PUBKEY AAAA\n\
            [GNUPG:] NEWSIG\n[GNUPG:] GOODSIG BBBB Debian\n[GNUPG:] VALIDSIG FFFF 2026-01-01 1\n";
        assert_eq!(judged(status).unwrap(), ["FFFF"]);
    }

    #[test]
    fn one_bad_signature_beside_a_good_one_refuses_the_index() {
        let status = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG BBBB Debian\n[GNUPG:] VALIDSIG FFFF 2026-01-01 1\n\
            [GNUPG:] NEWSIG\n[GNUPG:] BADSIG CCCC Debian\n";
        insta::assert_snapshot!(judged(status).unwrap_err(), @"the index has a BAD signature (key CCCC): it was altered after it was signed; don't use this mirror");
    }

    #[test]
    fn an_expired_keys_signature_is_not_good_though_gpgv_calls_it_valid() {
        let status = "[GNUPG:] NEWSIG\n[GNUPG:] EXPKEYSIG BBBB Debian\n[GNUPG:] VALIDSIG FFFF 2026-01-01 1\n";
        assert!(matches!(judged(status), Err(VerifyError::Expired { .. })));
    }

    #[test]
    fn unknown_signers_are_named() {
        let status = "[GNUPG:] NEWSIG\n[GNUPG:] ERRSIG AAAA 1 8 01 1 9\n";
        insta::assert_snapshot!(judged(status).unwrap_err(), @"the index is signed by no key of /k.gpg (it names AAAA); update the package `debian-archive-keyring`, or give the right keyring with `--keyring FILE`");
    }

    #[test]
    fn a_message_with_two_signed_parts_is_refused() {
        assert!(is_one_message(
            format!("{ARMOUR}\nHash: SHA256\n\nx\n").as_bytes()
        ));
        assert!(!is_one_message(format!("x\n{ARMOUR}\nx\n").as_bytes()));
        assert!(!is_one_message(
            format!("{ARMOUR}\nx\n{ARMOUR}\ny\n").as_bytes()
        ));
        assert!(!is_one_message(b"Suite: sid\n"));
    }
}
