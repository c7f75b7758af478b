use holdfast_client::DirEntry;
use holdfast_core::attr::FileKind;
use holdfast_core::id::DirCookie;
use holdfast_core::name::FileName;

use super::*;

const ROOT: InodeId = InodeId(1);

/// Directories below a directory of a tree of this width: 1 has 10, 11, ...; 10 has 100, 101, ...
fn below(directory: InodeId, width: u64, depth: u32) -> Vec<InodeId> {
    let inner = directory.0 < 10_u64.pow(depth);
    let names = 0..if inner { width } else { 0 };
    names.map(|number| InodeId(directory.0 * 10 + number)).collect()
}

fn page(parent: InodeId, directories: &[InodeId]) -> DirPage {
    let entry = |ino: &InodeId| DirEntry {
        name: FileName::new(ino.0.to_string().into_bytes()).expect("a good name"),
        ino: *ino,
        kind: FileKind::Directory,
        cookie: DirCookie(ino.0),
        attr: None,
    };
    DirPage { entries: directories.iter().map(entry).collect(), end: true, parent }
}

/// Walks a tree depth first; what comes ahead comes before the next directory is wanted. Listings that had to
/// be waited for.
fn walk(walks: &mut Walks, directory: InodeId, above: Option<InodeId>, width: u64, waits: &mut Vec<InodeId>) {
    let children = below(directory, width, 3);
    match walks.take(directory) {
        Wanted::Here(found) => assert_eq!(found, page(directory, &children)),
        Wanted::Coming => panic!("{directory} has come"),
        Wanted::Nothing => waits.push(directory),
    }
    for next in walks.listed(directory, above, children.iter().copied()) {
        assert!(walks.is_coming(next));
        walks.came(next, &page(next, &below(next, width, 3)));
        walks.settle(next);
    }
    assert!(walks.ahead.len() <= WINDOW_MAX);
    for child in children {
        walk(walks, child, Some(directory), width, waits);
    }
}

#[test]
fn a_walk_waits_for_its_first_directories_only() {
    let (mut walks, mut waits) = (Walks::default(), Vec::new());
    walk(&mut walks, ROOT, None, 9, &mut waits);
    assert_eq!(waits, [ROOT, InodeId(10), InodeId(100)]);
    assert_eq!((walks.ahead.len(), walks.entries), (0, 0));
}

#[test]
fn who_goes_elsewhere_costs_one_window_and_its_listings_go() {
    let mut walks = Walks::default();
    for (directory, above) in [(ROOT, None), (InodeId(10), Some(ROOT)), (InodeId(11), Some(ROOT))] {
        let next = walks.listed(directory, above, below(directory, 9, 9).into_iter());
        for next in next {
            walks.came(next, &page(next, &[]));
        }
    }
    assert_eq!(walks.ahead.len(), WINDOW_MIN);
    assert!(walks.listed(InodeId(7777), Some(InodeId(777)), std::iter::empty()).is_empty());
    assert_eq!((walks.ahead.len(), walks.entries), (0, 0));
}

#[test]
fn what_does_not_come_or_does_not_hold_is_asked_for() {
    let mut walks = Walks::default();
    let mut next = Vec::new();
    for (directory, above) in [(ROOT, None), (InodeId(10), Some(ROOT)), (InodeId(11), Some(ROOT))] {
        next = walks.listed(directory, above, below(directory, 3, 9).into_iter());
    }
    let (first, second) = (next[0], next[1]);
    assert_eq!(walks.take(first), Wanted::Coming);
    walks.settle(first);
    assert_eq!(walks.take(first), Wanted::Nothing);
    walks.came(first, &page(first, &[]));
    assert_eq!(walks.take(first), Wanted::Nothing, "it was given up");
    walks.came(second, &page(second, &[ROOT]));
    walks.settle(second);
    walks.forget(second);
    assert_eq!((walks.take(second), walks.entries), (Wanted::Nothing, 0));
    walks.clear();
    assert!(walks.ahead.is_empty());
}
