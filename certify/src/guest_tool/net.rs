//! Applets on the network.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::applet::{Applet, AppletError};

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

/// Sends a line to itself through 127.0.0.1.
fn loopback(_: &[String]) -> Result<String, AppletError> {
    // Not as text, for which the tool would carry the C library's whole resolver.
    let any_port = (Ipv4Addr::LOCALHOST, 0);
    let listener = TcpListener::bind(any_port).map_err(AppletError::failed("listen"))?;
    let address = listener
        .local_addr()
        .map_err(AppletError::failed("listen"))?;
    let mut near = TcpStream::connect(address).map_err(AppletError::failed("connect"))?;
    let (mut far, _) = listener.accept().map_err(AppletError::failed("accept"))?;
    near.write_all(b"round the loop\n")
        .map_err(AppletError::failed("send"))?;
    drop(near);
    let mut text = String::new();
    far.read_to_string(&mut text)
        .map_err(AppletError::failed("receive"))?;
    Ok(text)
}

/// `NAME up|down`, one interface a line, sorted.
fn interfaces(_: &[String]) -> Result<String, AppletError> {
    use nix::ifaddrs::getifaddrs;
    use nix::net::if_::InterfaceFlags;
    let mut lines: Vec<String> = getifaddrs()
        .map_err(AppletError::refused("getifaddrs"))?
        .map(|interface| {
            let up = interface.flags.contains(InterfaceFlags::IFF_UP);
            format!(
                "{} {}\n",
                interface.interface_name,
                if up { "up" } else { "down" }
            )
        })
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines.concat())
}
