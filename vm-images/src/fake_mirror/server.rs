//! Serves files over HTTP on loopback, one connection a request.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What goes wrong with one answer; the next to the same path is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection ends after this many bytes of the body.
    BreakOff(usize),
    /// This status instead of the file.
    Status(u16),
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Vec<u8>>,
    faults: BTreeMap<String, Vec<Fault>>,
    /// Each request's path, with the first byte of its range.
    requests: Vec<(String, Option<usize>)>,
    ranges: bool,
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            files,
            ranges: true,
            ..State::default()
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = {
            let (state, stop) = (Arc::clone(&state), Arc::clone(&stop));
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let state = Arc::clone(&state);
                    std::thread::spawn(move || answer(stream, &state));
                }
            })
        };
        Self {
            address,
            state,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts a file in another's place.
    pub(crate) fn put(&self, path: &str, content: Vec<u8>) {
        self.state
            .lock()
            .unwrap()
            .files
            .insert(path.to_owned(), content);
    }

    /// Flips one bit in the middle of a file.
    pub(crate) fn tamper(&self, path: &str) {
        let mut state = self.state.lock().unwrap();
        let content = state.files.get_mut(path).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 1;
    }

    pub(crate) fn fail(&self, path: &str, faults: &[Fault]) {
        self.state
            .lock()
            .unwrap()
            .faults
            .insert(path.to_owned(), faults.to_vec());
    }

    pub(crate) fn without_ranges(&self) {
        self.state.lock().unwrap().ranges = false;
    }

    /// The requests since the last call.
    pub(crate) fn requests(&self) -> Vec<(String, Option<usize>)> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(&self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    let path = request
        .split(' ')
        .nth(1)
        .unwrap()
        .trim_start_matches('/')
        .to_owned();
    let headers: Vec<(String, String)> = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            line.split_once(": ")
                .map(|(k, v)| (k.to_lowercase(), v.to_owned()))
        })
        .collect();
    let header = |name: &str| {
        headers
            .iter()
            .find(|(k, _)| k == name)
            .map(|(_, v)| v.as_str())
    };
    let range = header("range").and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    });
    let (content, fault, ranges) = {
        let mut state = state.lock().unwrap();
        state.requests.push((path.clone(), range));
        let fault = state
            .faults
            .get_mut(&path)
            .filter(|f| !f.is_empty())
            .map(|f| f.remove(0));
        (state.files.get(&path).cloned(), fault, state.ranges)
    };
    let (status, content) = match (&fault, content) {
        (Some(Fault::Status(status)), _) => (*status, Vec::new()),
        (_, None) => (404, Vec::new()),
        (_, Some(content)) => (200, content),
    };
    let etag = format!(
        "\"{}-{}\"",
        content.len(),
        content.iter().map(|b| u64::from(*b)).sum::<u64>()
    );
    let fresh = header("if-range").is_none_or(|tag| tag == etag);
    let (head, body) = match range {
        Some(from) if status == 200 && ranges && fresh && from < content.len() => {
            let range = format!(
                "Content-Range: bytes {from}-{}/{}\r\n",
                content.len() - 1,
                content.len()
            );
            (
                format!("HTTP/1.1 206 Partial Content\r\n{range}"),
                &content[from..],
            )
        }
        _ => (format!("HTTP/1.1 {status} Whatever\r\n"), &content[..]),
    };
    let head = format!(
        "{head}ETag: {etag}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let body = match fault {
        Some(Fault::BreakOff(after)) => &body[..after.min(body.len())],
        _ => body,
    };
    // The client may have gone; that is its business.
    drop(
        stream
            .write_all(head.as_bytes())
            .and_then(|()| stream.write_all(body)),
    );
    drop(stream.shutdown(Shutdown::Both));
}
