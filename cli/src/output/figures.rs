//! Figures as people write them.

/// Three digits that count, or whole numbers in groups of three.
#[must_use]
pub fn number(value: f64) -> String {
    if value < 9.995 {
        return format!("{value:.2}");
    }
    if value < 99.95 {
        return format!("{value:.1}");
    }
    grouped(&format!("{value:.0}"))
}

/// A whole number, in groups of three.
#[must_use]
pub fn count(value: u64) -> String {
    grouped(&value.to_string())
}

fn grouped(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in microseconds.
#[must_use]
pub fn micros(value: f64) -> String {
    match value {
        value if value < 1e3 => format!("{} us", number(value)),
        value if value < 1e6 => format!("{} ms", number(value / 1e3)),
        value => format!("{} s", number(value / 1e6)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_written_for_people() {
        let numbers = [0.0, 1.234, 12.34, 99.96, 123.4, 999.5, 1234.5, 1_234_567.0].map(number);
        assert_eq!(numbers, ["0.00", "1.23", "12.3", "100", "123", "1,000", "1,234", "1,234,567"]);
        assert_eq!([0, 20, 1234].map(count), ["0", "20", "1,234"]);
        assert_eq!([1.5, 1500.0, 2.5e6].map(micros), ["1.50 us", "1.50 ms", "2.50 s"]);
    }
}
