//! Where the data of a file is, and where its holes are (GNU tar's sparse format 1.0).
//!
//! A map keeps within [`STRETCHES_MAX`] whatever the file: where there are more stretches of data,
//! the shortest holes between them are written as zeros.

use holdfast_core::error::{Error, ErrorKind, Result};

/// Stretches begin and end at multiples of this, but for the file's end: some readers round each
/// up to a block, others do not.
const ALIGN: u64 = 4096;
/// Most stretches of a map that is made.
const STRETCHES_MAX: usize = 1 << 15;
/// Most stretches of a map that is read.
const READ_STRETCHES_MAX: u64 = 1 << 22;

/// A stretch of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// First byte in the file.
    pub start: u64,
    /// Bytes; may be 0 at the end of the file.
    pub len: u64,
}

impl Stretch {
    /// The byte after the last.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// The data of a file: stretches in order, without overlap, within its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Map(Vec<Stretch>);

impl Map {
    /// A map of stretches.
    ///
    /// # Errors
    /// `Invalid`: they overlap, are not in order, or reach past the file's end.
    pub fn new(stretches: Vec<Stretch>, size: u64) -> Result<Self> {
        let mut at = 0;
        for stretch in &stretches {
            let end = stretch.start.checked_add(stretch.len).filter(|end| *end <= size);
            match end {
                Some(end) if stretch.start >= at => at = end,
                _ => return Err(Error::new(ErrorKind::Invalid, "the map of its holes makes no sense")),
            }
        }
        Ok(Self(stretches))
    }

    /// The stretches.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.0
    }

    /// Bytes of data.
    #[must_use]
    pub fn data_bytes(&self) -> u64 {
        self.0.iter().map(|stretch| stretch.len).sum()
    }

    /// The text before the data: decimal numbers, filled up to whole blocks with NULs.
    pub(crate) fn encode(&self, size: u64) -> Vec<u8> {
        // Without a stretch at the end GNU tar would not know the length.
        let end = self.0.last().map_or(0, Stretch::end);
        let last = (end < size || self.0.is_empty()).then_some(Stretch { start: size, len: 0 });
        let mut text = format!("{}\n", self.0.len() + usize::from(last.is_some()));
        for stretch in self.0.iter().chain(&last) {
            text.push_str(&format!("{}\n{}\n", stretch.start, stretch.len));
        }
        let mut bytes = text.into_bytes();
        bytes.resize(bytes.len().next_multiple_of(crate::header::BLOCK), 0);
        bytes
    }
}

/// Reads a map's text, byte by byte.
#[derive(Debug, Default)]
pub(crate) struct Text {
    number: Option<u64>,
    count: Option<u64>,
    numbers: Vec<u64>,
}

impl Text {
    /// Takes one byte; `true`: that was the last one.
    ///
    /// # Errors
    /// `Invalid`.
    pub(crate) fn take(&mut self, byte: u8) -> Result<bool> {
        let wrong = || Error::new(ErrorKind::Invalid, "the map of its holes is no list of numbers");
        match byte {
            b'0'..=b'9' => {
                let more = self.number.unwrap_or(0).checked_mul(10).and_then(|n| n.checked_add(u64::from(byte - b'0')));
                self.number = Some(more.ok_or_else(wrong)?);
                Ok(false)
            }
            b'\n' => {
                let number = self.number.take().ok_or_else(wrong)?;
                match self.count {
                    None if number > READ_STRETCHES_MAX => return Err(wrong()),
                    None => self.count = Some(number),
                    Some(_) => self.numbers.push(number),
                }
                Ok(self.count.is_some_and(|count| self.numbers.len() as u64 == 2 * count))
            }
            _ => Err(wrong()),
        }
    }

    /// The stretches.
    pub(crate) fn stretches(self) -> Vec<Stretch> {
        stretches(&self.numbers)
    }
}

/// Offsets and lengths in turn.
pub(crate) fn stretches(numbers: &[u64]) -> Vec<Stretch> {
    numbers.chunks_exact(2).map(|pair| Stretch { start: pair[0], len: pair[1] }).collect()
}

/// Makes a map of a file from its stretches of data, which come in order.
#[derive(Debug)]
pub(crate) struct Builder {
    size: u64,
    stretches: Vec<Stretch>,
    /// Shorter holes are not kept.
    hole_min: u64,
}

impl Builder {
    pub(crate) const fn new(size: u64) -> Self {
        Self { size, stretches: Vec::new(), hole_min: ALIGN }
    }

    pub(crate) fn add(&mut self, start: u64, end: u64) {
        let start = start / ALIGN * ALIGN;
        let end = end.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX).min(self.size);
        if end <= start {
            return;
        }
        self.push(Stretch { start, len: end - start });
        while self.stretches.len() > STRETCHES_MAX {
            self.hole_min = self.hole_min.saturating_mul(2);
            for stretch in std::mem::take(&mut self.stretches) {
                self.push(stretch);
            }
        }
    }

    fn push(&mut self, stretch: Stretch) {
        match self.stretches.last_mut() {
            Some(last) if stretch.start < last.end().saturating_add(self.hole_min) => {
                last.len = last.end().max(stretch.end()) - last.start;
            }
            _ => self.stretches.push(stretch),
        }
    }

    /// The map; `None`: there is no hole worth one.
    pub(crate) fn finish(self) -> Option<Map> {
        match &self.stretches[..] {
            [Stretch { start: 0, len }] if *len == self.size => None,
            _ => Some(Map(self.stretches)),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]
mod tests {
    use super::*;

    fn built(size: u64, parts: &[(u64, u64)]) -> Option<Vec<(u64, u64)>> {
        let mut builder = Builder::new(size);
        parts.iter().for_each(|(start, end)| builder.add(*start, *end));
        builder.finish().map(|map| map.stretches().iter().map(|stretch| (stretch.start, stretch.len)).collect())
    }

    #[test]
    fn maps_are_aligned_and_hold_all_data() {
        assert_eq!(built(10_000, &[(0, 10_000)]), None);
        assert_eq!(built(10_000, &[(0, 5000), (5000, 10_000)]), None);
        assert_eq!(built(100_000, &[(5000, 5001)]), Some(vec![(4096, 4096)]));
        assert_eq!(built(100_000, &[(99_999, 100_000)]), Some(vec![(98_304, 1696)]));
        assert_eq!(built(100_000, &[]), Some(vec![]));
        assert_eq!(built(1 << 40, &[(0, 1), (1 << 39, (1 << 39) + 1)]), Some(vec![(0, 4096), (1 << 39, 4096)]));
    }

    #[test]
    fn a_map_keeps_within_its_bound() {
        let mut builder = Builder::new(1 << 40);
        for number in 0..200_000_u64 {
            builder.add(number * 16_384, number * 16_384 + 10);
        }
        builder.add(1 << 39, (1 << 39) + 5);
        let map = builder.finish().unwrap();
        assert!(map.stretches().len() <= STRETCHES_MAX);
        assert_eq!(map.stretches().last(), Some(&Stretch { start: 1 << 39, len: 4096 }), "long holes stay");
        assert!(map.data_bytes() < 200_001 * 16_384);
    }

    #[test]
    fn the_text_of_a_map() {
        let map = Map::new(vec![Stretch { start: 4096, len: 4096 }], 100_000).unwrap();
        let text = map.encode(100_000);
        assert_eq!(text.len(), 512);
        assert!(text.starts_with(b"2\n4096\n4096\n100000\n0\n\0"));
        let (mut reader, mut len) = (Text::default(), 0);
        while !reader.take(text[len]).unwrap() {
            len += 1;
        }
        assert_eq!(len + 1, b"2\n4096\n4096\n100000\n0\n".len());
        assert_eq!(reader.stretches(), [Stretch { start: 4096, len: 4096 }, Stretch { start: 100_000, len: 0 }]);
    }

    #[test]
    fn maps_that_make_no_sense_are_refused() {
        for (stretches, size) in [(vec![(0, 11)], 10), (vec![(5, 2), (6, 1)], 10), (vec![(u64::MAX, 2)], u64::MAX)] {
            let stretches = stretches.into_iter().map(|(start, len)| Stretch { start, len }).collect();
            assert!(Map::new(stretches, size).is_err());
        }
        for bad in [&b"x"[..], b"\n", b"1\n2\n-3\n", b"99999999999999999999999\n", b"9999999999\n"] {
            let mut text = Text::default();
            assert!(bad.iter().any(|byte| text.take(*byte).is_err()), "{}", bad.escape_ascii());
        }
    }
}
