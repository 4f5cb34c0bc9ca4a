//! Paths of tar entries: relative, without `..`, of bounded length and depth.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::image::limits::{MAX_DEPTH, MAX_NAME_BYTES, MAX_PATH_BYTES};

/// Why a path is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It would lead out of the image (CVE-2014-6407, CVE-2014-9356).
    #[error("its path has a `..`")]
    Parent,
    /// The kernel would see another name than we do.
    #[error("its path has a NUL byte")]
    Nul,
    /// As a whole.
    #[error("its path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// One name.
    #[error("a name in its path is longer than {MAX_NAME_BYTES} bytes")]
    NameTooLong,
    /// Folders.
    #[error("it lies deeper than {MAX_DEPTH} folders")]
    TooDeep,
}

/// A path inside a layer: names joined by `/`, none of them empty, `.` or `..`. The root is "".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryPath(Vec<u8>);

impl EntryPath {
    /// The path of an entry, or of a hard link's target. A leading `/` means the image's root.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.contains(&0) {
            return Err(PathError::Nul);
        }
        if bytes.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let mut clean = Vec::with_capacity(bytes.len());
        let mut depth = 0;
        for name in bytes.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => return Err(PathError::Parent),
                name if name.len() > MAX_NAME_BYTES => return Err(PathError::NameTooLong),
                name => {
                    if !clean.is_empty() {
                        clean.push(b'/');
                    }
                    clean.extend_from_slice(name);
                    depth += 1;
                }
            }
        }
        if depth > MAX_DEPTH {
            return Err(PathError::TooDeep);
        }
        Ok(Self(clean))
    }

    /// Its bytes; the root has none.
    #[cfg(test)]
    pub(crate) fn to_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The folder that it lies in, and its name there; the root lies nowhere.
    pub(crate) fn split(&self) -> Option<(Self, &OsStr)> {
        if self.is_root() {
            return None;
        }
        Some(match self.0.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => {
                let (folder, name) = self.0.split_at(slash);
                let name = name.strip_prefix(b"/").unwrap_or(name);
                (Self(folder.to_vec()), OsStr::from_bytes(name))
            }
            None => (Self(Vec::new()), OsStr::from_bytes(&self.0)),
        })
    }

    /// The path of `name` in this folder.
    pub(super) fn join(&self, name: &[u8]) -> Self {
        let mut path = self.0.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self(path)
    }

    /// The names on the way, from the root on.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0
            .split(|byte| *byte == b'/')
            .filter(|name| !name.is_empty())
    }

    /// Where a symbolic link at this path with the text `target` leads, looking at nothing but the
    /// names; `None` if that is outside.
    pub(crate) fn resolve(&self, target: &[u8]) -> Option<Self> {
        let mut names: Vec<&[u8]> = Vec::new();
        if !target.starts_with(b"/") {
            names.extend(self.names());
            names.pop();
        }
        for name in target.split(|byte| *byte == b'/') {
            match name {
                b"" | b"." => {}
                b".." => drop(names.pop()?),
                name => names.push(name),
            }
        }
        Self::parse(&names.join(&b'/')).ok()
    }

    /// For opening; the root is `.`.
    pub(crate) fn as_path(&self) -> &Path {
        if self.is_root() {
            Path::new(".")
        } else {
            Path::new(OsStr::from_bytes(&self.0))
        }
    }
}

impl std::fmt::Display for EntryPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = String::from_utf8_lossy(&self.0);
        text.chars()
            .take(200)
            .flat_map(char::escape_debug)
            .try_for_each(|c| std::fmt::Write::write_char(f, c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_mean_places_inside_the_root() {
        let path = |text: &[u8]| EntryPath::parse(text).unwrap().0;
        assert_eq!(path(b"./etc//passwd"), b"etc/passwd");
        assert_eq!(path(b"/etc/passwd/"), b"etc/passwd");
        assert_eq!(path(b"./"), b"");
        assert_eq!(path(b"..."), b"...");
    }

    #[test]
    fn a_link_in_an_archive_leads_inside_or_nowhere() {
        let link = EntryPath::parse(b"b/layer.tar").unwrap();
        let to = |target: &[u8]| link.resolve(target).map(|path| path.0);
        assert_eq!(to(b"../a/layer.tar").unwrap(), b"a/layer.tar");
        assert_eq!(to(b"x").unwrap(), b"b/x");
        assert_eq!(to(b"../../etc/shadow"), None);
        assert_eq!(to(b"/etc/shadow").unwrap(), b"etc/shadow");
    }

    #[test]
    fn paths_that_lead_out_or_cost_too_much_are_refused() {
        let refused = |text: &[u8]| EntryPath::parse(text).unwrap_err();
        assert_eq!(refused(b"../etc"), PathError::Parent);
        assert_eq!(refused(b"a/../../etc"), PathError::Parent);
        assert_eq!(refused(b"a/.."), PathError::Parent);
        assert_eq!(refused(b"a\0/../b"), PathError::Nul);
        assert_eq!(refused(&b"a/".repeat(4000)), PathError::TooLong);
        assert_eq!(refused(&b"a/".repeat(2000)), PathError::TooDeep);
        assert_eq!(refused(&[b'a'; 256]), PathError::NameTooLong);
    }

    proptest! {
        #[test]
        fn an_accepted_path_never_leaves(text in prop::collection::vec(prop::sample::select(&b"/.ab\0"[..]), 0..30)) {
            if let Ok(path) = EntryPath::parse(&text) {
                prop_assert!(path.names().all(|name| !matches!(name, b"." | b"..")));
                prop_assert!(!path.0.starts_with(b"/"));
                let again = EntryPath::parse(&path.0);
                prop_assert_eq!(again.as_ref(), Ok(&path));
                if let Some((folder, name)) = path.split() {
                    prop_assert_eq!(folder.join(name.as_bytes()), path.clone());
                }
            }
        }
    }
}
