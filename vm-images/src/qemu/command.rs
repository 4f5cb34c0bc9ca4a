//! QEMU's command line, as a function of what the machine is to be.
//!
//! The machine is the one that every x86 kernel since 3.8 knows (`pc`; virtio over PCI with the
//! legacy interface beside the modern one), with nothing in it that is not used.

use std::os::fd::RawFd;
use std::path::PathBuf;

use matrix::arch::Arch;
use matrix::axis::Accelerator;

use crate::agent::PORT;

/// What a machine is to be. Files are descriptors that QEMU inherits: they have no names, so
/// nothing of them remains, whatever ends this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Whose instructions it executes.
    pub arch: Arch,
    /// What executes them.
    pub accelerator: Accelerator,
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// Its processors.
    pub cpus: u32,
    /// The kernel: an ELF image with a PVH entry, or a bzImage.
    pub kernel: PathBuf,
    /// More words for the kernel's command line.
    pub kernel_arguments: Vec<String>,
    /// The initramfs.
    pub initramfs: RawFd,
    /// A connected socket, to which its console writes.
    pub console: RawFd,
    /// A connected socket, for QMP.
    pub qmp: RawFd,
    /// A connected socket, for the guest channel.
    pub agent: RawFd,
    /// Scratch disks.
    pub disks: Vec<RawFd>,
    /// Where its memory is.
    pub memory: Memory,
}

/// Where a machine's memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Nowhere else: it is gone with the machine.
    Own,
    /// In a file, in which it stays when the machine is saved.
    Kept(RawFd),
    /// As a saved machine left it, in a file that stays as it is: what the guest writes is its
    /// own. QEMU waits for the state of its devices.
    Restored(RawFd),
}

/// An architecture that no machine is known for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("micro targets of the architecture {0} are not supported: amd64 and i386 are")]
pub struct UnknownMachine(pub Arch);

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine {
    /// The program, searched in `PATH`.
    pub program: &'static str,
    /// The Debian package that it comes from.
    pub package: &'static str,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Machine {
    /// The command line of this machine.
    pub fn command_line(&self) -> Result<CommandLine, UnknownMachine> {
        let (program, package) = program(self.arch)?;
        let mut arguments = Arguments::default();
        arguments.flag("-nodefaults");
        arguments.flag("-no-user-config");
        // A guest that panics asks for a reboot (`panic=-1`): QEMU ends instead.
        arguments.flag("-no-reboot");
        arguments.pair("-display", "none");
        // What runs in the guest is not trusted, and QEMU needs none of this.
        arguments.pair(
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        );
        let mut machine = "pc,usb=off,vmport=off".to_owned();
        if let Some(file) = self.memory_file() {
            machine.push_str(",memory-backend=ram");
            arguments.pair("-object", file);
        }
        arguments.pair("-machine", machine);
        arguments.pair("-accel", acceleration(self.accelerator));
        arguments.pair("-cpu", processor(self.accelerator));
        arguments.pair("-m", format!("{}M", self.memory_mib));
        arguments.pair("-smp", self.cpus.to_string());
        arguments.pair("-kernel", self.kernel.display().to_string());
        arguments.pair("-initrd", inherited(self.initramfs));
        arguments.pair("-append", self.kernel_command_line());
        arguments.socket("qmp", self.qmp);
        arguments.pair("-mon", "chardev=qmp,mode=control");
        arguments.socket("console", self.console);
        arguments.pair("-device", "isa-serial,chardev=console");
        arguments.socket("agent", self.agent);
        arguments.pair("-device", "virtio-serial-pci,id=ports,max_ports=2");
        arguments.pair(
            "-device",
            format!("virtserialport,bus=ports.0,nr=1,chardev=agent,name={PORT}"),
        );
        for (index, &disk) in self.disks.iter().enumerate() {
            // What is on it is worth nothing after the machine's end.
            arguments.pair(
                "-drive",
                format!(
                    "if=none,id=disk{index},file={},format=raw,cache=unsafe,discard=unmap",
                    inherited(disk)
                ),
            );
            arguments.pair("-device", format!("virtio-blk-pci,drive=disk{index}"));
        }
        if matches!(self.memory, Memory::Restored(_)) {
            arguments.pair("-incoming", "defer");
        }
        Ok(CommandLine {
            program,
            package,
            arguments: arguments.0,
        })
    }

    /// The object that has its memory in a file.
    fn memory_file(&self) -> Option<String> {
        let (file, share) = match self.memory {
            Memory::Own => return None,
            Memory::Kept(file) => (file, "on"),
            Memory::Restored(file) => (file, "off"),
        };
        Some(format!(
            "memory-backend-file,id=ram,size={}M,mem-path={},share={share}",
            self.memory_mib,
            inherited(file)
        ))
    }

    fn kernel_command_line(&self) -> String {
        let mut words = vec![
            "console=ttyS0".to_owned(),
            "panic=-1".to_owned(),
            // The kernel waits for a few timer interrupts and panics when none comes ("IO-APIC +
            // timer doesn't work!"), which a busy host causes now and then.
            "no_timer_check".to_owned(),
            // Nobody else feeds a fresh guest's random number generator.
            "random.trust_cpu=on".to_owned(),
        ];
        words.extend(self.kernel_arguments.iter().cloned());
        words.join(" ")
    }
}

/// Under TCG all processors take turns in one thread. With a thread each, QEMU before 8.1 now and
/// then keeps the translation of an instruction that another processor is just writing; a kernel
/// that patches itself then meets its own breakpoint when the patch is long in place, and dies
/// of `Oops: int3` (decision 0065).
const fn acceleration(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Tcg => "tcg,thread=single",
        Accelerator::Kvm => "kvm",
        Accelerator::None => "none",
    }
}

/// The default model lacks what the newest distributions' programs need (x86-64-v2, v3).
///
/// Under TCG without what costs a guest most there and changes nothing that a container can see
/// (decision 0059):
/// - ERMS: a kernel that sees it clears and copies memory with `rep stosb` and `rep movsb`, which
///   TCG executes byte by byte; it then spends 40 % of a suite in `clear_page_erms`.
/// - LA57: page tables of five levels, walked by software at every miss.
/// - SMAP: `stac` and `clac` around every access to user memory, each of which ends a block.
const fn processor(accelerator: Accelerator) -> &'static str {
    match accelerator {
        Accelerator::Tcg => "max,-erms,-la57,-smap",
        Accelerator::Kvm | Accelerator::None => "max",
    }
}

/// The program that emulates an architecture, and the Debian package that it comes from.
pub(super) fn program(arch: Arch) -> Result<(&'static str, &'static str), UnknownMachine> {
    match arch {
        Arch::Amd64 => Ok(("qemu-system-x86_64", "qemu-system-x86")),
        Arch::I386 => Ok(("qemu-system-i386", "qemu-system-x86")),
        Arch::Arm64 | Arch::Armhf | Arch::S390x => Err(UnknownMachine(arch)),
    }
}

/// The path under which a process finds a descriptor that it has inherited.
fn inherited(fd: RawFd) -> String {
    format!("/proc/self/fd/{fd}")
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn flag(&mut self, name: &str) {
        self.0.push(name.to_owned());
    }

    fn pair(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(name.to_owned());
        self.0.push(value.into());
    }

    fn socket(&mut self, id: &str, fd: RawFd) {
        self.pair("-chardev", format!("socket,id={id},fd={fd}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            arch: Arch::Amd64,
            accelerator: Accelerator::Tcg,
            memory_mib: 512,
            cpus: 2,
            kernel: "/cache/vmlinux".into(),
            kernel_arguments: vec!["swapaccount=1".to_owned()],
            initramfs: 10,
            console: 11,
            qmp: 12,
            agent: 13,
            disks: vec![14, 15],
            memory: Memory::Own,
        }
    }

    /// The arguments, without those of a machine with memory of its own.
    fn about(memory: Memory) -> String {
        let arguments = |memory| {
            let machine = Machine {
                memory,
                ..machine()
            };
            machine.command_line().unwrap().arguments
        };
        let usual = arguments(Memory::Own);
        let others = arguments(memory).into_iter();
        let others: Vec<_> = others.filter(|word| !usual.contains(word)).collect();
        others.join("\n")
    }

    #[test]
    fn the_command_line_holds_only_what_is_used() {
        let line = machine().command_line().unwrap();
        let mut text = line.program.to_owned();
        for argument in &line.arguments {
            text.push_str(if argument.starts_with('-') { "\n" } else { " " });
            text.push_str(argument);
        }
        insta::assert_snapshot!(text, @r"
        qemu-system-x86_64
        -nodefaults
        -no-user-config
        -no-reboot
        -display none
        -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny
        -machine pc,usb=off,vmport=off
        -accel tcg,thread=single
        -cpu max,-erms,-la57,-smap
        -m 512M
        -smp 2
        -kernel /cache/vmlinux
        -initrd /proc/self/fd/10
        -append console=ttyS0 panic=-1 no_timer_check random.trust_cpu=on swapaccount=1
        -chardev socket,id=qmp,fd=12
        -mon chardev=qmp,mode=control
        -chardev socket,id=console,fd=11
        -device isa-serial,chardev=console
        -chardev socket,id=agent,fd=13
        -device virtio-serial-pci,id=ports,max_ports=2
        -device virtserialport,bus=ports.0,nr=1,chardev=agent,name=org.seaworthy.agent.0
        -drive if=none,id=disk0,file=/proc/self/fd/14,format=raw,cache=unsafe,discard=unmap
        -device virtio-blk-pci,drive=disk0
        -drive if=none,id=disk1,file=/proc/self/fd/15,format=raw,cache=unsafe,discard=unmap
        -device virtio-blk-pci,drive=disk1
        ");
    }

    #[test]
    fn memory_is_shared_with_its_file_until_it_is_saved() {
        let said = [Memory::Kept(16), Memory::Restored(17)].map(about);
        insta::assert_snapshot!(said.join("\n\n"), @r"
        -object
        memory-backend-file,id=ram,size=512M,mem-path=/proc/self/fd/16,share=on
        pc,usb=off,vmport=off,memory-backend=ram

        -object
        memory-backend-file,id=ram,size=512M,mem-path=/proc/self/fd/17,share=off
        pc,usb=off,vmport=off,memory-backend=ram
        -incoming
        defer
        ");
    }

    #[test]
    fn a_32_bit_machine_has_its_own_program() {
        let machine = Machine {
            arch: Arch::I386,
            ..machine()
        };
        assert_eq!(machine.command_line().unwrap().program, "qemu-system-i386");
    }

    #[test]
    fn an_architecture_without_a_machine_is_refused_by_name() {
        let machine = Machine {
            arch: Arch::S390x,
            ..machine()
        };
        insta::assert_snapshot!(machine.command_line().unwrap_err(), @"micro targets of the architecture s390x are not supported: amd64 and i386 are");
    }
}
