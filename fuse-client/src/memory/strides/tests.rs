#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

const FILE: InodeId = InodeId(7);
const LEN: u32 = 4096;
const SIZE: u64 = 1 << 30;

const fn part(offset: u64) -> Part {
    Part { ino: FILE, offset, len: LEN }
}

/// Reads at these places, each of which comes at once: what was asked for, and how many were here.
fn walk(strides: &mut Strides, places: impl Iterator<Item = u64>) -> (Vec<u64>, usize) {
    let (mut asked, mut hits) = (Vec::new(), 0);
    for place in places {
        let (next, here) = strides.read(part(place), SIZE);
        hits += usize::from(here);
        for next in next {
            assert!(strides.is_coming(FILE, next.offset));
            strides.came(&next, true);
            asked.push(next.offset);
        }
    }
    (asked, hits)
}

#[test]
fn equal_steps_are_foreseen_forwards_and_backwards() {
    let mut strides = Strides::default();
    let (asked, hits) = walk(&mut strides, (0..200).map(|nth| 5000 + nth * 65_536));
    assert_eq!(hits, 200 - 4, "all but those that showed the step");
    assert!(asked.windows(2).all(|pair| pair[1] - pair[0] == 65_536), "each once, in order");
    assert!(asked.len() <= 196 + AHEAD_MAX as usize);
    let (_, hits) = walk(&mut strides, (0..100).map(|nth| 900_000_000 - nth * 10_000));
    assert_eq!(hits, 100 - 4);
}

#[test]
fn nothing_is_foreseen_of_what_is_random_or_has_no_gaps() {
    let mut strides = Strides::default();
    let mixed = |nth: u64| (nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33).pow(2);
    let random = (0..1000_u64).map(|nth| mixed(nth) % SIZE);
    assert!(walk(&mut strides, random).0.is_empty());
    assert!(walk(&mut strides, (0..100).map(|nth| nth * u64::from(LEN))).0.is_empty(), "that is the kernel's");
    // The same place again is no step.
    assert!(walk(&mut strides, std::iter::repeat_n(77, 10)).0.is_empty());
}

#[test]
fn nothing_lies_beyond_the_file() {
    let mut strides = Strides::default();
    let places = (0..10).map(|nth| SIZE - 1_000_000 + nth * 100_000);
    assert!(walk(&mut strides, places).0.into_iter().all(|place| place < SIZE));
    let places = (0..10).map(|nth| 1_000_000 - nth * 100_000);
    let (asked, _) = walk(&mut strides, places);
    assert!(!asked.is_empty());
}

#[test]
fn what_does_not_come_is_not_waited_for() {
    let mut strides = Strides::default();
    let next = (0..4).flat_map(|nth| strides.read(part(nth * 100_000), SIZE).0).collect::<Vec<_>>();
    let first = *next.first().unwrap();
    strides.came(&first, false);
    assert!(!strides.is_coming(FILE, first.offset));
    assert!(!strides.read(first, SIZE).1);
}

#[test]
fn few_files_are_followed() {
    let mut strides = Strides::default();
    for ino in 0..1000 {
        strides.read(Part { ino: InodeId(ino), offset: 5, len: LEN }, SIZE);
    }
    assert!(strides.files.len() <= FILES_MAX);
}
