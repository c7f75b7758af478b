//! Random operations: contents against a model of plain vectors, names against the check.

#![expect(clippy::unwrap_used, reason = "tests")]

use holdfast_core::attr::{FileKind, SetAttr};
use holdfast_core::id::InodeId;
use holdfast_core::op::{AllocateMode, NewNode, Op, RenameMode, XattrMode};
use proptest::prelude::*;

use crate::store::compact::compact_all;
use crate::store::fixture::{ROOT, Volume, mode, name, noise, xattr};

const FILES: usize = 3;
const SPAN: u64 = 300_000;

#[derive(Clone, Debug)]
enum Change {
    Write { at: u64, len: u64 },
    Stage { at: u64, len: u64 },
    Append { len: u64 },
    Truncate { size: u64 },
    Allocate { at: u64, len: u64, how: u8 },
    Copy { from: usize, at: u64, to: u64, len: u64 },
    Commit,
    Reap,
    Compact { all: bool },
    Restart,
    Crash,
}

fn change() -> impl Strategy<Value = (usize, Change)> {
    let offset = || prop_oneof![0..SPAN, (0..5_u64).prop_map(|frame| frame * 65_536), 0..100_u64];
    let len = || prop_oneof![1..65_536_u64, 1..200_u64, Just(65_536_u64)];
    let change = prop_oneof![
        4 => (offset(), len()).prop_map(|(at, len)| Change::Write { at, len }),
        4 => (offset(), 1..200_000_u64).prop_map(|(at, len)| Change::Stage { at, len }),
        3 => (1..5000_u64).prop_map(|len| Change::Append { len }),
        3 => prop_oneof![offset(), Just(0)].prop_map(|size| Change::Truncate { size }),
        4 => (offset(), 1..200_000_u64, 0..5_u8).prop_map(|(at, len, how)| Change::Allocate { at, len, how }),
        3 => (0..FILES, offset(), offset(), 1..200_000_u64).prop_map(|(from, at, to, len)| Change::Copy { from, at, to, len }),
        2 => Just(Change::Commit),
        1 => Just(Change::Reap),
        2 => any::<bool>().prop_map(|all| Change::Compact { all }),
        1 => Just(Change::Restart),
        1 => Just(Change::Crash),
    ];
    (0..FILES, change)
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

fn put(model: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    let end = index(at) + bytes.len();
    if model.len() < end {
        model.resize(end, 0);
    }
    model[index(at)..end].copy_from_slice(bytes);
}

/// Zeros a range, and lengthens the model to its end if `grow`.
fn clear(model: &mut Vec<u8>, at: u64, len: u64, grow: bool) {
    if grow && model.len() < index(at + len) {
        model.resize(index(at + len), 0);
    }
    let end = model.len().min(index(at + len));
    model[index(at).min(end)..end].fill(0);
}

fn allocate(volume: &Volume, ino: InodeId, model: &mut Vec<u8>, (at, len, how): (u64, u64, u8)) {
    let keep_size = how % 2 == 1;
    let mode = match how {
        0 | 1 => AllocateMode::Reserve { keep_size },
        2 | 3 => AllocateMode::Zero { keep_size },
        _ => AllocateMode::PunchHole,
    };
    volume.allocate(ino, at, len, mode).unwrap();
    match mode {
        AllocateMode::Reserve { keep_size } if !keep_size && model.len() < index(at + len) => {
            model.resize(index(at + len), 0);
        }
        AllocateMode::Reserve { .. } => {}
        AllocateMode::Zero { keep_size } => clear(model, at, len, !keep_size),
        AllocateMode::PunchHole => clear(model, at, len, false),
    }
}

fn copy(volume: &Volume, inos: &[InodeId], models: &mut [Vec<u8>], file: usize, change: (usize, u64, u64, u64)) {
    let (from, at, to, len) = change;
    let source = models[from].clone();
    let end = source.len().min(index(at + len));
    let bytes = source.get(index(at)..end).unwrap_or_default();
    let done = bytes.len() as u64;
    let overlap = from == file && at < to + done && to < at + done;
    match volume.copy((inos[from], at), (inos[file], to), len) {
        Ok(copied) => {
            assert_eq!(copied, done);
            if done > 0 {
                put(&mut models[file], to, bytes);
            }
        }
        Err(_) => assert!(overlap && done > 0),
    }
}

/// The blocks of a file are named for what they are, and what none covers is zeros.
fn blocks_are_right(volume: &Volume, ino: InodeId, model: &[u8]) {
    let told = volume.store.blocks(ino, 0, 1 << 20).unwrap();
    assert_eq!((u64::from(told.len), told.size), (model.len() as u64, model.len() as u64));
    let mut at = 0;
    for block in &told.blocks {
        let (start, end) = (index(block.offset), index(block.end()));
        assert!(model[at..start].iter().all(|byte| *byte == 0), "a hole at {at}");
        assert!(block.hash.is_none_or(|hash| hash.matches(&model[start..end])), "{block:?}");
        at = end;
    }
    assert!(model[at..].iter().all(|byte| *byte == 0), "a hole at {at}");
    if let Some(some) = told.blocks.get(told.blocks.len() / 2) {
        let part = volume.store.blocks(ino, some.end() - 1, 1).unwrap();
        let within = |block: &&crate::store::Block| block.hash.is_none() || part.blocks == [**block];
        assert!(Some(some).filter(within).is_some(), "{some:?} from its middle is {part:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn contents_are_what_a_vector_would_hold(changes in prop::collection::vec(change(), 1..60)) {
        let mut volume = Volume::new();
        let inos: Vec<InodeId> = (0..FILES).map(|file| volume.file(ROOT, &file.to_string()).unwrap()).collect();
        volume.commit();
        let mut models = vec![Vec::new(); FILES];
        let mut durable = models.clone();
        for (number, (file, change)) in changes.into_iter().enumerate() {
            let ino = inos[file];
            let bytes = |len: u64| noise(number as u64, index(len));
            match change {
                Change::Write { at, len } => {
                    volume.write(ino, at, &bytes(len)).unwrap();
                    put(&mut models[file], at, &bytes(len));
                }
                Change::Stage { at, len } => {
                    volume.write_staged(ino, at, &bytes(len)).unwrap();
                    put(&mut models[file], at, &bytes(len));
                }
                Change::Append { len } => {
                    volume.append(ino, &bytes(len)).unwrap();
                    models[file].extend(bytes(len));
                }
                Change::Truncate { size } => {
                    volume.truncate(ino, size).unwrap();
                    models[file].resize(index(size), 0);
                }
                Change::Allocate { at, len, how } => allocate(&volume, ino, &mut models[file], (at, len, how)),
                Change::Copy { from, at, to, len } => copy(&volume, &inos, &mut models, file, (from, at, to, len)),
                Change::Commit => {
                    volume.commit();
                    durable.clone_from(&models);
                }
                Change::Reap => drop(volume.store.reap(7).unwrap()),
                Change::Compact { all } => {
                    compact_all(&volume.store, |_, account| all || account.live < account.len / 2).unwrap();
                }
                Change::Restart => {
                    volume = volume.restart();
                    durable.clone_from(&models);
                }
                Change::Crash => {
                    volume = volume.crash();
                    models.clone_from(&durable);
                }
            }
            volume.sound();
            for (ino, model) in inos.iter().zip(&models) {
                prop_assert!(volume.content(*ino) == *model, "after change {number}");
                blocks_are_right(&volume, *ino, model);
            }
            let model = &models[file];
            if let Ok(hole) = volume.store.seek(ino, 0, true) {
                prop_assert!(hole <= model.len() as u64);
                prop_assert!(volume.store.seek(ino, 0, false).map_or(0, |data| data) <= model.len() as u64);
            }
        }
        while volume.store.reap(50).unwrap() {}
        volume.commit();
        volume.sound();
    }
}

#[derive(Clone, Debug)]
enum Naming {
    Create(usize, u8),
    Link(usize, usize),
    Unlink(usize),
    Rmdir(usize),
    Rename(usize, usize, u8),
    Write(usize, u64),
    Xattr(usize, u8),
    Chmod(usize, u32),
    Open(usize, bool),
    Commit,
    Crash,
}

/// A place: one of a few names in one of the directories that there are.
const PLACES: usize = 60;

fn naming() -> impl Strategy<Value = Naming> {
    let place = || 0..PLACES;
    prop_oneof![
        8 => (place(), 0..6_u8).prop_map(|(place, kind)| Naming::Create(place, kind)),
        3 => (place(), place()).prop_map(|(from, to)| Naming::Link(from, to)),
        4 => place().prop_map(Naming::Unlink),
        3 => place().prop_map(Naming::Rmdir),
        8 => (place(), place(), 0..3_u8).prop_map(|(from, to, mode)| Naming::Rename(from, to, mode)),
        3 => (place(), 1..100_000_u64).prop_map(|(place, len)| Naming::Write(place, len)),
        2 => (place(), 0..4_u8).prop_map(|(place, which)| Naming::Xattr(place, which)),
        1 => (place(), 0..0o7777_u32).prop_map(|(place, bits)| Naming::Chmod(place, bits)),
        3 => (place(), any::<bool>()).prop_map(|(place, open)| Naming::Open(place, open)),
        1 => Just(Naming::Commit),
        1 => Just(Naming::Crash),
    ]
}

/// The directories that were ever made, removed ones too: a client may still name those.
struct Tree {
    volume: Volume,
    directories: Vec<InodeId>,
}

impl Tree {
    fn place(&self, place: usize) -> (InodeId, String) {
        (self.directories[place / 4 % self.directories.len()], ["a", "b", "c", "d"][place % 4].to_owned())
    }

    fn ino(&self, place: usize) -> InodeId {
        let (parent, text) = self.place(place);
        self.volume.lookup(parent, &text).unwrap_or(InodeId(u64::MAX / 2))
    }

    fn create(&mut self, place: usize, kind: u8) {
        let (parent, text) = self.place(place);
        let node = match kind {
            0 => NewNode::Symlink { target: "target".into() },
            1 => NewNode::Special { kind: FileKind::Fifo, rdev: 0 },
            2 | 3 => NewNode::File { open: false },
            _ => NewNode::Directory,
        };
        if let Ok(ino) = self.volume.create(parent, &text, node.clone(), 0o755)
            && node == NewNode::Directory
        {
            self.directories.push(ino);
        }
    }

    fn apply(&mut self, naming: &Naming) {
        let volume = &self.volume;
        match *naming {
            Naming::Create(place, kind) => self.create(place, kind),
            Naming::Link(from, to) => {
                let (parent, text) = self.place(to);
                let _ = volume.link(self.ino(from), parent, &text);
            }
            Naming::Unlink(place) => {
                let (parent, text) = self.place(place);
                let _ = volume.unlink(parent, &text);
            }
            Naming::Rmdir(place) => {
                let (parent, text) = self.place(place);
                let _ = volume.rmdir(parent, &text);
            }
            Naming::Rename(from, to, mode) => {
                let (from, to) = (self.place(from), self.place(to));
                let mode = [RenameMode::Replace, RenameMode::NoReplace, RenameMode::Exchange][usize::from(mode)];
                let _ = volume.rename((from.0, &from.1), (to.0, &to.1), mode);
            }
            Naming::Write(place, len) => {
                let _ = volume.write_staged(self.ino(place), 0, &noise(len, index(len)));
            }
            Naming::Xattr(place, which) => {
                let (ino, name) = (self.ino(place), xattr(["user.a", "trusted.b"][usize::from(which % 2)]));
                let _ = match which {
                    0 | 1 => volume.apply(Op::SetXattr {
                        ino,
                        name,
                        value: "v".into(),
                        mode: XattrMode::Either,
                        kill_setgid: false,
                    }),
                    _ => volume.apply(Op::RemoveXattr { ino, name }),
                };
            }
            Naming::Chmod(place, bits) => {
                let _ = volume.setattr(self.ino(place), SetAttr { mode: Some(mode(bits)), ..SetAttr::default() });
            }
            Naming::Open(place, true) => {
                volume.opens.borrow_mut().insert(self.ino(place));
            }
            Naming::Open(_, false) => {
                let first = volume.opens.borrow_mut().pop_first();
                if let Some(ino) = first {
                    volume.apply(Op::Close { ino }).unwrap();
                }
            }
            Naming::Commit => volume.commit(),
            Naming::Crash => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn names_and_counts_always_agree(namings in prop::collection::vec(naming(), 1..120)) {
        let mut tree = Tree { volume: Volume::new(), directories: vec![ROOT] };
        tree.volume.commit();
        let mut durable = (tree.volume.snapshot(), tree.directories.clone());
        for naming in &namings {
            if let Naming::Crash = naming {
                let opens = tree.volume.opens.take();
                tree.volume = tree.volume.crash();
                tree.volume.opens.replace(opens);
                prop_assert_eq!(tree.volume.snapshot(), durable.0.as_str());
                tree.directories.clone_from(&durable.1);
            } else {
                tree.apply(naming);
            }
            tree.volume.sound();
            if let Naming::Commit = naming {
                durable = (tree.volume.snapshot(), tree.directories.clone());
            }
        }
        let orphans = tree.volume.store.orphans().unwrap();
        orphans.into_iter().try_for_each(|ino| tree.volume.store.drop_orphan(ino)).unwrap();
        tree.volume.sound();
        prop_assert!(tree.volume.store.lookup(ROOT, &name("no such name")).is_err());
    }
}
