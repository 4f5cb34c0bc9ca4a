//! The environment's proxies, and plain HTTP through them.
//!
//! For an `https` address the proxy is asked for a tunnel, which the HTTP client does itself. For
//! an `http` one it would ask for a tunnel too, and the usual proxies refuse tunnels to port 80
//! and could cache nothing in them; so here such a request is sent to the proxy as it is meant
//! to be, with the whole address in its first line (RFC 9112, 3.2.2).

use std::ffi::OsString;

use base64ct::{Base64, Encoding};
use ureq::Proxy;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, DefaultConnector, NextTimeout, TcpConnector, Transport,
};

/// Through which proxies to go.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    pub(crate) http: Option<Proxy>,
    pub(crate) https: Option<Proxy>,
}

/// An environment variable that names no proxy.
#[derive(Debug, thiserror::Error)]
#[error(
    "{variable} is `{value}`, which is no proxy's address; expected something like `http://proxy.example.org:3128`"
)]
pub struct InvalidProxy {
    variable: &'static str,
    value: String,
}

impl Proxies {
    /// Those that `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` name, in lower or upper
    /// case.
    pub fn of_environment(
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, InvalidProxy> {
        let value = |name: &str| {
            let value = variable(name).or_else(|| variable(&name.to_uppercase()))?;
            let value = value.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let excepted = value("no_proxy").unwrap_or_default();
        let proxy = |name: &'static str| {
            let (variable, value) = match (value(name), value("all_proxy")) {
                (Some(value), _) => (name, value),
                (None, Some(value)) => ("all_proxy", value),
                (None, None) => return Ok(None),
            };
            match with_exceptions(&value, &excepted) {
                Ok(proxy) => Ok(Some(proxy)),
                Err(_) => Err(InvalidProxy { variable, value }),
            }
        };
        Ok(Self {
            http: proxy("http_proxy")?,
            https: proxy("https_proxy")?,
        })
    }
}

fn with_exceptions(address: &str, excepted: &str) -> Result<Proxy, ureq::Error> {
    let plain = Proxy::new(address)?;
    let mut proxy = Proxy::builder(plain.protocol())
        .host(plain.host())
        .port(plain.port());
    if let Some(user) = plain.username() {
        proxy = proxy.username(user);
    }
    if let Some(password) = plain.password() {
        proxy = proxy.password(password);
    }
    for host in excepted.split([',', ' ']).filter(|host| !host.is_empty()) {
        proxy = proxy.no_proxy(host);
    }
    proxy.build()
}

/// Connects to the proxy for `http` addresses, and as the HTTP client does for all others.
#[derive(Debug, Default)]
pub(crate) struct ForwardingConnector(DefaultConnector);

impl Connector for ForwardingConnector {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let proxy = details.config.proxy().filter(|proxy| {
            proxy.protocol() == ureq::ProxyProtocol::Http
                && details.uri.scheme_str() == Some("http")
                && !proxy.is_no_proxy(details.uri)
        });
        let (Some(proxy), Some(target)) = (proxy, details.uri.authority()) else {
            return self.0.connect(details, chained);
        };
        let to_proxy = ConnectionDetails {
            uri: proxy.uri(),
            addrs: details
                .resolver
                .resolve(proxy.uri(), details.config, details.timeout)?,
            config: details.config,
            request_level: details.request_level,
            resolver: details.resolver,
            now: details.now,
            timeout: details.timeout,
            current_time: details.current_time.clone(),
            run_connector: details.run_connector.clone(),
            register_shutdown: details.register_shutdown.clone(),
        };
        let connection = TcpConnector::default().connect(&to_proxy, None::<()>)?;
        Ok(connection.map(|connection| {
            let forwarded: Box<dyn Transport> = Box::new(Forwarded {
                connection,
                target: format!("http://{target}"),
                credentials: credentials(proxy),
            });
            forwarded
        }))
    }
}

/// The header that tells the proxy who asks, with its line's end.
fn credentials(proxy: &Proxy) -> Option<String> {
    let user = proxy.username()?;
    let password = proxy.password().unwrap_or_default();
    let encoded = Base64::encode_string(format!("{user}:{password}").as_bytes());
    Some(format!("Proxy-Authorization: Basic {encoded}\r\n"))
}

/// A connection to a proxy over which requests go with whole addresses.
#[derive(Debug)]
struct Forwarded<T> {
    connection: T,
    target: String,
    credentials: Option<String>,
}

impl<T: Transport> Transport for Forwarded<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let output = self.connection.buffers().output();
        let sent = output.get(..amount).unwrap_or_default();
        // Requests here have no body, so whatever is sent begins with a request's first line.
        let Some(rest) = sent.strip_prefix(b"GET ") else {
            return self.connection.transmit_output(amount, timeout);
        };
        let line = rest
            .iter()
            .position(|b| *b == b'\n')
            .map_or(rest.len(), |end| end + 1);
        let (line, headers) = rest.split_at(line);
        let credentials = self.credentials.as_deref().unwrap_or_default();
        let whole = [
            b"GET ",
            self.target.as_bytes(),
            line,
            credentials.as_bytes(),
            headers,
        ]
        .concat();
        let Some(room) = output.get_mut(..whole.len()) else {
            return Err(ureq::Error::Io(std::io::Error::other(
                "the request is too long",
            )));
        };
        room.copy_from_slice(&whole);
        self.connection.transmit_output(whole.len(), timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.connection.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        self.connection.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(set: &[(&str, &str)]) -> Result<Proxies, InvalidProxy> {
        Proxies::of_environment(|name| {
            let found = set.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_proxy_fills_in() {
        let proxies = of(&[
            ("http_proxy", "http://a.example.org:3128"),
            ("ALL_PROXY", "b.example.org"),
        ])
        .unwrap();
        assert_eq!(proxies.http.unwrap().host(), "a.example.org");
        assert_eq!(proxies.https.unwrap().host(), "b.example.org");
        assert!(of(&[("http_proxy", " ")]).unwrap().http.is_none());
    }

    #[test]
    fn excepted_hosts_are_asked_directly() {
        let proxies = of(&[
            ("http_proxy", "http://a.example.org"),
            ("no_proxy", "localhost, .internal.example.org"),
        ])
        .unwrap();
        let excepted = |uri: &'static str| {
            let proxy = proxies.http.as_ref().unwrap();
            proxy.is_no_proxy(&ureq::http::Uri::from_static(uri))
        };
        assert!(excepted("http://localhost/x"));
        assert!(excepted("http://mirror.internal.example.org/x"));
        assert!(!excepted("http://example.org/x"));
    }

    #[test]
    fn what_is_no_address_is_named() {
        let error = of(&[("HTTPS_PROXY", "foo://x")]).unwrap_err();
        insta::assert_snapshot!(error, @"https_proxy is `foo://x`, which is no proxy's address; expected something like `http://proxy.example.org:3128`");
    }

    #[test]
    fn credentials_are_sent_as_rfc_7617_has_them() {
        let proxies = of(&[("http_proxy", "http://Aladdin:open%20sesame@a.example.org")]).unwrap();
        assert_eq!(
            credentials(&proxies.http.unwrap()).as_deref(),
            Some("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n")
        );
    }
}
