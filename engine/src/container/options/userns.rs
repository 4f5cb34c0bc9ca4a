//! `--userns`.

use std::str::FromStr;

use super::Malformed;

/// Whose users the container's are. There is one answer: those of the keel that runs it, which are
/// the host's for root, and those of their own namespace for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Userns {
    /// Keel's own.
    #[default]
    Host,
}

impl FromStr for Userns {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "" | "host" => Ok(Self::Host),
            _ => Err(Malformed::new(
                format!("user namespace `{text}` is not in this version of keel"),
                "`host`; to have containers whose root is nobody on the host, run keel as a user \
                 who is not root, or give a bundle uidMappings (`keel runtime`)",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_namespaces_are_refused_with_what_to_do_instead() {
        assert_eq!("host".parse(), Ok(Userns::Host));
        for other in ["private", "keep-id", "auto", "ns:/proc/1/ns/user"] {
            let refused = other.parse::<Userns>().unwrap_err().to_string();
            assert!(
                refused.contains(other) && refused.contains("not root"),
                "{refused}"
            );
        }
    }
}
