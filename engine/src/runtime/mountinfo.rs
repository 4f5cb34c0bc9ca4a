//! `/proc/PID/mountinfo` (proc(5)), as far as the engine needs it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Folder of the file system that is its root.
    pub(super) root: PathBuf,
    /// Where it is mounted, seen from the process's root.
    pub(super) point: PathBuf,
    /// File system type.
    pub(super) kind: Vec<u8>,
    /// The super block's options, comma-separated: for cgroup v1 the controllers.
    pub(super) options: Vec<u8>,
}

/// The mounts of a table, in its order; lines of another form are left out.
pub(super) fn parse(table: &[u8]) -> impl Iterator<Item = Mount> {
    table.split(|byte| *byte == b'\n').filter_map(parse_line)
}

/// `36 35 98:0 /root /point options [optional fields] - type source super-options`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.nth(3)?;
    let point = fields.next()?;
    let mut after = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = after.next()?;
    let options = after.nth(1)?;
    Some(Mount {
        root: unescape(root),
        point: unescape(point),
        kind: kind.to_vec(),
        options: options.to_vec(),
    })
}

/// Space, tab, newline and backslash are written as `\` and three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| {
                let digits = std::str::from_utf8(digits).ok()?;
                u8::from_str_radix(digits, 8).ok()
            });
        text.push(octal.unwrap_or(*first));
        rest = match octal {
            Some(_) => tail.get(3..).unwrap_or_default(),
            None => tail,
        };
    }
    PathBuf::from(OsString::from_vec(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_and_escapes_are_understood() {
        let table = b"35 31 0:31 / /sys/fs/cgroup/mem\\040ory rw,nosuid shared:9 master:1 - cgroup cgroup rw,memory\n\
            27 1 254:0 /a\\134b / rw - ext4 /dev/vda rw\n\ngarbage\n";
        let mounts: Vec<_> = parse(table).collect();
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[0].point, PathBuf::from("/sys/fs/cgroup/mem ory"));
        assert_eq!(mounts[0].kind, b"cgroup");
        assert_eq!(mounts[0].options, b"rw,memory");
        assert_eq!(mounts[1].root, PathBuf::from("/a\\b"));
    }

    proptest::proptest! {
        #[test]
        fn any_path_survives_the_kernels_escaping(path in "[ -~\t\n]{1,40}") {
            let escaped: String = path.chars().map(|c| match c {
                ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", c as u32),
                c => c.to_string(),
            }).collect();
            proptest::prop_assert_eq!(unescape(escaped.as_bytes()), PathBuf::from(path));
        }
    }
}
