//! `--log-driver` and `--log-opt`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Bytes, Malformed};

/// Where a container's output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// A file of JSON lines, Docker's format.
    #[default]
    JsonFile,
    /// The same, with Docker's limits for this name: 5 files of 20 MB.
    Local,
    /// Nowhere.
    None,
    /// The system's log, through its socket.
    Syslog,
    /// systemd's journal, through its socket.
    Journald,
}

impl LogDriver {
    const ALL: [Self; 5] = [
        Self::JsonFile,
        Self::Local,
        Self::None,
        Self::Syslog,
        Self::Journald,
    ];

    /// Docker's name of it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonFile => "json-file",
            Self::Local => "local",
            Self::None => "none",
            Self::Syslog => "syslog",
            Self::Journald => "journald",
        }
    }

    /// Whether what it keeps can be shown by us.
    pub fn is_readable(self) -> bool {
        match self {
            Self::JsonFile | Self::Local => true,
            Self::None | Self::Syslog | Self::Journald => false,
        }
    }

    /// The options that it takes.
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::JsonFile => &["max-size", "max-file", "tag", "labels", "env"],
            Self::Local => &["max-size", "max-file"],
            Self::None => &[],
            Self::Syslog => &[
                "syslog-address",
                "syslog-facility",
                "syslog-format",
                "tag",
                "labels",
                "env",
            ],
            Self::Journald => &["journald-address", "tag", "labels", "env"],
        }
    }
}

impl FromStr for LogDriver {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut all = Self::ALL.into_iter();
        all.find(|driver| driver.as_str() == text).ok_or_else(|| {
            Malformed::new(
                format!("`{text}` is no log driver of keel"),
                "`json-file`, `local`, `syslog`, `journald` or `none`",
            )
        })
    }
}

impl fmt::Display for LogDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One `--log-opt NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOption {
    name: String,
    value: String,
}

impl FromStr for LogOption {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            Malformed::new(
                format!("`{text}` has no `=`"),
                "`max-size=10m` or `tag=web`",
            )
        })?;
        Ok(Self {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }
}

/// Where and how a container's output is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Where.
    pub driver: LogDriver,
    /// How, as the user put it; each is known to be right.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// A socket of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// `unixgram://`: messages.
    Datagram(PathBuf),
    /// `unix://`: a stream of lines.
    Stream(PathBuf),
}

/// How a line looks to a system's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyslogFormat {
    /// As programs of this machine write it: without a host name.
    Unix,
    /// RFC 3164.
    Rfc3164,
    /// RFC 5424.
    Rfc5424,
}

const FACILITIES: [&str; 24] = [
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "cron",
    "authpriv",
    "ftp",
    "ntp",
    "security",
    "console",
    "solaris-cron",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
];

impl LogConfig {
    /// Puts together what was asked for.
    ///
    /// # Errors
    /// For an option that this driver does not take, or a value that the option does not.
    pub fn new(driver: LogDriver, options: Vec<LogOption>) -> Result<Self, Malformed> {
        let mut known = BTreeMap::new();
        for LogOption { name, value } in options {
            if !driver.options().contains(&name.as_str()) {
                return Err(Malformed::new(
                    format!("the log driver `{driver}` takes no option `{name}`"),
                    match driver {
                        LogDriver::JsonFile => "max-size, max-file, tag, labels or env",
                        LogDriver::Local => "max-size or max-file",
                        LogDriver::None => "none at all",
                        LogDriver::Syslog => {
                            "syslog-address, syslog-facility, syslog-format, tag, labels or env"
                        }
                        LogDriver::Journald => "journald-address, tag, labels or env",
                    },
                ));
            }
            known.insert(name, value);
        }
        let config = Self {
            driver,
            options: known,
        };
        config.max_bytes()?;
        config.files()?;
        config.facility()?;
        config.format()?;
        config.address()?;
        Ok(config)
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// When a file is full; `None`: never.
    ///
    /// # Errors
    /// For what is no size.
    pub fn max_bytes(&self) -> Result<Option<u64>, Malformed> {
        match (self.option("max-size"), self.driver) {
            (Some("-1"), _) => Ok(None),
            (Some(text), _) => {
                let Bytes(bytes) = text.parse()?;
                if bytes == 0 {
                    return Err(Malformed::new("`max-size=0` is no size", "`max-size=10m`"));
                }
                Ok(Some(bytes))
            }
            (None, LogDriver::Local) => Ok(Some(20 << 20)),
            (None, _) => Ok(None),
        }
    }

    /// How many files are kept.
    ///
    /// # Errors
    /// For what is no number, or of no use.
    pub fn files(&self) -> Result<u32, Malformed> {
        let Some(text) = self.option("max-file") else {
            return Ok(if self.driver == LogDriver::Local {
                5
            } else {
                1
            });
        };
        let number = text.parse().ok().filter(|&number| number > 0);
        let number: u32 = number.ok_or_else(|| {
            Malformed::new(
                format!("`max-file={text}` is no number from 1"),
                "`max-file=3`",
            )
        })?;
        if number > 1 && self.max_bytes()?.is_none() {
            return Err(Malformed::new(
                "several files need a size at which one is full",
                "`max-size=10m` with it",
            ));
        }
        Ok(number)
    }

    /// The facility's code.
    ///
    /// # Errors
    /// For what is none.
    pub fn facility(&self) -> Result<u8, Malformed> {
        let text = self.option("syslog-facility").unwrap_or("daemon");
        let by_name = FACILITIES.iter().position(|&name| name == text);
        let code = by_name.and_then(|code| u8::try_from(code).ok());
        let code = code.or_else(|| text.parse().ok().filter(|&code| code < 24));
        code.ok_or_else(|| {
            Malformed::new(
                format!("`syslog-facility={text}` is no facility"),
                "`daemon`, `user`, `local0` and so on, or a number below 24",
            )
        })
    }

    /// How a line looks.
    ///
    /// # Errors
    /// For what is none.
    pub fn format(&self) -> Result<SyslogFormat, Malformed> {
        match self.option("syslog-format").unwrap_or_default() {
            "" => Ok(SyslogFormat::Unix),
            "rfc3164" => Ok(SyslogFormat::Rfc3164),
            "rfc5424" => Ok(SyslogFormat::Rfc5424),
            text => Err(Malformed::new(
                format!("`syslog-format={text}` is no format"),
                "`rfc3164` or `rfc5424`",
            )),
        }
    }

    /// The socket of syslog, or of the journal.
    ///
    /// # Errors
    /// For what is no socket of this machine.
    pub fn address(&self) -> Result<Address, Malformed> {
        let (given, usual) = match self.driver {
            LogDriver::Journald => ("journald-address", "/run/systemd/journal/socket"),
            LogDriver::Syslog | LogDriver::JsonFile | LogDriver::Local | LogDriver::None => {
                ("syslog-address", "/dev/log")
            }
        };
        let Some(text) = self.option(given) else {
            return Ok(Address::Datagram(usual.into()));
        };
        let absolute = |path: &str| path.starts_with('/').then(|| PathBuf::from(path));
        let datagram = text.strip_prefix("unixgram://").and_then(absolute);
        let stream = text.strip_prefix("unix://").and_then(absolute);
        datagram
            .map(Address::Datagram)
            .or_else(|| stream.map(Address::Stream))
            .ok_or_else(|| {
                Malformed::new(
                    format!("`{given}={text}` is no socket of this machine (there are no networks in this version)"),
                    "`unixgram:///dev/log` or `unix:///run/log.sock`",
                )
            })
    }

    /// The tag's template, if one was given.
    pub fn tag(&self) -> Option<&str> {
        self.option("tag").filter(|tag| !tag.is_empty())
    }

    /// The names in a list such as `labels=a,b`.
    pub fn names(&self, option: &str) -> impl Iterator<Item = &str> {
        let list = self.option(option).unwrap_or_default();
        list.split(',').filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(driver: &str, options: &[&str]) -> Result<LogConfig, Malformed> {
        let options = options.iter().map(|text| text.parse().unwrap()).collect();
        LogConfig::new(driver.parse()?, options)
    }

    #[test]
    fn each_driver_takes_its_own_options() {
        let limited = config("json-file", &["max-size=10m", "max-file=3"]).unwrap();
        assert_eq!(limited.max_bytes().unwrap(), Some(10 << 20));
        assert_eq!(limited.files().unwrap(), 3);
        let local = config("local", &[]).unwrap();
        assert_eq!(
            (local.max_bytes().unwrap(), local.files().unwrap()),
            (Some(20 << 20), 5)
        );
        let syslog = config(
            "syslog",
            &["syslog-facility=local3", "syslog-format=rfc5424"],
        );
        let syslog = syslog.unwrap();
        assert_eq!(syslog.facility().unwrap(), 19);
        assert_eq!(
            syslog.address().unwrap(),
            Address::Datagram("/dev/log".into())
        );
    }

    #[test]
    fn what_a_driver_does_not_take_is_refused() {
        for (driver, option) in [
            ("none", "max-size=1m"),
            ("json-file", "max-size=0"),
            ("json-file", "max-size=lots"),
            ("json-file", "max-file=2"),
            ("json-file", "max-file=0"),
            ("json-file", "compress=true"),
            ("syslog", "syslog-address=udp://1.2.3.4:514"),
            ("syslog", "syslog-facility=nothing"),
            ("syslog", "syslog-format=xml"),
            ("journald", "max-size=1m"),
        ] {
            assert!(config(driver, &[option]).is_err(), "{driver} {option}");
        }
        assert!(config("splunk", &[]).is_err());
    }
}
