//! Compaction: what is left of segments that are mostly dead is moved elsewhere, so that their space goes
//! back to the disk.
//!
//! - Which segments are worth it is decided by one pure function ([`plan`]), from the accounts that every
//!   batch keeps exact. The store moves frames in bounded steps ([`crate::store::Store::relocate`]).
//! - One volume at a time, at no more than a rate; only open volumes. Nearly everything that a full disk
//!   refuses to others is allowed here, since it makes room; but what has no room to be moved stays.
//! - A frame that is damaged stays where it is, and its segment is left alone: a scrub names its files.
//! - It ends soon when the volume is to be closed or the server stops. Nothing of it is kept: the next look
//!   begins with what there is then.

pub(crate) mod ledger;
mod pass;
mod plan;
pub(crate) mod schedule;
