//! Where a container's output is kept, with all that is needed to write there: found out once, from
//! its configuration, and told to the monitor as a word of its command line.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::journald::field_name;
use super::socket::Line;
use super::syslog::Style;
use crate::container::Error;
use crate::container::config::{Config, variable};
use crate::container::options::{Address, LogDriver};

/// Where output is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::container) enum LogTarget {
    /// Nowhere.
    None,
    /// Files in the container's folder.
    Files {
        /// When one is full; `None`: never.
        max_bytes: Option<u64>,
        /// How many are kept.
        files: u32,
        /// What stands beside each line.
        attrs: BTreeMap<String, String>,
    },
    /// The system's log.
    Syslog {
        /// Its socket.
        address: Address,
        /// How messages are written.
        style: Style,
    },
    /// systemd's journal.
    Journald {
        /// Its socket.
        address: Address,
        /// What stands beside each line.
        fields: Vec<(String, String)>,
    },
}

/// Docker's, for drivers that have to have one.
const USUAL_TAG: &str = "{{.ID}}";

impl LogTarget {
    /// That of a container.
    ///
    /// # Errors
    /// [`Error::Option`] for options that somebody has edited, or for a tag that is none.
    pub(in crate::container) fn of(config: &Config) -> Result<Self, Error> {
        let log = &config.host.log;
        let wanted = log.tag().map(|tag| expand(tag, config));
        let tag = || wanted.clone().unwrap_or_else(|| expand(USUAL_TAG, config));
        Ok(match log.driver {
            LogDriver::None => Self::None,
            LogDriver::JsonFile | LogDriver::Local => {
                let mut attrs: BTreeMap<_, _> = extra(config).into_iter().collect();
                attrs.extend(wanted.clone().map(|tag| ("tag".to_owned(), tag)));
                Self::Files {
                    max_bytes: log.max_bytes()?,
                    files: log.files()?,
                    attrs,
                }
            }
            LogDriver::Syslog => Self::Syslog {
                address: log.address()?,
                style: Style {
                    facility: log.facility()?,
                    format: log.format()?,
                    tag: tag(),
                    hostname: nix::sys::utsname::uname()
                        .map(|system| system.nodename().to_string_lossy().into_owned())
                        .unwrap_or_default(),
                },
            },
            LogDriver::Journald => Self::Journald {
                address: log.address()?,
                fields: fields(config, &tag()),
            },
        })
    }

    /// Makes sure that whoever takes the lines is there: a container whose log goes nowhere is not
    /// started.
    pub(in crate::container) fn check(&self) -> Result<(), Error> {
        match self {
            Self::None | Self::Files { .. } => Ok(()),
            Self::Syslog { address, .. } | Self::Journald { address, .. } => {
                let (Address::Datagram(path) | Address::Stream(path)) = address;
                let line = Line::to(address.clone());
                line.map(drop)
                    .map_err(Error::io("connect to the log at", path as &Path))
            }
        }
    }
}

/// The labels and variables that were asked for.
fn extra(config: &Config) -> Vec<(String, String)> {
    let log = &config.host.log;
    let process = &config.process;
    let labels = log.names("labels").filter_map(|name| {
        let value = process.labels.get(name)?;
        Some((name.to_owned(), value.clone()))
    });
    let variables = log.names("env").filter_map(|name| {
        let mut all = process.env.iter();
        let found = all.find(|assignment| variable(assignment) == name)?;
        let value = found.split_once('=').map_or("", |(_, value)| value);
        Some((name.to_owned(), value.to_owned()))
    });
    labels.chain(variables).collect()
}

fn fields(config: &Config, tag: &str) -> Vec<(String, String)> {
    let own = [
        ("SYSLOG_IDENTIFIER", tag),
        ("CONTAINER_ID", config.id.short()),
        ("CONTAINER_ID_FULL", config.id.as_str()),
        ("CONTAINER_NAME", config.name.as_str()),
        ("CONTAINER_TAG", tag),
        ("IMAGE_NAME", &config.image.reference),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let extra = extra(config).into_iter();
    let extra = extra.map(|(name, value)| (field_name(&name), value));
    own.into_iter().chain(extra).collect()
}

/// Fills in Docker's fields of a tag. What is none of them stays as it is.
fn expand(tag: &str, config: &Config) -> String {
    let image_id = config.image.id.trim_start_matches("sha256:");
    let fields = [
        ("{{.ID}}", config.id.short()),
        ("{{.FullID}}", config.id.as_str()),
        ("{{.Name}}", config.name.as_str()),
        ("{{.ImageID}}", image_id.get(..12).unwrap_or(image_id)),
        ("{{.ImageFullID}}", &config.image.id),
        ("{{.ImageName}}", &config.image.reference),
        ("{{.DaemonName}}", "keel"),
    ];
    let fill = |text: String, (field, value): (&str, &str)| text.replace(field, value);
    fields.into_iter().fold(tag.to_owned(), fill)
}
