//! Sizes: `--memory 64m`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Malformed;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

const EXAMPLE: &str = "a size such as `512k`, `64m`, `1.5g` (powers of 1024), or bytes";

impl FromStr for Bytes {
    type Err = Malformed;

    /// Docker's notation: a number, perhaps with a fraction, and b, k, m, g, t or p in either
    /// case, perhaps with `b` or `ib` behind it. All are powers of 1024.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| Malformed::new(format!("`{text}` {why}"), EXAMPLE);
        let lower = text.trim().to_ascii_lowercase();
        let unit_at = lower
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(lower.len());
        let (number, unit) = lower.split_at(unit_at);
        let shift = match unit.trim_start() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            "p" | "pb" | "pib" => 50,
            _ => return Err(bad("has an unknown unit")),
        };
        scaled(number, 1_u64 << shift)
            .map(Self)
            .ok_or_else(|| bad("is not a size that fits into 63 bits"))
    }
}

/// `number` × `unit`, rounded down, in whole numbers so that no digit is lost.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let parts: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let denominator = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let total = whole.checked_mul(u128::from(unit))? + parts * u128::from(unit) / denominator;
    u64::try_from(total)
        .ok()
        .filter(|&n| i64::try_from(n).is_ok())
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `--memory-swap`: how much memory and swap space together may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "i64", from = "i64")]
pub enum SwapLimit {
    /// `-1`: as much swap space as there is.
    None,
    /// Both together.
    Total(Bytes),
}

impl SwapLimit {
    /// Docker's default: as much again may be swapped out.
    pub fn twice(memory: Bytes) -> Self {
        Self::Total(Bytes(memory.0.saturating_mul(2)))
    }

    /// In the runtime specification's terms.
    pub fn memory_and_swap(self) -> i64 {
        match self {
            Self::None => -1,
            Self::Total(Bytes(bytes)) => i64::try_from(bytes).unwrap_or(i64::MAX),
        }
    }
}

impl From<SwapLimit> for i64 {
    fn from(limit: SwapLimit) -> Self {
        limit.memory_and_swap()
    }
}

impl From<i64> for SwapLimit {
    fn from(bytes: i64) -> Self {
        u64::try_from(bytes).map_or(Self::None, |bytes| Self::Total(Bytes(bytes)))
    }
}

impl FromStr for SwapLimit {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "-1" => Ok(Self::None),
            _ => text.parse().map(Self::Total),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_powers_of_1024_in_either_case() {
        let parse = |text: &str| text.parse::<Bytes>().unwrap().0;
        assert_eq!(parse("64m"), 64 << 20);
        assert_eq!(parse("1.5G"), 3 << 29);
        assert_eq!(parse("2KiB"), 2048);
        assert_eq!(parse("4096"), 4096);
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in ["", "m", "-1", "1..5g", "64x", "9999999999999p", "1e3"] {
            let refusal = text.parse::<Bytes>().unwrap_err().to_string();
            assert!(refusal.contains("give a size such as `512k`"), "{refusal}");
        }
    }

    proptest! {
        #[test]
        fn parse_undoes_print(n in 0..=i64::MAX.unsigned_abs()) {
            prop_assert_eq!(Bytes(n).to_string().parse::<Bytes>().unwrap(), Bytes(n));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            drop(text.parse::<Bytes>());
        }
    }
}
