//! What an operation or a question needs: which inodes it changes, and which must not change while
//! it is carried out.
//!
//! Names are resolved as they are now; a claim that has waited is looked at again.

use holdfast_core::id::InodeId;
use holdfast_core::lease::{Mode, Needs, add_need};
use holdfast_core::name::FileName;
use holdfast_core::op::{COPY_BYTES_MAX, Op, RenameMode};
use holdfast_proto::lease::Question;

use crate::store::Store;

/// What an operation needs, and what is worth lending when it is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::volume) struct Needed {
    pub(in crate::volume) claim: Needs,
    /// Of these inodes the session knows everything afterwards; with how they were used.
    pub(in crate::volume) lend: Needs,
    /// It makes an inode, which is in its outcome.
    pub(in crate::volume) makes: bool,
    /// It takes room.
    pub(in crate::volume) takes_room: bool,
}

impl Needed {
    fn changes(inodes: impl IntoIterator<Item = InodeId>) -> Self {
        let mut needed = Self::default();
        for ino in inodes {
            add_need(&mut needed.claim, ino, Mode::Exclusive);
        }
        needed
    }

    fn lending(mut self, inodes: impl IntoIterator<Item = InodeId>) -> Self {
        for ino in inodes {
            let used = self.claim.iter().find(|(known, _)| *known == ino).map_or(Mode::Shared, |(_, mode)| *mode);
            add_need(&mut self.lend, ino, used);
        }
        self
    }

    fn sharing(mut self, ino: InodeId) -> Self {
        add_need(&mut self.claim, ino, Mode::Shared);
        self
    }

    fn making(mut self) -> Self {
        self.makes = true;
        self.taking_room()
    }

    const fn taking_room(mut self) -> Self {
        self.takes_room = true;
        self
    }
}

/// See the module.
pub(in crate::volume) fn of_operation(store: &Store, op: &Op) -> Needed {
    match op {
        Op::Create { parent, .. } => Needed::changes([*parent]).lending([*parent]).making(),
        Op::CreateUnnamed { parent, .. } => Needed::default().sharing(*parent).making(),
        Op::Link { ino, parent, .. } => Needed::changes([*ino, *parent]).lending([*ino, *parent]).taking_room(),
        Op::Unlink { parent, name } | Op::Rmdir { parent, name } => {
            Needed::changes([*parent].into_iter().chain(target(store, *parent, name))).lending([*parent])
        }
        Op::Rename { parent, name, new_parent, new_name, mode } => {
            let moved = target(store, *parent, name);
            let replaced = target(store, *new_parent, new_name);
            let all = [*parent, *new_parent].into_iter().chain(moved).chain(replaced);
            let needed = Needed::changes(all).lending([*parent, *new_parent]);
            match mode {
                RenameMode::Whiteout | RenameMode::WhiteoutNoReplace => needed.taking_room(),
                RenameMode::Replace | RenameMode::NoReplace | RenameMode::Exchange => needed,
            }
        }
        Op::SetAttr { ino, .. } => Needed::changes([*ino]).lending([*ino]),
        Op::Write { ino, .. } | Op::Allocate { ino, .. } => Needed::changes([*ino]).lending([*ino]).taking_room(),
        Op::SetXattr { ino, .. } => Needed::changes([*ino]).taking_room(),
        Op::RemoveXattr { ino, .. } => Needed::changes([*ino]),
        Op::Copy { from, to, .. } => Needed::changes([*to]).sharing(*from).lending([*to]).taking_room(),
        Op::Open { ino, truncate: true, .. } => Needed::changes([*ino]).lending([*ino]),
        Op::Open { ino, truncate: false, .. } | Op::Touch { ino } => Needed::default().sharing(*ino).lending([*ino]),
        Op::Close { .. } => Needed::default(),
    }
}

/// Bytes that an operation takes at most.
pub(super) fn bytes_of(op: &Op) -> u64 {
    match op {
        Op::Allocate { range, .. } => range.len(),
        Op::Copy { len, .. } => (*len).min(COPY_BYTES_MAX),
        _ => op.weight() as u64,
    }
}

/// See the module. Of the entries of a listing nothing is claimed.
pub(super) fn of_question(store: &Store, question: &Question) -> Needs {
    let mut needs = Needs::new();
    match question {
        Question::Lookup { parent, name } => {
            add_need(&mut needs, *parent, Mode::Shared);
            if let Some(ino) = target(store, *parent, name) {
                add_need(&mut needs, ino, Mode::Shared);
            }
        }
        Question::GetAttr { ino } | Question::ReadDir { ino, .. } => add_need(&mut needs, *ino, Mode::Shared),
    }
    needs
}

/// What a name leads to. That it cannot be read is for the operation itself to find out.
fn target(store: &Store, parent: InodeId, name: &FileName) -> Option<InodeId> {
    store.lookup(parent, name).ok().map(|attr| attr.ino)
}
