//! The place of a cgroup in its hierarchies.

use std::path::{Path, PathBuf};

use super::Error;

/// A cgroup's place below the root of each hierarchy: absolute, normalised, `/keel/ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupPath(String);

impl CgroupPath {
    /// `/keel/ID`, the default place of a container's cgroup.
    ///
    /// # Errors
    /// [`Error::Path`] as [`CgroupPath::parse`].
    pub fn of_container(id: &str) -> Result<Self, Error> {
        if id.contains('/') {
            return Err(Error::Path {
                path: id.to_owned(),
            });
        }
        Self::parse(&format!("/keel/{id}"))
    }

    /// An absolute path of plain components: none is empty, `.` or `..`.
    ///
    /// # Errors
    /// [`Error::Path`] otherwise.
    pub fn parse(path: &str) -> Result<Self, Error> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\n']);
        match path.strip_prefix('/') {
            Some(rest) if rest.split('/').all(plain) => Ok(Self(path.to_owned())),
            _ => Err(Error::Path {
                path: path.to_owned(),
            }),
        }
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its folder in the hierarchy mounted at `root`.
    pub(in crate::runtime) fn below(&self, root: &Path) -> PathBuf {
        root.join(self.0.trim_start_matches('/'))
    }

    /// The names from the root down.
    pub(super) fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_paths_are_taken() {
        for bad in [
            "",
            "/",
            "keel",
            "/keel/../x",
            "/a//b",
            "/a/.",
            "/a/",
            "/a\n/b",
        ] {
            CgroupPath::parse(bad).expect_err(bad);
        }
        let path = CgroupPath::of_container("web").expect("a path");
        assert_eq!(
            path.below(Path::new("/sys/fs/cgroup")),
            Path::new("/sys/fs/cgroup/keel/web")
        );
        CgroupPath::of_container("../x").expect_err("leads out");
    }
}
