//! What is done to a volume before its power fails: every sequence of up to three acts, each in a directory
//! of its own with two files and a directory in it. Pure.

use holdfast_tests::model::step::{Access, Allocate, Path, Rename, Step, Time};
use holdfast_tests::random::Random;

/// One act of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A new small file: the server keeps its bytes with the metadata.
    CreateSmall,
    /// A new large file: its bytes go to a segment.
    CreateLarge,
    /// A part of a large file, written again.
    Overwrite,
    Append,
    Cut,
    Extend,
    RenameOver,
    Link,
    Unlink,
    MakeDirectory,
    RemoveDirectory,
    /// An extended attribute, a mode and times.
    Attributes,
    Punch,
}

impl Act {
    pub(crate) const ALL: [Self; 13] = [
        Self::CreateSmall,
        Self::CreateLarge,
        Self::Overwrite,
        Self::Append,
        Self::Cut,
        Self::Extend,
        Self::RenameOver,
        Self::Link,
        Self::Unlink,
        Self::MakeDirectory,
        Self::RemoveDirectory,
        Self::Attributes,
        Self::Punch,
    ];
}

/// When a program syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syncs {
    AfterEach,
    AfterLast,
}

/// A sequence of acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sequence {
    pub(crate) acts: Vec<Act>,
    pub(crate) syncs: Syncs,
}

/// Most acts of a sequence.
pub(crate) const ACTS_MAX: usize = 3;

/// Every sequence, shorter ones first.
pub(crate) fn all() -> Vec<Sequence> {
    let mut acts: Vec<Vec<Act>> = vec![Vec::new()];
    let mut all = Vec::new();
    for _ in 0..ACTS_MAX {
        let longer = |acts: &Vec<Act>| Act::ALL.map(|act| [&acts[..], &[act]].concat());
        acts = acts.iter().flat_map(longer).collect();
        for acts in &acts {
            all.push(Sequence { acts: acts.clone(), syncs: Syncs::AfterLast });
            if acts.len() > 1 {
                all.push(Sequence { acts: acts.clone(), syncs: Syncs::AfterEach });
            }
        }
    }
    all
}

/// So many of them: those of one act, and others by chance.
pub(crate) fn some(count: usize, random: &mut Random) -> Vec<Sequence> {
    let mut all = all();
    for at in Act::ALL.len()..all.len() {
        let other = at + random.index(all.len() - at);
        all.swap(at, other);
    }
    all.truncate(count);
    all
}

/// The open file through which everything is synced: one fsync covers all that was answered before it.
pub(crate) const ANCHOR: usize = 9;
const SLOT: usize = 1;
const NEW: Access = Access { read: true, write: true, append: false, truncate: true, create: true, exclusive: false };
const OLD: Access = Access { truncate: false, create: false, ..NEW };

fn path(directory: &str, name: &str) -> Path {
    vec![directory.to_owned(), name.to_owned()]
}

/// Opens the file for [`ANCHOR`].
pub(crate) fn anchor() -> Step {
    Step::Open { slot: ANCHOR, path: vec!["anchor".to_owned()], mode: 0o600, access: NEW }
}

fn with_open(path: Path, access: Access, step: Step) -> Vec<Step> {
    vec![Step::Open { slot: SLOT, path, mode: 0o640, access }, step, Step::Close { slot: SLOT }]
}

fn write(offset: u64, len: u64, tag: u8) -> Step {
    Step::Write { slot: SLOT, offset, len, tag }
}

/// What is there before the acts begin.
pub(crate) fn set_up(directory: &str, tag: u8) -> Vec<Step> {
    let mut steps = vec![Step::Mkdir { path: vec![directory.to_owned()], mode: 0o755 }];
    steps.extend(with_open(path(directory, "a"), NEW, write(0, 3000, tag)));
    steps.extend(with_open(path(directory, "b"), NEW, write(0, 100_000, tag)));
    steps.push(Step::Mkdir { path: path(directory, "d"), mode: 0o700 });
    steps
}

/// An act as steps. One for which nothing is left to act on fails as it would on any file system.
pub(crate) fn steps(act: Act, directory: &str, tag: u8) -> Vec<Step> {
    let at = |name: &str| path(directory, name);
    match act {
        Act::CreateSmall => with_open(at("c"), NEW, write(0, 5000, tag)),
        Act::CreateLarge => with_open(at("e"), NEW, write(0, 150_000, tag)),
        Act::Overwrite => with_open(at("b"), OLD, write(20_000, 70_000, tag)),
        Act::Append => with_open(at("a"), Access { append: true, ..OLD }, write(0, 100, tag)),
        Act::Cut => vec![Step::Truncate { path: at("b"), size: 50_001 }],
        Act::Extend => vec![Step::Truncate { path: at("a"), size: 200_000 }],
        Act::RenameOver => vec![Step::Rename { old: at("a"), new: at("b"), how: Rename::Replace }],
        Act::Link => vec![Step::Link { old: at("b"), new: at("l") }],
        Act::Unlink => vec![Step::Unlink { path: at("b") }],
        Act::MakeDirectory => vec![Step::Mkdir { path: at("n"), mode: 0o750 }],
        Act::RemoveDirectory => vec![Step::Rmdir { path: at("d") }],
        Act::Attributes => {
            let (atime, mtime) = (Time { secs: 1, nanos: 2 }, Time { secs: i64::from(tag), nanos: 3 });
            let (name, create, replace) = ("user.k".to_owned(), false, false);
            vec![
                Step::SetXattr { path: at("a"), name, len: 300, tag, create, replace },
                Step::Chmod { path: at("a"), mode: 0o604 },
                Step::Utimens { path: at("a"), atime, mtime },
            ]
        }
        Act::Punch => {
            let (how, offset, len) = (Allocate::Punch, 10_000, 60_000);
            with_open(at("b"), OLD, Step::Allocate { slot: SLOT, how, offset, len, keep_size: true })
        }
    }
}

#[test]
fn every_sequence_is_there_once() {
    let all = all();
    assert_eq!(all.len(), 13 + 2 * (13 * 13 + 13 * 13 * 13));
    let mut words: Vec<String> = all.iter().map(|sequence| format!("{sequence:?}")).collect();
    words.sort();
    words.dedup();
    assert_eq!(words.len(), all.len());
    let some = some(40, &mut Random::new(1));
    assert!(some.len() == 40 && some[..13].iter().all(|sequence| sequence.acts.len() == 1));
}
