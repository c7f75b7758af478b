//! Files: their content, while others may change it.
//!
//! A file that is read in one piece is one state of it, with the attributes of that state. A longer
//! one may be a mixture, which is told. The archive stays whole in any case: as many bytes follow as
//! the header says.

use std::io::Write;

use holdfast_core::attr::Attr;
use holdfast_core::error::{ErrorKind, Result};
use holdfast_core::id::InodeId;
use holdfast_core::limits::{FRAME_BYTES_MAX, IO_BYTES_MAX};

use super::source::{Damage, Piece};
use super::{Fate, Walk, Warning, fate, written};
use crate::member::Kind;
use crate::sparse::{Builder, Map, Stretch};

/// Files up to this length are read in one piece.
const WHOLE_BYTES_MAX: u64 = IO_BYTES_MAX as u64;
/// How often a file that changes is looked at again, for content and attributes that belong together.
const TRIES: u32 = 5;
/// A hole is worth a map from here on.
const HOLE_BYTES_MIN: u64 = 4096;

impl<W: Write> Walk<'_, W> {
    /// A regular file; `false`: it is not in the archive.
    pub(super) fn file(&mut self, path: &[u8], listed: Attr) -> Result<bool> {
        let (mut attr, mut piece) = (listed, None);
        if listed.size <= WHOLE_BYTES_MAX {
            match self.whole(listed) {
                Ok((as_read, read)) => (attr, piece) = (as_read, read),
                Err(error) => return self.missing(path, error).map(|()| false),
            }
        }
        match piece {
            Some(piece) => self.short(path, &attr, &piece),
            None if attr.size == 0 => {
                let Some(member) = self.member(path, Kind::File { size: 0, map: None }, &attr)? else {
                    return Ok(false);
                };
                self.tally.files += 1;
                self.begin(&member).map(|()| true)
            }
            None => self.long(path, attr),
        }
    }

    /// A short file in one piece, with the attributes of that state. No piece: it is empty, or not short any more,
    /// or damaged in a way that wants shorter reads.
    fn whole(&mut self, listed: Attr) -> Result<(Attr, Option<Piece>)> {
        let mut attr = listed;
        for round in 1..=TRIES {
            if attr.size == 0 || attr.size > WHOLE_BYTES_MAX {
                return Ok((attr, None));
            }
            let piece = match self.read(attr.ino, 0, attr.size) {
                Ok(piece) => piece,
                Err(error) if error.kind() == ErrorKind::Damaged => return Ok((attr, None)),
                Err(error) => return Err(error),
            };
            if piece.version == attr.data_version && piece.data.len() as u64 == attr.size {
                return Ok((attr, Some(piece)));
            }
            if round == TRIES {
                // One state of the content, and attributes of another one, a moment apart.
                attr.size = piece.data.len() as u64;
                return Ok((attr, Some(piece).filter(|_| attr.size > 0)));
            }
            attr = self.source.attr(attr.ino)?;
        }
        Ok((attr, None))
    }

    fn read(&mut self, ino: InodeId, offset: u64, until: u64) -> Result<Piece> {
        let len = u32::try_from((until - offset).min(WHOLE_BYTES_MAX)).unwrap_or(u32::MAX);
        self.source.read(ino, offset, len, until)
    }

    fn short(&mut self, path: &[u8], attr: &Attr, piece: &Piece) -> Result<bool> {
        let mut map = self.map(attr)?;
        // A map of another state could leave data out.
        if map.is_some() && self.source.attr(attr.ino).map_or(true, |now| now.data_version != piece.version) {
            map = None;
        }
        let kind = Kind::File { size: attr.size, map: map.clone() };
        let Some(member) = self.member(path, kind, attr)? else { return Ok(false) };
        self.tally.files += 1;
        self.begin(&member)?;
        for Stretch { start, len } in stretches(map.as_ref(), attr.size) {
            let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(piece.data.len());
            self.data(&piece.data.slice(at(start)..at(start + len)))?;
        }
        let mut damage = None;
        for found in &piece.damage {
            self.join(path, &mut damage, found.clone());
        }
        if let Some(last) = damage {
            self.damaged(path, last);
        }
        Ok(true)
    }

    fn long(&mut self, path: &[u8], listed: Attr) -> Result<bool> {
        let attr = match self.source.attr(listed.ino) {
            Ok(attr) => attr,
            Err(error) => match fate(error)? {
                Fate::Gone => return self.gone(),
                Fate::Damaged(_) => listed,
            },
        };
        let map = self.map(&attr)?;
        let kind = Kind::File { size: attr.size, map: map.clone() };
        let Some(member) = self.member(path, kind, &attr)? else { return Ok(false) };
        self.tally.files += 1;
        self.begin(&member)?;
        let (mut how, mut damage): (Option<&'static str>, Option<Damage>) = (None, None);
        for stretch in stretches(map.as_ref(), attr.size) {
            let mut at = stretch.start;
            while at < stretch.end() && how != Some(REMOVED) && how != Some(SHORTER) {
                let piece = self.piece(&attr, at, stretch.end())?;
                let Some(piece) = piece else {
                    how = Some(REMOVED);
                    break;
                };
                if piece.version != attr.data_version {
                    how = Some(CHANGED);
                }
                if piece.data.is_empty() {
                    how = Some(SHORTER);
                }
                at += piece.data.len() as u64;
                self.data(&piece.data)?;
                for found in piece.damage {
                    self.join(path, &mut damage, found);
                }
            }
        }
        let missing = self.writer.missing();
        self.writer.zeros(missing).map_err(|error| written(&error))?;
        if let Some(last) = damage {
            self.damaged(path, last);
        }
        if how.is_none() && self.source.attr(attr.ino).is_ok_and(|now| now.data_version != attr.data_version) {
            how = Some(CHANGED);
        }
        if let Some(how) = how {
            self.tally.changed += 1;
            (self.warn)(&Warning::Changed { path: path.to_vec(), how });
        }
        Ok(true)
    }

    fn gone(&mut self) -> Result<bool> {
        self.tally.removed += 1;
        Ok(false)
    }

    /// A piece of a long file; what is damaged is zeros. `None`: the file is gone.
    fn piece(&mut self, attr: &Attr, at: u64, until: u64) -> Result<Option<Piece>> {
        match self.read(attr.ino, at, until) {
            Ok(piece) => return Ok(Some(piece)),
            Err(error) => match fate(error)? {
                Fate::Gone => return Ok(None),
                Fate::Damaged(_) => {}
            },
        }
        // Only a part of it may be: again, by what has a checksum of its own.
        let frame = FRAME_BYTES_MAX as u64;
        let to = until.min(at - at % frame + frame);
        match self.read(attr.ino, at, to) {
            Ok(piece) => Ok(Some(piece)),
            Err(error) => match fate(error)? {
                Fate::Gone => Ok(None),
                Fate::Damaged(why) => {
                    let now = self.source.attr(attr.ino).ok();
                    Ok(Some(Piece {
                        data: vec![0; usize::try_from(to - at).unwrap_or(0)].into(),
                        version: now.map_or(attr.data_version, |now| now.data_version),
                        damage: vec![Damage { from: at, to, why }],
                    }))
                }
            },
        }
    }

    /// The map of a file's holes, if it has any.
    fn map(&mut self, attr: &Attr) -> Result<Option<Map>> {
        if attr.allocated.saturating_add(HOLE_BYTES_MIN) > attr.size {
            return Ok(None);
        }
        let (mut builder, mut at) = (Builder::new(attr.size), 0);
        while at < attr.size {
            match self.source.next_data(attr.ino, at, attr.size) {
                Ok(Some((start, end))) => {
                    builder.add(start, end);
                    at = end.max(at + 1);
                }
                Ok(None) => break,
                // Then all of it is read, and told of where it fails.
                Err(error) => return fate(error).map(|_| None),
            }
        }
        Ok(builder.finish())
    }

    /// Damage that goes on where the last ended is told once.
    fn join(&mut self, path: &[u8], pending: &mut Option<Damage>, found: Damage) {
        match pending {
            Some(last) if last.to == found.from => last.to = found.to,
            _ => {
                if let Some(last) = pending.replace(found) {
                    self.damaged(path, last);
                }
            }
        }
    }

    fn damaged(&mut self, path: &[u8], Damage { from, to, why }: Damage) {
        self.tally.damaged += 1;
        (self.warn)(&Warning::Damaged { path: path.to_vec(), from, to, why });
    }
}

const CHANGED: &str = "it was changed while it was read: what the archive has may be of several moments";
const SHORTER: &str = "it was made shorter while it was read: zeros stand for what was missing";
const REMOVED: &str = "it was removed while it was read: zeros stand for what was missing";

fn stretches(map: Option<&Map>, size: u64) -> Vec<Stretch> {
    map.map_or_else(|| vec![Stretch { start: 0, len: size }], |map| map.stretches().to_vec())
}
