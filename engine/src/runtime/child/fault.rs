//! What the child tells its parent: where it failed, or that its terminal comes with the message.

use nix::errno::Errno;

use crate::runtime::hooks::HookEnd;

/// The step at which the child failed; with an index into the plan's list for that step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::runtime) enum At {
    /// Waiting for the parent's word.
    Parent,
    /// Creating namespaces.
    Namespaces,
    /// Creating the cgroup namespace.
    CgroupNamespace,
    /// Joining an existing namespace (index: which of the plan's).
    Join,
    /// Bringing loopback up.
    Loopback,
    /// Cutting the mount tree off from the host's.
    Propagation,
    /// Binding the root file system onto itself and opening it.
    Rootfs,
    /// Finding or making the place of a mount (index: which).
    MountPlace,
    /// A mount's place lies in /proc (index: which).
    MountInProc,
    /// A mount (index: which).
    Mount,
    /// Changing a mount's flags or propagation (index: which).
    MountFlags,
    /// Making a device (index: which).
    Device,
    /// Making one of /dev's links (index: which).
    Link,
    /// Making the working folder.
    MakeWorkingFolder,
    /// Making the terminal.
    Console,
    /// Changing the root.
    Pivot,
    /// Making the root read-only.
    RootReadonly,
    /// Hiding a path (index: which).
    Mask,
    /// Making a path read-only (index: which).
    Readonly,
    /// /dev/null is something else.
    NullDevice,
    /// Host name.
    Hostname,
    /// Domain name.
    Domainname,
    /// A kernel parameter (index: which).
    Sysctl,
    /// Waiting for the call that starts the program.
    Call,
    /// A hook in the container's namespaces (index: which).
    CreateContainerHook,
    /// A hook in the container (index: which).
    StartContainerHook,
    /// The clocks of a time namespace.
    Clocks,
    /// Becoming the root of a user namespace.
    NamespaceRoot,
    /// A security label (index: which).
    Label,
    /// Scheduling, or the priority of input and output.
    Scheduling,
    /// The personality.
    Personality,
    /// New session or keyring.
    Session,
    /// The out-of-memory score.
    OomScore,
    /// A resource limit (index: which).
    Limit,
    /// `no_new_privs`.
    NoNewPrivileges,
    /// The bounding set.
    Bounding,
    /// Supplementary groups.
    Groups,
    /// Group.
    Group,
    /// User.
    User,
    /// Capability sets.
    Capabilities,
    /// Ambient capabilities.
    Ambient,
    /// Standard streams.
    Streams,
    /// Closing all descriptors.
    Seal,
    /// Entering the working folder.
    WorkingFolder,
    /// The working folder is outside the container.
    WorkingFolderOutside,
    /// The seccomp filter.
    Seccomp,
    /// Forking under the small init, or the pid namespace.
    Fork,
    /// Executing the program.
    Execute,
}

/// Every step, at the place of its number.
const STEPS: [At; 48] = [
    At::Parent,
    At::Namespaces,
    At::CgroupNamespace,
    At::Join,
    At::Loopback,
    At::Propagation,
    At::Rootfs,
    At::MountPlace,
    At::MountInProc,
    At::Mount,
    At::MountFlags,
    At::Device,
    At::Link,
    At::MakeWorkingFolder,
    At::Console,
    At::Pivot,
    At::RootReadonly,
    At::Mask,
    At::Readonly,
    At::NullDevice,
    At::Hostname,
    At::Domainname,
    At::Sysctl,
    At::Call,
    At::CreateContainerHook,
    At::StartContainerHook,
    At::Clocks,
    At::NamespaceRoot,
    At::Label,
    At::Scheduling,
    At::Personality,
    At::Session,
    At::OomScore,
    At::Limit,
    At::NoNewPrivileges,
    At::Bounding,
    At::Groups,
    At::Group,
    At::User,
    At::Capabilities,
    At::Ambient,
    At::Streams,
    At::Seal,
    At::WorkingFolder,
    At::WorkingFolderOutside,
    At::Seccomp,
    At::Fork,
    At::Execute,
];

/// A failure in the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtime) struct Fault {
    pub(in crate::runtime) at: At,
    pub(in crate::runtime) index: u16,
    pub(in crate::runtime) errno: Errno,
}

/// Attaches the step to an error number.
pub(super) trait Step<T> {
    /// The step failed.
    fn at(self, at: At) -> Result<T, Fault>;
    /// The step failed on the plan's item `index`.
    fn at_item(self, at: At, index: usize) -> Result<T, Fault>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn at(self, at: At) -> Result<T, Fault> {
        self.at_item(at, 0)
    }

    fn at_item(self, at: At, index: usize) -> Result<T, Fault> {
        self.map_err(|errno| Fault {
            at,
            index: u16::try_from(index).unwrap_or(u16::MAX),
            errno,
        })
    }
}

/// One packet from the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::runtime) enum Message {
    /// It failed and ends.
    Fault(Fault),
    /// The terminal's master is attached to this packet.
    Console,
    /// Its child under a joined pid namespace has this process id, in the parent's namespace.
    Forked(u32),
    /// It is set up: what is left is to give up privileges and to execute the program.
    Ready,
    /// Its mounts and devices are made; it waits for the runtime's hooks.
    Hooks,
    /// Its environment is complete; it waits to be recorded.
    Made,
    /// The descriptor of its filter's notifications is attached to this packet.
    Filter,
    /// How a hook failed, before the fault that says which.
    HookEnd(HookEnd),
}

impl Message {
    /// Kind, step, index (2), number (4); this machine's byte order, as it never leaves it.
    pub(in crate::runtime) fn encode(self) -> [u8; 8] {
        let (kind, at, index, number) = match self {
            Self::Fault(fault) => (1, fault.at as u8, fault.index, fault.errno as i32),
            Self::Console => (2, 0, 0, 0),
            Self::Forked(pid) => (3, 0, 0, i32::from_ne_bytes(pid.to_ne_bytes())),
            Self::Ready => (4, 0, 0, 0),
            Self::Hooks => (5, 0, 0, 0),
            Self::Made => (6, 0, 0, 0),
            Self::HookEnd(end) => (7, 0, 0, end.encode()),
            Self::Filter => (8, 0, 0, 0),
        };
        let [i0, i1] = index.to_ne_bytes();
        let [n0, n1, n2, n3] = number.to_ne_bytes();
        [kind, at, i0, i1, n0, n1, n2, n3]
    }

    /// The reverse of [`Message::encode`]; `None` for anything else.
    pub(in crate::runtime) fn decode(packet: &[u8]) -> Option<Self> {
        let &[kind, at, i0, i1, n0, n1, n2, n3] = packet else {
            return None;
        };
        let number = i32::from_ne_bytes([n0, n1, n2, n3]);
        match kind {
            1 => Some(Self::Fault(Fault {
                at: *STEPS.get(usize::from(at))?,
                index: u16::from_ne_bytes([i0, i1]),
                errno: Errno::from_raw(number),
            })),
            2 => Some(Self::Console),
            3 => Some(Self::Forked(u32::from_ne_bytes(number.to_ne_bytes()))),
            4 => Some(Self::Ready),
            5 => Some(Self::Hooks),
            6 => Some(Self::Made),
            7 => Some(Self::HookEnd(HookEnd::decode(number))),
            8 => Some(Self::Filter),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_survives_the_channel() {
        for (number, at) in STEPS.iter().enumerate() {
            assert_eq!(number, *at as usize);
            let message = Message::Fault(Fault {
                at: *at,
                index: 513,
                errno: Errno::EPERM,
            });
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        assert_eq!(At::Execute as usize + 1, STEPS.len());
    }

    #[test]
    fn a_torn_packet_is_no_message() {
        assert_eq!(Message::decode(&[1, 0, 0]), None);
        assert_eq!(Message::decode(&[1, 200, 0, 0, 0, 0, 0, 0]), None);
    }
}
