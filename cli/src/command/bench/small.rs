//! Many small files, by one thread and by four.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use super::Bench;
use super::control::Bound;
use super::figure::{Figure, Timed};
use super::large::Numbers;
use super::plan::{DIRS, PAGE};
use super::rows::Row;
use crate::failure::{During, Failure, Result};

const ONE: [Row; 4] = [Row::Create, Row::Stat, Row::Read, Row::Unlink];
const FOUR: [Row; 4] = [Row::Create4, Row::Stat4, Row::Read4, Row::Unlink4];

/// All rows of the group.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<(Row, Figure)>> {
    let mut figures = Vec::new();
    for (threads, rows) in [(1, ONE), (4, FOUR)] {
        if rows.iter().any(|row| bench.rows.contains(row)) {
            figures.extend(with_threads(bench, threads, rows)?);
        }
    }
    Ok(figures)
}

fn with_threads(bench: &Bench<'_>, threads: u64, rows: [Row; 4]) -> Result<Vec<(Row, Figure)>> {
    let name = format!("small-{threads}");
    let (writer, reader) = (bench.writer.join(&name), bench.reader.join(&name));
    for dir in 0..DIRS {
        fs::create_dir_all(writer.join(format!("d{dir}"))).during(|| "make a directory".into())?;
    }
    let content = Numbers(threads).bytes(PAGE);
    let share = Bound { count: bench.sizes.files / threads, time: bench.sizes.time };
    let [create, stat, read, unlink] = rows;

    bench.control.row(create.name());
    let (made, each) = in_threads(bench, &vec![share; threads_len(threads)], &writer, "create a small file", |path| {
        File::create_new(path)?.write_all(&content)
    })?;
    // Whoever made fewer files within the time has fewer to look at, and looks at all of them.
    let shares: Vec<Bound> = each.iter().map(|count| Bound { count: *count, time: std::time::Duration::MAX }).collect();
    bench.caches.cool(None)?;
    bench.control.row(stat.name());
    let (looked, _) =
        in_threads(bench, &shares, &reader, "stat a small file", |path| match fs::metadata(path)?.len() {
            PAGE => Ok(()),
            len => Err(io::Error::other(format!("it has {len} bytes, not {PAGE}"))),
        })?;
    bench.caches.cool(None)?;
    bench.control.row(read.name());
    let (read_back, _) = in_threads(bench, &shares, &reader, "read a small file", |path| {
        let mut found = Vec::with_capacity(content.len() + 1);
        File::open(path)?.read_to_end(&mut found)?;
        if found == content { Ok(()) } else { Err(io::Error::other("it does not hold what was written")) }
    })?;
    bench.control.row(unlink.name());
    let (removed, _) = in_threads(bench, &shares, &writer, "remove a small file", |path| fs::remove_file(path))?;
    fs::remove_dir_all(&writer).during(|| "remove a directory".into())?;
    Ok(vec![(create, made.into()), (stat, looked.into()), (read, read_back.into()), (unlink, removed.into())])
}

/// Threads that each do something to files of their own: all together, and how many each.
fn in_threads(
    bench: &Bench<'_>,
    bounds: &[Bound],
    root: &Path,
    doing: &str,
    work: impl Fn(&Path) -> io::Result<()> + Sync,
) -> Result<(Timed, Vec<u64>)> {
    let begun = Instant::now();
    let one = |thread: usize, bound: Bound| {
        bench.control.repeat(doing, bound, |number| work(&path(root, thread, number)).map(|()| Some(PAGE)))
    };
    let done: Vec<Result<Timed>> = thread::scope(|scope| {
        let one = &one;
        let spawned: Vec<_> =
            bounds.iter().enumerate().map(|(thread, bound)| scope.spawn(move || one(thread, *bound))).collect();
        spawned.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(Failure::new("a thread died")))).collect()
    });
    let elapsed = begun.elapsed();
    let parts = done.into_iter().collect::<Result<Vec<Timed>>>()?;
    let counts = parts.iter().map(|part| part.count).collect();
    Ok((Timed::together(parts, elapsed), counts))
}

fn path(root: &Path, thread: usize, number: u64) -> PathBuf {
    root.join(format!("d{}/f{thread}-{number}", number % DIRS))
}

fn threads_len(threads: u64) -> usize {
    usize::try_from(threads).unwrap_or(1)
}
