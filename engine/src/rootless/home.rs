//! Whose folder is used when none is named.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

/// Root's own place.
const ROOTS: &str = "/var/lib/keel";
const RUNTIME: &str = "/run/keel/runtime";

/// Where images, layers and containers are: root's place for root, else the user's own
/// (`$XDG_DATA_HOME/keel`, `~/.local/share/keel`).
pub fn default_root() -> PathBuf {
    if geteuid().is_root() {
        return ROOTS.into();
    }
    data_home(|name| env::var_os(name).map(PathBuf::from))
        .or_else(|| Some(home_in_passwd()?.join(".local/share")))
        // Whoever has no home names a folder, or hears what is wrong with this one.
        .map_or_else(|| ROOTS.into(), |data| data.join("keel"))
}

/// Where `keel runtime` keeps the state of containers: it need not outlive the machine's uptime.
pub fn default_runtime_root() -> PathBuf {
    if geteuid().is_root() {
        return RUNTIME.into();
    }
    match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(folder) if folder.is_absolute() => folder.join("keel/runtime"),
        Some(_) | None => default_root().join("runtime"),
    }
}

/// By the XDG base directory specification, which has relative paths ignored.
fn data_home(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))
}

/// For a user whose environment does not tell. Read here, as a C library that is linked statically
/// would load others for it.
fn home_in_passwd() -> Option<PathBuf> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let home = super::ranges::Account::find(&passwd, geteuid().as_raw())?.home;
    Some(Path::new(home).to_owned()).filter(|home| home.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_folder_comes_before_the_home_folder_and_relative_ones_do_not_count() {
        let of = |data: &'static str, home: &'static str| {
            data_home(move |name| {
                let value = if name == "HOME" { home } else { data };
                (!value.is_empty()).then(|| value.into())
            })
        };
        assert_eq!(of("/data", "/home/me"), Some("/data".into()));
        assert_eq!(of("data", "/home/me"), Some("/home/me/.local/share".into()));
        assert_eq!(of("", ""), None);
    }
}
