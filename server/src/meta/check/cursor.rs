//! Records of one kind in order of their keys, pulled one at a time: so that several kinds can be
//! gone through side by side.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::ControlFlow;

use bytes::Bytes;
use holdfast_core::error::Result;

use super::Found;
use crate::meta::keys::{self, Key, KeyRange};
use crate::meta::record::Record;
use crate::meta::view::View;

/// Records that are read ahead.
const AHEAD: usize = 512;
/// Their bytes, about.
const AHEAD_BYTES: usize = 1 << 20;

/// A place among the records of one kind.
pub(super) struct Cursor<'a, R> {
    view: View<'a>,
    rest: KeyRange,
    ahead: VecDeque<(u64, Key, Bytes)>,
    ended: bool,
    kind: PhantomData<R>,
}

impl<'a, R: Record> Cursor<'a, R> {
    /// The records of this tag whose number is at least `from` and less than `to`.
    pub(super) fn new(view: View<'a>, tag: u8, from: u64, to: Option<u64>) -> Self {
        let rest = keys::between(tag, from, to);
        Self { view, rest, ahead: VecDeque::new(), ended: false, kind: PhantomData }
    }

    /// The number of the next record; keys that have none become findings.
    pub(super) fn peek(&mut self, found: &mut Found) -> Result<Option<u64>> {
        if self.ahead.is_empty() && !self.ended {
            self.fill(found)?;
        }
        Ok(self.ahead.front().map(|(number, ..)| *number))
    }

    /// The next record if it has this number, and the bytes of its key behind that; `Some(_, None)`: it
    /// cannot be decoded, which is a finding.
    pub(super) fn take(&mut self, number: u64, found: &mut Found) -> Result<Option<(Key, Option<R>)>> {
        if self.peek(found)? != Some(number) {
            return Ok(None);
        }
        let Some((_, key, value)) = self.ahead.pop_front() else { return Ok(None) };
        let record = match R::decode(&value) {
            Ok(record) => Some(record),
            Err(malformed) => {
                found.unreadable(&key, malformed.0);
                None
            }
        };
        Ok(Some((key, record)))
    }

    /// Passes the next record over.
    pub(super) fn skip(&mut self, found: &mut Found) -> Result<()> {
        self.peek(found)?;
        self.ahead.pop_front();
        Ok(())
    }

    fn fill(&mut self, found: &mut Found) -> Result<()> {
        let (ahead, mut bytes, mut last) = (&mut self.ahead, 0, None);
        self.ended = true;
        let ended = &mut self.ended;
        self.view.scan(&self.rest, |key, value| {
            bytes += key.len() + value.len();
            match keys::split(key) {
                Some((number, _)) => ahead.push_back((number, key.to_vec(), value)),
                None => found.unreadable(key, "its key is too short"),
            }
            if ahead.len() < AHEAD && bytes < AHEAD_BYTES {
                return Ok(ControlFlow::Continue(()));
            }
            *ended = false;
            last = Some(key.to_vec());
            Ok(ControlFlow::Break(()))
        })?;
        if let Some(mut last) = last {
            last.push(0);
            self.rest.from = last;
        }
        Ok(())
    }
}
