#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

fn size(text: &str) -> Result<u64, ParseSizeError> {
    text.parse::<ByteSize>().map(ByteSize::bytes)
}

#[test]
fn the_forms_that_people_write() {
    for (text, bytes) in [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("1b", 1),
        ("512M", 512 << 20),
        ("512m", 512 << 20),
        ("64k", 64 << 10),
        ("10GiB", 10 << 30),
        ("10 GiB", 10 << 30),
        (" 10gib ", 10 << 30),
        ("10Gi", 10 << 30),
        ("10GB", 10_000_000_000),
        ("1kb", 1000),
        ("1.5TiB", (1 << 40) + (1 << 39)),
        ("0.5K", 512),
        ("2.0", 2),
        ("1PiB", 1 << 50),
        ("15EiB", 15 << 60),
        ("18446744073709551615", u64::MAX),
    ] {
        assert_eq!(size(text), Ok(bytes), "{text:?}");
    }
}

#[test]
fn what_is_not_a_size_says_why() {
    for (text, error) in [
        ("", ParseSizeError::Empty),
        ("  ", ParseSizeError::Empty),
        ("GiB", ParseSizeError::Number),
        (".5G", ParseSizeError::Number),
        ("5.G", ParseSizeError::Number),
        ("1.2.3G", ParseSizeError::Number),
        ("-1", ParseSizeError::Number),
        ("i", ParseSizeError::Number),
        ("10X", ParseSizeError::Unit),
        ("10iB", ParseSizeError::Unit),
        ("10BB", ParseSizeError::Unit),
        ("10GiBs", ParseSizeError::Unit),
        ("10i", ParseSizeError::Unit),
        ("1e3", ParseSizeError::Unit),
        ("1,5G", ParseSizeError::Unit),
        ("10 µB", ParseSizeError::Unit),
        ("0.5", ParseSizeError::PartOfByte),
        ("0.1234567890123456789K", ParseSizeError::Fraction),
        ("16EiB", ParseSizeError::TooLarge),
        ("15.9999999EiB9", ParseSizeError::Unit),
        ("99999999999999999999", ParseSizeError::TooLarge),
        ("18446744073709551615K", ParseSizeError::TooLarge),
    ] {
        assert_eq!(size(text), Err(error), "{text:?}");
    }
}

#[test]
fn sizes_read_well() {
    for (bytes, text) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536, "1.5 KiB"),
        ((1 << 20) - 1, "1023.9 KiB"),
        (10 << 30, "10 GiB"),
        (u64::MAX, "15.9 EiB"),
    ] {
        assert_eq!(ByteSize(bytes).to_string(), text);
    }
    assert_eq!(format!("[{:>8}]", ByteSize(1024)), "[   1 KiB]");
}

proptest! {
    #[test]
    fn bytes_round_trip(bytes: u64) {
        prop_assert_eq!(size(&bytes.to_string()), Ok(bytes));
    }

    #[test]
    fn what_is_printed_is_read_back_at_most_a_tenth_lower(bytes: u64) {
        let back = size(&ByteSize(bytes).to_string()).unwrap();
        let unit = 1_u64 << (bytes.max(1).ilog2() / 10 * 10);
        prop_assert!(back <= bytes && bytes - back <= unit / 10 + 1);
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _: Result<ByteSize, _> = text.parse();
    }
}
