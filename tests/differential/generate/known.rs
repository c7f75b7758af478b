//! What a sequence has made so far, as far as ext4's answers tell: names and open handles. A guess
//! that may be wrong (after renames of directories through links, say); nothing relies on it.

use std::collections::BTreeMap;

use crate::call::{Actor, Call, PROCESSES, Step};
use crate::outcome::Outcome;
use crate::word::{At, MAPS, NodeKind, Rename, SLOTS, Text};

/// What a name or handle leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Link,
    Other,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Paths from the root of the sequence.
    pub names: BTreeMap<String, Kind>,
    /// Extended attributes that were set last, with the path that they were set by.
    pub xattrs: Vec<(Text, Text)>,
    handles: [[Option<Kind>; SLOTS as usize]; 2 * PROCESSES],
    maps: [[bool; MAPS as usize]; 2 * PROCESSES],
}

fn process(actor: Actor) -> usize {
    actor.mount * PROCESSES + actor.process
}

/// A path that is worth to be remembered: plain, and from the root.
fn plain(at: &At) -> Option<String> {
    let path = at.path.0.trim_matches('/');
    let odd =
        path.is_empty() || at.base.is_some() || path.contains('<') || path.split('/').any(|part| part.starts_with('.'));
    (!odd).then(|| path.to_owned())
}

impl Known {
    pub(super) fn handles(&self, actor: Actor) -> &[Option<Kind>] {
        &self.handles[process(actor)]
    }

    /// The processes that have a handle of one of these kinds, as mount and process.
    pub(super) fn with_handle(&self, kinds: &[Option<Kind>]) -> Vec<(usize, usize)> {
        let has = |place: &usize| self.handles[*place].iter().any(|kind| kinds.contains(kind));
        (0..2 * PROCESSES).filter(has).map(|place| (place / PROCESSES, place % PROCESSES)).collect()
    }

    /// The processes that have a mapping.
    pub(super) fn with_map(&self) -> Vec<(usize, usize)> {
        let has = |place: &usize| self.maps[*place].contains(&true);
        (0..2 * PROCESSES).filter(has).map(|place| (place / PROCESSES, place % PROCESSES)).collect()
    }

    pub(super) fn maps(&self, actor: Actor) -> &[bool] {
        &self.maps[process(actor)]
    }

    pub(super) fn learn(&mut self, step: &Step, outcome: &Outcome) {
        if !outcome.is_done() {
            return;
        }
        let who = process(step.actor);
        match &step.call {
            Call::Open { slot, at, flags, .. } => {
                let kind = match outcome.fact("kind").map(ToString::to_string).as_deref() {
                    Some("file") => Kind::File,
                    Some("directory") => Kind::Directory,
                    _ => Kind::Other,
                };
                self.handles[who][usize::from(slot.0)] = (kind != Kind::Other).then_some(kind);
                if flags.0 & libc::O_CREAT != 0 {
                    self.add(at, kind);
                }
            }
            Call::Close { slot } => self.handles[who][usize::from(slot.0)] = None,
            Call::Dup { slot, to } => {
                self.handles[who][usize::from(to.0)] = self.handles[who][usize::from(slot.0)];
            }
            Call::Map { map, .. } => self.maps[who][usize::from(map.0)] = true,
            Call::Unmap { map } => self.maps[who][usize::from(map.0)] = false,
            Call::Mkdir { at, .. } => self.add(at, Kind::Directory),
            Call::Symlink { at, .. } => self.add(at, Kind::Link),
            Call::Mknod { at, kind, .. } => {
                self.add(at, if *kind == NodeKind::Regular { Kind::File } else { Kind::Other });
            }
            Call::Link { from, to, .. } => {
                let kind = plain(from).and_then(|from| self.names.get(&from).copied()).unwrap_or(Kind::File);
                self.add(to, kind);
            }
            Call::LinkHandle { to, .. } => self.add(to, Kind::File),
            Call::Unlink { at } | Call::Rmdir { at } => {
                plain(at).map(|path| self.names.remove(&path));
            }
            Call::Rename { from, to, mode } => self.rename(from, to, *mode),
            Call::SetXattr { path, name, .. } => {
                self.xattrs.truncate(12);
                self.xattrs.insert(0, (path.clone(), name.clone()));
            }
            _ => {}
        }
    }

    fn add(&mut self, at: &At, kind: Kind) {
        if let Some(path) = plain(at) {
            self.names.entry(path).or_insert(kind);
        }
    }

    fn take(&mut self, path: &str) -> Vec<(String, Kind)> {
        let below = |name: &str| {
            name.strip_prefix(path).filter(|rest| rest.is_empty() || rest.starts_with('/')).map(str::to_owned)
        };
        let taken: Vec<(String, Kind)> =
            self.names.iter().filter_map(|(name, kind)| Some((below(name)?, *kind))).collect();
        self.names.retain(|name, _| below(name).is_none());
        taken
    }

    fn rename(&mut self, from: &At, to: &At, mode: Rename) {
        let (Some(from), Some(to)) = (plain(from), plain(to)) else { return };
        if from == to {
            return;
        }
        let (moved, replaced) = (self.take(&from), self.take(&to));
        self.names.extend(moved.into_iter().map(|(rest, kind)| (format!("{to}{rest}"), kind)));
        match mode {
            Rename::Exchange => {
                self.names.extend(replaced.into_iter().map(|(rest, kind)| (format!("{from}{rest}"), kind)));
            }
            Rename::Whiteout => {
                self.names.insert(from, Kind::Other);
            }
            Rename::Plain | Rename::NoReplace | Rename::Both => {}
        }
    }
}
