//! The guest channel from end to end: the client of the harness against the server of a guest,
//! over this machine's own sockets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test's failure is a panic"
)]

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vm_images::agent::client::{Captured, Chunk, Client, Command, Input};
use vm_images::agent::frame::{Decoder, Frame, Kind, WINDOW};
use vm_images::agent::message::{Exec, ExitStatus, Facts, PROTOCOL, Reply, Request, TerminalSize};
use vm_images::agent::server::{End, ServeError, serve};
use vm_images::agent::{AgentError, Lost};
use vm_images::target::{Host, Target};

const MIB: usize = 1 << 20;

fn shell(script: &str) -> Command {
    Command::new("/bin/sh").args(["-c", script])
}

async fn capture(host: &Host, command: Command) -> Captured {
    let running = host.exec(command).await.unwrap();
    running.capture(8 * MIB).await.unwrap()
}

#[tokio::test]
async fn a_program_gets_what_was_asked_for_and_nothing_else() {
    let host = Host::start().await.unwrap();
    let command = Command::new("env").env("A", "b c").cwd("/proc");
    let env = capture(&host, command).await;
    assert_eq!(env.exit.status, ExitStatus::Code(0));
    let mut lines: Vec<_> = std::str::from_utf8(&env.stdout).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines[0], "A=b c");
    assert_eq!(lines[1], "HOME=/root");
    assert!(lines[2].starts_with("PATH=/usr/local/sbin:"), "{lines:?}");
    assert_eq!(lines.len(), 3);

    let command = shell("pwd; echo problem >&2; read line || echo no input; exit 7").cwd("/proc");
    let sh = capture(&host, command).await;
    assert_eq!(sh.exit.status, ExitStatus::Code(7));
    assert_eq!(sh.stdout, b"/proc\nno input\n");
    assert_eq!(sh.stderr, b"problem\n");
    assert!(sh.exit.usage.max_rss_kib > 0, "{:?}", sh.exit.usage);
}

#[tokio::test]
async fn a_signal_reaches_the_program_and_is_its_exit_status() {
    let host = Host::start().await.unwrap();
    let mut running = host.exec(shell("echo up; exec sleep 1000")).await.unwrap();
    assert_eq!(
        running.next().await.unwrap(),
        Some(Chunk::Output(b"up\n".to_vec()))
    );
    running.signal(15).unwrap();
    let exit = running.wait().await.unwrap();
    assert_eq!(exit.status, ExitStatus::Signal(15));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_answer_with_its_error_number() {
    let host = Host::start().await.unwrap();
    let error = host.exec(Command::new("/no/such")).await.unwrap_err();
    let AgentError::Refused(refusal) = error else {
        panic!("{error:?}");
    };
    assert_eq!(refusal.errno, Some(2));
    insta::assert_snapshot!(refusal.message, @"can't run `/no/such`: No such file or directory (os error 2)");
}

#[tokio::test]
async fn megabytes_of_input_and_output_pass_whole_and_in_order() {
    let host = Host::start().await.unwrap();
    let bytes: Vec<u8> = (0..=250_u8).cycle().take(3 * MIB).collect();
    let command = Command::new("cat").input(Input::Bytes(bytes.clone()));
    let cat = capture(&host, command).await;
    assert!(cat.stdout == bytes, "{} bytes came back", cat.stdout.len());
}

#[tokio::test]
async fn input_that_a_program_does_not_read_blocks_nobody() {
    let host = Host::start().await.unwrap();
    let mut running = host
        .exec(shell("exec <&-; echo closed").input(Input::Piped))
        .await
        .unwrap();
    let input = running.take_input().unwrap();
    let written = async {
        // More than pipe and window hold: returns only if it is thrown away.
        let _closed = input.write(&vec![0; MIB]).await;
    };
    let (exit, ()) = tokio::join!(running.wait(), written);
    assert_eq!(exit.unwrap().status, ExitStatus::Code(0));
}

#[tokio::test]
async fn many_programs_run_at_once() {
    let host = Host::start().await.unwrap();
    let mut set = tokio::task::JoinSet::new();
    let host = std::sync::Arc::new(host);
    for number in 0..20 {
        let host = host.clone();
        set.spawn(async move {
            let seq = capture(&host, shell(&format!("seq 20000; echo {number}"))).await;
            assert!(
                seq.stdout
                    .ends_with(format!("20000\n{number}\n").as_bytes())
            );
        });
    }
    for result in set.join_all().await {
        let () = result;
    }
}

#[tokio::test]
async fn a_daemon_that_keeps_the_output_open_does_not_hold_its_starter_up() {
    let host = Host::start().await.unwrap();
    let mut running = host.exec(shell("sleep 1000 & echo $!")).await.unwrap();
    let Some(Chunk::Output(pid)) = running.next().await.unwrap() else {
        panic!("no output");
    };
    let exit = running.wait().await.unwrap();
    assert_eq!(exit.status, ExitStatus::Code(0));
    let pid = String::from_utf8(pid).unwrap();
    let kill = capture(&host, shell(&format!("kill {pid}"))).await;
    assert_eq!(
        kill.exit.status,
        ExitStatus::Code(0),
        "it was still running"
    );
}

#[tokio::test]
async fn a_program_that_nobody_waits_for_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("held");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let host = Host::start().await.unwrap();
    let script = format!("exec 9>{}; sleep 1000 & echo up; wait", fifo.display());
    let mut running = host.exec(shell(&script)).await.unwrap();
    let path = fifo.clone();
    let mut held = tokio::task::spawn_blocking(move || fs::File::open(path).unwrap())
        .await
        .unwrap();
    assert!(running.next().await.unwrap().is_some());
    drop(running);
    // The end comes when the last process that holds the other end is gone.
    let read = tokio::task::spawn_blocking(move || held.read(&mut [0; 1]).unwrap());
    assert_eq!(read.await.unwrap(), 0);
}

#[tokio::test]
async fn programs_end_with_their_host_and_not_when_the_runtime_comes_to_it() {
    let host = Host::start().await.unwrap();
    let mut running = host.exec(shell("echo $$; exec sleep 1000")).await.unwrap();
    let Some(Chunk::Output(pid)) = running.next().await.unwrap() else {
        panic!("it says nothing");
    };
    let stat = format!("/proc/{}/stat", String::from_utf8(pid).unwrap().trim());
    drop((running, host));
    // Nothing is awaited any more, so no task of the client's runs again.
    let deadline = Instant::now() + Duration::from_secs(60);
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z")) {
        assert!(Instant::now() < deadline, "it lives on");
        thread::yield_now();
    }
}

#[tokio::test]
async fn a_terminal_has_the_size_that_was_asked_for_and_changes_it() {
    let host = Host::start().await.unwrap();
    let size = TerminalSize {
        rows: 33,
        columns: 99,
    };
    let script = "trap 'stty size; exit 3' WINCH; test -t 0 && stty size; while :; do read x; done";
    let mut running = host.exec(shell(script).terminal(size)).await.unwrap();
    assert_eq!(
        running.next().await.unwrap(),
        Some(Chunk::Output(b"33 99\r\n".to_vec()))
    );
    running
        .resize(TerminalSize {
            rows: 10,
            columns: 20,
        })
        .unwrap();
    let captured = running.capture(MIB).await.unwrap();
    assert_eq!(captured.stdout, b"10 20\r\n");
    assert_eq!(captured.exit.status, ExitStatus::Code(3));
}

#[tokio::test]
async fn what_is_put_is_what_is_got() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start().await.unwrap();
    let (from, back) = (folder.path().join("from"), folder.path().join("back"));
    let bytes: Vec<u8> = (0..=252_u8).cycle().take(MIB + 5).collect();
    fs::write(&from, &bytes).unwrap();
    let there = folder.path().join("made/by/put");
    let there = there.to_str().unwrap();
    host.put(&from, there, 0o750).await.unwrap();
    host.get(there, &back).await.unwrap();
    assert!(fs::read(&back).unwrap() == bytes);
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(there), 0o750);
    let names = fs::read_dir(folder.path().join("made/by")).unwrap().count();
    assert_eq!(names, 1, "no part is left");
}

#[tokio::test]
async fn files_that_cannot_be_moved_are_answers_that_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::start().await.unwrap();
    let to = folder.path().join("to");
    let error = host.get("/no/such", &to).await.unwrap_err();
    insta::assert_snapshot!(error, @"can't read /no/such: No such file or directory (os error 2)");
    let error = host.get("/dev", &to).await.unwrap_err();
    insta::assert_snapshot!(error, @"can't read /dev: it is no regular file");
    let from = folder.path().join("from");
    fs::write(&from, vec![7; 2 * MIB]).unwrap();
    let error = host.put(&from, "/proc/no/such", 0o644).await.unwrap_err();
    insta::assert_snapshot!(error, @"can't write /proc/no/such: No such file or directory (os error 2)");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_target_that_is_off_answers_nothing_more() {
    let host = Host::start().await.unwrap();
    let mut running = host.exec(shell("exec sleep 1000")).await.unwrap();
    Box::new(host).power_off().await.unwrap();
    assert!(matches!(running.next().await, Err(AgentError::Lost(_))));
}

/// A server, and a bare connection to it.
struct Bare {
    socket: UnixStream,
    decoder: Decoder,
    server: JoinHandle<Result<End, ServeError>>,
}

impl Bare {
    fn start() -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let reader = OwnedFd::from(theirs.try_clone().unwrap());
        Self {
            socket,
            decoder: Decoder::default(),
            server: thread::spawn(|| serve(reader, OwnedFd::from(theirs))),
        }
    }

    fn send(&mut self, kind: Kind, stream: u32, payload: &[u8]) {
        let frame = Frame::new(kind, stream, payload);
        self.socket.write_all(&frame.encode()).unwrap();
    }

    fn request(&mut self, stream: u32, request: &Request) {
        let json = serde_json::to_vec(request).unwrap();
        self.send(Kind::Request, stream, &json);
    }

    fn receive(&mut self) -> Frame {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.decoder.next_frame().unwrap() {
                return frame;
            }
            let count = self.socket.read(&mut buffer).unwrap();
            assert!(count > 0, "the server has gone");
            self.decoder.push(&buffer[..count]);
        }
    }

    fn reply(&mut self) -> Reply {
        let frame = self.receive();
        assert_eq!(frame.kind, Kind::Reply);
        serde_json::from_slice(&frame.payload).unwrap()
    }

    fn exec(&mut self, stream: u32, script: &str) {
        self.request(
            stream,
            &Request::Exec(Exec {
                argv: ["/bin/sh", "-c", script].map(str::to_owned).into(),
                env: Vec::new(),
                cwd: None,
                input: false,
                terminal: None,
            }),
        );
        assert!(matches!(self.reply(), Reply::Started { .. }));
    }

    fn end(self) -> Result<End, ServeError> {
        drop(self.socket);
        self.server.join().unwrap()
    }
}

#[test]
fn a_server_sends_no_more_than_it_was_allowed_and_stays_responsive() {
    let mut bare = Bare::start();
    bare.exec(1, "while :; do echo endless; done");
    let mut received = 0;
    while received < WINDOW {
        let frame = bare.receive();
        assert_eq!((frame.kind, frame.stream), (Kind::Output, 1));
        received += frame.payload.len();
    }
    assert_eq!(received, WINDOW);
    bare.send(Kind::Ping, 0, &[]);
    assert_eq!(bare.receive().kind, Kind::Pong, "not one byte more");
    bare.send(Kind::Credit, 1, &Frame::credit(1, Kind::Output, 10).payload);
    assert_eq!(bare.receive().payload.len(), 10);
    assert_eq!(bare.end().unwrap(), End::Closed);
}

#[test]
fn a_client_that_sends_more_than_it_was_allowed_is_cut_off() {
    let mut bare = Bare::start();
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("nobody-reads");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    bare.request(
        1,
        &Request::Exec(Exec {
            argv: ["/bin/sleep", "1000"].map(str::to_owned).into(),
            env: Vec::new(),
            cwd: None,
            input: true,
            terminal: None,
        }),
    );
    assert!(matches!(bare.reply(), Reply::Started { .. }));
    // The pipe, what its writer holds, and the window; then the server hangs up.
    let frame = Frame::new(Kind::Input, 1, vec![0; 64 * 1024]).encode();
    let sent = (0..100)
        .take_while(|_| bare.socket.write_all(&frame).is_ok())
        .count();
    assert!(sent < 100);
    assert!(matches!(bare.end(), Err(ServeError::Protocol(_))));
}

#[test]
fn a_file_whose_digest_is_wrong_never_appears() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut bare = Bare::start();
    bare.request(
        5,
        &Request::Put {
            path: path.to_str().unwrap().to_owned(),
            mode: 0o644,
        },
    );
    bare.send(Kind::Input, 5, b"changed on the way");
    assert_eq!(bare.receive().kind, Kind::Credit);
    bare.send(Kind::Input, 5, b"");
    let sha256 = "0".repeat(64);
    bare.request(5, &Request::Commit { sha256 });
    let Reply::Failed(refusal) = bare.reply() else {
        panic!("it was accepted");
    };
    assert!(
        refusal.message.contains("was damaged on its way"),
        "{refusal:?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(bare.end().unwrap(), End::Closed);
}

#[test]
fn a_file_whose_sender_loses_interest_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    let mut bare = Bare::start();
    let put = |bare: &mut Bare, stream| {
        bare.request(
            stream,
            &Request::Put {
                path: path.to_str().unwrap().to_owned(),
                mode: 0o644,
            },
        );
        bare.send(Kind::Input, stream, b"half");
        assert_eq!(bare.receive().kind, Kind::Credit);
    };
    put(&mut bare, 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    bare.request(1, &Request::Cancel);
    // A cancelled stream's number is free again when nothing is left of it.
    bare.request(2, &Request::PowerOff);
    assert_eq!(bare.reply(), Reply::Done);
    assert_eq!(bare.end().unwrap(), End::PowerOff);
    // The operation's thread may still be at its last steps; its folder empties for sure.
    while fs::read_dir(folder.path()).unwrap().count() > 0 {
        thread::yield_now();
    }
}

/// A server made of what it answers, for what no good server does.
fn scripted() -> (Client, tokio::io::DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(MIB);
    let (reader, writer) = tokio::io::split(ours);
    (Client::new(reader, writer, None), theirs)
}

fn reply(stream: u32, reply: &Reply) -> Frame {
    Frame::new(Kind::Reply, stream, serde_json::to_vec(reply).unwrap())
}

fn facts(protocol: u32) -> Reply {
    Reply::Hello(Facts {
        protocol,
        version: String::new(),
        release: String::new(),
        machine: String::new(),
        hostname: String::new(),
        cpus: 1,
        memory_kib: 1,
        uptime_ms: 1,
        cgroup: None,
        filesystems: Vec::new(),
        warnings: Vec::new(),
    })
}

/// The loss behind an error.
fn loss(error: &AgentError) -> String {
    let AgentError::Lost(lost) = error else {
        panic!("{error:?}");
    };
    lost.to_string()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_noticed_in_ten_seconds() {
    let (client, mut theirs) = scripted();
    let answer = async {
        let mut asked = [0; 9];
        theirs.read_exact(&mut asked).await.unwrap();
        let hello = reply(1, &facts(PROTOCOL));
        theirs.write_all(&hello.encode()).await.unwrap();
    };
    let (facts, ()) = tokio::join!(client.hello(), answer);
    facts.unwrap();
    let begun = tokio::time::Instant::now();
    let error = client.sync().await.unwrap_err();
    assert_eq!(begun.elapsed().as_secs(), 10);
    insta::assert_snapshot!(loss(&error), @"the agent said nothing for 10 s");
}

#[tokio::test]
async fn a_server_of_another_version_is_refused() {
    let (client, mut theirs) = scripted();
    let hello = reply(1, &facts(99)).encode();
    let (answer, written) = tokio::join!(client.hello(), theirs.write_all(&hello));
    written.unwrap();
    insta::assert_snapshot!(loss(&answer.unwrap_err()), @"the agent speaks version 99 of the protocol, this program version 1: use the same `seaworthy` on both sides");
}

#[tokio::test]
async fn a_file_that_arrives_damaged_is_refused_and_does_not_appear() {
    let folder = tempfile::tempdir().unwrap();
    let (client, mut theirs) = scripted();
    let to = folder.path().join("to");
    let file = Reply::File {
        size: 3,
        mode: 0o644,
    };
    let digest = Reply::Digest {
        sha256: "0".repeat(64),
    };
    let (error, ()) = tokio::join!(client.get("/there", &to), async {
        for frame in [
            reply(1, &file),
            Frame::new(Kind::Output, 1, *b"abc"),
            Frame::new(Kind::Output, 1, *b""),
            reply(1, &digest),
        ] {
            theirs.write_all(&frame.encode()).await.unwrap();
        }
    });
    assert!(
        matches!(error, Err(AgentError::Damaged { .. })),
        "{error:?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_server_that_sends_more_than_it_was_allowed_is_cut_off() {
    let (client, mut theirs) = scripted();
    let exec = async {
        let running = client.exec(Command::new("x")).await.unwrap();
        // Taking nothing of it.
        let error = client.sync().await.unwrap_err();
        drop(running);
        error
    };
    let (error, ()) = tokio::join!(exec, async {
        let started = reply(1, &Reply::Started { pid: 1 });
        theirs.write_all(&started.encode()).await.unwrap();
        for _ in 0..=WINDOW / 65536 {
            let frame = Frame::new(Kind::Output, 1, vec![0; 65536]);
            theirs.write_all(&frame.encode()).await.unwrap();
        }
    });
    insta::assert_snapshot!(loss(&error), @"the agent broke the protocol: more output than was allowed");
}

#[tokio::test]
async fn the_end_of_a_connection_reaches_all_who_wait() {
    let (client, theirs) = scripted();
    let (first, second, ()) = tokio::join!(client.sync(), client.hello(), async { drop(theirs) });
    for error in [first.unwrap_err(), second.unwrap_err()] {
        let AgentError::Lost(lost) = &error else {
            panic!("{error:?}");
        };
        assert!(matches!(**lost, Lost::Closed | Lost::Io(_)), "{lost:?}");
    }
}

fn mutated_request() -> impl Strategy<Value = Vec<u8>> {
    let frame = Frame::new(
        Kind::Request,
        3,
        serde_json::to_vec(&Request::Put {
            path: "/proc/none".to_owned(),
            mode: 0,
        })
        .unwrap(),
    );
    (
        Just(frame.encode()),
        any::<prop::sample::Index>(),
        any::<u8>(),
    )
        .prop_map(|(mut bytes, at, value)| {
            let at = at.index(bytes.len());
            bytes[at] = value;
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn garbage_never_makes_a_server_panic(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        request in mutated_request(),
        at_end in any::<bool>(),
    ) {
        let mut bare = Bare::start();
        let (first, second) = if at_end { (request, garbage) } else { (garbage, request) };
        // The server may have hung up after the first part.
        let _cut = bare.socket.write_all(&first).and_then(|()| bare.socket.write_all(&second));
        // Joining fails on a panic.
        let _end = bare.end();
    }
}
