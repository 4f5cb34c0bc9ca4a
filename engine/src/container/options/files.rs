//! `--env-file` and `--label-file`: a variable or label a line.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;

use super::{EnvVar, Label, Malformed};

/// A file of lines, read when the command line is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFile {
    lines: Vec<String>,
}

/// More than this is no list of variables.
const MAX_BYTES: u64 = 1 << 20;
const EXAMPLE: &str = "a file with `NAME=VALUE` a line, and remarks behind `#`";

impl FromStr for ListFile {
    type Err = Malformed;

    /// Blank lines and those that begin with `#` are left out. Nothing is unquoted, as in Docker.
    fn from_str(path: &str) -> Result<Self, Malformed> {
        let path = PathBuf::from(path);
        let read = || {
            if fs::metadata(&path)?.len() > MAX_BYTES {
                return Err(io::Error::from(io::ErrorKind::FileTooLarge));
            }
            fs::read_to_string(&path)
        };
        let text = read().map_err(|error| {
            Malformed::new(
                format!("`{}` cannot be read ({error})", path.display()),
                EXAMPLE,
            )
        })?;
        let lines = text.trim_start_matches('\u{feff}').lines();
        let lines = lines
            .map(str::trim_start)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Self {
            lines: lines.map(str::to_owned).collect(),
        })
    }
}

impl ListFile {
    /// Its variables.
    ///
    /// # Errors
    /// For a line that is none.
    pub fn variables(&self) -> Result<Vec<EnvVar>, Malformed> {
        self.lines.iter().map(|line| line.parse()).collect()
    }

    /// Its labels.
    ///
    /// # Errors
    /// For a line that is none.
    pub fn labels(&self) -> Result<Vec<Label>, Malformed> {
        self.lines.iter().map(|line| line.parse()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_and_blank_lines_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, "# remark\n\n  A=1 # 2\nHOME\n").unwrap();
        let list: ListFile = path.to_str().unwrap().parse().unwrap();
        assert_eq!(
            list.variables().unwrap(),
            [
                EnvVar::Set("A=1 # 2".into()),
                EnvVar::Inherit("HOME".into())
            ]
        );
        fs::write(&path, "=x\n").unwrap();
        let list: ListFile = path.to_str().unwrap().parse().unwrap();
        assert!(list.variables().is_err() && list.labels().is_err());
        assert!("/no/such/file".parse::<ListFile>().is_err());
    }
}
