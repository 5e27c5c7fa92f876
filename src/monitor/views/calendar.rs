//! Moments and durations as people and programs read them.
//!
//! The page, the JSON and the ECV answers call it; pure. Times are UTC: a monitor is often read from another country than
//! its machine is in. `httpdate`, which hyper needs anyway, knows the calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last second of the year 9999: what `httpdate` can write at most.
const LAST: Duration = Duration::from_secs(253_402_300_799);
const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";

/// The moment as JavaScript's `toISOString` writes it; a moment before 1970 is shown as the first of 1970.
pub(crate) fn iso(moment: SystemTime) -> String {
    let (since, [_, day, month, year, time]) = parts(moment);
    let month = MONTHS.find(&month).unwrap_or_default() / 3 + 1;
    format!("{year}-{month:02}-{day}T{time}.{:03}Z", since.subsec_millis())
}

/// The moment as JavaScript's `Date.toString()` writes it where the clocks show UTC.
pub(crate) fn date_string(moment: SystemTime) -> String {
    let (_, [weekday, day, month, year, time]) = parts(moment);
    format!("{weekday} {month} {day} {year} {time} GMT+0000 (UTC)")
}

/// The time since 1970, and `Thu`, `01`, `Jan`, `1970`, `00:00:00`.
fn parts(moment: SystemTime) -> (Duration, [String; 5]) {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default().min(LAST);
    let text = httpdate::fmt_http_date(UNIX_EPOCH + since);
    let mut words = text.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned);
    (since, std::array::from_fn(|_| words.next().unwrap_or_default()))
}

/// A duration by its two largest units: `3 d 4 h`, `12 min 5 s`, `7 s`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64, millis: u64) -> String {
        iso(UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(millis))
    }

    #[test]
    fn moments_are_written_as_javascript_does() {
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_709_251_199, 1), "2024-02-29T23:59:59.001Z");
        assert_eq!(at(1_735_689_599, 0), "2024-12-31T23:59:59.000Z");
        assert_eq!(at(1_735_689_600, 0), "2025-01-01T00:00:00.000Z");
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn moments_are_written_as_the_original_did() {
        let at = |seconds| date_string(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "Thu Jan 01 1970 00:00:00 GMT+0000 (UTC)");
        assert_eq!(at(1_795_337_114), "Sun Nov 22 2026 08:45:14 GMT+0000 (UTC)");
    }

    #[test]
    fn moments_that_no_calendar_has_are_the_nearest_that_it_has() {
        assert_eq!(iso(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(253_402_300_799, 999), "9999-12-31T23:59:59.000Z");
        assert_eq!(at(u64::MAX / 8, 0), "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn ages_are_told_by_their_two_largest_units() {
        let told = [7, 125, 7_384, 273_600].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(told, ["7 s", "2 min 5 s", "2 h 3 min", "3 d 4 h"]);
    }
}
