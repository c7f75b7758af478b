//! Times as pax writes them: seconds in decimal with a fraction, also before 1970.

use holdfast_core::time::Timestamp;

const BILLION: u32 = 1_000_000_000;

/// A time in decimal; as short as it can be without loss.
pub(crate) fn encode(time: Timestamp) -> String {
    if time.nanos == 0 {
        return time.secs.to_string();
    }
    // -1.5 is half a second before -1: the whole second that the system counts from lies before it.
    let (sign, whole, nanos) = match time.secs {
        secs @ 0.. => ("", secs.unsigned_abs(), time.nanos),
        secs => ("-", (secs + 1).unsigned_abs(), BILLION - time.nanos),
    };
    let fraction = format!("{nanos:09}");
    format!("{sign}{whole}.{}", fraction.trim_end_matches('0'))
}

/// The reverse. Digits past the nanoseconds are dropped (towards the past).
pub(crate) fn decode(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !numeric(whole) || !numeric(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let kept: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let mut nanos: u32 = kept.parse().ok()?;
    let more = fraction.bytes().skip(9).any(|digit| digit != b'0');
    if !negative {
        return Timestamp::new(whole, nanos);
    }
    nanos += u32::from(more);
    if nanos == 0 {
        return Timestamp::new(-whole, 0);
    }
    if nanos == BILLION {
        return Timestamp::new((-whole).checked_sub(1)?, 0);
    }
    Timestamp::new((-whole).checked_sub(1)?, BILLION - nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_read_as_tar_writes_them() {
        let time = |secs, nanos| Timestamp { secs, nanos };
        for (text, at) in [
            ("0", time(0, 0)),
            ("1.5", time(1, 500_000_000)),
            ("-1", time(-1, 0)),
            ("-0.5", time(-1, 500_000_000)),
            ("-1.5", time(-2, 500_000_000)),
            ("-0.000000001", time(-1, 999_999_999)),
            ("1700000000.123456789", time(1_700_000_000, 123_456_789)),
        ] {
            assert_eq!(decode(text.as_bytes()), Some(at), "{text}");
            assert_eq!(encode(at), text);
        }
        assert_eq!(decode(b"1.1234567899"), Some(time(1, 123_456_789)));
        assert_eq!(decode(b"-0.9999999999"), Some(time(-1, 0)));
        for bad in ["", "-", ".5", "1e3", "1.-5", "99999999999999999999", "+1"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_time_comes_back(secs in any::<i64>(), nanos in 0..BILLION) {
            let time = Timestamp { secs, nanos };
            prop_assert_eq!(decode(encode(time).as_bytes()).or(Some(time).filter(|_| secs == i64::MIN)), Some(time));
        }
    }
}
