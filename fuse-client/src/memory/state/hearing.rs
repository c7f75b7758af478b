//! What is learnt, in the order of the server's messages: answers, outcomes, grants; and by this mount's own
//! changes.

use holdfast_client::{Answered, Applied, DirPage, Question, Reply};
use holdfast_core::attr::{Attr, FileKind};
use holdfast_core::error::{ErrorKind, PosixError};
use holdfast_core::id::{DirCookie, InodeId, Seq};
use holdfast_core::lease::{Grant, Mode, Target};
use holdfast_core::name::FileName;
use holdfast_core::op::{Op, OpReply, RenameMode};
use holdfast_core::time::Timestamp;

use super::{Node, State};

impl State {
    /// What was answered counts for what this mount has not changed since it was asked.
    pub(in crate::memory) fn answered(&mut self, question: &Question, behind: Seq, answered: &Answered) {
        self.granted(&answered.grants);
        match (question, &answered.result) {
            (Question::Lookup { parent, name }, Ok(Reply::Lookup(attr))) => {
                self.know(attr, behind);
                self.lead(*parent, name, Some(attr.ino), behind);
            }
            (Question::Lookup { parent, name }, Err(error))
                if error.kind() == ErrorKind::Posix(PosixError::NoEntry) =>
            {
                self.lead(*parent, name, None, behind);
            }
            (Question::GetAttr { .. }, Ok(Reply::GetAttr(attr))) => self.know(attr, behind),
            (Question::ReadDir { ino, after, .. }, Ok(Reply::ReadDir(page))) => {
                self.listed(*ino, (*after, behind), page);
                if *after == DirCookie(0) {
                    self.keep_page(*ino, behind, page);
                }
            }
            _ => {}
        }
    }

    /// An operation of this session was carried out. What it changed is known where the outcome tells
    /// and a lease came with it: without one the outcome may be older than what is known by now.
    pub(in crate::memory) fn applied(&mut self, applied: &Applied) {
        self.granted(&applied.grants);
        let Ok(reply) = &applied.result else { return };
        let seq = applied.seq;
        for ino in &applied.changed {
            self.doubt(*ino);
        }
        let attr = match reply {
            OpReply::Attr(attr) | OpReply::Written { attr, .. } | OpReply::Copied { attr, .. } => Some(attr),
            OpReply::Done => None,
        };
        let lent = |ino: InodeId| applied.grants.iter().any(|grant| grant.target == Target::Inode(ino));
        if let Some(attr) = attr {
            if lent(attr.ino) { self.know(attr, seq) } else { self.doubt(attr.ino) }
        }
        match (&applied.op, attr) {
            (Op::Create { parent, name, .. } | Op::Link { parent, name, .. }, Some(attr)) if lent(*parent) => {
                self.lead(*parent, name, Some(attr.ino), seq);
            }
            (Op::Unlink { parent, name } | Op::Rmdir { parent, name }, _) if lent(*parent) => {
                self.lead(*parent, name, None, seq);
            }
            (Op::Rename { parent, name, new_parent, new_name, mode }, _) if lent(*parent) && lent(*new_parent) => {
                self.renamed((*parent, name), (*new_parent, new_name), *mode, seq);
            }
            (Op::Rename { parent, name, new_parent, new_name, .. }, _) => {
                self.doubt_name(*parent, name);
                self.doubt_name(*new_parent, new_name);
            }
            (
                Op::Create { parent, name, .. }
                | Op::Link { parent, name, .. }
                | Op::Unlink { parent, name }
                | Op::Rmdir { parent, name },
                _,
            ) => self.doubt_name(*parent, name),
            _ => {}
        }
        if let (Op::Create { .. }, Some(attr)) = (&applied.op, attr)
            && attr.kind == FileKind::Directory
            && lent(attr.ino)
        {
            self.is_empty(attr.ino);
        }
    }

    fn granted(&mut self, grants: &[Grant]) {
        let used = self.tick();
        for grant in grants {
            self.holdings.granted(*grant);
            if let Target::Inode(ino) = grant.target {
                self.node(ino).used = used;
            }
        }
    }

    pub(super) fn known(&mut self, ino: InodeId) -> Option<&mut Node> {
        if !self.holdings.may(ino, Mode::Shared) {
            return None;
        }
        self.nodes.get_mut(&ino)
    }

    /// These are the attributes of an inode, as of behind this operation.
    fn know(&mut self, attr: &Attr, behind: Seq) {
        if let Some(node) = self.known(attr.ino).filter(|node| node.changed <= behind) {
            node.attr = Some(*attr);
        }
    }

    /// A name leads to this, or to nothing, as of behind this operation.
    pub(in crate::memory) fn lead(&mut self, parent: InodeId, name: &FileName, to: Option<InodeId>, behind: Seq) {
        let Some(node) = self.known(parent).filter(|node| node.names.is_news(name, behind)) else { return };
        node.names.lead(name, to);
        if let Some(node) = to.and_then(|ino| self.nodes.get_mut(&ino)) {
            node.above = Some(parent);
        }
    }

    /// The attributes of an inode are not known any more.
    pub(in crate::memory) fn doubt(&mut self, ino: InodeId) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.attr = None;
        }
    }

    /// An inode was read at that time, as the server says.
    pub(in crate::memory) fn accessed(&mut self, ino: InodeId, atime: Timestamp) {
        if let Some(attr) = self.nodes.get_mut(&ino).and_then(|node| node.attr.as_mut()) {
            attr.atime = atime;
        }
    }

    /// This mount changes what a name leads to.
    pub(in crate::memory) fn changes_name(&mut self, parent: InodeId, name: &FileName, seq: Seq) {
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.names.changed(name, seq);
        }
    }

    /// Nor what a name leads to.
    pub(in crate::memory) fn doubt_name(&mut self, parent: InodeId, name: &FileName) {
        if let Some(node) = self.nodes.get_mut(&parent) {
            node.names.doubt(name);
        }
    }

    /// A directory was made and nobody else has been there.
    pub(in crate::memory) fn is_empty(&mut self, ino: InodeId) {
        if let Some(node) = self.known(ino) {
            node.names.are_none();
        }
    }

    pub(in crate::memory) fn renamed(
        &mut self,
        from: (InodeId, &FileName),
        to: (InodeId, &FileName),
        mode: RenameMode,
        seq: Seq,
    ) {
        let (moved, other) = (self.leads(from).flatten(), self.leads(to));
        let replaced = other.flatten();
        // Two names of one file: nothing happens (rename(2)).
        if from == to || (moved.is_some() && moved == replaced) {
            return;
        }
        self.lead_if_known(to, moved, seq);
        match mode {
            // The new name may have been another one of the same file.
            RenameMode::Replace if other.is_none() || moved.is_none() => self.doubt_name(from.0, from.1),
            RenameMode::Replace | RenameMode::NoReplace => self.lead(from.0, from.1, None, seq),
            RenameMode::Exchange => self.lead_if_known(from, replaced, seq),
            RenameMode::Whiteout | RenameMode::WhiteoutNoReplace => self.lead_if_known(from, None, seq),
        }
    }

    /// What a name leads to, as far as that is known.
    pub(in crate::memory) fn leads(&self, (parent, name): (InodeId, &FileName)) -> Option<Option<InodeId>> {
        self.nodes.get(&parent)?.names.leads(name.as_bytes())
    }

    /// The name leads to this; `None`: to something that is not known.
    fn lead_if_known(&mut self, (parent, name): (InodeId, &FileName), to: Option<InodeId>, seq: Seq) {
        match to {
            Some(ino) => self.lead(parent, name, Some(ino), seq),
            None => self.doubt_name(parent, name),
        }
    }

    fn listed(&mut self, ino: InodeId, (after, behind): (DirCookie, Seq), page: &DirPage) {
        for entry in &page.entries {
            if let Some(attr) = &entry.attr {
                self.know(attr, behind);
            }
            self.lead(ino, &entry.name, Some(entry.ino), behind);
        }
        let Some(node) = self.known(ino) else { return };
        node.names.heard(behind, after, page.entries.last().map(|entry| entry.cookie), page.end);
    }
}
