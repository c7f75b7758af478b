//! Changes that are answered here: whether the leases allow it, what they lead to, and how they are
//! remembered. What an operation makes of attributes is [`holdfast_core::predict`]'s.

use holdfast_client::Answering;
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::id::{InodeId, Seq};
use holdfast_core::lease::{Mode, ROOM};
use holdfast_core::name::FileName;
use holdfast_core::op::{Caller, NewNode, Op, OpReply, RenameMode, WriteAt, WriteData};
use holdfast_core::predict;
use holdfast_core::time::Timestamp;

use super::state::State;

/// What a change leads to.
#[derive(Debug)]
pub(super) struct Change {
    /// The operation, with what was chosen here.
    pub(super) op: Op,
    /// Its answer.
    pub(super) reply: OpReply,
    /// What becomes of the inodes that it touches.
    after: Vec<Attr>,
}

/// A name in a directory.
type Place<'n> = (InodeId, &'n FileName);

impl State {
    /// Whether a change may be answered here, as far as one can tell without its time.
    pub(super) fn may_change(&self, op: &Op) -> bool {
        let ours = match op {
            Op::Create { parent, .. } | Op::Unlink { parent, .. } | Op::Rmdir { parent, .. } => *parent,
            Op::Rename { parent, .. } => *parent,
            Op::Link { ino, .. }
            | Op::SetAttr { ino, .. }
            | Op::Touch { ino }
            | Op::Write { ino, .. }
            | Op::Open { ino, truncate: true, .. } => *ino,
            _ => return false,
        };
        let room = !matches!(op, Op::Create { .. } | Op::Link { .. } | Op::Write { .. })
            || self.holdings().may(ROOM, Mode::Shared);
        room && self.own(ours).is_some()
    }

    /// What a change leads to; `None`: that is the server's to say.
    pub(super) fn foretell(&self, caller: Caller, op: &Op, answering: &mut Answering<'_>) -> Option<Change> {
        match op {
            Op::Create { parent, name, node, mode, ino: None } => {
                let directory = self.own(*parent)?;
                self.surely_nothing((*parent, name))?;
                let now = later(answering, &[directory]);
                let subdirectory = matches!(node, NewNode::Directory);
                let directory = predict::names_changed(directory, i32::from(subdirectory), now)?;
                let ino = answering.inode()?;
                let made = predict::made(&directory, ino, node, *mode, caller, now)?;
                let op =
                    Op::Create { parent: *parent, name: name.clone(), node: node.clone(), mode: *mode, ino: Some(ino) };
                Some(change(op, OpReply::Attr(made), vec![directory, made]))
            }
            Op::Link { ino, parent, name } => {
                let (file, directory) = (self.own(*ino)?, self.own(*parent)?);
                self.surely_nothing((*parent, name))?;
                let now = later(answering, &[file, directory]);
                let file = predict::links_changed(file, 1, now)?;
                let directory = predict::names_changed(directory, 0, now)?;
                Some(change(op.clone(), OpReply::Attr(file), vec![file, directory]))
            }
            Op::Unlink { parent, name } => {
                let (directory, file) = (self.own(*parent)?, self.own(self.surely((*parent, name))?)?);
                let now = later(answering, &[directory, file]);
                let file = predict::links_changed(file, -1, now)?;
                let directory = predict::names_changed(directory, 0, now)?;
                Some(change(op.clone(), OpReply::Done, vec![file, directory]))
            }
            Op::Rmdir { parent, name } => {
                let (directory, gone) = (self.own(*parent)?, self.own(self.surely((*parent, name))?)?);
                if gone.kind != FileKind::Directory || !self.is_surely_empty(gone.ino) {
                    return None;
                }
                let now = later(answering, &[directory, gone]);
                let gone = Attr { nlink: 0, ctime: now, ..*gone };
                let directory = predict::names_changed(directory, -1, now)?;
                Some(change(op.clone(), OpReply::Done, vec![gone, directory]))
            }
            Op::Rename { parent, name, new_parent, new_name, mode } => {
                let after = self.renaming((*parent, name), (*new_parent, new_name), *mode, answering)?;
                Some(change(op.clone(), OpReply::Done, after))
            }
            Op::SetAttr { ino, set } => {
                let inode = self.own(*ino)?;
                let now = later(answering, &[inode]);
                let inode = predict::set(inode, set, now)?;
                Some(change(op.clone(), OpReply::Attr(inode), vec![inode]))
            }
            Op::Touch { ino } => {
                let inode = self.own(*ino)?;
                let now = later(answering, &[inode]);
                let inode = predict::read(inode, now)?;
                Some(change(op.clone(), OpReply::Attr(inode), vec![inode]))
            }
            Op::Open { ino, truncate: true, .. } => {
                let file = self.own(*ino)?;
                let now = later(answering, &[file]);
                let file = predict::emptied(file, now)?;
                Some(change(op.clone(), OpReply::Attr(file), vec![file]))
            }
            Op::Write { ino, at, data: WriteData::Inline(bytes), .. } => {
                let file = self.own(*ino)?;
                let offset = at.offset().unwrap_or(file.size);
                let len = u32::try_from(bytes.len()).ok()?;
                if matches!(at, WriteAt::Mapped(_)) && file.size.saturating_sub(offset) < u64::from(len) {
                    // What lies behind the end is not the file's.
                    return None;
                }
                let now = later(answering, &[file]);
                let file = predict::written(file, *at, len, now)?;
                let reply = OpReply::Written { offset, len, attr: file };
                Some(change(op.clone(), reply, vec![file]))
            }
            _ => None,
        }
    }

    /// A move of what is no directory.
    fn renaming(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        mode: RenameMode,
        answering: &mut Answering<'_>,
    ) -> Option<Vec<Attr>> {
        let (source, target) = (self.own(from.0)?, self.own(to.0)?);
        let moved = self.own(self.surely(from)?)?;
        let replaced = match (self.surely_nothing(to), mode) {
            (Some(()), RenameMode::Replace | RenameMode::NoReplace) => None,
            (None, RenameMode::Replace) => Some(self.own(self.surely(to)?)?),
            _ => return None,
        };
        if replaced.is_some_and(|replaced| replaced.ino == moved.ino) {
            return None;
        }
        let now = later(answering, &[source, target, moved, replaced.unwrap_or(moved)]);
        let mut after = vec![predict::links_changed(moved, 0, now)?, predict::names_changed(source, 0, now)?];
        if from.0 != to.0 {
            after.push(predict::names_changed(target, 0, now)?);
        }
        if let Some(replaced) = replaced {
            after.push(predict::links_changed(replaced, -1, now)?);
        }
        Some(after)
    }

    /// Remembers a change that was answered here under this number.
    pub(super) fn changed_here(&mut self, change: &Change, seq: Seq) {
        if let (Op::Create { .. }, OpReply::Attr(made)) = (&change.op, &change.reply) {
            self.born(made.ino);
        }
        for (parent, name) in change.op.names() {
            self.changes_name(parent, name, seq);
        }
        match &change.op {
            Op::Create { parent, name, .. } | Op::Link { parent, name, .. } => {
                if let OpReply::Attr(attr) = &change.reply {
                    self.lead(*parent, name, Some(attr.ino), Seq(u64::MAX));
                }
            }
            Op::Unlink { parent, name } | Op::Rmdir { parent, name } => {
                self.lead(*parent, name, None, Seq(u64::MAX));
            }
            Op::Rename { parent, name, new_parent, new_name, mode } => {
                self.renamed((*parent, name), (*new_parent, new_name), *mode, Seq(u64::MAX));
            }
            _ => {}
        }
        self.keep_bytes(change);
        for attr in &change.after {
            self.set(attr, seq);
        }
        if let (Op::Create { node: NewNode::Directory, .. }, OpReply::Attr(made)) = (&change.op, &change.reply) {
            self.is_empty(made.ino);
        }
    }

    /// An operation is submitted under this number, and the server says what it does: until then what
    /// it touches is in doubt.
    pub(super) fn submitted(&mut self, op: &Op, seq: Seq) {
        for ino in self.touched(op) {
            self.doubt_since(ino, seq);
        }
        for (parent, name) in op.names() {
            self.changes_name(parent, name, seq);
            self.doubt_name(parent, name);
        }
    }

    /// An operation did not do what was foretold: nothing of what it touches is known any more.
    pub(super) fn misread(&mut self, op: &Op) {
        for ino in self.touched(op) {
            self.forget(ino);
        }
    }

    /// The inodes that an operation changes, as far as they are known here.
    fn touched(&self, op: &Op) -> Vec<InodeId> {
        let named = op.names().into_iter().filter_map(|place| self.leads(place).flatten());
        let made = if let Op::Create { ino, .. } = op { *ino } else { None };
        let read = if let Op::Touch { ino } = op { Some(*ino) } else { None };
        op.changes().into_iter().chain(named).chain(made).chain(read).collect()
    }
}

const fn change(op: Op, reply: OpReply, after: Vec<Attr>) -> Change {
    Change { op, reply, after }
}

/// The time of a change: after the last one of what it touches.
fn later(answering: &mut Answering<'_>, touched: &[&Attr]) -> Timestamp {
    for attr in touched {
        answering.now = answering.now.behind(attr.ctime);
    }
    answering.now
}
