//! Integers, byte strings and times, written one after the other and read back with checks.

use bytes::Bytes;
use holdfast_core::time::Timestamp;

use super::Malformed;

type Result<T> = std::result::Result<T, Malformed>;

/// Writes a record.
#[derive(Debug)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Begins a record with its version; `capacity` bytes are expected to follow.
    #[must_use]
    pub fn new(version: u8, capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity + 1);
        bytes.push(version);
        Self(bytes)
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    /// Big-endian.
    pub fn u16(&mut self, value: u16) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Big-endian.
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Big-endian.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Seconds (i64, two's complement), then nanoseconds (u32).
    pub fn time(&mut self, value: Timestamp) {
        self.0.extend_from_slice(&value.secs.to_be_bytes());
        self.u32(value.nanos);
    }

    /// Bytes without their length: of a fixed number, or the last field.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Text of less than 64 KiB after its length (u16); longer text is cut at a character.
    pub fn text(&mut self, text: &str) {
        let mut end = text.len().min(usize::from(u16::MAX));
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.u16(u16::try_from(end).unwrap_or(u16::MAX));
        self.raw(&text.as_bytes()[..end]);
    }

    /// The record.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(self.0)
    }
}

/// Reads a record.
#[derive(Debug)]
pub struct Decoder<'a> {
    whole: &'a Bytes,
    at: usize,
}

impl<'a> Decoder<'a> {
    /// Begins with the version, which must be `version`.
    ///
    /// # Errors
    /// Another version, or no byte at all.
    pub fn new(whole: &'a Bytes, version: u8) -> Result<Self> {
        let mut decoder = Self { whole, at: 0 };
        if decoder.u8()? == version { Ok(decoder) } else { Err(Malformed("its layout has an unknown version")) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let rest = &self.whole[self.at..];
        let (array, _) = rest.split_first_chunk::<N>().ok_or(Malformed("it is too short"))?;
        self.at += N;
        Ok(*array)
    }

    /// One byte.
    ///
    /// # Errors
    /// No byte left; so for all that follow.
    pub fn u8(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Big-endian.
    ///
    /// # Errors
    /// Too short.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// Big-endian.
    ///
    /// # Errors
    /// Too short.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Big-endian.
    ///
    /// # Errors
    /// Too short.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// Zero or one.
    ///
    /// # Errors
    /// Another byte, or none.
    pub fn flag(&mut self) -> Result<bool> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed("a flag is neither 0 nor 1")),
        }
    }

    /// As [`Encoder::time`] writes it.
    ///
    /// # Errors
    /// A second or more of nanoseconds, or too short.
    pub fn time(&mut self) -> Result<Timestamp> {
        let secs = self.array().map(i64::from_be_bytes)?;
        Timestamp::new(secs, self.u32()?).ok_or(Malformed("a time has too many nanoseconds"))
    }

    /// A fixed number of bytes.
    ///
    /// # Errors
    /// Too short.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.array()
    }

    /// As [`Encoder::text`] writes it.
    ///
    /// # Errors
    /// Too short, or not UTF-8.
    pub fn text(&mut self) -> Result<String> {
        let len = usize::from(self.u16()?);
        let bytes = self.whole[self.at..].get(..len).ok_or(Malformed("it is too short"))?;
        self.at += len;
        String::from_utf8(bytes.to_vec()).map_err(|_| Malformed("a text is not UTF-8"))
    }

    /// All that is left, without a copy.
    #[must_use]
    pub fn rest(self) -> Bytes {
        self.whole.slice(self.at..)
    }

    /// Ends: nothing may be left.
    ///
    /// # Errors
    /// Something is left.
    pub fn finish(self) -> Result<()> {
        if self.at == self.whole.len() { Ok(()) } else { Err(Malformed("it is too long")) }
    }
}
