//! Leases on the control stream: questions whose answers may be remembered, grants, recalls and what
//! is given back.

use holdfast_core::attr::Attr;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::lease::{GiveBack, Grant, GrantNo, Mode, Recall, Target};
use holdfast_core::limits::DIR_PAGE_ENTRIES_MAX;
use holdfast_core::name::FileName;

use crate::attr::{inode, required};
use crate::error::{error_detail, from_detail, invalid};
use crate::namespace::{DirPage, file_name};
use crate::v1::{self, answer::Answer as WireReply, question::Question as WireQuestion};

/// A question whose answer may be remembered under the leases that come with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What a name in a directory leads to; not `.` or `..`.
    Lookup {
        /// The directory.
        parent: InodeId,
        /// The name.
        name: FileName,
    },
    /// The attributes of an inode.
    GetAttr {
        /// The inode.
        ino: InodeId,
    },
    /// A page of a listing.
    ReadDir {
        /// The directory.
        ino: InodeId,
        /// Where the page begins; zero: at the start.
        after: DirCookie,
        /// Entries at most; 0: as many as the server likes.
        entries_max: u32,
        /// Whether attributes are wanted too.
        with_attributes: bool,
    },
}

/// The answer to a [`Question`] of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a lookup.
    Lookup(Attr),
    /// To a question for attributes.
    GetAttr(Attr),
    /// To a question for a page.
    ReadDir(DirPage),
}

/// An answer, and what was lent with it: also with an error that may be remembered.
#[derive(Debug)]
pub struct Answered {
    /// What came of the question.
    pub result: Result<Reply>,
    /// Leases that the session has from here on.
    pub grants: Vec<Grant>,
}

impl Question {
    /// As a message under an id that its answer will bear.
    #[must_use]
    pub fn to_wire(&self, id: u64) -> v1::Question {
        let question = match self {
            Self::Lookup { parent, name } => {
                WireQuestion::Lookup(v1::LookupRequest { parent: parent.0, name: name.clone().into_bytes() })
            }
            Self::GetAttr { ino } => WireQuestion::GetAttr(v1::GetAttrRequest { ino: ino.0 }),
            Self::ReadDir { ino, after, entries_max, with_attributes } => WireQuestion::ReadDir(v1::ReadDirRequest {
                ino: ino.0,
                after: after.0,
                entries_max: *entries_max,
                with_attributes: *with_attributes,
            }),
        };
        v1::Question { id, question: Some(question) }
    }

    /// Reads a question.
    ///
    /// # Errors
    /// `Invalid` when it names what cannot be; `Version` when it is of a kind that this side does
    /// not know.
    pub fn from_wire(wire: v1::Question) -> Result<Self> {
        Ok(match wire.question {
            Some(WireQuestion::Lookup(lookup)) => {
                Self::Lookup { parent: inode(lookup.parent)?, name: file_name(lookup.name)? }
            }
            Some(WireQuestion::GetAttr(ask)) => Self::GetAttr { ino: inode(ask.ino)? },
            Some(WireQuestion::ReadDir(ask)) => Self::ReadDir {
                ino: inode(ask.ino)?,
                after: DirCookie(ask.after),
                entries_max: ask.entries_max,
                with_attributes: ask.with_attributes,
            },
            None => {
                return Err(Error::new(
                    ErrorKind::Version,
                    "a question of a kind that this server does not know; upgrade the server",
                ));
            }
        })
    }
}

impl Answered {
    /// As a message.
    #[must_use]
    pub fn to_wire(&self, id: u64) -> v1::Answer {
        let mut wire =
            v1::Answer { id, grants: self.grants.iter().map(grant_to_wire).collect(), ..v1::Answer::default() };
        match &self.result {
            Ok(Reply::Lookup(attr)) => {
                wire.answer = Some(WireReply::Lookup(v1::LookupResponse { attr: Some(attr.into()) }));
            }
            Ok(Reply::GetAttr(attr)) => {
                wire.answer = Some(WireReply::GetAttr(v1::GetAttrResponse { attr: Some(attr.into()) }));
            }
            Ok(Reply::ReadDir(page)) => wire.answer = Some(WireReply::ReadDir(page.into())),
            Err(error) => {
                wire.error = Some(error_detail(error));
                error.message().clone_into(&mut wire.message);
            }
        }
        wire
    }

    /// Reads the answer to `question`, and checks that it can be one.
    ///
    /// # Errors
    /// `Invalid` when it cannot.
    pub fn from_wire(wire: v1::Answer, question: &Question) -> Result<Self> {
        let grants = wire.grants.iter().map(grant).collect::<Result<_>>()?;
        if let Some(detail) = &wire.error {
            return Ok(Self { result: Err(from_detail(detail, wire.message)), grants });
        }
        let reply = match (question, wire.answer) {
            (Question::Lookup { .. }, Some(WireReply::Lookup(answer))) => Reply::Lookup(required(answer.attr)?),
            (Question::GetAttr { ino }, Some(WireReply::GetAttr(answer))) => {
                let attr = required(answer.attr)?;
                if attr.ino != *ino {
                    return Err(invalid(format!("the attributes of inode {ino} are those of {}", attr.ino)));
                }
                Reply::GetAttr(attr)
            }
            (Question::ReadDir { after, entries_max, .. }, Some(WireReply::ReadDir(page))) => {
                let page = DirPage::from_wire(page, *after)?;
                if *entries_max != 0 && page.entries.len() > *entries_max as usize {
                    return Err(invalid(format!(
                        "a page of {} entries; {entries_max} were asked for",
                        page.entries.len()
                    )));
                }
                Reply::ReadDir(page)
            }
            _ => return Err(invalid("the answer to another kind of question")),
        };
        Ok(Self { result: Ok(reply), grants })
    }
}

/// Entries that a page may have at most, for whoever asks.
#[must_use]
pub fn entries_max(asked: u32) -> u32 {
    asked.min(u32::try_from(DIR_PAGE_ENTRIES_MAX).unwrap_or(u32::MAX))
}

/// A grant of a lease on an inode; one on the whole volume has no message yet, and is none.
#[must_use]
pub fn grant_to_wire(grant: &Grant) -> v1::Grant {
    v1::Grant { ino: ino_of(grant.target), mode: mode_to_wire(Some(grant.mode)), number: grant.number.0 }
}

/// Reads a grant.
///
/// # Errors
/// `Invalid` for inode 0, or for nothing that is lent.
pub fn grant(wire: &v1::Grant) -> Result<Grant> {
    let mode = mode(wire.mode)?.ok_or_else(|| invalid(format!("nothing is lent on inode {}", wire.ino)))?;
    Ok(Grant { target: Target::Inode(inode(wire.ino)?), mode, number: GrantNo(wire.number) })
}

/// A recall; to whom is not part of the message.
#[must_use]
pub fn recall_to_wire(recall: &Recall) -> v1::Recall {
    v1::Recall { ino: ino_of(recall.target), keep: mode_to_wire(recall.keep) }
}

/// What a recall wants back, and what may be kept.
///
/// # Errors
/// `Invalid` for inode 0 or an unknown mode.
pub fn recall(wire: &v1::Recall) -> Result<(InodeId, Option<Mode>)> {
    Ok((inode(wire.ino)?, mode(wire.keep)?))
}

/// What a session gives back.
#[must_use]
pub fn give_back_to_wire(back: &GiveBack) -> v1::GiveBack {
    v1::GiveBack { ino: ino_of(back.target), left: mode_to_wire(back.left), seen: back.seen.0 }
}

/// Reads what a session gives back.
///
/// # Errors
/// As [`recall`].
pub fn give_back(wire: &v1::GiveBack) -> Result<GiveBack> {
    Ok(GiveBack {
        target: Target::Inode(inode(wire.ino)?),
        left: mode(wire.left)?,
        seen: GrantNo(wire.seen),
        kept: Vec::new(),
    })
}

/// What a session says that it has.
#[must_use]
pub fn held_to_wire(ino: InodeId, mode: Mode) -> v1::HeldLease {
    v1::HeldLease { ino: ino.0, mode: mode_to_wire(Some(mode)) }
}

/// Reads what a session says that it has.
///
/// # Errors
/// As [`grant`].
pub fn held(wire: &v1::HeldLease) -> Result<(Target, Mode)> {
    let mode = mode(wire.mode)?.ok_or_else(|| invalid(format!("a lease on inode {} that is none", wire.ino)))?;
    Ok((Target::Inode(inode(wire.ino)?), mode))
}

const fn ino_of(target: Target) -> u64 {
    match target {
        Target::Inode(ino) => ino.0,
        Target::Volume => 0,
    }
}

fn mode_to_wire(mode: Option<Mode>) -> i32 {
    match mode {
        None => v1::LeaseMode::Unspecified,
        Some(Mode::Shared) => v1::LeaseMode::Shared,
        Some(Mode::Exclusive) => v1::LeaseMode::Exclusive,
    }
    .into()
}

fn mode(number: i32) -> Result<Option<Mode>> {
    match v1::LeaseMode::try_from(number) {
        Ok(v1::LeaseMode::Unspecified) => Ok(None),
        Ok(v1::LeaseMode::Shared) => Ok(Some(Mode::Shared)),
        Ok(v1::LeaseMode::Exclusive) => Ok(Some(Mode::Exclusive)),
        Err(_) => Err(invalid(format!("there is no lease of mode {number}"))),
    }
}

#[cfg(test)]
mod tests;
