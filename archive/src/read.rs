//! Bytes to members: archives of ours, of GNU tar, and of whoever writes ustar or pax.
//!
//! What is read is checked before it is given out: checksums of headers, numbers, and of an archive
//! of ours counts and the BLAKE3 of all of it. Memory stays bounded whatever the bytes claim. An
//! archive that ends before its end mark is an error.

mod content;
mod describe;

use std::io::{ErrorKind as IoKind, Read};

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::hash::FrameHash;

use self::content::Content;
use self::describe::{Before, Described};
use crate::file::own;
use crate::header::{BLOCK, Block, Header, flag};
use crate::label::{Ending, Label};
use crate::member::Member;
use crate::path::show;
use crate::pax::{RECORDS_BYTES_MAX, Records};

/// Longest name in a header of GNU tar's own.
const LONG_NAME_BYTES_MAX: u64 = 1 << 20;
/// Bytes of content that are given out at a time, at most.
const PIECE_BYTES_MAX: u64 = 1 << 20;
/// What follows the end mark is read up to here, so that a program that pipes it can end.
const REST_BYTES_MAX: u64 = 1 << 20;

/// What an archive turned out to be, at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// What it says of itself; `None`: another program wrote it.
    pub label: Option<Label>,
    /// What it ends with: all of it is as it was written. `None`: another program wrote it, and only the
    /// checksums of the headers are known to be right.
    pub ending: Option<Ending>,
    /// Members that were read.
    pub members: u64,
}

/// Reads an archive.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    hasher: blake3::Hasher,
    bytes: u64,
    globals: Records,
    content: Content,
    /// Path of the last member, for messages.
    path: Vec<u8>,
    members: u64,
    label: Option<Label>,
    ending: Option<Ending>,
}

impl<R: Read> Reader<R> {
    /// Reads from here.
    pub fn new(from: R) -> Self {
        Self {
            from,
            hasher: blake3::Hasher::new(),
            bytes: 0,
            globals: Records::default(),
            content: Content::default(),
            path: Vec::new(),
            members: 0,
            label: None,
            ending: None,
        }
    }

    /// The next member; what is left of the content of the one before is passed over. `None`: the archive is
    /// over, see [`Self::finish`].
    ///
    /// # Errors
    /// `Invalid`: this is no archive that can be read; `Damaged`: it was cut, or is not what was written;
    /// `Version`; and what reading fails with. The message names the place.
    pub fn next_member(&mut self) -> Result<Option<Member>> {
        let found = self.advance();
        found.map_err(|error| self.told(&error))
    }

    /// The next piece of the present member's content, and where in the file it belongs; at most 1 MiB.
    ///
    /// # Errors
    /// As for [`Self::next_member`].
    pub fn data(&mut self) -> Result<Option<(u64, Bytes)>> {
        let Some((offset, len)) = self.content.next(PIECE_BYTES_MAX) else { return Ok(None) };
        let mut piece = vec![0; usize::try_from(len).unwrap_or(0)];
        let read = self.fill(&mut piece).and_then(|()| {
            let gap = self.content.gap();
            self.pass(gap)
        });
        read.map_err(|error| self.told(&error))?;
        Ok(Some((offset, piece.into())))
    }

    /// Bytes that were read so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What the archive says of itself, as soon as its first member was read.
    #[must_use]
    pub const fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }

    /// What it was, after its last member.
    #[must_use]
    pub fn finish(self) -> Finish {
        Finish { label: self.label, ending: self.ending, members: self.members }
    }

    fn advance(&mut self) -> Result<Option<Member>> {
        let rest = self.content.rest();
        self.pass(rest)?;
        self.content = Content::default();
        let mut before = Before::default();
        loop {
            let hash = self.hasher.clone();
            let at = self.bytes;
            let Some(block) = self.block()? else { return Err(cut("it ends without an end mark")) };
            if block.iter().all(|byte| *byte == 0) {
                return self.end().map(|()| None);
            }
            let header = Header::decode(&block)?;
            if self.ending.is_some() {
                return Err(Error::new(ErrorKind::Damaged, "something follows its end record"));
            }
            match header.flag {
                flag::GLOBAL => {
                    let records = self.records(header.size)?;
                    self.global(&records, at, &hash)?;
                }
                flag::EXTENDED | flag::EXTENDED_OLD => before.records.extend(&self.records(header.size)?),
                flag::GNU_LONG_NAME => before.name = Some(self.long_name(header.size)?),
                flag::GNU_LONG_TARGET => before.target = Some(self.long_name(header.size)?),
                flag::GNU_LABEL => self.pass(header.size.next_multiple_of(BLOCK as u64))?,
                _ => return self.member(&header, &block, &before).map(Some),
            }
        }
    }

    fn member(&mut self, header: &Header, block: &Block, before: &Before) -> Result<Member> {
        before.name(header, &self.globals).clone_into(&mut self.path);
        let Described { member, content } = self.describe(header, block, before)?;
        self.content = content;
        self.members += 1;
        Ok(member)
    }

    fn global(&mut self, records: &Records, at: u64, hash: &blake3::Hasher) -> Result<()> {
        if let Some(ending) = Ending::of(records)? {
            let whole = Ending {
                members: self.members,
                bytes: at,
                warnings: ending.warnings,
                blake3: FrameHash(*hash.finalize().as_bytes()),
            };
            if whole != ending {
                return Err(Error::new(
                    ErrorKind::Damaged,
                    format!(
                        "it is not what was written: {} members in {} bytes that end with BLAKE3 {} were, {} in {} with {} came",
                        ending.members, ending.bytes, ending.blake3, whole.members, whole.bytes, whole.blake3
                    ),
                ));
            }
            self.ending = Some(ending);
        } else if let Some(label) = Label::of(records)? {
            self.label = Some(label);
        } else {
            self.globals.extend(records);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if self.label.is_some() && self.ending.is_none() {
            return Err(cut("it has no end record"));
        }
        // A second block of zeros, and what fills a tape's record. What it is does not matter.
        let mut rest = [0; 16 << 10];
        let mut left = REST_BYTES_MAX;
        while left > 0 {
            match self.from.read(&mut rest) {
                Ok(0) | Err(_) => break,
                Ok(len) => left = left.saturating_sub(len as u64),
            }
        }
        Ok(())
    }

    fn records(&mut self, size: u64) -> Result<Records> {
        if size > RECORDS_BYTES_MAX as u64 {
            return Err(Error::new(ErrorKind::Invalid, format!("an extended header has {size} bytes, too many")));
        }
        Records::decode(&self.whole(size)?)
    }

    fn long_name(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > LONG_NAME_BYTES_MAX {
            return Err(Error::new(ErrorKind::Invalid, format!("a name has {size} bytes, too many")));
        }
        let mut name = self.whole(size)?;
        name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    /// The content of a header that has some, whole; memory only for what really comes.
    fn whole(&mut self, size: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut left = size;
        while left > 0 {
            let part = left.min(PIECE_BYTES_MAX);
            let begin = bytes.len();
            bytes.resize(begin + usize::try_from(part).unwrap_or(0), 0);
            self.fill(&mut bytes[begin..])?;
            left -= part;
        }
        self.pass(size.next_multiple_of(BLOCK as u64) - size)?;
        Ok(bytes)
    }

    /// A block; `None`: the input is over.
    fn block(&mut self) -> Result<Option<Block>> {
        let mut block = [0; BLOCK];
        let got = self.read(&mut block)?;
        match got {
            0 => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(cut("it ends within a header")),
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        let wanted = buffer.len();
        if self.read(buffer)? == wanted { Ok(()) } else { Err(cut("it ends within a member")) }
    }

    fn pass(&mut self, bytes: u64) -> Result<()> {
        let mut buffer = vec![0; usize::try_from(bytes.min(64 << 10)).unwrap_or(0)];
        let mut left = bytes;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            self.fill(&mut buffer[..part])?;
            left -= part as u64;
        }
        Ok(())
    }

    /// Fills the buffer; fewer bytes only at the end of the input.
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.from.read(&mut buffer[done..]) {
                Ok(0) => break,
                Ok(len) => done += len,
                Err(error) if error.kind() == IoKind::Interrupted => {}
                Err(error) => {
                    let other = || Error::new(ErrorKind::Internal, format!("it cannot be read: {error}"));
                    return Err(own(&error).unwrap_or_else(other));
                }
            }
        }
        self.hasher.update(&buffer[..done]);
        self.bytes += done as u64;
        Ok(done)
    }

    /// The error with its place.
    fn told(&self, error: &Error) -> Error {
        let place = if self.members == 0 && self.path.is_empty() {
            format!("the archive, at byte {}", self.bytes)
        } else {
            format!("the archive, at byte {}, in or behind {}", self.bytes, show(&self.path))
        };
        Error::new(error.kind(), format!("{place}: {}", error.message()))
    }
}

fn cut(how: &str) -> Error {
    Error::new(ErrorKind::Damaged, format!("{how}; it was cut off"))
}

#[cfg(test)]
mod tests;
