//! Keys that certificates are signed with: Ed25519, as PKCS#8 PEM files.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::Signer;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use sha2::{Digest, Sha256};

/// A key file is no longer than this.
const MAX_KEY_FILE: u64 = 64 << 10;

/// Whether a key outlives the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// It is in a file, and signs many runs.
    Kept,
    /// It was made for one run and forgotten: it proves that nothing was changed, not by whom
    /// the run was made.
    Ephemeral,
}

/// A private key.
pub struct SigningKey {
    secret: ed25519_dalek::SigningKey,
    public: PublicKey,
    lifetime: Lifetime,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file system refused.
    #[error("key {} can't be {verb}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        verb: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Others can read the private key.
    #[error("private key {path} can be read by others (mode {mode:04o}): `chmod 600 {path}`, and think about who may have read it", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no Ed25519 key in PEM.
    #[error("{} is no Ed25519 {kind} in PEM ({expected})", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should be.
        kind: &'static str,
        /// The form.
        expected: &'static str,
    },
    /// The system gives no randomness.
    #[error("/dev/urandom gives no randomness to make a key of")]
    Randomness(#[source] io::Error),
}

impl SigningKey {
    /// A key that is used once and never stored.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub fn ephemeral() -> Result<Self, KeyError> {
        Self::generate(Lifetime::Ephemeral)
    }

    /// The key in the file at `path`, which is made if it is not there, readable by its owner
    /// only, with the public key beside it.
    ///
    /// # Errors
    /// The file can't be made or read, others can read it, or it is no Ed25519 key.
    pub fn open_or_make(path: &Path) -> Result<Self, KeyError> {
        match Self::open(path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let key = Self::generate(Lifetime::Kept)?;
                match key.store(path) {
                    // Another run was faster: its key is as good.
                    Err(KeyError::Io { source, .. })
                        if source.kind() == io::ErrorKind::AlreadyExists =>
                    {
                        Self::open(path)
                    }
                    stored => stored.map(|()| key),
                }
            }
            opened => opened,
        }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Whether it outlives the run.
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.secret.sign(bytes).to_bytes()
    }

    fn new(secret: ed25519_dalek::SigningKey, lifetime: Lifetime) -> Self {
        let public = PublicKey(secret.verifying_key());
        Self {
            secret,
            public,
            lifetime,
        }
    }

    fn generate(lifetime: Lifetime) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut seed))
            .map_err(KeyError::Randomness)?;
        Ok(Self::new(
            ed25519_dalek::SigningKey::from_bytes(&seed),
            lifetime,
        ))
    }

    fn open(path: &Path) -> Result<Self, KeyError> {
        let (text, mode) = read(path)?;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
        let secret =
            ed25519_dalek::SigningKey::from_pkcs8_pem(&text).map_err(|_| KeyError::Format {
                path: path.to_owned(),
                kind: "private key",
                expected: "PKCS#8, as `openssl genpkey -algorithm ed25519` makes it",
            })?;
        Ok(Self::new(secret, Lifetime::Kept))
    }

    /// Writes both halves; whoever finds the private one finds it whole.
    fn store(&self, path: &Path) -> Result<(), KeyError> {
        let error = |verb| {
            move |source| KeyError::Io {
                path: path.to_owned(),
                verb,
                source,
            }
        };
        let pem = (self.secret.to_pkcs8_pem(LineEnding::LF)).map_err(|_| KeyError::Format {
            path: path.to_owned(),
            kind: "private key",
            expected: "PKCS#8",
        })?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        fs::create_dir_all(dir).map_err(error("given a folder"))?;
        // Temporary files are made with mode 0600, and a link to one never replaces a key.
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(error("made"))?;
        file.write_all(pem.as_bytes())
            .and_then(|()| file.as_file().sync_all())
            .map_err(error("written"))?;
        file.persist_noclobber(path)
            .map_err(|refused| error("made")(refused.error))?;
        let public = public_path(path);
        fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .open(&public)
            .and_then(|mut file| file.write_all(self.public.to_pem().as_bytes()))
            .map_err(|source| KeyError::Io {
                path: public,
                verb: "written",
                source,
            })
    }
}

impl fmt::Debug for SigningKey {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("id", &self.public.id())
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

impl PublicKey {
    /// The key in a PEM file: a public one, or the public half of a private one.
    ///
    /// # Errors
    /// It can't be read, or is no Ed25519 key.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let (text, _) = read(path)?;
        Self::from_pem(&text)
            .or_else(|| {
                let secret = ed25519_dalek::SigningKey::from_pkcs8_pem(&text).ok()?;
                Some(Self(secret.verifying_key()))
            })
            .ok_or_else(|| KeyError::Format {
                path: path.to_owned(),
                kind: "public key",
                expected: "SubjectPublicKeyInfo, as `openssl pkey -pubout` makes it",
            })
    }

    /// Reads a PEM text.
    pub fn from_pem(text: &str) -> Option<Self> {
        let key = ed25519_dalek::VerifyingKey::from_public_key_pem(text).ok()?;
        Some(Self(key))
    }

    /// The key as PEM.
    pub fn to_pem(&self) -> String {
        // A key of fixed length can always be encoded.
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// The key's name: SHA-256 of its DER form, which is what
    /// `openssl pkey -pubin -outform DER | sha256sum` gives.
    pub fn id(&self) -> String {
        let der = self.0.to_public_key_der();
        let digest = Sha256::digest(der.as_ref().map_or(&[][..], |der| der.as_bytes()));
        format!("{digest:x}")
    }

    pub(super) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        ed25519_dalek::Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(bytes, &signature).is_ok())
    }
}

/// Where the user's own key is in their configuration folder, unless `--key` says otherwise.
pub fn path_in(config: &Path) -> PathBuf {
    config.join("signing-key.pem")
}

/// Where the public half of the key at `path` is.
pub fn public_path(path: &Path) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(".pub.pem");
    path.with_file_name(name)
}

fn read(path: &Path) -> Result<(String, u32), KeyError> {
    let error = |source| KeyError::Io {
        path: path.to_owned(),
        verb: "read",
        source,
    };
    let file = File::open(path).map_err(error)?;
    let mode = file.metadata().map_err(error)?.permissions().mode() & 0o7777;
    let mut text = String::new();
    file.take(MAX_KEY_FILE)
        .read_to_string(&mut text)
        .map_err(error)?;
    Ok((text, mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_key_is_made_once_and_readable_by_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/folder/signing-key.pem");
        let made = SigningKey::open_or_make(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        let again = SigningKey::open_or_make(&path).unwrap();
        assert_eq!(again.public(), made.public());
        let public = dir.path().join("new/folder/signing-key.pub.pem");
        assert_eq!(PublicKey::open(&public).unwrap(), *made.public());
        assert_eq!(PublicKey::open(&path).unwrap(), *made.public());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        SigningKey::open_or_make(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = SigningKey::open_or_make(&path).unwrap_err();
        assert!(
            matches!(error, KeyError::Exposed { mode: 0o640, .. }),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_key_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap()
            .write_all(b"not a key")
            .unwrap();
        assert!(matches!(
            SigningKey::open_or_make(&path),
            Err(KeyError::Format { .. })
        ));
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }

    #[test]
    fn the_id_is_what_openssl_makes_of_the_key() {
        // RFC 8410, section 10.1: its public key, and `openssl pkey -pubin -outform DER | sha256sum`.
        let pem = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
            -----END PUBLIC KEY-----\n";
        let id = PublicKey::from_pem(pem).unwrap().id();
        assert_eq!(
            id,
            "a1e9156054e04fac899ae9f275132cdc07a5dbc4ea2c2ad3a1ffc6e0d253681f"
        );
    }
}
