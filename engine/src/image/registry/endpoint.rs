//! Where a registry is, and where its answers may point to.

use std::net::IpAddr;

use ureq::http::Uri;
use ureq::http::uri::{Authority, PathAndQuery, Scheme};

use crate::image::reference::DEFAULT_REGISTRY;
use crate::image::registry::{RegistryError, Settings};

/// A registry's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// As references name it.
    pub(super) registry: String,
    /// Where it is: `host[:port]`.
    pub(super) host: String,
    /// Whether it may be spoken to without TLS.
    pub(super) plain: Plain,
}

/// Whether HTTP without TLS may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    Allowed,
    Refused,
}

impl Endpoint {
    /// The place of the registry that references call `registry`. One on this machine may be
    /// spoken to without TLS; others only if they are named in the settings.
    pub fn new(registry: &str, settings: &Settings) -> Self {
        let host = if registry == DEFAULT_REGISTRY {
            "registry-1.docker.io"
        } else {
            registry
        };
        let named = settings.insecure.iter().any(|host| host == registry);
        let here = bare(host).is_some_and(|host| is_loopback(&host));
        Self {
            registry: registry.to_owned(),
            host: host.to_owned(),
            plain: if named || here {
                Plain::Allowed
            } else {
                Plain::Refused
            },
        }
    }

    /// Whether it is on this machine, and so may point to others there.
    pub(super) fn is_here(&self) -> bool {
        bare(&self.host).is_some_and(|host| is_loopback(&host))
    }

    /// Whether `uri` is at the registry itself.
    pub(super) fn has(&self, uri: &Uri) -> bool {
        uri.authority()
            .is_some_and(|authority| authority.as_str() == self.host)
    }

    /// Whether something may be asked at `to` because `from`, of this registry, points there.
    ///
    /// Only HTTP, only encrypted unless what points there is not, and not to this machine or its
    /// link unless the registry is here itself: else it could have us ask services that trust
    /// their neighbours, such as those that hand out a cloud machine's credentials.
    pub(super) fn allow(&self, from: &Uri, to: &Uri) -> Result<(), RegistryError> {
        let refuse = |why| {
            Err(RegistryError::Away {
                from: from.to_string(),
                to: to.to_string(),
                why,
            })
        };
        let Some(authority) = to.authority() else {
            return refuse("it is no address of the web");
        };
        if authority.as_str().contains('@') {
            return refuse("it has a user name in it");
        }
        match to.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => {}
            Some(scheme) if *scheme == Scheme::HTTP => {
                if from.scheme() != Some(&Scheme::HTTP) || self.plain == Plain::Refused {
                    return refuse("it is not encrypted");
                }
            }
            _ => return refuse("it is neither http nor https"),
        }
        let here = bare(authority.as_str()).is_some_and(|host| is_local(&host));
        if here && !self.is_here() && !self.has(to) {
            return refuse("it is on this machine or its link");
        }
        Ok(())
    }
}

/// The host of `host[:port]`, without the brackets of an IPv6 address.
fn bare(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    let host = authority.host();
    Some(host.trim_matches(['[', ']']).to_ascii_lowercase())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| embedded(address).is_loopback())
}

fn is_local(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(is_local_address)
}

/// Whether an address is of this machine or of its link.
pub(super) fn is_local_address(address: IpAddr) -> bool {
    match embedded(address) {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_link_local() || address.octets()[0] == 0
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unspecified() || address.is_unicast_link_local()
        }
    }
}

/// An IPv4 address that is written as an IPv6 address is the same place.
fn embedded(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Where a `Location`, or a `Link`, of the answer to `base` leads (RFC 3986, 5.2, for what
/// registries send).
pub(super) fn resolve(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or_default();
    if location.contains("://") {
        return location.parse().ok();
    }
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{}://{rest}", base.scheme_str()?).parse().ok();
    }
    // `file:/etc/passwd` and its like.
    if location
        .split(['/', '?'])
        .next()
        .is_some_and(|first| first.contains(':'))
    {
        return location
            .parse()
            .ok()
            .filter(|uri: &Uri| uri.scheme().is_some());
    }
    let path = if location.starts_with('/') {
        location.to_owned()
    } else if location.starts_with('?') {
        format!("{}{location}", base.path())
    } else {
        let folder = base
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{folder}/{location}")
    };
    let mut parts = base.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(registry: &str) -> Endpoint {
        let mut settings = Settings::from_environment(|_| None);
        settings.insecure = vec!["plain.example.org".to_owned()];
        Endpoint::new(registry, &settings)
    }

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear_unless_named() {
        for (registry, plain) in [
            ("localhost", Plain::Allowed),
            ("localhost:5000", Plain::Allowed),
            ("127.0.0.1:5000", Plain::Allowed),
            ("127.9.9.9", Plain::Allowed),
            ("[::1]:5000", Plain::Allowed),
            ("plain.example.org", Plain::Allowed),
            ("plain.example.org:80", Plain::Refused),
            ("127.0.0.1.example.org", Plain::Refused),
            ("localhost.example.org", Plain::Refused),
            ("10.0.0.1", Plain::Refused),
            ("docker.io", Plain::Refused),
        ] {
            assert_eq!(endpoint(registry).plain, plain, "{registry}");
        }
        assert_eq!(endpoint("docker.io").host, "registry-1.docker.io");
    }

    #[test]
    fn registries_point_to_encrypted_places_elsewhere_and_to_nothing_else() {
        let remote = endpoint("r.example.org");
        let from: Uri = "https://r.example.org/v2/a/blobs/b".parse().unwrap();
        let allowed = |to: &str| {
            let to = resolve(&from, to).ok_or("malformed")?;
            remote.allow(&from, &to).map_err(|_| "refused")
        };
        for good in [
            "https://cdn.example.net/blob?signature=x",
            "/v2/other",
            "//cdn.example.net/blob",
            "https://r.example.org/x",
        ] {
            assert_eq!(allowed(good), Ok(()), "{good}");
        }
        for bad in [
            "http://cdn.example.net/blob",
            "http://r.example.org/x",
            "file:///etc/shadow",
            "file:/etc/shadow",
            "ftp://cdn.example.net/x",
            "https://localhost/x",
            "https://127.0.0.1:2375/x",
            "https://[::1]/x",
            "https://[::ffff:127.0.0.1]/x",
            "https://0.0.0.0/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[fe80::1]/x",
            "https://user:password@cdn.example.net/x",
            "https://",
            "javascript:alert(1)",
        ] {
            assert!(allowed(bad).is_err(), "{bad} is allowed");
        }
    }

    #[test]
    fn a_registry_on_this_machine_points_to_this_machine() {
        let here = endpoint("localhost:5000");
        let from: Uri = "http://localhost:5000/v2/".parse().unwrap();
        let to: Uri = "http://127.0.0.1:5001/token".parse().unwrap();
        here.allow(&from, &to).unwrap();
        // Once encrypted, it stays so.
        let from: Uri = "https://localhost:5000/v2/".parse().unwrap();
        assert!(here.allow(&from, &to).is_err());
    }

    #[test]
    fn locations_are_relative_to_what_was_asked() {
        let base: Uri = "https://a.b/v2/x/blobs/uploads/?mount=y".parse().unwrap();
        let leads = |location: &str| resolve(&base, location).unwrap().to_string();
        assert_eq!(leads("/v2/x/1?s=t#f"), "https://a.b/v2/x/1?s=t");
        assert_eq!(leads("1"), "https://a.b/v2/x/blobs/uploads/1");
        assert_eq!(leads("http://c.d:1/e"), "http://c.d:1/e");
    }
}
