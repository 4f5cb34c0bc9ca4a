//! `WWW-Authenticate` (RFC 9110, 11.6.1; distribution's token authentication).

/// What a registry wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// Name and password with every request.
    Basic,
    /// A token from the service at `realm`.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// Challenges that are looked at, and bytes of them.
const MAX_CHALLENGES: usize = 8;
const MAX_BYTES: usize = 8192;

/// The challenge in these headers that we answer: Bearer if there is one, else Basic.
pub(super) fn choose<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut basic = None;
    for header in headers.filter(|header| header.len() <= MAX_BYTES) {
        for challenge in parse(header).into_iter().take(MAX_CHALLENGES) {
            match challenge {
                Challenge::Bearer { .. } => return Some(challenge),
                Challenge::Basic => basic = Some(challenge),
            }
        }
    }
    basic
}

/// The challenges of one header that we know; what is malformed ends the list.
fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (scheme, after) = token(rest);
        if scheme.is_empty() {
            break;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        rest = after.trim_start();
        while let Some((name, value, after)) = parameter(rest) {
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
            rest = after.trim_start_matches([' ', '\t', ',']);
        }
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer") {
            if let Some(realm) = realm {
                found.push(Challenge::Bearer {
                    realm,
                    service,
                    scope,
                });
            }
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    found
}

/// `name=value` or `name="value"`, and what follows.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = token(text);
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    if name.is_empty() {
        return None;
    }
    let Some(quoted) = rest.strip_prefix('"') else {
        let (value, rest) = token(rest);
        return Some((name, value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((name, value, quoted.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

/// The token at the start, and what follows.
fn token(text: &str) -> (&str, &str) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, service: &str, scope: Option<&str>) -> Challenge {
        Challenge::Bearer {
            realm: realm.to_owned(),
            service: Some(service.to_owned()),
            scope: scope.map(str::to_owned),
        }
    }

    #[test]
    fn challenges_as_registries_send_them_are_understood() {
        let chosen = |header: &str| choose([header].into_iter());
        assert_eq!(
            chosen(
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
            ),
            Some(bearer(
                "https://auth.docker.io/token",
                "registry.docker.io",
                Some("repository:a/b:pull,push")
            ))
        );
        assert_eq!(
            chosen(r#"Basic realm="Registry Realm""#),
            Some(Challenge::Basic)
        );
        assert_eq!(
            chosen(r#"bearer realm="https://a/\"b\"" , service=s, error="x""#),
            Some(bearer(r#"https://a/"b""#, "s", None))
        );
        // Two in one header, and the better one second.
        assert_eq!(
            chosen(r#"Basic realm="r", Bearer realm="https://a", service="s""#),
            Some(bearer("https://a", "s", None))
        );
        assert_eq!(chosen(r#"Negotiate abc==, Digest realm="r""#), None);
        assert_eq!(chosen(r#"Bearer service="s""#), None);
        assert_eq!(chosen(r#"Bearer realm="unfinished"#), None);
        assert_eq!(chosen(""), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic_or_loop(header in "[a-zA-Z \",=\\\\é]{0,60}") {
            drop(choose([header.as_str()].into_iter()));
        }

        #[test]
        fn what_is_quoted_comes_out_as_it_was(realm in "[ -~]{0,40}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer realm=\"{quoted}\",service=\"s\"");
            prop_assert_eq!(choose([header.as_str()].into_iter()), Some(bearer(&realm, "s", None)));
        }
    }
}
