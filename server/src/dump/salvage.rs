//! The extents of a file as far as they can be read, and what is damaged between them.

use std::ops::ControlFlow;

use holdfast_core::error::Error;

use crate::meta::keys::{self, DataId};
use crate::meta::query::extent_of;
use crate::meta::record::decode;
use crate::meta::record::extent::Content;
use crate::meta::view::View;

/// A stretch of a file.
#[derive(Debug)]
pub(super) struct Part {
    /// First byte.
    pub(super) start: u64,
    /// The byte after the last.
    pub(super) end: u64,
    /// What it holds, and how much of that comes before `start`; or what is wrong with its record.
    pub(super) content: Result<(Content, u64), String>,
}

/// The parts of a file that lie in `from..to`, in order. Holes are not among them.
pub(super) fn parts(view: View<'_>, data: DataId, from: u64, to: u64) -> Vec<Part> {
    let (mut parts, mut at) = (Vec::new(), from);
    let mut done = from >= to;
    if done {
        return parts;
    }
    let scanned = view.scan(&keys::extents_past(data, from), |key, value| {
        let part = match decode(key, &value).and_then(|content| extent_of(key, &content)) {
            Ok(extent) if extent.start >= to => {
                done = true;
                return Ok(ControlFlow::Break(()));
            }
            // One that overlaps the one before is cut: the first one counts.
            Ok(extent) => {
                let start = extent.start.max(at);
                let skip = start - extent.start;
                Part { start, end: extent.end().min(to), content: Ok((extent.content, skip)) }
            }
            Err(error) => damaged(key, at, to, &error),
        };
        at = part.end.max(at);
        if part.start < part.end {
            parts.push(part);
        }
        done = at >= to;
        Ok(if done { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    if let Err(error) = scanned
        && !done
    {
        parts.push(Part { start: at, end: to, content: Err(format!("{error:?}")) });
    }
    parts
}

/// A record whose key says where its extent ends, and not more. It may reach back to the one before.
fn damaged(key: &[u8], at: u64, to: u64, error: &Error) -> Part {
    let end = keys::split_pair(key).map_or(to, |(_, end)| end.min(to));
    Part { start: at, end, content: Err(error.to_string()) }
}

/// The next stretch of data at or behind `from`; what cannot be read counts as data.
pub(super) fn next_data(view: View<'_>, data: DataId, from: u64, size: u64) -> Option<(u64, u64)> {
    let mut found: Option<(u64, u64)> = None;
    let mut at = from;
    let scanned = view.scan(&keys::extents_past(data, from), |key, value| {
        let (start, end) = match decode(key, &value).and_then(|content| extent_of(key, &content)) {
            Ok(extent) if matches!(extent.content, Content::Reserved { .. }) => {
                at = extent.end();
                return Ok(if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) });
            }
            Ok(extent) => (extent.start.max(from), extent.end()),
            Err(_) => (at, keys::split_pair(key).map_or(size, |(_, end)| end)),
        };
        at = at.max(end);
        match &mut found {
            None => found = Some((start, end)),
            Some((_, last)) if start <= *last => *last = end.max(*last),
            Some(_) => return Ok(ControlFlow::Break(())),
        }
        Ok(ControlFlow::Continue(()))
    });
    if scanned.is_err() && found.is_none() {
        found = Some((at, at.saturating_add(UNREADABLE_STEP)));
    }
    found.map(|(start, end)| (start.min(size), end.min(size))).filter(|(start, end)| start < end)
}

/// Where the metadata cannot be read at all, it is tried again so much further on.
const UNREADABLE_STEP: u64 = 64 << 10;
