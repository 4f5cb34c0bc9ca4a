//! Debian's `docker-registry` on a loopback port, for one test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// How the registry is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    None,
    /// A certificate of an authority of its own.
    Tls,
    /// Name and password: [`USER`], [`PASSWORD`].
    Password,
}

pub(crate) const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "sesame";
/// bcrypt of [`PASSWORD`], as `htpasswd -B` makes it.
const HTPASSWD: &str = "tester:$2b$05$abcdefghijklmnopqrstuuKcS.CYWVYVaLiiCKrrc0A5s3mGesJ9O\n";

/// A registry that runs.
#[derive(Debug)]
pub(crate) struct Registry {
    child: Child,
    folder: tempfile::TempDir,
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
}

impl Registry {
    pub(crate) fn start(protection: Protection) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (tls, auth) = match protection {
            Protection::None => (String::new(), String::new()),
            Protection::Tls => {
                make_certificates(folder.path());
                let (certificate, key) = (path("server.crt"), path("server.key"));
                let tls = format!(", tls: {{certificate: '{certificate}', key: '{key}'}}");
                (tls, String::new())
            }
            Protection::Password => {
                let file = path("htpasswd");
                fs::write(&file, HTPASSWD).unwrap();
                let auth = format!("auth: {{htpasswd: {{realm: test, path: '{file}'}}}}\n");
                (String::new(), auth)
            }
        };
        let config = format!(
            "version: 0.1\nlog: {{level: info}}\n\
             storage: {{filesystem: {{rootdirectory: '{}'}}}}\n\
             http: {{addr: '127.0.0.1:0', secret: 'x'{tls}}}\n{auth}",
            path("data")
        );
        fs::write(path("config.yml"), config).unwrap();
        let mut child = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("docker-registry: {error}; `packaging/install-deps test` installs it")
            });
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| {
                let (_, rest) = line.split_once("listening on ")?;
                Some(rest.split(['"', ',']).next()?.to_owned())
            })
            .expect("docker-registry ended before it listened");
        // It must not wait for somebody to read what else it says.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self {
            child,
            folder,
            address,
        }
    }

    /// The authority of its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// The name of a repository or image there.
    pub(crate) fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// Blobs that the registry keeps, each once.
    pub(crate) fn blobs(&self) -> usize {
        let folder = self
            .folder
            .path()
            .join("data/docker/registry/v2/blobs/sha256");
        let prefixes = fs::read_dir(folder).unwrap();
        prefixes
            .map(|prefix| fs::read_dir(prefix.unwrap().path()).unwrap().count())
            .sum()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It has nothing to lose.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An authority, and a certificate of it for this machine.
fn make_certificates(folder: &Path) {
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    openssl(
        folder,
        ["req", "-x509", "-days", "2", "-subj", "/CN=authority"]
            .iter()
            .chain(&key)
            .chain(&["-keyout", "ca.key", "-out", "ca.crt"]),
    );
    openssl(
        folder,
        ["req", "-subj", "/CN=registry"].iter().chain(&key).chain(&[
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ]),
    );
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").unwrap();
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            "server.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-extfile",
            "names",
            "-out",
            "server.crt",
        ],
    );
}

fn openssl<'a>(folder: &Path, args: impl IntoIterator<Item = &'a &'a str>) {
    let output = Command::new("openssl")
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| {
            panic!("openssl: {error}; `packaging/install-deps test` installs it")
        });
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
