use holdfast_core::hash::FrameHash;
use holdfast_core::id::Epoch;

use super::*;

const FILE: InodeId = InodeId(7);
const VERSION: DataVersion = DataVersion(3);
const BLOCK: u32 = 64 << 10;

/// The blocks of a file that is `size` bytes long and begins with one of `first` bytes.
fn map(version: DataVersion, range: Range<u64>, size: u64, first: u32) -> BlockMap {
    let (mut blocks, mut offset, mut len) = (Vec::new(), 0, first);
    while offset < size {
        let block = Block { offset, len, hash: Some(FrameHash::of(&offset.to_le_bytes())) };
        if block.end() > range.start && offset < range.end {
            blocks.push(block);
        }
        (offset, len) = (block.end(), BLOCK);
    }
    let len = u32::try_from(range.end.min(size) - range.start).unwrap_or(u32::MAX);
    BlockMap { offset: range.start, blocks, len, size, data_version: version, epoch: Epoch(1) }
}

#[test]
fn what_was_told_is_found_under_its_version() {
    let mut blocks = Blocks::default();
    let range = 0..3 * CELL_BYTES;
    // Blocks that lie across the borders of cells.
    let told = map(VERSION, range.clone(), 10 * CELL_BYTES, 20_000);
    blocks.heard(FILE, &told);
    for (start, len) in [(0, 1), (100, 70_000), (CELL_BYTES - 10, 20), (CELL_BYTES - 100_000, 2 * CELL_BYTES)] {
        let asked = start..start + len;
        let expected = told.blocks.iter().filter(|block| block.end() > asked.start && block.offset < asked.end);
        let found = blocks.find(FILE, VERSION, &asked);
        assert_eq!(found, Some(expected.copied().collect()), "{asked:?}");
    }
    assert_eq!(blocks.find(FILE, DataVersion(4), &(0..10)), None);
    assert_eq!(blocks.find(InodeId(8), VERSION, &(0..10)), None);
    assert_eq!(blocks.find(FILE, VERSION, &(range.end - 1..range.end + 1)), None, "the next cell was not told");
    blocks.heard(FILE, &map(DataVersion(4), 0..CELL_BYTES, 10 * CELL_BYTES, BLOCK));
    assert_eq!(blocks.find(FILE, VERSION, &(0..10)), None, "it has another version now");
    blocks.clear();
    assert_eq!(blocks.find(FILE, DataVersion(4), &(0..10)), None);
}

#[test]
fn a_cell_that_is_told_in_part_is_not_kept_but_for_the_end_of_the_file() {
    let mut blocks = Blocks::default();
    let size = CELL_BYTES + 100_000;
    blocks.heard(FILE, &map(VERSION, 4096..size, size, BLOCK));
    assert_eq!(blocks.find(FILE, VERSION, &(4096..8192)), None);
    assert_eq!(blocks.find(FILE, VERSION, &(CELL_BYTES..size)).map(|found| found.len()), Some(2));
}

#[test]
fn a_question_is_about_whole_cells() {
    assert_eq!(Blocks::question(&(10..20)), 0..CELL_BYTES);
    assert_eq!(Blocks::question(&(CELL_BYTES - 1..CELL_BYTES + 1)), 0..2 * CELL_BYTES);
    assert_eq!(Blocks::question(&(CELL_BYTES..2 * CELL_BYTES)), CELL_BYTES..2 * CELL_BYTES);
}

#[test]
fn memory_is_bounded_and_what_is_used_stays() {
    let mut blocks = Blocks::default();
    for number in 0..20_000 {
        blocks.heard(InodeId(number), &map(VERSION, 0..CELL_BYTES, CELL_BYTES, BLOCK));
        assert!(blocks.find(InodeId(0), VERSION, &(0..10)).is_some());
    }
    let weight = |cells: &HashMap<Place, Cell>| cells.values().map(Cell::weight).sum::<usize>();
    assert_eq!(weight(&blocks.young), blocks.weight);
    assert!(weight(&blocks.young) + weight(&blocks.old) <= BYTES_MAX);
    assert!(blocks.find(InodeId(1), VERSION, &(0..10)).is_none());
}
