//! Sizes as people write and read them.
//!
//! A size is a whole number of bytes. It is read in the forms that Docker, Kubernetes and the
//! shell tools taught people: `4096`, `512M`, `10Gi`, `10GiB`, `1.5TiB`, `10GB`. One letter and the
//! `i` and `iB` forms count in powers of 1024, the `B` forms in powers of 1000. Nothing overflows and nothing is
//! guessed: what cannot be understood is an error that says what would be.

use std::fmt;
use std::str::FromStr;

/// Digits after the decimal point that are read; more than that is noise, and refused.
const FRACTION_DIGITS_MAX: usize = 18;

/// Names of the powers of 1024, smallest first.
const BINARY_UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSizeError {
    /// Nothing is there.
    #[error("a size cannot be empty; write a number with or without a unit, such as 4096, 512M or 10GiB")]
    Empty,
    /// It does not begin with a number, or the number is malformed. No sign is allowed.
    #[error("a size is a positive number with or without a unit, such as 4096, 512M, 1.5TiB or 10GB")]
    Number,
    /// More digits after the point than make sense.
    #[error("a size has at most {FRACTION_DIGITS_MAX} digits after the point")]
    Fraction,
    /// The letters after the number are no unit.
    #[error(
        "the unit of a size is K, M, G, T, P or E, Ki..Ei or KiB..EiB (powers of 1024), or KB..EB (powers of 1000)"
    )]
    Unit,
    /// Part of a byte.
    #[error("a size in bytes is a whole number")]
    PartOfByte,
    /// 16 EiB or more.
    #[error("a size is less than 16 EiB")]
    TooLarge,
}

impl ByteSize {
    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, ParseSizeError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(ParseSizeError::Empty);
        }
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let (whole, fraction) = match number.split_once('.') {
            Some((_, "")) => return Err(ParseSizeError::Number),
            Some(parts) => parts,
            None => (number, ""),
        };
        if whole.is_empty() || fraction.contains('.') {
            return Err(ParseSizeError::Number);
        }
        let scale = unit_bytes(unit.trim_start())?;
        if fraction.len() > FRACTION_DIGITS_MAX {
            return Err(ParseSizeError::Fraction);
        }
        if scale == 1 && fraction.bytes().any(|digit| digit != b'0') {
            return Err(ParseSizeError::PartOfByte);
        }
        let whole: u64 = whole.parse().map_err(|_| ParseSizeError::TooLarge)?;
        let bytes = u128::from(whole) * u128::from(scale) + fraction_bytes(fraction, scale);
        u64::try_from(bytes).map(Self).map_err(|_| ParseSizeError::TooLarge)
    }
}

/// What one of the unit is in bytes; letters in either case.
fn unit_bytes(unit: &str) -> Result<u64, ParseSizeError> {
    let unit = unit.to_ascii_lowercase();
    let (letter, base) = if unit.is_empty() || unit == "b" {
        return Ok(1);
    } else if let Some(letter) = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('i')) {
        (letter, 1024_u64)
    } else if let Some(letter) = unit.strip_suffix('b') {
        (letter, 1000)
    } else {
        (unit.as_str(), 1024)
    };
    let power = match letter {
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        "e" => 6,
        _ => return Err(ParseSizeError::Unit),
    };
    Ok(base.pow(power))
}

/// The digits after the point, in bytes of the unit, rounded down. At most 10^18 x 2^60: fits.
fn fraction_bytes(digits: &str, scale: u64) -> u128 {
    let (value, divisor) = digits
        .bytes()
        .fold((0_u128, 1_u128), |(value, divisor), digit| (value * 10 + u128::from(digit - b'0'), divisor * 10));
    value * u128::from(scale) / divisor
}

/// For people: the largest power of 1024 that gives at least 1, with one decimal rounded down
/// unless it is zero, as in `1.5 GiB` and `10 GiB`. Exact figures are for machines: print `.0`.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = (self.0.max(1).ilog2() / 10) as usize;
        let unit = 1_u64 << (10 * power);
        let tenths = u128::from(self.0) * 10 / u128::from(unit);
        let text = match tenths % 10 {
            0 => format!("{} {}", tenths / 10, BINARY_UNITS[power]),
            tenth => format!("{}.{tenth} {}", tenths / 10, BINARY_UNITS[power]),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests;
