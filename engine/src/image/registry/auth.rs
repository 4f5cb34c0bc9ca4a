//! Answers to challenges: credentials, and tokens that are had for them.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use base64ct::{Base64, Encoding as _};
use ureq::http::header::{self, HeaderValue};
use ureq::http::{Method, StatusCode, Uri};

use crate::image::registry::challenge::{Challenge, choose};
use crate::image::registry::endpoint::{Endpoint, resolve};
use crate::image::registry::http::{Answer, Ask, Body, Http, failure};
use crate::image::registry::{Credentials, RegistryError};

/// Bytes of a token service's answer.
const MAX_TOKEN: u64 = 1 << 20;

/// The name by which token services tell programs apart.
const CLIENT_ID: &str = "keel";

/// What a request is for, as token services want to know it; empty for none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope(String);

impl Scope {
    /// Being known at all.
    pub(super) fn none() -> Self {
        Self(String::new())
    }

    pub(super) fn pull(repository: &str) -> Self {
        Self(format!("repository:{repository}:pull"))
    }

    pub(super) fn push(repository: &str) -> Self {
        Self(format!("repository:{repository}:pull,push"))
    }

    /// This, and reading another repository.
    pub(super) fn and_pull(&self, repository: &str) -> Self {
        Self(format!("{} repository:{repository}:pull", self.0))
    }
}

/// What has been found out about a registry.
#[derive(Debug)]
pub(super) struct Auth {
    credentials: Option<Credentials>,
    /// The header for each scope.
    headers: Mutex<HashMap<Scope, HeaderValue>>,
}

impl Auth {
    pub(super) fn new(credentials: Option<Credentials>) -> Self {
        Self {
            credentials,
            headers: Mutex::default(),
        }
    }

    /// What to send with a request, as far as that is known.
    pub(super) fn header(&self, scope: &Scope) -> Option<HeaderValue> {
        let headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        headers.get(scope).cloned()
    }

    /// What to send after `answer`, which is a 401 to a request that was sent with `used`.
    pub(super) fn renew(
        &self,
        http: &Http,
        endpoint: &Endpoint,
        scope: &Scope,
        used: Option<&HeaderValue>,
        answer: &Answer,
    ) -> Result<HeaderValue, RegistryError> {
        // Held while a token is fetched: whoever waits here wants the same one.
        let mut headers = self.headers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(newer) = headers.get(scope).filter(|header| Some(*header) != used) {
            return Ok(newer.clone());
        }
        let challenges = answer.headers.get_all(header::WWW_AUTHENTICATE);
        let texts = challenges.iter().filter_map(|value| value.to_str().ok());
        let challenge =
            choose(texts).ok_or_else(|| RegistryError::Challenge(endpoint.registry.clone()))?;
        let mut header = match challenge {
            Challenge::Basic => match &self.credentials {
                Some(Credentials::Password { user, password }) if used.is_none() => {
                    basic(user, password)
                }
                // Nothing to show, or it was seen and is wrong.
                _ => return Err(denied(endpoint, String::new())),
            },
            Challenge::Bearer { realm, service, .. } => {
                let token =
                    self.token(http, endpoint, scope, answer, &realm, service.as_deref())?;
                let text = format!("Bearer {token}");
                HeaderValue::try_from(text).map_err(|_| RegistryError::Answer {
                    url: realm,
                    what: "a token with characters that no token has".to_owned(),
                })?
            }
        };
        header.set_sensitive(true);
        headers.insert(scope.clone(), header.clone());
        Ok(header)
    }

    /// Asks a token service (distribution's "Token Authentication" and "OAuth 2").
    fn token(
        &self,
        http: &Http,
        endpoint: &Endpoint,
        scope: &Scope,
        answer: &Answer,
        realm: &str,
        service: Option<&str>,
    ) -> Result<String, RegistryError> {
        let to = resolve(&answer.uri, realm).ok_or_else(|| RegistryError::Away {
            from: answer.uri.to_string(),
            to: super::http::printable(realm),
            why: "it is no address",
        })?;
        endpoint.allow(&answer.uri, &to)?;
        let mut fields: Vec<(&str, &str)> = Vec::new();
        if let Some(service) = service {
            fields.push(("service", service));
        }
        if !scope.0.is_empty() && !matches!(self.credentials, Some(Credentials::IdentityToken(_))) {
            // Each of several scopes is a field of its own in a query.
            fields.extend(scopes(scope).map(|scope| ("scope", scope)));
        }
        let answer = match &self.credentials {
            None => http.send(&Ask::new(Method::GET, with_query(&to, &fields)?))?,
            Some(Credentials::Password { user, password }) => {
                fields.push(("account", user));
                let ask = Ask::new(Method::GET, with_query(&to, &fields)?);
                http.send(&ask.header(header::AUTHORIZATION, basic(user, password)))?
            }
            Some(Credentials::IdentityToken(token)) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", CLIENT_ID),
                    ("refresh_token", token),
                    ("scope", &scope.0),
                ]);
                let form = encode(&fields);
                let ask = Ask::new(Method::POST, to.clone())
                    .header(
                        header::CONTENT_TYPE,
                        HeaderValue::from_static("application/x-www-form-urlencoded"),
                    )
                    .body(Body::Bytes(form.as_bytes()));
                http.send(&ask)?
            }
        };
        read_token(endpoint, answer)
    }
}

fn read_token(endpoint: &Endpoint, answer: Answer) -> Result<String, RegistryError> {
    #[derive(serde::Deserialize)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
    }
    let url = without_query(&answer.uri);
    match answer.status {
        StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST => {
            return Err(denied(endpoint, answer.detail()));
        }
        status => {
            return Err(RegistryError::Status {
                url,
                status: status.as_u16(),
                detail: answer.detail(),
            });
        }
    }
    let mut text = Vec::new();
    let uri = answer.uri.clone();
    answer
        .body
        .take(MAX_TOKEN)
        .read_to_end(&mut text)
        .map_err(|source| failure(&uri, 1, source))?;
    let found: Option<Token> = serde_json::from_slice(&text).ok();
    found
        .and_then(|found| found.token.or(found.access_token))
        .filter(|token| !token.is_empty())
        .ok_or_else(|| RegistryError::Answer {
            url,
            what: "something else than a token".to_owned(),
        })
}

fn denied(endpoint: &Endpoint, detail: String) -> RegistryError {
    RegistryError::Denied {
        registry: endpoint.registry.clone(),
        detail,
    }
}

fn scopes(scope: &Scope) -> impl Iterator<Item = &str> {
    scope.0.split(' ')
}

/// RFC 7617. What is encoded cannot be refused as a header.
fn basic(user: &str, password: &str) -> HeaderValue {
    let encoded = Base64::encode_string(format!("{user}:{password}").as_bytes());
    HeaderValue::try_from(format!("Basic {encoded}"))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic"))
}

pub(super) fn with_query(uri: &Uri, fields: &[(&str, &str)]) -> Result<Uri, RegistryError> {
    let joint = match uri.query() {
        Some(_) => "&",
        None => "?",
    };
    let text = format!("{uri}{joint}{}", encode(fields));
    text.parse().map_err(|_| RegistryError::Answer {
        url: without_query(uri),
        what: "what is no address".to_owned(),
    })
}

fn without_query(uri: &Uri) -> String {
    let text = uri.to_string();
    text.split('?').next().unwrap_or_default().to_owned()
}

/// `application/x-www-form-urlencoded`, of which queries are made, too.
pub(super) fn encode(fields: &[(&str, &str)]) -> String {
    let pairs = fields
        .iter()
        .map(|(name, value)| format!("{}={}", escape(name), escape(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            // Writing to a String cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_meaning_in_a_query() {
        let fields = [("scope", "repository:a/b:pull,push"), ("account", "m&m=ä")];
        assert_eq!(
            encode(&fields),
            "scope=repository%3Aa%2Fb%3Apull%2Cpush&account=m%26m%3D%C3%A4"
        );
        let uri: Uri = "https://a.b/token?x=y".parse().unwrap();
        let asked = with_query(&uri, &[("service", "s")]).unwrap();
        assert_eq!(asked.to_string(), "https://a.b/token?x=y&service=s");
    }

    #[test]
    fn credentials_are_sent_as_rfc_7617_has_them() {
        let header = basic("Aladdin", "open sesame");
        assert_eq!(header, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
