//! Bytes of files, from what is remembered: what a read finds, what is kept of one, and what is
//! read ahead of need.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use holdfast_client::{BlockMap, ReadData};
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::id::{DataVersion, Epoch, InodeId};
use holdfast_core::lease::Mode;
use holdfast_core::op::{Op, OpReply, WriteData};

use super::ahead::{self, Next};
use super::blocks::Blocks;
use super::foretell::Change;
use super::state::State;
use super::strides::Part;

/// What is to be read now, and what it is of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadAhead {
    /// The beginnings of these; at most as many as one request takes.
    pub(crate) files: Vec<InodeId>,
    /// Parts of one file.
    pub(crate) parts: Vec<Part>,
    pub(crate) epoch: Epoch,
}

/// What a read finds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Bytewise {
    /// It is all here.
    Here(ReadData),
    /// It is on its way: wait for the next [`Memory::files_read`](super::Memory::files_read).
    Coming,
    /// The server has to be asked; what it says is of this epoch.
    Unknown(Epoch),
}

/// What is known of the blocks of a range.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Blockwise {
    /// It consists of these.
    Known(BlockMap),
    /// The server has to be asked, about this range; with [`Memory::asking`](super::Memory::asking).
    Ask(Range<u64>),
    /// Somebody asks already: wait until he is done, then look again.
    Coming,
    /// The bytes themselves come as soon as that does.
    Useless,
}

impl State {
    /// `len` bytes of a file at `offset`, fewer at its end; and what is worth reading ahead now.
    pub(super) fn read(&mut self, ino: InodeId, offset: u64, len: u32) -> (Bytewise, Option<ReadAhead>) {
        let unknown = Bytewise::Unknown(self.epoch());
        let Some(attr) = self.attr(ino).filter(|attr| attr.kind == FileKind::Regular) else { return (unknown, None) };
        let left = attr.size.saturating_sub(offset);
        let len = u32::try_from(left).map_or(len, |left| left.min(len));
        let pieces =
            if len == 0 { Some(Vec::new()) } else { self.contents.read(ino, attr.data_version, (offset, len)) };
        let small = attr.size <= ahead::FILE_BYTES_MAX;
        let (parts, was_ahead) =
            if small { (Vec::new(), false) } else { self.strides.read(Part { ino, offset, len }, attr.size) };
        let parts = (!parts.is_empty()).then(|| ReadAhead { files: Vec::new(), parts, epoch: self.epoch() });
        if let Some(pieces) = pieces {
            if was_ahead {
                // The kernel has it from here on.
                self.contents.let_go(ino, attr.data_version, (offset, len));
            }
            let (size, data_version, epoch) = (attr.size, attr.data_version, self.epoch());
            let data = ReadData { offset, pieces, len, size, data_version, epoch };
            let next = self.ahead.hit(ino).and_then(|(directory, next)| self.next(directory, ino, next));
            return (Bytewise::Here(data), next.or(parts));
        }
        if self.ahead.is_coming(ino) || self.strides.is_coming(ino, offset) {
            return (Bytewise::Coming, parts);
        }
        if parts.is_some() {
            return (unknown, parts);
        }
        let directory = self.above(ino).filter(|_| small && offset == 0);
        let next = directory.and_then(|directory| {
            let next = self.ahead.missed(directory);
            self.next(directory, ino, next)
        });
        (unknown, next)
    }

    /// The files to read now, where this is to be done about a directory; not this one.
    pub(super) fn next(&mut self, directory: InodeId, ino: InodeId, next: Next) -> Option<ReadAhead> {
        match next {
            Next::Nothing => return None,
            Next::Consider => {
                let mut files: Vec<InodeId> = self.below(directory).take(ahead::CANDIDATES_MAX).collect();
                files.retain(|&file| file != ino && self.is_worth_it(file).is_some());
                // Directories are mostly read in the order in which they were filled.
                files.sort_unstable_by_key(|&file| (file < ino, file));
                self.ahead.consider(directory, VecDeque::from(files));
            }
            Next::Batch => {}
        }
        let mut ahead = std::mem::take(&mut self.ahead);
        let files = ahead.batch(directory, |file| self.is_worth_it(file));
        self.ahead = ahead;
        (!files.is_empty()).then(|| ReadAhead { files, parts: Vec::new(), epoch: self.epoch() })
    }

    /// The length of a file that may be read ahead.
    fn is_worth_it(&self, ino: InodeId) -> Option<u64> {
        let attr = self.peek(ino)?;
        let small = attr.kind == FileKind::Regular && (1..=ahead::FILE_BYTES_MAX).contains(&attr.size);
        (small && !self.contents.has(ino, attr.data_version)).then_some(attr.size)
    }

    /// Files were read ahead; what is not among them could not be.
    pub(super) fn files_read(&mut self, asked: &ReadAhead, files: &[(InodeId, ReadData)]) {
        for (ino, data) in files {
            self.keep_read(*ino, asked.epoch, data);
        }
        for &ino in &asked.files {
            let here = self.peek(ino).is_some_and(|attr| self.contents.has(ino, attr.data_version));
            self.ahead.came(ino, here);
        }
    }

    /// A part of a file was read ahead; `None`: it could not be.
    pub(super) fn part_read(&mut self, part: &Part, epoch: Epoch, data: Option<&ReadData>) {
        if let Some(data) = data {
            self.keep_read(part.ino, epoch, data);
        }
        let version = self.peek(part.ino).map(|attr| attr.data_version);
        let here = version.is_some_and(|version| self.contents.has(part.ino, version));
        self.strides.came(part, here);
    }

    /// The server has answered a read. What this mount changes is kept, since the kernel will not.
    pub(super) fn has_read(&mut self, ino: InodeId, epoch: Epoch, data: &ReadData) {
        if self.holdings().may(ino, Mode::Exclusive) {
            self.keep_read(ino, epoch, data);
        }
    }

    /// What `len` bytes of a file at `offset` consist of. What is remembered counts under a lease only, and
    /// while the session is trusted. `waited`: somebody has asked in vain.
    pub(super) fn blocks(&mut self, trusted: bool, ino: InodeId, (offset, len): (u64, u32), waited: bool) -> Blockwise {
        let range = offset..offset.saturating_add(len.into());
        let attr = if trusted { self.attr(ino).filter(|attr| attr.kind == FileKind::Regular) } else { None };
        let Some(attr) = attr else {
            let long = u64::from(len) > ahead::FILE_BYTES_MAX;
            return if long { Blockwise::Ask(range) } else { Blockwise::Useless };
        };
        let range = offset..range.end.min(attr.size);
        if attr.size <= ahead::FILE_BYTES_MAX || range.is_empty() {
            return Blockwise::Useless;
        }
        match self.blocks.find(ino, attr.data_version, &range) {
            Some(blocks) => Blockwise::Known(BlockMap {
                offset,
                blocks,
                len: u32::try_from(range.end - offset).unwrap_or(len),
                size: attr.size,
                data_version: attr.data_version,
                epoch: self.epoch(),
            }),
            None if self.blocks.is_asked(ino, &range) => Blockwise::Coming,
            None => {
                let question = Blocks::question(&range);
                // What cannot be kept is not waited for twice.
                if !waited {
                    self.blocks.ask(ino, &question);
                }
                Blockwise::Ask(question)
            }
        }
    }

    /// Keeps what is of the version that is known to be the last one.
    pub(super) fn has_heard_blocks(&mut self, ino: InodeId, map: &BlockMap) {
        let current = self.peek(ino).map(|attr| (attr.data_version, attr.size));
        if map.epoch == self.epoch() && current == Some((map.data_version, map.size)) {
            self.blocks.heard(ino, map);
        }
    }

    /// Keeps what is of the version that is known to be the last one.
    fn keep_read(&mut self, ino: InodeId, epoch: Epoch, data: &ReadData) {
        let current = self.peek(ino).map(|attr| (attr.data_version, attr.size));
        if epoch != self.epoch() || current != Some((data.data_version, data.size)) {
            return;
        }
        let whole = data.clone().into_bytes();
        self.contents.heard(ino, data.data_version, data.offset, &whole);
    }

    /// Keeps bytes that a change of this mount is about; to be called before what it leads to is known.
    pub(super) fn keep_bytes(&mut self, change: &Change) {
        let versions = |state: &Self, after: &Attr| {
            let before: Option<DataVersion> = state.peek(after.ino).map(|attr| attr.data_version);
            before.map(|before| (before, after.data_version))
        };
        match (&change.op, &change.reply) {
            (Op::Write { ino, data: WriteData::Inline(bytes), .. }, OpReply::Written { offset, attr, .. }) => {
                self.keep_written(*ino, versions(self, attr), *offset, bytes);
            }
            (Op::SetAttr { ino, .. } | Op::Open { ino, .. }, OpReply::Attr(attr)) => {
                if let Some((before, after)) = versions(self, attr).filter(|(before, after)| before != after) {
                    self.contents.resize(*ino, (before, after), attr.size);
                }
            }
            _ => {}
        }
    }

    fn keep_written(&mut self, ino: InodeId, versions: Option<(DataVersion, DataVersion)>, offset: u64, bytes: &Bytes) {
        match versions {
            Some(versions) => self.contents.write(ino, versions, (offset, bytes)),
            None => self.contents.forget(ino),
        }
    }
}
