//! Days of the Gregorian calendar, in UTC: what certificates and listings need of dates.
//!
//! Only arithmetic; the current time comes from the caller.

use std::fmt;

use holdfast_core::time::Timestamp;

const SECONDS_A_DAY: i64 = 86_400;

/// A day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// The year; 1970 and later in what we write.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl Date {
    /// The day that begins so many days after 1970-01-01 (before, when negative).
    ///
    /// Counts in eras of 400 years (146,097 days) from 0000-03-01, so that the day that leap years
    /// add is the last of a year.
    #[must_use]
    pub fn from_days(days: i32) -> Self {
        let days = i64::from(days) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Self { year: clamp(year), month: clamp(month), day: clamp(day) }
    }
}

/// The figures above fit; this says so without a cast.
fn clamp<T: TryFrom<i64> + Default>(value: i64) -> T {
    T::try_from(value).unwrap_or_default()
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Whole days from 1970-01-01 to this moment.
#[must_use]
pub fn day_of(time: Timestamp) -> i32 {
    clamp(time.secs.div_euclid(SECONDS_A_DAY))
}

/// A moment as RFC 3339 writes it, to the second: `2026-11-23T07:40:12Z`.
#[must_use]
pub fn rfc3339(time: Timestamp) -> String {
    let second = time.secs.rem_euclid(SECONDS_A_DAY);
    format!("{}T{:02}:{:02}:{:02}Z", Date::from_days(day_of(time)), second / 3600, second / 60 % 60, second % 60)
}

/// The current time.
#[must_use]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp { secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (19_782, "2024-02-29"),
            (20_780, "2026-11-23"),
            (47_540, "2100-02-28"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(Date::from_days(days).to_string(), text);
        }
    }

    #[test]
    fn moments() {
        assert_eq!(rfc3339(Timestamp { secs: 0, nanos: 5 }), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(Timestamp { secs: -1, nanos: 0 }), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339(Timestamp { secs: 20_780 * 86_400 + 27_612, nanos: 0 }), "2026-11-23T07:40:12Z");
    }
}
