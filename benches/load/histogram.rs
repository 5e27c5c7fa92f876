//! Latencies in microseconds, counted in buckets that are never wider than a 128th of what they hold.
//!
//! Below 128 us a bucket is one microsecond; above, each doubling has 128 buckets.

const LINEAR_BITS: u32 = 7;
const PER_DOUBLING: u64 = 1 << LINEAR_BITS;

#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    total: u64,
    longest: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, micros: u64) {
        let at = place(micros);
        if at >= self.buckets.len() {
            self.buckets.resize(at + 1, 0);
        }
        self.buckets[at] += 1;
        self.total += 1;
        self.longest = self.longest.max(micros);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (count, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *count += more;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// The least value that so many thousandths of all do not exceed, as the upper end of its bucket.
    pub(crate) fn at_permille(&self, permille: u64) -> u64 {
        let wanted = (self.total * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return upper_end(at as u64).min(self.longest);
            }
        }
        0
    }

    /// How many took longer, to the precision of a bucket.
    pub(crate) fn above(&self, micros: u64) -> u64 {
        self.buckets.iter().skip(place(micros) + 1).sum()
    }

    pub(crate) fn longest(&self) -> u64 {
        self.longest
    }
}

fn place(value: u64) -> usize {
    let doublings = (u64::BITS - value.leading_zeros()).saturating_sub(LINEAR_BITS + 1);
    let within = value >> doublings;
    // At most 57 doublings of 128 buckets and one more: far below the limit of any `usize`.
    usize::try_from(u64::from(doublings) * PER_DOUBLING + within).unwrap_or(usize::MAX)
}

fn upper_end(place: u64) -> u64 {
    if place < 2 * PER_DOUBLING {
        return place;
    }
    let doublings = place / PER_DOUBLING - 1;
    let within = place % PER_DOUBLING + PER_DOUBLING;
    ((within + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_at_most_a_128th_of_what_it_holds() {
        for value in (0..5000).chain([65_535, 65_536, 1_000_000, 3_600_000_000]) {
            let end = upper_end(place(value) as u64);
            assert!(end >= value && end - value <= value / 128, "{value} counts as {end}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|value| histogram.record(value));
        assert_eq!([500, 990, 999].map(|permille| histogram.at_permille(permille)), [50, 99, 100]);
        assert_eq!(histogram.above(90), 10);
    }

    #[test]
    fn two_are_added_as_if_one_had_recorded_all() {
        let (mut low, mut high, mut all) = (Histogram::default(), Histogram::default(), Histogram::default());
        for value in 1..=1000 {
            all.record(value);
            if value < 100 { low.record(value) } else { high.record(value) }
        }
        low.add(&high);
        let told = |it: &Histogram| (it.at_permille(50), it.at_permille(500), it.above(900), it.longest());
        assert_eq!(told(&low), told(&all));
    }

    #[test]
    fn nothing_recorded_is_zero_everywhere() {
        let histogram = Histogram::default();
        assert_eq!((histogram.at_permille(500), histogram.above(0), histogram.longest()), (0, 0, 0));
    }
}
