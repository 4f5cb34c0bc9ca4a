//! `--mount`: the long way of asking for volumes, folders of the host and memory.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::mounts::{Absent, Access, CopyUp, Source, Tmpfs, Volume, in_container};
use super::{Bytes, Malformed};

/// One `--mount`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// `type=volume` or `type=bind`.
    Volume(Volume),
    /// `type=tmpfs`.
    Tmpfs(Tmpfs),
}

const EXAMPLE: &str = "`type=volume,source=data,target=/data`, \
                       `type=bind,source=/on/host,target=/in/container,readonly` or \
                       `type=tmpfs,target=/tmp,tmpfs-size=16m`";

/// The kinds, and the start of the options that only they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Volume,
    Bind,
    Tmpfs,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Volume => "volume-",
            Self::Bind => "bind-",
            Self::Tmpfs => "tmpfs-",
        }
    }
}

impl FromStr for Mount {
    type Err = Malformed;

    /// Fields with commas between, as in a line of CSV: one that holds a comma is quoted.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: String| Malformed::new(format!("`{text}`: {why}"), EXAMPLE);
        let fields = fields(text).ok_or_else(|| bad("a quote has no other end".to_owned()))?;
        let fields: Vec<(String, Option<&str>)> = fields
            .iter()
            .map(|field| match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(value)),
                None => (field.to_ascii_lowercase(), None),
            })
            .collect();
        let kind = match fields.iter().find(|(key, _)| key == "type") {
            None => Kind::Volume,
            Some((_, value)) => match value.unwrap_or_default().to_ascii_lowercase().as_str() {
                "volume" => Kind::Volume,
                "bind" => Kind::Bind,
                "tmpfs" => Kind::Tmpfs,
                other => return Err(bad(format!("there is no type `{other}`"))),
            },
        };
        let mut draft = Draft::default();
        for (key, value) in &fields {
            draft.take(kind, key, *value).map_err(&bad)?;
        }
        draft.finish(kind).map_err(bad)
    }
}

/// What the fields have said so far.
#[derive(Default)]
struct Draft {
    source: Option<String>,
    target: Option<PathBuf>,
    read_only: bool,
    nocopy: bool,
    make: bool,
    labels: Vec<(String, String)>,
    size: Option<Bytes>,
    mode: Option<u32>,
}

impl Draft {
    fn take(&mut self, kind: Kind, key: &str, value: Option<&str>) -> Result<(), String> {
        let foreign = [Kind::Volume, Kind::Bind, Kind::Tmpfs]
            .into_iter()
            .find(|other| *other != kind && key.starts_with(other.prefix()));
        if foreign.is_some() {
            return Err(format!("the key `{key}` is for another type of mount"));
        }
        let flag = || match value.map(str::to_ascii_lowercase).as_deref() {
            None | Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(format!("`{key}={other}` is neither true nor false")),
        };
        let text = || {
            value
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("the key `{key}` has no value"))
        };
        let one_of = |known: &[&str]| {
            let value = text()?;
            if known.contains(&value) {
                Ok(())
            } else {
                Err(format!(
                    "`{key}={value}` is not in this version: leave it out, or use `{}`",
                    known.join("` or `")
                ))
            }
        };
        match key {
            "type" => {}
            "source" | "src" if kind == Kind::Tmpfs => {
                return Err("a tmpfs has no source".to_owned());
            }
            "source" | "src" => self.source = Some(text()?.to_owned()),
            "target" | "dst" | "destination" => {
                let target = in_container(text()?);
                self.target = Some(target.ok_or("the target is no folder of a container")?);
            }
            "readonly" | "ro" => self.read_only = flag()?,
            // How a file system of the host that lies elsewhere is cached: nothing on Linux.
            "consistency" => one_of(&["consistent", "cached", "delegated", "default"])?,
            "bind-propagation" => one_of(&["rprivate", "private"])?,
            "bind-recursive" => one_of(&["enabled"])?,
            "bind-nonrecursive" => {
                if flag()? {
                    return Err("mounts below a folder of the host are always shown".to_owned());
                }
            }
            "bind-create-src" => self.make = flag()?,
            "volume-nocopy" => self.nocopy = flag()?,
            "volume-driver" => one_of(&["local"])?,
            "volume-label" => {
                let (name, value) = text()?.split_once('=').unwrap_or((text()?, ""));
                self.labels.push((name.to_owned(), value.to_owned()));
            }
            "volume-opt" | "volume-subpath" => {
                return Err(format!("the key `{key}` is not in this version"));
            }
            "tmpfs-size" => {
                let size = text()?.parse();
                self.size = Some(size.map_err(|error: Malformed| error.to_string())?);
            }
            "tmpfs-mode" => {
                let mode = u32::from_str_radix(text()?, 8).ok();
                let mode = mode.filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.ok_or("tmpfs-mode is no mode such as `1777`")?);
            }
            _ => return Err(format!("there is no key `{key}`")),
        }
        Ok(())
    }

    fn finish(self, kind: Kind) -> Result<Mount, String> {
        let target = self.target.ok_or("the key `target` is missing")?;
        let mut volume = Volume::anonymous(target);
        if self.read_only {
            volume.access = Access::ReadOnly;
        }
        volume.labels = self.labels.into_iter().collect();
        match (kind, self.source) {
            (Kind::Tmpfs, _) => {
                let mut options = Vec::new();
                options.extend(self.size.map(|size| format!("size={}", size.0)));
                options.extend(self.mode.map(|mode| format!("mode={mode:o}")));
                if self.read_only {
                    options.push("ro".to_owned());
                }
                return Ok(Mount::Tmpfs(Tmpfs {
                    target: volume.target,
                    options,
                }));
            }
            (Kind::Volume, source) => {
                volume.source = match source {
                    None => Source::Anonymous,
                    Some(name) => Source::Named(
                        name.parse()
                            .map_err(|error: crate::volume::VolumeNameError| error.to_string())?,
                    ),
                };
                if self.nocopy {
                    volume.copy_up = CopyUp::No;
                }
            }
            (Kind::Bind, None) => return Err("the key `source` is missing".to_owned()),
            (Kind::Bind, Some(source)) => {
                if !Path::new(&source).is_absolute() {
                    return Err(format!("the source `{source}` is not absolute"));
                }
                volume.source = Source::Path(source.into());
                if !self.make {
                    volume.absent = Absent::Refuse;
                }
            }
        }
        Ok(Mount::Volume(volume))
    }
}

/// The fields of a line of CSV. `None`: a quote has no other end.
fn fields(text: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            char => field.push(char),
        }
    }
    fields.push(field);
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(text: &str) -> Mount {
        text.parse().unwrap()
    }

    fn volume(short: &str) -> Volume {
        short.parse().unwrap()
    }

    #[test]
    fn the_long_way_says_what_the_short_one_says() {
        for (long, short) in [
            ("source=data,target=/d", "data:/d"),
            (
                "type=volume,src=data,dst=/d,volume-nocopy,ro",
                "data:/d:ro,nocopy",
            ),
            ("type=volume,destination=/d,readonly=false", "/d"),
            ("type=bind,source=/a,target=/d,bind-create-src", "/a:/d"),
            (
                "type=bind,bind-create-src=true,\"source=/a,b\",target=/d,ro=1",
                "/a,b:/d:ro",
            ),
        ] {
            assert_eq!(mount(long), Mount::Volume(volume(short)), "{long}");
        }
        let memory = "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777";
        let Mount::Tmpfs(memory) = mount(memory) else {
            panic!("{memory}");
        };
        assert_eq!(memory.options, ["size=1048576", "mode=1777"]);
    }

    #[test]
    fn a_folder_of_the_host_has_to_be_there() {
        let Mount::Volume(bind) = mount("type=bind,source=/a,target=/b") else {
            panic!("no volume");
        };
        assert_eq!(bind.absent, Absent::Refuse);
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let refused = |text: &str| text.parse::<Mount>().unwrap_err().to_string();
        let refusals = [
            "",
            "type=volume",
            "type=magic,target=/a",
            "type=bind,target=/a",
            "type=bind,source=a,target=/a",
            "type=bind,source=/a,target=/a,volume-nocopy",
            "type=volume,target=/a,bind-propagation=shared",
            "type=bind,source=/a,target=/a,bind-propagation=shared",
            "type=tmpfs,source=/a,target=/a",
            "type=tmpfs,target=/a,tmpfs-mode=999",
            "type=tmpfs,target=/a,tmpfs-size=lots",
            "target=/a,readonly=maybe",
            "target=a",
            "target=/a,colour=red",
            "target=/a,source=",
            "\"target=/a",
        ];
        let refusals =
            refusals.map(|text| refused(text).split("; give ").next().unwrap().to_owned());
        insta::assert_snapshot!(refusals.join("\n"));
    }
}
