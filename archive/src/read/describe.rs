//! From a header, and the extended headers before it, to a member.

use std::io::Read;

use bytes::Bytes;
use holdfast_core::acl::{ACCESS_XATTR, DEFAULT_XATTR};
use holdfast_core::attr::Mode;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::limits::FILE_BYTES_MAX;
use holdfast_core::time::Timestamp;

use super::Reader;
use super::content::Content;
use crate::header::{BLOCK, Block, Header, flag, size_field};
use crate::member::{Kind, Member, join_device};
use crate::pax::{Records, unescape};
use crate::sparse::{self, Map, Stretch, Text};
use crate::{acl_text, stamp};

/// Most blocks of an old map of holes: 21 stretches each.
const OLD_MAP_BLOCKS_MAX: u32 = 1 << 16;

/// What came before a header, and is about it.
#[derive(Debug, Default)]
pub(super) struct Before {
    pub(super) records: Records,
    pub(super) name: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
}

/// A member and what follows it.
pub(super) struct Described {
    pub(super) member: Member,
    pub(super) content: Content,
}

impl Before {
    fn get<'a>(&'a self, globals: &'a Records, key: &str) -> Option<&'a [u8]> {
        self.records.get(key).or_else(|| globals.get(key))
    }

    /// The member's path.
    pub(super) fn name<'a>(&'a self, header: &'a Header, globals: &'a Records) -> &'a [u8] {
        let record = self.records.get("GNU.sparse.name").or_else(|| self.get(globals, "path"));
        record.or(self.name.as_deref()).unwrap_or(&header.name)
    }

    fn number(&self, globals: &Records, key: &str, otherwise: u64) -> Result<u64> {
        let Some(text) = self.get(globals, key) else { return Ok(otherwise) };
        let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| invalid(format!("its {key} is no number")))
    }

    fn time(&self, globals: &Records, key: &str) -> Result<Option<Timestamp>> {
        let Some(text) = self.get(globals, key) else { return Ok(None) };
        stamp::decode(text).map(Some).ok_or_else(|| invalid(format!("its {key} is no time")))
    }

    fn id(&self, globals: &Records, key: &str, otherwise: u64) -> Result<u32> {
        let id = self.number(globals, key, otherwise)?;
        // All ones is nobody: chown(2) takes it for "as it is".
        u32::try_from(id)
            .ok()
            .filter(|id| *id != u32::MAX)
            .ok_or_else(|| invalid(format!("its {key} {id} is out of range")))
    }

    fn xattrs(&self) -> Vec<(Vec<u8>, Bytes)> {
        let mut found: Vec<(Vec<u8>, Bytes)> = Vec::new();
        for (key, value) in self.records.iter() {
            if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                found.push((unescape(name), Bytes::copy_from_slice(value)));
            }
        }
        let lists = [("SCHILY.acl.access", ACCESS_XATTR), ("SCHILY.acl.default", DEFAULT_XATTR)];
        for (key, name) in lists {
            let list = self.records.get(key).filter(|_| !found.iter().any(|(known, _)| known == name));
            // One with names of users in place of numbers comes as it is, and is refused with its name.
            if let Some(list) = list {
                let value = acl_text::decode(list).unwrap_or_else(|| Bytes::copy_from_slice(list));
                found.push((name.to_vec(), value));
            }
        }
        found
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

impl<R: Read> Reader<R> {
    /// Puts a member together; reads the map of its holes where that stands before the data.
    pub(super) fn describe(&mut self, header: &Header, block: &Block, before: &Before) -> Result<Described> {
        let globals = self.globals.clone();
        let size = before.number(&globals, "size", header.size)?;
        let name = before.name(header, &globals);
        let directory = header.flag == flag::DIRECTORY || header.flag == flag::GNU_DUMP_DIRECTORY;
        let old_directory = matches!(header.flag, flag::OLD_FILE | flag::FILE) && name.ends_with(b"/");
        let mut path = name.to_vec();
        while path.len() > 1 && path.ends_with(b"/") {
            path.pop();
        }
        let record = before.get(&globals, "linkpath").or(before.target.as_deref());
        let target = record.unwrap_or(&header.target).to_vec();
        let device = || {
            let (major, minor) = (u32::try_from(header.major), u32::try_from(header.minor));
            let both = major.ok().zip(minor.ok()).and_then(|(major, minor)| join_device(major, minor));
            both.ok_or_else(|| invalid(format!("the device number {}:{} is out of range", header.major, header.minor)))
        };
        let (kind, content) = match header.flag {
            _ if directory || old_directory => {
                // Of an incremental archive: what was in it; never to be believed of an ordinary directory.
                let listing = if header.flag == flag::DIRECTORY { 0 } else { size };
                (Kind::Directory, Content::unwanted(listing))
            }
            flag::OLD_FILE | flag::FILE | flag::CONTIGUOUS | flag::GNU_SPARSE => {
                if before.records.get("SCHILY.filetype") == Some(b"socket") {
                    (Kind::Socket, Content::unwanted(size))
                } else {
                    self.file(header, block, before, size)?
                }
            }
            flag::LINK => (Kind::Link { target }, Content::default()),
            flag::SYMLINK => (Kind::Symlink { target: target.into() }, Content::default()),
            flag::CHAR_DEVICE => (Kind::CharDevice { rdev: device()? }, Content::default()),
            flag::BLOCK_DEVICE => (Kind::BlockDevice { rdev: device()? }, Content::default()),
            flag::FIFO => (Kind::Fifo, Content::default()),
            other => {
                return Err(invalid(format!("a member of type {:?} is not known here", char::from(other))));
            }
        };
        let member = Member {
            path,
            kind,
            mode: Mode::from_bits(header.mode),
            uid: before.id(&globals, "uid", header.uid)?,
            gid: before.id(&globals, "gid", header.gid)?,
            mtime: before.time(&globals, "mtime")?.unwrap_or(Timestamp { secs: header.mtime, nanos: 0 }),
            atime: before.time(&globals, "atime")?,
            ctime: before.time(&globals, "ctime")?,
            xattrs: before.xattrs(),
        };
        Ok(Described { member, content })
    }

    fn file(&mut self, header: &Header, block: &Block, before: &Before, size: u64) -> Result<(Kind, Content)> {
        let records = &before.records;
        let mut stored = size;
        let (stretches, real) = if header.flag == flag::GNU_SPARSE {
            let real = size_field(&block[483..495]).ok_or_else(|| invalid("its length is no number"))?;
            (self.old_map(block)?, real)
        } else if records.get("GNU.sparse.major") == Some(b"1") && records.get("GNU.sparse.minor") == Some(b"0") {
            let real = before.number(&self.globals, "GNU.sparse.realsize", size)?;
            let (stretches, text) = self.map_text(size)?;
            stored -= text;
            (stretches, real)
        } else if let Some(list) = records.get("GNU.sparse.map") {
            let numbers: Option<Vec<u64>> =
                list.split(|byte| *byte == b',').map(|text| std::str::from_utf8(text).ok()?.parse().ok()).collect();
            let numbers = numbers.ok_or_else(|| invalid("the map of its holes is no list of numbers"))?;
            (sparse::stretches(&numbers), before.number(&self.globals, "GNU.sparse.size", size)?)
        } else if records.get("GNU.sparse.numblocks").is_some() {
            let part = |(key, value): (&[u8], &[u8])| {
                let wanted = key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes";
                wanted.then(|| std::str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok()))
            };
            let numbers: Option<Vec<u64>> = records.iter().filter_map(part).collect();
            let numbers = numbers.ok_or_else(|| invalid("the map of its holes is no list of numbers"))?;
            (sparse::stretches(&numbers), before.number(&self.globals, "GNU.sparse.size", size)?)
        } else if records.get("GNU.sparse.major").is_some() {
            return Err(invalid("its map of holes has a version that is not known here"));
        } else {
            fits(size)?;
            return Ok((Kind::File { size, map: None }, Content::whole(size)));
        };
        fits(real)?;
        let map = Map::new(stretches, real)?;
        let content = Content::mapped(&map, stored)?;
        Ok((Kind::File { size: real, map: Some(map) }, content))
    }

    /// The map of version 1.0: text before the data. Its stretches, and the bytes that it takes.
    fn map_text(&mut self, size: u64) -> Result<(Vec<Stretch>, u64)> {
        let (mut text, mut taken) = (Text::default(), 0);
        loop {
            if taken + BLOCK as u64 > size {
                return Err(invalid("the map of its holes does not end"));
            }
            let block = self.block()?.ok_or_else(|| super::cut("it ends within a map of holes"))?;
            taken += BLOCK as u64;
            for byte in block {
                if text.take(byte)? {
                    return Ok((text.stretches(), taken));
                }
            }
        }
    }

    /// The map of an old header: four stretches in it, and 21 in each block that follows.
    fn old_map(&mut self, block: &Block) -> Result<Vec<Stretch>> {
        let mut numbers = Vec::new();
        let mut take = |part: &[u8]| {
            for field in part.chunks_exact(12).filter(|field| field.iter().any(|byte| *byte != 0)) {
                numbers.push(size_field(field).ok_or_else(|| invalid("the map of its holes is no list of numbers"))?);
            }
            Ok::<(), Error>(())
        };
        take(&block[386..482])?;
        let mut more = block[482] != 0;
        for _ in 0..OLD_MAP_BLOCKS_MAX {
            if !more {
                return Ok(sparse::stretches(&numbers));
            }
            let block = self.block()?.ok_or_else(|| super::cut("it ends within a map of holes"))?;
            take(&block[..504])?;
            more = block[504] != 0;
        }
        Err(invalid("the map of its holes does not end"))
    }
}

fn fits(size: u64) -> Result<()> {
    if size <= FILE_BYTES_MAX { Ok(()) } else { Err(invalid(format!("its length of {size} bytes is out of range"))) }
}
