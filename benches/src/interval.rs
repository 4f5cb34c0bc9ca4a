//! The median of a sample, with an interval that assumes nothing of its distribution.

/// A median and its confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The sample's median.
    pub median: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The median of `sample` with an interval that covers the true median at least 95 times in
/// 100, by order statistics: how many of `n` values lie below the true median is binomial with
/// p = 1/2, whatever they are distributed like (Conover, *Practical Nonparametric Statistics*,
/// section 3.2). `None` for fewer than six values, which admit no such interval.
pub fn median_interval(mut sample: Vec<f64>) -> Option<Interval> {
    let n = sample.len();
    if n < 6 {
        return None;
    }
    sample.sort_by(f64::total_cmp);
    let rank = lower_rank(n);
    Some(Interval {
        median: f64::midpoint(*sample.get((n - 1) / 2)?, *sample.get(n / 2)?),
        low: *sample.get(rank)?,
        high: *sample.get(n - 1 - rank)?,
    })
}

/// The largest index `r`, from 0, such that fewer than `r + 1` of `n` fair coins show heads
/// with probability ≤ 2.5 %: the interval runs from the value at `r` to the one at `n - 1 - r`.
fn lower_rank(n: usize) -> usize {
    let mut term = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut sum = 0.0;
    for k in 0..n / 2 {
        sum += term;
        if sum > 0.025 {
            return k.saturating_sub(1);
        }
        // n and k are far below 2^52.
        #[expect(clippy::cast_precision_loss, reason = "sample sizes are small")]
        {
            term *= (n - k) as f64 / (k + 1) as f64;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranks_are_those_of_the_tables() {
        // Conover's table A3: for n = 10 the interval runs from the 2nd to the 9th value,
        // for n = 20 from the 6th to the 15th.
        let sample = |n: u32| (1..=n).map(f64::from).collect::<Vec<_>>();
        let ten = median_interval(sample(10)).unwrap();
        assert_eq!((ten.low, ten.median, ten.high), (2.0, 5.5, 9.0));
        let twenty = median_interval(sample(20)).unwrap();
        assert_eq!((twenty.low, twenty.median, twenty.high), (6.0, 10.5, 15.0));
    }

    #[test]
    fn too_few_values_have_no_interval() {
        assert_eq!(median_interval(vec![1.0; 5]), None);
        assert!(median_interval(vec![1.0; 6]).is_some());
    }
}
