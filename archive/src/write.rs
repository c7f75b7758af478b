//! Members to bytes.
//!
//! A member is begun with [`Writer::member`], and exactly as many bytes of content follow as it
//! says, whatever happened to the file meanwhile. Everything that is written is hashed for the last
//! header.

use std::io::{self, Write};

use holdfast_core::hash::FrameHash;
use holdfast_core::time::Timestamp;

use crate::header::{BLOCK, Header, NAME_BYTES, OCTAL_7_MAX, OCTAL_11_MAX, flag};
use crate::label::{Ending, Label};
use crate::member::{Kind, Member, split_device};
use crate::pax::{RECORDS_BYTES_MAX, Records, escape};
use crate::sparse::Map;
use crate::stamp;

/// An archive's length is a multiple of this, as tapes want it.
const RECORD: u64 = 10_240;
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Writes an archive.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    hasher: blake3::Hasher,
    bytes: u64,
    members: u64,
    /// Bytes of the present member's content that are still to come.
    left: u64,
}

impl<W: Write> Writer<W> {
    /// Begins an archive with its label.
    ///
    /// # Errors
    /// Those of `to`; so for all that follow.
    pub fn new(to: W, label: &Label) -> io::Result<Self> {
        let mut writer = Self { to, hasher: blake3::Hasher::new(), bytes: 0, members: 0, left: 0 };
        writer.extended(flag::GLOBAL, &label.records())?;
        Ok(writer)
    }

    /// Begins a member; the one before must have its content.
    ///
    /// # Errors
    /// `InvalidInput` when it has more xattrs than an archive holds ([`Self::fits`]), or the member before is
    /// not whole: a defect of the caller.
    pub fn member(&mut self, member: &Member) -> io::Result<()> {
        if self.left > 0 || !Self::fits(member) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a member is not whole, or too large"));
        }
        let map = match &member.kind {
            Kind::File { size, map: Some(map) } => Some((map, *size)),
            _ => None,
        };
        let text = map.map(|(map, size)| map.encode(size)).unwrap_or_default();
        let (header, records) = describe(member, map, text.len() as u64);
        if !records.is_empty() {
            self.extended(flag::EXTENDED, &records)?;
        }
        self.put(&header.encode())?;
        self.put(&text)?;
        self.left = member.data_bytes();
        self.members += 1;
        Ok(())
    }

    /// Whether a member's attributes fit into an archive.
    #[must_use]
    pub fn fits(member: &Member) -> bool {
        let xattrs: usize = member.xattrs.iter().map(|(name, value)| 3 * name.len() + value.len() + 64).sum();
        member.path.len() + xattrs + (64 << 10) <= RECORDS_BYTES_MAX
    }

    /// Content of the present member; more than is missing is cut off.
    ///
    /// # Errors
    /// Those of the output.
    pub fn data(&mut self, data: &[u8]) -> io::Result<()> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(data.len());
        self.put(&data[..len])?;
        self.left -= len as u64;
        if self.left == 0 { self.fill(BLOCK as u64) } else { Ok(()) }
    }

    /// The same, of zeros.
    ///
    /// # Errors
    /// Those of the output.
    pub fn zeros(&mut self, len: u64) -> io::Result<()> {
        let mut left = len.min(self.left);
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(ZEROS.len());
            self.data(&ZEROS[..part])?;
            left -= part as u64;
        }
        Ok(())
    }

    /// Bytes of the present member's content that are missing.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.left
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// Those of the output; `InvalidInput` when a member is not whole.
    pub fn finish(mut self, warnings: u64) -> io::Result<(W, Ending)> {
        if self.left > 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the last member is not whole"));
        }
        let blake3 = FrameHash(*self.hasher.finalize().as_bytes());
        let ending = Ending { members: self.members, bytes: self.bytes, warnings, blake3 };
        self.extended(flag::GLOBAL, &ending.records())?;
        self.put(&[0; 2 * BLOCK])?;
        self.fill(RECORD)?;
        self.to.flush()?;
        Ok((self.to, ending))
    }

    fn extended(&mut self, flag: u8, records: &Records) -> io::Result<()> {
        let bytes = records.encode();
        let name: &[u8] = if flag == flag::GLOBAL { b"pax_global_header" } else { b"PaxHeader" };
        self.put(&Header { mode: 0o644, ..Header::new(flag, name, bytes.len() as u64) }.encode())?;
        self.put(&bytes)?;
        self.fill(BLOCK as u64)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.to.write_all(bytes)
    }

    fn fill(&mut self, unit: u64) -> io::Result<()> {
        let missing = self.bytes.next_multiple_of(unit) - self.bytes;
        self.put(&ZEROS[..usize::try_from(missing).unwrap_or(0)])
    }
}

/// The header of a member, and the records of what the header cannot say.
fn describe(member: &Member, map: Option<(&Map, u64)>, map_bytes: u64) -> (Header, Records) {
    let mut records = Records::default();
    let (flag, target, rdev): (u8, &[u8], u32) = match &member.kind {
        Kind::File { .. } | Kind::Socket => (flag::FILE, b"", 0),
        Kind::Link { target } => (flag::LINK, target, 0),
        Kind::Symlink { target } => (flag::SYMLINK, target, 0),
        Kind::Directory => (flag::DIRECTORY, b"", 0),
        Kind::Fifo => (flag::FIFO, b"", 0),
        Kind::CharDevice { rdev } => (flag::CHAR_DEVICE, b"", *rdev),
        Kind::BlockDevice { rdev } => (flag::BLOCK_DEVICE, b"", *rdev),
    };
    let mut path = member.path.clone();
    if member.kind == Kind::Directory {
        path.push(b'/');
    }
    if [&path[..], target].iter().any(|text| std::str::from_utf8(text).is_err()) {
        records.add("hdrcharset", "BINARY");
    }
    let size = member.data_bytes() + map_bytes;
    let name = match map {
        Some((_, real)) => {
            records.add("GNU.sparse.major", "1");
            records.add("GNU.sparse.minor", "0");
            records.add("GNU.sparse.name", path.clone());
            records.add("GNU.sparse.realsize", real.to_string());
            b"GNUSparseFile.0/file".to_vec()
        }
        None => {
            if path.len() > NAME_BYTES || !path.is_ascii() {
                records.add("path", path.clone());
            }
            path
        }
    };
    if target.len() > NAME_BYTES || !target.is_ascii() {
        records.add("linkpath", target);
    }
    let numbers = [
        ("size", size, OCTAL_11_MAX),
        ("uid", member.uid.into(), OCTAL_7_MAX),
        ("gid", member.gid.into(), OCTAL_7_MAX),
    ];
    for (key, number, _) in numbers.into_iter().filter(|(_, number, most)| number > most) {
        records.add(key, number.to_string());
    }
    times(&mut records, member);
    if member.kind == Kind::Socket {
        records.add("SCHILY.filetype", "socket");
    }
    for (name, value) in &member.xattrs {
        records.add([&b"SCHILY.xattr."[..], &escape(name)].concat(), &value[..]);
    }
    let (major, minor) = split_device(rdev);
    let header = Header {
        mode: member.mode.bits().into(),
        uid: member.uid.into(),
        gid: member.gid.into(),
        mtime: member.mtime.secs,
        target: target.to_vec(),
        major: major.into(),
        minor: minor.into(),
        ..Header::new(flag, &name, size)
    };
    (header, records)
}

/// A time that the header can say needs no record; the others have no place in it.
fn times(records: &mut Records, member: &Member) {
    let plain = |time: Timestamp| time.nanos == 0 && u64::try_from(time.secs).is_ok_and(|secs| secs <= OCTAL_11_MAX);
    if !plain(member.mtime) {
        records.add("mtime", stamp::encode(member.mtime));
    }
    for (key, time) in [("atime", member.atime), ("ctime", member.ctime)] {
        if let Some(time) = time {
            records.add(key, stamp::encode(time));
        }
    }
}
