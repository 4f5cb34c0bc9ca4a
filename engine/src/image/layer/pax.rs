//! Pax extended headers (POSIX.1-2001): records of `LENGTH KEY=VALUE\n`.
//!
//! Values may hold any byte, newlines and zeros included (attributes do), so records are cut by
//! their length and by nothing else.

/// Why bytes are no pax header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the pax header is malformed")]
pub(super) struct Malformed;

/// The records, in order. A later one of the same key overrides; an empty value takes back.
pub(super) fn records(mut data: &[u8]) -> Result<Vec<(&str, &[u8])>, Malformed> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let space = data
            .iter()
            .take(20)
            .position(|byte| *byte == b' ')
            .ok_or(Malformed)?;
        let (figures, _) = data.split_at(space);
        let length: usize = std::str::from_utf8(figures)
            .ok()
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or(Malformed)?;
        let (record, rest) = data.split_at_checked(length).ok_or(Malformed)?;
        let body = record
            .get(space + 1..)
            .and_then(|body| body.strip_suffix(b"\n"))
            .ok_or(Malformed)?;
        let equals = body
            .iter()
            .position(|byte| *byte == b'=')
            .ok_or(Malformed)?;
        let (key, value) = body.split_at(equals);
        let key = std::str::from_utf8(key).map_err(|_| Malformed)?;
        found.push((key, value.get(1..).ok_or(Malformed)?));
        data = rest;
    }
    Ok(found)
}

/// Seconds, and nanoseconds forward from there, of a decimal time such as `-1.5`.
pub(super) fn time(value: &[u8]) -> Result<(i64, i64), Malformed> {
    let text = std::str::from_utf8(value).map_err(|_| Malformed)?;
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let figures = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !figures(whole) || !figures(fraction) {
        return Err(Malformed);
    }
    let seconds: i64 = whole.parse().map_err(|_| Malformed)?;
    let nanos = fraction
        .bytes()
        .chain(std::iter::repeat(b'0'))
        .take(9)
        .fold(0_i64, |nanos, figure| nanos * 10 + i64::from(figure - b'0'));
    Ok(match (negative, nanos) {
        (false, nanos) => (seconds, nanos),
        (true, 0) => (-seconds, 0),
        (true, nanos) => (-seconds - 1, 1_000_000_000 - nanos),
    })
}

/// A whole number.
pub(super) fn number(value: &[u8]) -> Result<u64, Malformed> {
    std::str::from_utf8(value)
        .ok()
        .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn times_have_fractions_and_lie_before_1970_too() {
        assert_eq!(time(b"1"), Ok((1, 0)));
        assert_eq!(time(b"1.5"), Ok((1, 500_000_000)));
        assert_eq!(time(b"-1.25"), Ok((-2, 750_000_000)));
        assert_eq!(time(b"0.0000000019"), Ok((0, 1)));
        for wrong in [
            &b""[..],
            b".",
            b"-",
            b"1e3",
            b"+1",
            b"99999999999999999999",
            b"1.-1",
        ] {
            assert_eq!(time(wrong), Err(Malformed));
        }
    }

    #[test]
    fn malformed_records_are_refused() {
        for wrong in [
            &b"x"[..],
            b"9999 a=b\n",
            b"6 a=b",
            b"0 \n",
            b"3 a\n",
            b"4 a=b\n",
            b"+6 a=b\n",
            b"18446744073709551616 a=b\n",
        ] {
            assert_eq!(records(wrong), Err(Malformed), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn any_value_comes_back_as_it_was(
            written in prop::collection::vec(("[a-zA-Z.]{1,20}", prop::collection::vec(any::<u8>(), 0..200)), 0..5)
        ) {
            let data: Vec<u8> = written.iter().flat_map(|(key, value)| record(key, value)).collect();
            let read = records(&data).unwrap();
            let read: Vec<_> = read.into_iter().map(|(key, value)| (key.to_owned(), value.to_vec())).collect();
            prop_assert_eq!(read, written);
        }

        #[test]
        fn no_bytes_make_the_parser_panic(data in prop::collection::vec(any::<u8>(), 0..300)) {
            let printed = format!("{:?}{:?}{:?}", records(&data), time(&data), number(&data));
            prop_assert!(!printed.is_empty());
        }
    }
}
