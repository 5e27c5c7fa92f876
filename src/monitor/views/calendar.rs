//! Moments and durations as people and programs read them.
//!
//! Called by the page and by the JSON; pure. Times are UTC: a monitor is often read from another country than its machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;
/// Days of four centuries, after which the Gregorian calendar repeats.
const DAYS_PER_ERA: u64 = 146_097;
/// Days from 1 March of the year 0 to 1 January 1970.
const DAYS_BEFORE_EPOCH: u64 = 719_468;

/// The moment as JavaScript's `toISOString` writes it; a moment before 1970 is shown as 1970's first.
pub(crate) fn iso(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = date(since.as_secs() / SECONDS_PER_DAY);
    let second = since.as_secs() % SECONDS_PER_DAY;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", since.subsec_millis())
}

/// The moment as JavaScript's `Date.toString()` writes it where the clocks show UTC.
pub(crate) fn date_string(moment: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = moment.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let days = seconds / SECONDS_PER_DAY;
    let (year, month, date) = date(days);
    let of = |names: &'static [&'static str], at: u64| {
        usize::try_from(at).ok().and_then(|at| names.get(at)).copied().unwrap_or_default()
    };
    let (day, month) = (of(&DAYS, days % 7), of(&MONTHS, month - 1));
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{day} {month} {date:02} {year:04} {hour:02}:{minute:02}:{second:02} GMT+0000 (UTC)")
}

/// Year, month and day of a day counted from 1970.
///
/// Years are counted from March here, so that the leap day is the last of its year and months follow one rule.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_EPOCH;
    let era = days / DAYS_PER_ERA;
    let day_of_era = days % DAYS_PER_ERA;
    // Every 4 years (1,461 days) has one leap day, the last of each century has none, the last of the era has one.
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// How long ago, by its two largest units: `3 d 4 h`, `12 min 5 s`, `7 s`.
pub(crate) fn age(earlier: SystemTime, now: SystemTime) -> String {
    span(now.duration_since(earlier).unwrap_or_default())
}

fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / SECONDS_PER_DAY);
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
    fn every_day_of_five_centuries_follows_the_one_before() {
        let mut before = date(0);
        for day in 1..182_622 {
            let (year, month, date) = date(day);
            let is_next_day = (year, month, date) == (before.0, before.1, before.2 + 1);
            let is_next_month = (year, month, date) == (before.0, before.1 + 1, 1) && before.2 >= 28;
            let is_next_year =
                (year, month, date) == (before.0 + 1, 1, 1) && (before.1, before.2) == (12, 31);
            assert!(is_next_day || is_next_month || is_next_year, "{before:?} -> {year}-{month}-{date}");
            before = (year, month, date);
        }
        assert_eq!(before, (2469, 12, 31));
    }

    #[test]
    fn moments_are_written_as_the_original_did() {
        let at = |seconds| date_string(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "Thu Jan 01 1970 00:00:00 GMT+0000 (UTC)");
        assert_eq!(at(1_795_337_114), "Sun Nov 22 2026 08:45:14 GMT+0000 (UTC)");
    }

    #[test]
    fn clocks_that_were_set_back_give_no_nonsense() {
        assert_eq!(iso(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00.000Z");
        assert_eq!(age(UNIX_EPOCH + Duration::from_secs(9), UNIX_EPOCH), "0 s");
    }

    #[test]
    fn ages_are_told_by_their_two_largest_units() {
        let told = [7, 125, 7_384, 273_600].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(told, ["7 s", "2 min 5 s", "2 h 3 min", "3 d 4 h"]);
    }
}
