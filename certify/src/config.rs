//! The user's own configuration folder: keys, and matrices and policies that go before the
//! compiled-in ones.

use std::io;
use std::path::{Path, PathBuf};

use matrix::matrix_file::{MatrixFile, MatrixFileError};
use matrix::policy::{Policy, PolicyError};

/// `seaworthy` in the user's configuration folder; none if the user has no such folder.
/// `variable` reads the environment.
pub fn folder(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let set = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("XDG_CONFIG_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".config")))
        .map(|config| config.join("seaworthy"))
}

/// As [`folder`], by this process's environment.
pub fn own_folder() -> Option<PathBuf> {
    folder(|name| std::env::var(name).ok())
}

/// Why there is no such matrix or policy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file can't be read.
    #[error("{} can't be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no matrix.
    #[error(transparent)]
    Matrix(#[from] MatrixFileError),
    /// It is no policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// The matrix that is meant by `name`: a file, where it has a slash or ends in `.toml`; else
/// `matrices/NAME.toml` in the user's folder; else a compiled-in one. With the name that stands
/// in plans.
///
/// # Errors
/// There is none, or it can't be read.
pub fn matrix(name: &str, own: Option<&Path>) -> Result<(String, MatrixFile), ConfigError> {
    let (name, text) = find(name, "matrices", own)?;
    Ok(match text {
        Some(text) => (name.clone(), MatrixFile::parse(&name, &text)?),
        None => (name.clone(), MatrixFile::built_in(&name)?),
    })
}

/// The policy that is meant by `name`, found as a matrix is, in `policies/NAME.toml`.
///
/// # Errors
/// There is none, or it can't be read.
pub fn policy(name: &str, own: Option<&Path>) -> Result<Policy, ConfigError> {
    let (name, text) = find(name, "policies", own)?;
    Ok(match text {
        Some(text) => Policy::parse(&name, &text)?,
        None => Policy::built_in(&name)?,
    })
}

/// The name without folder and ending, and the text of the file, if a file is meant.
fn find(
    name: &str,
    kind: &str,
    own: Option<&Path>,
) -> Result<(String, Option<String>), ConfigError> {
    let read = |path: &Path| std::fs::read_to_string(path);
    let has_ending = Path::new(name)
        .extension()
        .is_some_and(|ending| ending == "toml");
    let is_file = name.contains('/') || has_ending;
    if is_file {
        let path = Path::new(name);
        let text = read(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        return Ok((stem.into_owned(), Some(text)));
    }
    let Some(path) = own.map(|own| own.join(kind).join(format!("{name}.toml"))) else {
        return Ok((name.to_owned(), None));
    };
    match read(&path) {
        Ok(text) => Ok((name.to_owned(), Some(text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((name.to_owned(), None)),
        Err(source) => Err(ConfigError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_follows_the_environment() {
        let home = |name: &str| (name == "HOME").then(|| "/home/x".to_owned());
        let xdg = |name: &str| (name == "XDG_CONFIG_HOME").then(|| "/cfg".to_owned());
        assert_eq!(
            folder(home).unwrap(),
            Path::new("/home/x/.config/seaworthy")
        );
        assert_eq!(folder(xdg).unwrap(), Path::new("/cfg/seaworthy"));
        assert_eq!(folder(|_| None), None);
    }

    #[test]
    fn a_file_of_the_users_goes_before_the_compiled_in_one() {
        let own = tempfile::tempdir().unwrap();
        std::fs::create_dir(own.path().join("policies")).unwrap();
        let text = include_str!("../../matrix/data/policies/preview.toml");
        let mine = text.replace("min_pass_share = 1.0", "min_pass_share = 0.5");
        let path = own.path().join("policies/preview.toml");
        std::fs::write(&path, mine).unwrap();
        let share = |name: &str, own| {
            let policy = policy(name, own).unwrap();
            (policy.name, policy.min_pass_share)
        };
        assert_eq!(
            share("preview", Some(own.path())),
            ("preview".to_owned(), 0.5)
        );
        assert_eq!(share("preview", None), ("preview".to_owned(), 1.0));
        assert_eq!(
            share("candidate", Some(own.path())),
            ("candidate".to_owned(), 1.0)
        );
        assert_eq!(
            share(path.to_str().unwrap(), None),
            ("preview".to_owned(), 0.5)
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = matrix("./none.toml", None).unwrap_err();
        assert!(error.to_string().contains("./none.toml"), "{error}");
        assert!(matches!(matrix("none", None), Err(ConfigError::Matrix(_))));
    }
}
