//! Kernel configurations: the `.config` that a kernel was built from.
//!
//! The format is `scripts/kconfig`'s: `CONFIG_NAME=value` for what is set,
//! `# CONFIG_NAME is not set` for what could be but isn't. An option that is not mentioned at
//! all does not exist in that kernel, or something that it depends on is off; that difference
//! is what lets a judge see a vendor's backports.

use std::collections::HashMap;
use std::fmt;

use crate::arch::Arch;
use crate::version::KernelVersion;

/// The most bytes of text that are read as one configuration. The largest real ones, with
/// every option of a distribution's arm64 kernel, have about 340 KB.
pub const MAX_BYTES: usize = 16 << 20;

/// The longest name of an option that is accepted; the longest real ones have about 60 bytes.
const MAX_NAME: usize = 128;

/// What a configuration says about one option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setting {
    /// `=y`: built into the kernel.
    BuiltIn,
    /// `=m`: a module.
    Module,
    /// `is not set` or `=n`: the kernel has the option, and it is off.
    Off,
    /// A number or a string, without its quotes.
    Value(Box<str>),
}

/// A parsed configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kconfig {
    release: Option<String>,
    header_arch: Option<String>,
    options: HashMap<Box<str>, Setting>,
}

/// Why some bytes are no kernel configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KconfigError {
    /// There is nothing in it.
    #[error("it is empty: give the `.config` that the kernel was built from")]
    Empty,
    /// More than [`MAX_BYTES`].
    #[error("it is larger than {} MiB, and no kernel configuration is", MAX_BYTES >> 20)]
    TooLarge,
    /// It holds bytes that no text holds.
    #[error(
        "it is binary, not text (byte 0x{byte:02x} at offset {offset}): a kernel image goes to `--kernel`, a package to `--package`"
    )]
    Binary {
        /// The byte that gave it away.
        byte: u8,
        /// Where it stands, from 0.
        offset: usize,
    },
    /// It is not UTF-8, which `scripts/kconfig` always writes.
    #[error(
        "it is not UTF-8 from offset {offset} on: give the file as the kernel's build wrote it"
    )]
    NotUtf8 {
        /// The first byte that is wrong, from 0.
        offset: usize,
    },
    /// A line that `scripts/kconfig` doesn't write.
    #[error("line {line} is no line of a kernel configuration: `{text}`")]
    Line {
        /// Counted from 1.
        line: usize,
        /// The line's beginning.
        text: String,
    },
    /// No option at all.
    #[error("no line of it sets an option (`CONFIG_…=y`): it is no kernel configuration")]
    NoOptions,
    /// The file breaks off between two lines.
    #[error(
        "it is cut off: the menu `Kernel hacking`, which every configuration since 5.3 ends with, is missing; copy the whole file again"
    )]
    Unfinished,
    /// The file breaks off inside a line.
    #[error("it is cut off: its last line, {line}, is `{text}`; copy the whole file again")]
    Truncated {
        /// Counted from 1.
        line: usize,
        /// The line's beginning.
        text: String,
    },
}

impl Kconfig {
    /// Reads a configuration.
    ///
    /// # Errors
    /// See [`KconfigError`]; the input is never trusted, and nothing panics on it.
    pub fn parse(bytes: &[u8]) -> Result<Self, KconfigError> {
        if bytes.len() > MAX_BYTES {
            return Err(KconfigError::TooLarge);
        }
        let control = |byte: &u8| byte.is_ascii_control() && !b"\t\n\r\x0c".contains(byte);
        if let Some(offset) = bytes.iter().position(control) {
            let byte = bytes.get(offset).copied().unwrap_or_default();
            return Err(KconfigError::Binary { byte, offset });
        }
        let text = std::str::from_utf8(bytes).map_err(|error| KconfigError::NotUtf8 {
            offset: error.valid_up_to(),
        })?;
        if text.trim().is_empty() {
            return Err(KconfigError::Empty);
        }
        let mut config = Self::default();
        let mut menus = Menus::default();
        let ends_with_newline = text.ends_with('\n');
        let mut lines = text.lines().enumerate().peekable();
        while let Some((index, raw)) = lines.next() {
            let last_and_open = lines.peek().is_none() && !ends_with_newline;
            let line = raw.trim();
            menus.see(line);
            let understood = config.read_line(line);
            if understood && !(last_and_open && is_cut_comment(line)) {
                continue;
            }
            let (line, text) = (index + 1, line.chars().take(60).collect());
            return Err(if last_and_open && !config.options.is_empty() {
                KconfigError::Truncated { line, text }
            } else {
                KconfigError::Line { line, text }
            });
        }
        if config.options.is_empty() {
            return Err(KconfigError::NoOptions);
        }
        if menus.are_unfinished() {
            return Err(KconfigError::Unfinished);
        }
        Ok(config)
    }

    /// Takes one trimmed line; false when it is none that `scripts/kconfig` writes.
    fn read_line(&mut self, line: &str) -> bool {
        if let Some(comment) = line.strip_prefix('#') {
            self.read_comment(comment.trim());
            return true;
        }
        if line.is_empty() {
            return true;
        }
        let Some((name, value)) = line
            .strip_prefix("CONFIG_")
            .and_then(|rest| rest.split_once('='))
        else {
            return false;
        };
        let Some(setting) = read_value(value) else {
            return false;
        };
        is_name(name) && {
            self.options.insert(name.into(), setting);
            true
        }
    }

    fn read_comment(&mut self, comment: &str) {
        if let Some(name) = comment
            .strip_prefix("CONFIG_")
            .and_then(|rest| rest.strip_suffix(" is not set"))
        {
            if is_name(name) {
                self.options.insert(name.into(), Setting::Off);
            }
        } else if self.release.is_none() {
            // 2.6.18 to 2.6.35 say "Linux kernel version: 2.6.32", later ones
            // "Linux/x86_64 3.10.0 Kernel Configuration" (2.6.36, commit 7a996d3ab150).
            if let Some(release) = comment.strip_prefix("Linux kernel version: ") {
                self.release = read_release(release);
            } else if let Some((arch, release)) = comment
                .strip_prefix("Linux/")
                .and_then(|rest| rest.strip_suffix(" Kernel Configuration"))
                .and_then(|rest| rest.split_once(' '))
            {
                self.release = read_release(release);
                self.header_arch = Some(arch.chars().take(40).collect());
            }
        }
    }

    /// What is said about an option, named without `CONFIG_`; `None` when it is not mentioned.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.options.get(name)
    }

    /// Whether an option is on, built in or as a module.
    pub fn is_on(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Setting::BuiltIn | Setting::Module))
    }

    /// Whether the kernel has the option and it is off.
    pub fn is_off(&self, name: &str) -> bool {
        self.get(name) == Some(&Setting::Off)
    }

    /// How many options are mentioned.
    pub fn len(&self) -> usize {
        self.options.len()
    }

    /// Whether no option is mentioned; never true of what [`Kconfig::parse`] returns.
    pub fn is_empty(&self) -> bool {
        self.options.is_empty()
    }

    /// The release in the header (`5.10.0-32-amd64`).
    pub fn release(&self) -> Option<&str> {
        self.release.as_deref()
    }

    /// The version in the header. Fragments, and files made by some distributions' tools,
    /// have none.
    pub fn version(&self) -> Option<KernelVersion> {
        self.release()?.parse().ok()
    }

    /// The architecture by Debian's name, or else as the header has it (`riscv`).
    pub fn arch(&self) -> Option<String> {
        let by_option = [
            ("X86_64", Arch::Amd64),
            ("X86_32", Arch::I386),
            ("ARM64", Arch::Arm64),
            ("ARM", Arch::Armhf),
            ("S390", Arch::S390x),
        ];
        by_option
            .iter()
            .find(|(option, _)| self.is_on(option))
            .map(|(_, arch)| arch.name().to_owned())
            .or_else(|| self.header_arch.clone())
    }
}

impl FromIterator<(String, Setting)> for Kconfig {
    /// A configuration without a header; names come without `CONFIG_`.
    fn from_iter<I: IntoIterator<Item = (String, Setting)>>(options: I) -> Self {
        Self {
            options: options
                .into_iter()
                .map(|(name, setting)| (name.into(), setting))
                .collect(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Kconfig {
    /// The configuration as `scripts/kconfig` would write it, sorted by name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.header_arch, &self.release) {
            (Some(arch), Some(release)) => {
                writeln!(f, "#\n# Linux/{arch} {release} Kernel Configuration\n#")?;
            }
            (None, Some(release)) => writeln!(f, "#\n# Linux kernel version: {release}\n#")?,
            (_, None) => {}
        }
        let mut options: Vec<_> = self.options.iter().collect();
        options.sort_unstable_by_key(|(name, _)| *name);
        for (name, setting) in options {
            match setting {
                Setting::BuiltIn => writeln!(f, "CONFIG_{name}=y")?,
                Setting::Module => writeln!(f, "CONFIG_{name}=m")?,
                Setting::Off => writeln!(f, "# CONFIG_{name} is not set")?,
                Setting::Value(value) if is_number(value) => writeln!(f, "CONFIG_{name}={value}")?,
                Setting::Value(value) => writeln!(f, "CONFIG_{name}=\"{value}\"")?,
            }
        }
        Ok(())
    }
}

/// Which menus end. Since 5.3 `scripts/kconfig` writes `# end of …` after each (commit
/// e3cd5136a4ec), and the last of mainline's is "Kernel hacking"; some vendors add one after it.
#[derive(Default)]
struct Menus {
    any_ends: bool,
    last_ends: bool,
}

impl Menus {
    fn see(&mut self, line: &str) {
        if let Some(menu) = line.strip_prefix("# end of ") {
            self.any_ends = true;
            self.last_ends |= menu == "Kernel hacking";
        }
    }

    const fn are_unfinished(&self) -> bool {
        self.any_ends && !self.last_ends
    }
}

/// Whether a comment is the beginning of an `is not set` line.
fn is_cut_comment(line: &str) -> bool {
    match line.strip_prefix("# CONFIG_") {
        Some(rest) => !rest.ends_with(" is not set"),
        None => line.len() > 2 && "# CONFIG_".starts_with(line),
    }
}

/// `y`, `m`, `n`, a number, or a string in quotes whose inner quotes are escaped.
fn read_value(value: &str) -> Option<Setting> {
    Some(match value {
        "y" => Setting::BuiltIn,
        "m" => Setting::Module,
        "n" => Setting::Off,
        number if is_number(number) => Setting::Value(number.into()),
        quoted => Setting::Value(quoted.strip_prefix('"')?.strip_suffix('"')?.into()),
    })
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(hex) => !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// Names are upper case by custom only: `CONFIG_CRYPTO_DEV_QAT_4xxx` is real.
fn is_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A release string is one word that starts with a digit.
fn read_release(text: &str) -> Option<String> {
    let word = text.split_whitespace().next()?;
    let plausible = word.len() <= 128 && word.starts_with(|c: char| c.is_ascii_digit());
    plausible.then(|| word.to_owned())
}

#[cfg(test)]
mod tests;
