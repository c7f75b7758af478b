//! One large file: in sequence, and at random places.
//!
//! Each MiB of it bears its own number in front. Who reads it checks that, and the length.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;

use super::Bench;
use super::control::Bound;
use super::figure::{Figure, Timed};
use super::plan::{MIB, PAGE};
use super::rows::Row;
use crate::failure::{During, Result};

/// A slow disk may write the large file for so many times a row's time; then it is as large as it is.
const WRITE_TIMES: u32 = 4;
/// Random operations stop here even if there is time left.
const RANDOM_MAX: u64 = 20_000_000;

/// A generator of numbers that look random: SplitMix64.
#[derive(Debug)]
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Bytes that do not compress.
    pub(super) fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len / 8).flat_map(|_| self.next().to_ne_bytes()).collect()
    }
}

/// All rows of the group.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<(Row, Figure)>> {
    let (writer, reader) = (bench.writer.join("large"), bench.reader.join("large"));
    let mut block = Numbers(1).bytes(MIB);
    let mut figures = Vec::new();

    bench.control.row(Row::SeqWrite.name());
    let mut file = File::create(&writer).during(|| "create a file".into())?;
    let begun = std::time::Instant::now();
    let bound = Bound { count: bench.sizes.large / MIB, time: bench.sizes.time * WRITE_TIMES };
    let mut written = bench.control.repeat("write a file", bound, |number| {
        block[..8].copy_from_slice(&number.to_le_bytes());
        file.write_all(&block).map(|()| Some(MIB))
    })?;
    file.sync_all().during(|| "fsync a file".into())?;
    written.elapsed = begun.elapsed();
    drop(file);
    let len = written.bytes;
    figures.push((Row::SeqWrite, written.into()));

    let file = File::open(&reader).during(|| "open a file".into())?;
    bench.caches.cool(Some(&file))?;
    drop(file);
    for row in [Row::SeqRead, Row::SeqReread] {
        bench.control.row(row.name());
        figures.push((row, sequential(bench, &reader, len)?.into()));
    }
    let file = File::open(&reader).during(|| "open a file".into())?;
    bench.control.row(Row::RandReread.name());
    figures.push((
        Row::RandReread,
        random(bench, "read at random places", len, |at, page| file.read_exact_at(page, at))?.into(),
    ));
    bench.caches.cool(Some(&file))?;
    bench.control.row(Row::RandRead.name());
    figures.push((
        Row::RandRead,
        random(bench, "read at random places", len, |at, page| file.read_exact_at(page, at))?.into(),
    ));
    drop(file);

    bench.control.row(Row::RandWrite.name());
    let file = OpenOptions::new().write(true).open(&writer).during(|| "open a file".into())?;
    let begun = std::time::Instant::now();
    let mut written = random(bench, "write at random places", len, |at, page| file.write_all_at(page, at))?;
    file.sync_all().during(|| "fsync a file".into())?;
    written.elapsed = begun.elapsed();
    figures.push((Row::RandWrite, written.into()));
    fs::remove_file(&writer).during(|| "remove a file".into())?;
    Ok(figures)
}

fn sequential(bench: &Bench<'_>, path: &std::path::Path, len: u64) -> Result<Timed> {
    let mut file = File::open(path).during(|| "open a file".into())?;
    let mut block = vec![0; usize::try_from(MIB).unwrap_or(0)];
    // To the end, however long that takes: a part would flatter what reads ahead.
    let bound = Bound { count: len / MIB, time: std::time::Duration::MAX };
    bench.control.repeat("read a file", bound, |number| {
        file.read_exact(&mut block)?;
        if block[..8] != number.to_le_bytes() {
            return Err(io::Error::other(format!("MiB {number} of it is not what was written there")));
        }
        Ok(Some(MIB))
    })
}

fn random(
    bench: &Bench<'_>,
    doing: &str,
    len: u64,
    mut work: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
) -> Result<Timed> {
    let mut numbers = Numbers(len);
    let mut page = numbers.bytes(PAGE);
    let bound = Bound { count: RANDOM_MAX, time: bench.sizes.time };
    bench.control.repeat(doing, bound, |_| {
        let at = numbers.next() % (len / PAGE).max(1) * PAGE;
        work(at, &mut page).map(|()| Some(PAGE))
    })
}
