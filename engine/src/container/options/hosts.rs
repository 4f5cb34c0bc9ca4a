//! `--add-host db:10.0.0.7` and `--dns 10.0.0.1`: what the container's own files say.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Malformed;

/// A line of `/etc/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExtraHost {
    /// What it is called.
    pub name: String,
    /// Where it is.
    pub address: IpAddr,
}

impl FromStr for ExtraHost {
    type Err = Malformed;

    /// `NAME:ADDRESS` or `NAME=ADDRESS`; an address of IPv6 may be in brackets.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad =
            |why: &str| Malformed::new(format!("`{text}` {why}"), "`db:10.0.0.7` or `db=fe80::1`");
        let at = text.find(['=', ':']).ok_or_else(|| bad("has no address"))?;
        let (name, address) = text.split_at(at);
        let address = address.get(1..).unwrap_or_default();
        let address = address.strip_prefix('[').unwrap_or(address);
        let address = address.strip_suffix(']').unwrap_or(address);
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(bad("has no name"));
        }
        Ok(Self {
            name: name.to_owned(),
            address: address
                .parse()
                .map_err(|_| bad("has no address of a host"))?,
        })
    }
}

impl fmt::Display for ExtraHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.address)
    }
}

impl TryFrom<String> for ExtraHost {
    type Error = Malformed;

    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<ExtraHost> for String {
    fn from(host: ExtraHost) -> Self {
        host.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_name_and_an_address_of_either_kind() {
        let host = |text: &str| text.parse::<ExtraHost>().unwrap().to_string();
        assert_eq!(host("db:10.0.0.7"), "db:10.0.0.7");
        assert_eq!(host("db=[fe80::1]"), "db:fe80::1");
        assert_eq!(host("db:fe80::1"), "db:fe80::1");
        for text in ["db", ":1.2.3.4", "db:", "db:host-gateway", "a b:1.2.3.4"] {
            assert!(text.parse::<ExtraHost>().is_err(), "{text}");
        }
    }
}
