//! The network's interfaces, asked for by rtnetlink(7), which needs no file system.

use alloc::string::String;
use alloc::vec::Vec;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// Whether an interface is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It has `IFF_UP`.
    Up,
    /// It has not.
    Down,
}

/// The length of `struct nlmsghdr`: length, type, flags, sequence, port.
const HEADER: usize = 16;
/// The length of `struct ifinfomsg` behind it: family, type, index, flags, change.
const LINK: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const IFLA_IFNAME: u16 = 3;
const IFF_UP: u32 = 1;

const RTM_GETLINK: u16 = 18;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const ALL: u16 = 0x301;

/// Calls `found` for every interface.
pub(crate) fn each(mut found: impl FnMut(&str, State)) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    let mut request = Vec::with_capacity(HEADER + LINK);
    request.extend(32_u32.to_ne_bytes());
    request.extend(RTM_GETLINK.to_ne_bytes());
    request.extend(ALL.to_ne_bytes());
    // Of any family, and the rest as it comes.
    request.resize(HEADER + LINK, 0);
    send(&socket, &request, SendFlags::empty())?;
    // The most that the kernel puts into one answer.
    let mut room = alloc::vec![0; 32 << 10];
    loop {
        let (length, _) = retry_on_intr(|| recv(&socket, &mut *room, RecvFlags::empty()))?;
        if read(room.get(..length).unwrap_or_default(), &mut found)? == Answer::Complete {
            return Ok(());
        }
    }
}

/// Whether more is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Complete,
    Partial,
}

/// Reads one datagram of messages.
fn read(mut datagram: &[u8], found: &mut impl FnMut(&str, State)) -> Result<Answer, Errno> {
    if datagram.is_empty() {
        return Ok(Answer::Complete);
    }
    while let Some(length) = word(datagram, 0) {
        let (message, rest) = take(datagram, length as usize)?;
        datagram = rest;
        match half(message, 4) {
            Some(NLMSG_DONE) => return Ok(Answer::Complete),
            Some(NLMSG_ERROR) => {
                let negated = word(message, HEADER).unwrap_or(0);
                let errno = i32::try_from(negated.wrapping_neg()).unwrap_or(0);
                return Err(Errno::from_raw_os_error(errno));
            }
            Some(RTM_NEWLINK) => {
                let up = word(message, HEADER + 8).unwrap_or(0) & IFF_UP != 0;
                let state = if up { State::Up } else { State::Down };
                if let Some(name) = name(message.get(HEADER + LINK..).unwrap_or_default())? {
                    found(&name, state);
                }
            }
            Some(_) | None => {}
        }
    }
    Ok(Answer::Partial)
}

/// The name among a link's attributes.
fn name(mut attributes: &[u8]) -> Result<Option<String>, Errno> {
    while let (Some(length), Some(kind)) = (half(attributes, 0), half(attributes, 2)) {
        let (attribute, rest) = take(attributes, usize::from(length))?;
        attributes = rest;
        if kind == IFLA_IFNAME {
            let name = attribute.get(4..).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            return Ok(Some(String::from_utf8_lossy(name).into_owned()));
        }
    }
    Ok(None)
}

/// The first `length` bytes, and what lies behind them on the next multiple of four. Every
/// length counts its own field.
fn take(bytes: &[u8], length: usize) -> Result<(&[u8], &[u8]), Errno> {
    let first = bytes
        .get(..length)
        .filter(|first| first.len() >= 4)
        .ok_or(Errno::BADMSG)?;
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    Ok((first, rest))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn this_machine_has_a_loopback() {
        let mut names = Vec::new();
        each(|name, _| names.push(name.to_string())).unwrap();
        assert!(names.contains(&"lo".to_string()), "{names:?}");
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        for bad in [&[0; 16][..], &[255; 16], &[17, 0, 0, 0, 16, 0]] {
            assert!(read(bad, &mut |_, _| ()).is_err(), "{bad:?}");
        }
    }
}
