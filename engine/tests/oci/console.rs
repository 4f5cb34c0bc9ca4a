//! Terminals that are handed over.

use std::io::{IoSliceMut, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::json;

use crate::scene::Scene;

/// The descriptor that comes over a connection, and the data with it.
#[expect(unsafe_code, reason = "descriptors by number")]
pub(crate) fn receive(connection: &UnixStream) -> (OwnedFd, Vec<u8>) {
    let mut data = vec![0; 1 << 16];
    let mut control = nix::cmsg_space!([i32; 1]);
    let mut buffers = [IoSliceMut::new(&mut data)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let received = recvmsg::<()>(
        connection.as_raw_fd(),
        &mut buffers,
        Some(&mut control),
        flags,
    )
    .unwrap();
    let length = received.bytes;
    let Some(ControlMessageOwned::ScmRights(fds)) = received.cmsgs().unwrap().next() else {
        panic!("no descriptor came");
    };
    // SAFETY: it has just come with the message, and nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fds[0]) };
    (fd, data[..length].to_vec())
}

#[test]
fn the_terminal_comes_over_the_socket_and_is_the_containers() {
    let scene = Scene::new("read line; echo got $line; tty; stty size; exec sleep 600")
        .set("/process/terminal", json!(true))
        .set("/process/consoleSize", json!({"height": 33, "width": 77}));
    let path = scene.path("console.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let socket = path.to_str().unwrap();
    scene
        .leave(["create", "--console-socket", socket, "c"])
        .success();
    let (connection, _) = listener.accept().unwrap();
    let (master, _) = receive(&connection);
    scene.start().success();
    let mut master = std::fs::File::from(master);
    master.write_all(b"hello\n").unwrap();
    let mut text = String::new();
    let mut chunk = [0; 256];
    while !text.contains("33 77") {
        let length = master.read(&mut chunk).unwrap();
        text.push_str(std::str::from_utf8(&chunk[..length]).unwrap());
    }
    assert!(text.contains("got hello"), "{text}");
    assert!(text.contains("/dev/pts/0"), "{text}");
}

#[test]
fn a_terminal_needs_somebody_to_take_it_and_a_socket_needs_a_terminal() {
    let scene = Scene::new("true").set("/process/terminal", json!(true));
    scene.create().failure("--console-socket");
    scene.assert_gone();
    let scene = Scene::new("true");
    scene
        .leave(["create", "--console-socket", "/nonexistent", "c"])
        .failure("process.terminal");
    scene.assert_gone();
}

#[test]
fn a_socket_that_nobody_listens_on_leaves_no_container() {
    let scene = Scene::new("true").set("/process/terminal", json!(true));
    scene
        .leave(["create", "--console-socket", "/nonexistent/socket", "c"])
        .failure("/nonexistent/socket");
    scene.assert_gone();
}
