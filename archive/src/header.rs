//! Header blocks of 512 bytes: written as ustar, read as ustar, GNU tar's and the old form.

use holdfast_core::error::{Error, ErrorKind, Result};

/// Bytes of a block; everything in an archive fills whole blocks.
pub(crate) const BLOCK: usize = 512;

/// A block.
pub(crate) type Block = [u8; BLOCK];

/// What kinds of member a header names; see tar(5).
pub(crate) mod flag {
    pub(crate) const OLD_FILE: u8 = 0;
    pub(crate) const FILE: u8 = b'0';
    pub(crate) const LINK: u8 = b'1';
    pub(crate) const SYMLINK: u8 = b'2';
    pub(crate) const CHAR_DEVICE: u8 = b'3';
    pub(crate) const BLOCK_DEVICE: u8 = b'4';
    pub(crate) const DIRECTORY: u8 = b'5';
    pub(crate) const FIFO: u8 = b'6';
    pub(crate) const CONTIGUOUS: u8 = b'7';
    pub(crate) const EXTENDED: u8 = b'x';
    pub(crate) const EXTENDED_OLD: u8 = b'X';
    pub(crate) const GLOBAL: u8 = b'g';
    pub(crate) const GNU_LONG_NAME: u8 = b'L';
    pub(crate) const GNU_LONG_TARGET: u8 = b'K';
    pub(crate) const GNU_SPARSE: u8 = b'S';
    pub(crate) const GNU_DUMP_DIRECTORY: u8 = b'D';
    pub(crate) const GNU_LABEL: u8 = b'V';
}

/// Largest number of the eleven octal digits of a size or time.
pub(crate) const OCTAL_11_MAX: u64 = (1 << 33) - 1;
/// Largest number of the seven octal digits of an owner, mode or device.
pub(crate) const OCTAL_7_MAX: u64 = (1 << 21) - 1;
/// Room for a name.
pub(crate) const NAME_BYTES: usize = 100;

/// A header, field by field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) flag: u8,
    pub(crate) target: Vec<u8>,
    pub(crate) major: u64,
    pub(crate) minor: u64,
}

impl Header {
    /// A header of this kind, all else empty.
    pub(crate) fn new(flag: u8, name: &[u8], size: u64) -> Self {
        Self {
            name: name.to_vec(),
            mode: 0,
            uid: 0,
            gid: 0,
            size,
            mtime: 0,
            flag,
            target: Vec::new(),
            major: 0,
            minor: 0,
        }
    }

    /// Its block, as POSIX has it. What does not fit is cut or zero: extended records say it.
    pub(crate) fn encode(&self) -> Block {
        let mut block = [0; BLOCK];
        put_text(&mut block[..NAME_BYTES], &self.name);
        put_octal(&mut block[100..108], self.mode.into());
        put_octal(&mut block[108..116], self.uid);
        put_octal(&mut block[116..124], self.gid);
        put_octal(&mut block[124..136], self.size);
        put_octal(&mut block[136..148], u64::try_from(self.mtime).unwrap_or(0));
        block[156] = self.flag;
        put_text(&mut block[157..257], &self.target);
        block[257..265].copy_from_slice(b"ustar\x0000");
        put_octal(&mut block[329..337], self.major);
        put_octal(&mut block[337..345], self.minor);
        block[148..156].fill(b' ');
        let sum = checksum(&block);
        put_octal(&mut block[148..155], sum);
        block[154] = 0;
        block
    }

    /// The header of a block that is not all zeros.
    ///
    /// # Errors
    /// `Invalid`: its checksum is wrong, or a number in it is none.
    pub(crate) fn decode(block: &Block) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::Invalid, format!("a header has {what}"));
        let told =
            number(&block[148..156]).ok_or_else(|| wrong("no checksum: this is no tar archive, or it is damaged"))?;
        let mut blanked = *block;
        blanked[148..156].fill(b' ');
        let signed: i64 = blanked.iter().map(|byte| i64::from(byte.cast_signed())).sum();
        if told != i128::from(checksum(&blanked)) && told != i128::from(signed) {
            return Err(wrong("a wrong checksum: this is no tar archive, or it is damaged"));
        }
        let field = |from: usize, to: usize, what: &str| {
            let found = number(&block[from..to]);
            found.ok_or_else(|| wrong(&format!("a {what} that is no number")))
        };
        let unsigned = |from: usize, to: usize, what: &str| {
            u64::try_from(field(from, to, what)?).map_err(|_| wrong(&format!("a {what} that is out of range")))
        };
        let name = text(&block[..NAME_BYTES]);
        let posix = &block[257..263] == b"ustar\0";
        let prefix = if posix { text(&block[345..500]) } else { &[] };
        let name = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
        let flag = block[156];
        let device = matches!(flag, flag::CHAR_DEVICE | flag::BLOCK_DEVICE);
        Ok(Self {
            name,
            mode: u32::try_from(unsigned(100, 108, "mode")? & 0o7777).unwrap_or(0),
            uid: unsigned(108, 116, "owner")?,
            gid: unsigned(116, 124, "group")?,
            size: unsigned(124, 136, "size")?,
            mtime: i64::try_from(field(136, 148, "time")?).map_err(|_| wrong("a time that is out of range"))?,
            flag,
            target: text(&block[157..257]).to_vec(),
            major: if device { unsigned(329, 337, "device number")? } else { 0 },
            minor: if device { unsigned(337, 345, "device number")? } else { 0 },
        })
    }
}

/// A number as GNU tar's old sparse headers have it, beside those of every header.
pub(crate) fn size_field(bytes: &[u8]) -> Option<u64> {
    u64::try_from(number(bytes)?).ok()
}

fn put_text(field: &mut [u8], text: &[u8]) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
}

/// Octal digits and a NUL; zero for what does not fit.
fn put_octal(field: &mut [u8], number: u64) {
    let digits = field.len() - 1;
    let fits = digits * 3 >= 64 || number < 1 << (digits * 3);
    let text = format!("{:0digits$o}", if fits { number } else { 0 });
    field[..digits].copy_from_slice(text.as_bytes());
}

fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// Octal between blanks and NULs (nothing: zero), or GNU tar's binary form.
fn number(field: &[u8]) -> Option<i128> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Two's complement after the mark; a negative number has the next bit too.
        let start: i128 = if first & 0x40 == 0 { i128::from(first & 0x3f) } else { i128::from(first | 0x80) - 256 };
        return field[1..].iter().try_fold(start, |sum, byte| sum.checked_mul(256)?.checked_add(i128::from(*byte)));
    }
    let blank = |byte: &u8| matches!(byte, b' ' | 0);
    let begin = field.iter().position(|byte| !blank(byte)).unwrap_or(field.len());
    let end = field[begin..].iter().position(blank).map_or(field.len(), |len| begin + len);
    if !field[end..].iter().all(blank) {
        return None;
    }
    field[begin..end].iter().try_fold(0, |sum: i128, byte| match byte {
        b'0'..=b'7' => Some(sum * 8 + i128::from(byte - b'0')),
        _ => None,
    })
}

fn checksum(block: &Block) -> u64 {
    block.iter().map(|byte| u64::from(*byte)).sum()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            mode: 0o4755,
            uid: 1000,
            gid: 1001,
            mtime: 1_700_000_000,
            major: 8,
            minor: 1,
            target: b"there".to_vec(),
            ..Header::new(flag::BLOCK_DEVICE, b"dev/sda1", 0)
        }
    }

    #[test]
    fn a_header_is_what_posix_says() {
        let block = header().encode();
        assert_eq!(&block[..9], b"dev/sda1\0");
        assert_eq!(&block[100..124], b"0004755\x000001750\x000001751\0");
        assert_eq!(&block[124..148], b"00000000000\x0014524770400\0");
        assert_eq!(&block[257..265], b"ustar\x0000");
        assert_eq!(&block[329..345], b"0000010\x000000001\0");
        let sum = block[..148].iter().chain(&block[156..]).map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
        assert_eq!(&block[148..156], format!("{sum:06o}\0 ").as_bytes());
        assert_eq!(Header::decode(&block).unwrap(), header());
    }

    #[test]
    fn numbers_of_all_makers_are_read() {
        assert_eq!(number(b"0000755\0"), Some(0o755));
        assert_eq!(number(b"   755 \0"), Some(0o755));
        assert_eq!(number(b"\0\0\0\0"), Some(0));
        assert_eq!(number(b"777777777777"), Some(0o777_777_777_777));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(2 << 32));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(b"12 34\0\0\0"), None);
        assert_eq!(number(b"0x10\0\0\0\0"), None);
        assert_eq!(number(b"0000789\0"), None);
    }

    #[test]
    fn a_byte_that_changed_is_noticed() {
        let block = header().encode();
        for at in 0..BLOCK {
            let mut bad = block;
            bad[at] ^= 1;
            assert!(Header::decode(&bad).map_or(true, |found| found == header()), "byte {at}");
        }
        assert!(Header::decode(&[1; BLOCK]).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), BLOCK)) {
            let mut block: Block = bytes.try_into().unwrap();
            let _ = Header::decode(&block);
            block[148..156].fill(b' ');
            let sum = checksum(&block);
            put_octal(&mut block[148..155], sum);
            let _ = Header::decode(&block);
        }
    }
}
