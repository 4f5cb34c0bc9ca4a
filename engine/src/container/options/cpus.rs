//! `--cpus 1.5`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Malformed;

/// A share of processors, in billionths of one, as Docker's `NanoCpus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cpus(u64);

/// The smallest quota that the kernel takes, µs.
const LEAST_QUOTA_US: i64 = 1_000;

impl Cpus {
    /// The bandwidth controller's period, µs. 100 ms is the kernel's own default.
    pub const PERIOD_US: u64 = 100_000;

    /// Billionths of a processor.
    pub fn nano(self) -> u64 {
        self.0
    }

    /// Quota in µs for each period of 100 000 µs.
    pub fn quota_us(self) -> i64 {
        i64::try_from(self.0 / (1_000_000_000 / Self::PERIOD_US)).unwrap_or(i64::MAX)
    }
}

impl FromStr for Cpus {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let bad = |why: &str| {
            Malformed::new(
                format!("`{text}` {why}"),
                "a number of processors such as `0.5` or `2`, at least 0.01",
            )
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.len() > 9 {
            return Err(bad("has more than nine decimals"));
        }
        let whole: u32 = whole.parse().map_err(|_| bad("is not a number"))?;
        let parts: u64 = format!("{fraction:0<9}")
            .parse()
            .map_err(|_| bad("is not a number"))?;
        let cpus = Self(u64::from(whole) * 1_000_000_000 + parts);
        if cpus.quota_us() < LEAST_QUOTA_US {
            return Err(bad("is less than the kernel can enforce"));
        }
        Ok(cpus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_processor_is_half_of_each_period() {
        let half: Cpus = "0.5".parse().unwrap();
        assert_eq!(half.quota_us(), 50_000);
        assert_eq!(half.nano(), 500_000_000);
        assert_eq!("2".parse::<Cpus>().unwrap().quota_us(), 200_000);
    }

    #[test]
    fn what_the_kernel_cannot_enforce_is_refused() {
        for text in ["0", "0.001", "-1", "x", "1.0000000001", ""] {
            assert!(text.parse::<Cpus>().is_err(), "{text}");
        }
    }
}
