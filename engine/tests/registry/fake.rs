//! A registry that does as a test says.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use keel::image::digest::Digest;
use serde_json::json;

use super::scene::sample::Sample;

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    /// By names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Whole(Vec<u8>),
    /// The connection ends after so many bytes of all.
    Cut(Vec<u8>, usize),
    /// Without a length, and without an end.
    Endless,
    /// A byte now and then: the next one when so many milliseconds are over.
    Drip(u64),
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Body::Whole(body.as_ref().to_vec()),
        }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn cut_after(mut self, bytes: usize) -> Self {
        if let Body::Whole(whole) = self.body {
            self.body = Body::Cut(whole, bytes);
        }
        self
    }

    pub(crate) fn endless() -> Self {
        Self {
            body: Body::Endless,
            ..Self::new(200, "")
        }
    }

    pub(crate) fn drip(pause_ms: u64) -> Self {
        Self {
            body: Body::Drip(pause_ms),
            ..Self::new(200, "")
        }
    }

    fn write(self, method: &str, to: &mut TcpStream) -> std::io::Result<()> {
        write!(
            to,
            "HTTP/1.1 {} Because\r\nConnection: close\r\n",
            self.status
        )?;
        for (name, value) in &self.headers {
            write!(to, "{name}: {value}\r\n")?;
        }
        if let Body::Whole(bytes) | Body::Cut(bytes, _) = &self.body {
            write!(to, "Content-Length: {}\r\n", bytes.len())?;
        }
        write!(to, "\r\n")?;
        if method == "HEAD" {
            return Ok(());
        }
        match self.body {
            Body::Whole(bytes) => to.write_all(&bytes),
            Body::Cut(bytes, length) => to.write_all(&bytes[..length.min(bytes.len())]),
            // Until the other side has had enough.
            Body::Endless => loop {
                to.write_all(&[b' '; 4096])?;
            },
            Body::Drip(pause_ms) => loop {
                to.write_all(b" ")?;
                thread::sleep(std::time::Duration::from_millis(pause_ms));
            },
        }
    }
}

/// It listens until it is dropped.
pub(crate) struct Fake {
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let stop: Arc<AtomicBool> = Arc::default();
        let (noted, stopped, answer) = (Arc::clone(&asked), Arc::clone(&stop), Arc::new(answer));
        let listening = thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (mut stream, noted, answer) =
                    (stream.unwrap(), Arc::clone(&noted), Arc::clone(&answer));
                thread::spawn(move || {
                    let Some(request) = read(&stream) else { return };
                    noted.lock().unwrap().push(request.clone());
                    let reply = answer(&request);
                    // Whoever asked may be gone.
                    reply.write(&request.method, &mut stream).ok();
                    stream.shutdown(Shutdown::Write).ok();
                    // What was not read would reset the connection before the answer is read.
                    std::io::copy(&mut stream, &mut std::io::sink()).ok();
                });
            }
        });
        Self {
            address,
            asked,
            stop,
            listening: Some(listening),
        }
    }

    pub(crate) fn name(&self, path: &str) -> String {
        format!("{}/{path}", self.address)
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }

    /// Those to a path that has `part` in it.
    pub(crate) fn asked_for(&self, part: &str) -> Vec<Request> {
        let mut asked = self.asked();
        asked.retain(|request| request.path.contains(part));
        asked
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the one that listens.
        TcpStream::connect(&self.address).ok();
        if let Some(listening) = self.listening.take() {
            listening.join().ok();
        }
    }
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length: usize = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        headers,
        body,
    })
}

/// An image as a registry has it, in a repository called `app` under the tag `1`.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) blobs: BTreeMap<Digest, Vec<u8>>,
    pub(crate) manifest: Vec<u8>,
}

pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Served {
    pub(crate) fn new(sample: &Sample, pack: impl Fn(&[u8]) -> Vec<u8>) -> Self {
        let files = sample.oci(pack, &json!({}));
        let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
        let digest = index["manifests"][0]["digest"].as_str().unwrap();
        let blobs: BTreeMap<Digest, Vec<u8>> = files
            .into_iter()
            .filter(|(name, _)| name.starts_with("blobs/"))
            .map(|(_, bytes)| (Digest::of(&bytes), bytes))
            .collect();
        let manifest = blobs[&digest.parse().unwrap()].clone();
        Self { blobs, manifest }
    }

    pub(crate) fn usual() -> Self {
        Self::new(&Sample::usual(), super::scene::sample::gzip)
    }

    /// The layers' digests as the manifest has them.
    pub(crate) fn layers(&self) -> Vec<Digest> {
        let manifest: serde_json::Value = serde_json::from_slice(&self.manifest).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        layers
            .iter()
            .map(|layer| layer["digest"].as_str().unwrap().parse().unwrap())
            .collect()
    }

    /// What an honest registry answers.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        let name = request.path.rsplit('/').next().unwrap();
        let digest: Option<Digest> = name.parse().ok();
        if request.path == "/v2/" {
            return Reply::new(200, "{}").header("Content-Type", "application/json");
        }
        if request.path.starts_with("/v2/app/manifests/") {
            let manifest = match digest {
                None if name == "1" => Some(&self.manifest),
                None => None,
                Some(digest) => self.blobs.get(&digest),
            };
            return manifest.map_or_else(not_found, |bytes| {
                Reply::new(200, bytes)
                    .header("Content-Type", MANIFEST)
                    .header("Docker-Content-Digest", Digest::of(bytes).to_string())
            });
        }
        match digest.and_then(|digest| self.blobs.get(&digest)) {
            Some(bytes) => blob(request, bytes),
            None => not_found(),
        }
    }
}

/// A blob, or the part of it that was asked for.
pub(crate) fn blob(request: &Request, bytes: &[u8]) -> Reply {
    let from = request.headers.get("range").map(|range| {
        let range = range.strip_prefix("bytes=").unwrap();
        range.trim_end_matches('-').parse::<usize>().unwrap()
    });
    match from {
        None => Reply::new(200, bytes),
        Some(from) if from >= bytes.len() => Reply::new(416, ""),
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            Reply::new(206, &bytes[from..]).header("Content-Range", range)
        }
    }
}

pub(crate) fn not_found() -> Reply {
    Reply::new(
        404,
        r#"{"errors":[{"code":"NOT_FOUND","message":"no such thing"}]}"#,
    )
    .header("Content-Type", "application/json")
}
