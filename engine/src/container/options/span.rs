//! Spans of time: `--health-interval 1m30s`.

use std::str::FromStr;
use std::time::Duration;

use jiff::SignedDuration;

use super::Malformed;

/// A span of time, a millisecond at least, or zero for "as usual".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(Duration);

impl Span {
    /// Nanoseconds, as Docker's documents have them.
    pub fn nanoseconds(self) -> i64 {
        i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX)
    }
}

impl FromStr for Span {
    type Err = Malformed;

    /// Go's notation: numbers with `h`, `m`, `s`, `ms`, `us` or `ns` behind each.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| {
            Malformed::new(
                format!("`{text}` {why}"),
                "a span of time such as `30s`, `1m30s` or `500ms`",
            )
        };
        let span = match text {
            "0" => SignedDuration::ZERO,
            _ => text.parse().map_err(|_| bad("is no span of time"))?,
        };
        let span = Duration::try_from(span).map_err(|_| bad("is negative"))?;
        if !span.is_zero() && span < Duration::from_millis(1) {
            return Err(bad("is less than a millisecond"));
        }
        Ok(Self(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_written_as_in_go() {
        let ns = |text: &str| text.parse::<Span>().unwrap().nanoseconds();
        assert_eq!(ns("1m30s"), 90_000_000_000);
        assert_eq!(ns("500ms"), 500_000_000);
        assert_eq!(ns("0"), 0);
        assert_eq!(ns("0s"), 0);
        for text in ["", "5", "-1s", "10us", "x", "1 parsec"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
