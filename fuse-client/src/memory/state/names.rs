//! What is known of the names in one directory.
//!
//! Guarantees: what is said of a name is what was heard of it last. Where every name was heard, one that
//! is not known leads to nothing, unless it is in doubt: because an operation on it is under way, or
//! because it was let go to save memory. What is in doubt is kept as 64 bits of a keyed hash, so a million
//! names that were let go take some ten megabytes; two of them with one hash would have to meet for a
//! wrong answer.
//!
//! What is heard may have been asked before this mount changed some of the names. So the last changes are
//! noted: what was asked before one tells nothing of its name, and all that it tells of the others.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher as _;

use holdfast_core::id::{DirCookie, InodeId, Seq};
use holdfast_core::name::FileName;

/// Changes that are noted, at most. What was asked before more of them tells nothing.
const CHANGES_MAX: usize = 512;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Names and what they lead to; `None`: surely to nothing.
    known: HashMap<FileName, Option<InodeId>>,
    /// Names of which nothing is known whatever was heard of the listing.
    in_doubt: HashSet<u64>,
    /// Every name that there is is known, or in doubt.
    complete: bool,
    /// Up to here the listing was heard without a gap.
    listed: Option<DirCookie>,
    /// The last changes of this mount, in their order, and the fingerprints of the names.
    changes: VecDeque<(Seq, u64)>,
    /// All changes behind this one are noted.
    noted_since: Seq,
}

impl Names {
    /// Of a directory that this mount may have changed up to there.
    pub(super) fn since(changed: Seq) -> Self {
        Self { noted_since: changed, ..Self::default() }
    }

    fn fingerprint(&self, name: &[u8]) -> u64 {
        self.known.hasher().hash_one(name)
    }

    /// What a name leads to, as far as that is known.
    pub(super) fn leads(&self, name: &[u8]) -> Option<Option<InodeId>> {
        match self.known.get(name) {
            Some(to) => Some(*to),
            None if self.complete && (self.in_doubt.is_empty() || !self.in_doubt.contains(&self.fingerprint(name))) => {
                Some(None)
            }
            None => None,
        }
    }

    /// A name leads to this, or to nothing.
    pub(super) fn lead(&mut self, name: &FileName, to: Option<InodeId>) {
        if !self.in_doubt.is_empty() {
            let fingerprint = self.fingerprint(name.as_bytes());
            self.in_doubt.remove(&fingerprint);
        }
        if self.complete && to.is_none() {
            self.known.remove(name);
        } else {
            self.known.insert(name.clone(), to);
        }
    }

    /// This mount changes what a name leads to.
    pub(super) fn changed(&mut self, name: &FileName, seq: Seq) {
        self.changes.push_back((seq, self.fingerprint(name.as_bytes())));
        if self.changes.len() > CHANGES_MAX
            && let Some((forgotten, _)) = self.changes.pop_front()
        {
            self.noted_since = forgotten;
        }
    }

    /// Whether what was asked behind this operation is as of every change of a name.
    pub(super) fn is_news(&self, name: &FileName, behind: Seq) -> bool {
        self.is_told_apart(behind) && {
            let mut later = self.later(behind).peekable();
            later.peek().is_none() || {
                let fingerprint = self.fingerprint(name.as_bytes());
                later.all(|changed| changed != fingerprint)
            }
        }
    }

    /// Whether every change behind this operation is noted.
    fn is_told_apart(&self, behind: Seq) -> bool {
        behind >= self.noted_since
    }

    /// Names that were changed behind this operation.
    fn later(&self, behind: Seq) -> impl Iterator<Item = u64> {
        self.changes.iter().rev().take_while(move |(seq, _)| *seq > behind).map(|(_, name)| *name)
    }

    /// What a name leads to is not known any more.
    pub(super) fn doubt(&mut self, name: &FileName) {
        self.known.remove(name);
        // It may stand in a part of the listing that was heard.
        if self.complete || self.listed.is_some() {
            let fingerprint = self.fingerprint(name.as_bytes());
            self.in_doubt.insert(fingerprint);
        }
    }

    /// Names that lead to what is not remembered any more take less room from here on.
    pub(super) fn let_go(&mut self, gone: &HashSet<InodeId>) {
        let names = self.known.extract_if(|_, to| to.is_some_and(|ino| gone.contains(&ino)));
        let names: Vec<FileName> = names.map(|(name, _)| name).collect();
        for name in names {
            self.doubt(&name);
        }
        if self.known.capacity() / 4 > self.known.len() {
            self.known.shrink_to_fit();
        }
    }

    /// The directory is new: there is no name in it.
    pub(super) fn are_none(&mut self) {
        self.clear();
        self.complete = true;
    }

    /// Nothing is known any more, but for what was changed last.
    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.in_doubt.clear();
        self.complete = false;
        self.listed = None;
    }

    /// A page of the listing was heard that was asked for behind this operation: entries behind `after`, up to
    /// `last`; `end`: nothing comes behind it.
    pub(super) fn heard(&mut self, behind: Seq, after: DirCookie, last: Option<DirCookie>, end: bool) {
        if self.complete || !self.is_told_apart(behind) {
            return;
        }
        let gapless = after == DirCookie(0) || self.listed == Some(after);
        // What was changed meanwhile is known, or surely in doubt.
        let later: Vec<u64> = self.later(behind).filter(|_| gapless).collect();
        self.in_doubt.extend(later);
        self.listed = last.or(self.listed).filter(|_| gapless);
        self.complete |= gapless && end;
    }

    /// Up to where the listing was heard without a gap.
    pub(super) fn listed(&self) -> DirCookie {
        self.listed.unwrap_or_default()
    }

    /// Whether every name that there is was heard.
    pub(super) const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Whether there is surely none.
    pub(super) fn are_surely_none(&self) -> bool {
        self.complete && self.in_doubt.is_empty() && self.known.values().all(Option::is_none)
    }

    /// What the names lead to, as far as that is known.
    pub(super) fn inodes(&self) -> impl Iterator<Item = InodeId> {
        self.known.values().flatten().copied()
    }

    /// Whether none is known.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    fn name(text: &str) -> FileName {
        FileName::new(text.as_bytes().to_vec()).unwrap()
    }

    const FILE: InodeId = InodeId(7);

    #[test]
    fn in_a_complete_listing_what_is_not_known_is_not_there_unless_it_is_in_doubt() {
        let mut names = Names::default();
        names.are_none();
        names.lead(&name("a"), Some(FILE));
        assert_eq!((names.leads(b"a"), names.leads(b"b")), (Some(Some(FILE)), Some(None)));
        names.doubt(&name("a"));
        names.doubt(&name("b"));
        assert_eq!((names.leads(b"a"), names.leads(b"b"), names.leads(b"c")), (None, None, Some(None)));
        assert!(names.is_complete() && !names.are_surely_none());
        names.lead(&name("a"), None);
        names.lead(&name("b"), None);
        assert_eq!((names.leads(b"a"), names.leads(b"b")), (Some(None), Some(None)));
        assert!(names.are_surely_none());
    }

    #[test]
    fn doubt_outlives_the_rest_of_a_listing() {
        let mut names = Names::default();
        names.lead(&name("a"), Some(FILE));
        names.heard(Seq(0), DirCookie(0), Some(DirCookie(5)), false);
        names.doubt(&name("a"));
        names.heard(Seq(0), DirCookie(5), Some(DirCookie(9)), true);
        assert!(names.is_complete());
        assert_eq!((names.leads(b"a"), names.leads(b"b")), (None, Some(None)));
    }

    #[test]
    fn a_gap_in_a_listing_leaves_it_open() {
        let mut names = Names::default();
        names.heard(Seq(0), DirCookie(0), Some(DirCookie(5)), false);
        names.heard(Seq(0), DirCookie(7), Some(DirCookie(9)), true);
        assert!(!names.is_complete());
        assert_eq!((names.listed(), names.leads(b"a")), (DirCookie(0), None));
    }

    #[test]
    fn what_was_asked_before_a_change_tells_of_the_other_names() {
        let mut names = Names::since(Seq(3));
        names.changed(&name("a"), Seq(7));
        assert!(names.is_news(&name("a"), Seq(7)) && !names.is_news(&name("a"), Seq(6)));
        assert!(names.is_news(&name("b"), Seq(3)) && !names.is_news(&name("b"), Seq(2)));
        names.heard(Seq(2), DirCookie(0), None, true);
        assert!(!names.is_complete(), "it may have been changed before that");
        names.heard(Seq(6), DirCookie(0), None, true);
        assert_eq!((names.leads(b"a"), names.leads(b"b")), (None, Some(None)));
        names.lead(&name("a"), None);
        names.heard(Seq(6), DirCookie(0), None, true);
        assert_eq!(names.leads(b"a"), Some(None), "all was known before");
    }

    #[test]
    fn more_changes_than_are_noted_make_what_was_asked_before_them_nothing() {
        let mut names = Names::default();
        let last = CHANGES_MAX as u64 + 5;
        for seq in 1..=last {
            names.changed(&name("a"), Seq(seq));
        }
        for (behind, told) in [(4, false), (5, true)] {
            assert_eq!(names.is_news(&name("b"), Seq(behind)), told);
            names.heard(Seq(behind), DirCookie(0), None, true);
            assert_eq!(names.is_complete(), told);
        }
    }

    #[test]
    fn names_that_are_let_go_are_asked_for_and_the_others_are_not() {
        let mut names = Names::default();
        names.are_none();
        for number in 0..1000 {
            names.lead(&name(&number.to_string()), Some(InodeId(number)));
        }
        names.let_go(&(0..900).map(InodeId).collect());
        assert_eq!(names.inodes().count(), 100);
        for number in 0..1000 {
            let known = (number >= 900).then_some(Some(InodeId(number)));
            assert_eq!(names.leads(number.to_string().as_bytes()), known);
        }
        assert_eq!(names.leads(b"1000"), Some(None));
        names.lead(&name("5"), Some(InodeId(5)));
        assert_eq!(names.leads(b"5"), Some(Some(InodeId(5))));
    }
}
