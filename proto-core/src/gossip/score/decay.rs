//! Time in whole intervals, and what it leaves of a counter.

use core::time::Duration;

use super::soundness::MIN_DECAY_INTERVAL;
use crate::time::Timestamp;

/// Counts intervals of time.
#[derive(Clone, Debug)]
pub(super) struct Ticks {
    /// The last end of an interval.
    last: Timestamp,
    interval_nanos: u64,
}

impl Ticks {
    /// The first interval begins now. One shorter than [`MIN_DECAY_INTERVAL`] is taken for it.
    pub(super) fn new(now: Timestamp, interval: Duration) -> Self {
        let nanos = interval.max(MIN_DECAY_INTERVAL).as_nanos();
        Ticks { last: now, interval_nanos: u64::try_from(nanos).unwrap_or(u64::MAX) }
    }

    /// How many intervals ended since this was asked last.
    pub(super) fn take(&mut self, now: Timestamp) -> u64 {
        let passed = now.0.saturating_sub(self.last.0);
        let ticks = passed / self.interval_nanos;
        // No more than `passed`, so that it does not overflow.
        self.last =
            Timestamp(self.last.0.saturating_add(ticks.saturating_mul(self.interval_nanos)));
        ticks
    }

    /// The end of the last interval that [`Ticks::take`] counted.
    pub(super) fn last(&self) -> Timestamp {
        self.last
    }

    /// The end of the interval that is running, unless that is beyond the end of time.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.last.0.checked_add(self.interval_nanos).map(Timestamp)
    }
}

/// What `ticks` intervals leave of a counter, each of them `factor`. Once it is below `to_zero`, it
/// is zero; since it only falls, it is enough to look at the end.
pub(super) fn decayed(counter: f64, factor: f64, ticks: u64, to_zero: f64) -> f64 {
    let left = counter * power(factor, ticks);
    if left < to_zero { 0.0 } else { left }
}

/// `base` multiplied `exponent` times. By multiplication alone: unlike `powi` it gives the same bits
/// on every machine.
fn power(base: f64, exponent: u64) -> f64 {
    let (mut power, mut square, mut rest) = (1.0, base, exponent);
    while rest > 0 {
        if rest & 1 == 1 {
            power *= square;
        }
        square *= square;
        rest >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_whole_intervals_since_the_beginning() {
        let mut ticks = Ticks::new(Timestamp::from_millis(500), Duration::from_secs(1));
        assert_eq!(ticks.take(Timestamp::from_millis(1_499)), 0);
        assert_eq!(ticks.next(), Some(Timestamp::from_millis(1_500)));
        assert_eq!(ticks.take(Timestamp::from_millis(1_500)), 1);
        assert_eq!(ticks.take(Timestamp::from_millis(4_600)), 3);
        assert_eq!(ticks.last(), Timestamp::from_millis(4_500));
        assert_eq!(ticks.take(Timestamp::from_millis(4_600)), 0);
        assert_eq!(ticks.take(Timestamp::ZERO), 0);
    }

    #[test]
    fn at_the_end_of_time_there_is_no_next_tick() {
        let mut ticks = Ticks::new(Timestamp::ZERO, Duration::from_secs(1));
        assert_eq!(ticks.take(Timestamp::MAX), u64::MAX / 1_000_000_000);
        assert_eq!(ticks.next(), None);
        assert_eq!(ticks.take(Timestamp::MAX), 0);
        assert_eq!(Ticks::new(Timestamp::MAX, Duration::MAX).take(Timestamp::MAX), 0);
    }

    #[test]
    fn many_intervals_at_once_leave_what_they_leave_one_by_one() {
        for factor in [0.01, 0.2, 0.5, 0.9, 0.99] {
            let mut one_by_one = 1_000.0;
            for ticks in 1..200 {
                one_by_one *= factor;
                if one_by_one < 0.013 {
                    one_by_one = 0.0;
                }
                let at_once = decayed(1_000.0, factor, ticks, 0.013);
                assert!((at_once - one_by_one).abs() <= one_by_one * 1e-12);
            }
        }
    }

    #[test]
    fn any_number_of_intervals_ends_at_zero() {
        assert_eq!(decayed(1e6, 0.999_999, u64::MAX, 0.01), 0.0);
        assert_eq!(decayed(0.0, 0.5, 3, 0.01), 0.0);
        assert_eq!(decayed(7.0, 0.5, 0, 0.01), 7.0);
    }
}
