//! Applets on the network.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{Ipv4Addr, SocketAddrV4};

use rustix::fd::OwnedFd;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, accept_with, bind, connect, getsockname,
    listen, send, socket_with,
};

use crate::applet::{Applet, AppletError};
use crate::stream::{read_to_end, text_of};
use crate::sys::is_up;

pub(super) const APPLETS: &[Applet] = &[
    Applet {
        name: "loopback",
        usage: "",
        run: loopback,
    },
    Applet {
        name: "interfaces",
        usage: "",
        run: interfaces,
    },
];

fn tcp() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC;
    socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
}

/// Sends a line to itself through 127.0.0.1.
fn loopback(_: &[String]) -> Result<String, AppletError> {
    let any_port = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    let (listener, address) = tcp()
        .and_then(|socket| {
            bind(&socket, &any_port)?;
            listen(&socket, 128)?;
            let address = getsockname(&socket)?;
            Ok((socket, address))
        })
        .map_err(AppletError::refused("listen"))?;
    let near = tcp()
        .and_then(|socket| connect(&socket, &address).map(|()| socket))
        .map_err(AppletError::refused("connect"))?;
    let far = retry_on_intr(|| accept_with(&listener, SocketFlags::CLOEXEC))
        .map_err(AppletError::refused("accept"))?;
    send(&near, b"round the loop\n", SendFlags::NOSIGNAL).map_err(AppletError::refused("send"))?;
    drop(near);
    let mut bytes = Vec::new();
    read_to_end(&far, &mut bytes, 1 << 20).map_err(AppletError::refused("receive"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `NAME up|down`, one interface a line, sorted.
fn interfaces(_: &[String]) -> Result<String, AppletError> {
    // Unlike `/sys`, it shows the reader's own namespace, whoever mounted it.
    let table = text_of("/proc/net/dev").map_err(AppletError::refused("read /proc/net/dev"))?;
    let socket = tcp().map_err(AppletError::refused("socket"))?;
    let mut lines = Vec::new();
    // The lines of the head have no colon.
    for (name, _) in table.lines().filter_map(|line| line.split_once(':')) {
        let name = name.trim();
        let state =
            if is_up(&socket, name).map_err(AppletError::refused(format!("flags of {name}")))? {
                "up"
            } else {
                "down"
            };
        lines.push(format!("{name} {state}\n"));
    }
    lines.sort_unstable();
    Ok(lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_loopback() {
        let lines = interfaces(&[]).unwrap();
        assert!(lines.lines().any(|line| line.starts_with("lo ")), "{lines}");
    }
}
