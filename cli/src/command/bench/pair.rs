//! Two mounts of one volume: how soon one sees what the other does, and whether locks exclude.
//!
//! One thread works through the first directory, another looks through the second one, from before
//! the change begins, every tenth of a millisecond. The time counts from the start of the call that
//! makes the change to the first look that finds it. A look before primes whatever caches there are
//! with the old state.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use super::Bench;
use super::control::Bound;
use super::figure::{Figure, Timed};
use super::rows::Row;
use crate::failure::{During, Failure, Result};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_micros(100);
/// From the looker's first look to the change: longer than a look takes, and never the same.
const HEAD_START: Duration = Duration::from_millis(1);
/// A change that is not seen after this long is not seen at all.
const NEVER: Duration = Duration::from_secs(2);
/// So many changes in a row that are not seen end the row.
const UNSEEN_MAX: u64 = 3;
/// What one turn writes.
const RECORD: u64 = 64;

/// All rows of the group.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<(Row, Figure)>> {
    let mut figures = Vec::new();
    for row in [Row::SeeWrite, Row::SeeCreate, Row::SeeRename, Row::SeeUnlink] {
        if bench.rows.contains(&row) {
            bench.control.row(row.name());
            figures.push((row, see(bench, row)?));
        }
    }
    if bench.rows.contains(&Row::Counter) {
        bench.control.row(Row::Counter.name());
        figures.push((Row::Counter, counter(bench)?));
    }
    Ok(figures)
}

/// Makes the change of this number in a directory.
type Make = fn(&Path, u64) -> io::Result<()>;
/// Whether it can be seen there.
type Seen = fn(&Path, u64) -> io::Result<bool>;

/// A kind of change, and how it is made and seen.
struct Change {
    dir: String,
    make: Make,
    seen: Seen,
}

fn see(bench: &Bench<'_>, row: Row) -> Result<Figure> {
    let dir = row.name().to_owned();
    let (make, seen): (Make, Seen) = match row {
        Row::SeeWrite => (write_record, reads_record),
        Row::SeeRename => (
            |dir, number| fs::rename(dir.join(format!("old{number}")), dir.join(format!("new{number}"))),
            |dir, number| exists(&dir.join(format!("new{number}"))),
        ),
        Row::SeeUnlink => (
            |dir, number| fs::remove_file(dir.join(format!("old{number}"))),
            |dir, number| exists(&dir.join(format!("old{number}"))).map(|there| !there),
        ),
        _ => (
            |dir, number| File::create_new(dir.join(format!("new{number}"))).map(drop),
            |dir, number| exists(&dir.join(format!("new{number}"))),
        ),
    };
    let change = Change { dir, make, seen };
    let writer = bench.writer.join(&change.dir);
    let prepare = || {
        fs::create_dir(&writer)?;
        fs::write(writer.join("log"), [])?;
        let old = matches!(row, Row::SeeRename | Row::SeeUnlink);
        (0..bench.sizes.rounds)
            .filter(|_| old)
            .try_for_each(|number| fs::write(writer.join(format!("old{number}")), []))
    };
    prepare().during(|| "prepare what is to be seen".into())?;
    let figure = exchange(bench, &change)?;
    fs::remove_dir_all(&writer).during(|| "remove a directory".into())?;
    Ok(figure)
}

/// One thread changes, the other looks; each waits for the other's word.
fn exchange(bench: &Bench<'_>, change: &Change) -> Result<Figure> {
    let (writer, reader) = (bench.writer.join(&change.dir), bench.reader.join(&change.dir));
    let (ask, asked) = channel::<u64>();
    let (answer, answers) = channel::<Look>();
    thread::scope(|scope| {
        let looker = scope.spawn(move || look(&reader, change.seen, &asked, &answer));
        let changed = make_changes(bench, change, &writer, ask, &answers);
        let looked = looker.join().unwrap_or_else(|_| Err(io::Error::other("a thread died")));
        looked.during(|| "look through the second directory".into())?;
        changed
    })
}

/// What the looker says.
enum Look {
    /// It has looked, and looks on.
    Begun,
    /// It has seen the change, or given up.
    Ended(Option<Instant>),
}

fn look(reader: &Path, seen: Seen, asked: &Receiver<u64>, answer: &Sender<Look>) -> io::Result<()> {
    while let Ok(number) = asked.recv() {
        seen(reader, number)?;
        let begun = Instant::now();
        if answer.send(Look::Begun).is_err() {
            break;
        }
        let found = loop {
            if seen(reader, number)? {
                break Some(Instant::now());
            }
            if begun.elapsed() > NEVER {
                break None;
            }
            thread::sleep(LOOK_EVERY);
        };
        if answer.send(Look::Ended(found)).is_err() {
            break;
        }
    }
    Ok(())
}

fn make_changes(
    bench: &Bench<'_>,
    change: &Change,
    writer: &Path,
    ask: Sender<u64>,
    answers: &Receiver<Look>,
) -> Result<Figure> {
    let mut timed = Timed::default();
    let (mut unseen, mut unseen_in_a_row) = (0, 0);
    let bound = Bound { count: bench.sizes.rounds, time: bench.sizes.time * 4 };
    // The looker says why when it has ended.
    let gone = || io::Error::other("the second directory cannot be looked at");
    bench.control.repeat("make a change", bound, |number| {
        if unseen_in_a_row == UNSEEN_MAX {
            return Ok(None);
        }
        ask.send(number).map_err(|_| gone())?;
        let Ok(Look::Begun) = answers.recv() else { return Err(gone()) };
        thread::sleep(HEAD_START + LOOK_EVERY * u32::try_from(number % 7).unwrap_or(0) / 3);
        let begun = Instant::now();
        (change.make)(writer, number)?;
        let Ok(Look::Ended(found)) = answers.recv() else { return Err(gone()) };
        match found {
            Some(found) => {
                let took = found.saturating_duration_since(begun);
                timed.count += 1;
                timed.elapsed += took;
                timed.samples.add(took);
                unseen_in_a_row = 0;
            }
            None => {
                unseen += 1;
                unseen_in_a_row += 1;
            }
        }
        Ok(Some(0))
    })?;
    drop(ask);
    Ok(Figure { unseen, ..timed.into() })
}

fn exists(path: &Path) -> io::Result<bool> {
    path.try_exists()
}

fn record(number: u64) -> [u8; 64] {
    let mut record = [b' '; 64];
    record[..8].copy_from_slice(&(number + 1).to_le_bytes());
    record
}

fn write_record(dir: &Path, number: u64) -> io::Result<()> {
    OpenOptions::new().write(true).open(dir.join("log"))?.write_all_at(&record(number), number * RECORD)
}

fn reads_record(dir: &Path, number: u64) -> io::Result<bool> {
    let mut found = [0; 64];
    let len = File::open(dir.join("log"))?.read_at(&mut found, number * RECORD)?;
    Ok(len == found.len() && found == record(number))
}

/// Both directories at once: lock, read, add one, write, unlock.
fn counter(bench: &Bench<'_>) -> Result<Figure> {
    let name = "counter";
    fs::write(bench.writer.join(name), 0_u64.to_le_bytes()).during(|| "create a file".into())?;
    let begun = Instant::now();
    let bound = Bound { count: u64::MAX, time: bench.sizes.time };
    let count = |root: &Path| {
        let path = root.join(name);
        bench.control.repeat("count under a lock", bound, |_| {
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            let file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
            let mut value = [0; 8];
            file.read_exact_at(&mut value, 0)?;
            file.write_all_at(&(u64::from_le_bytes(value) + 1).to_le_bytes(), 0)?;
            Ok(Some(0))
        })
    };
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| count(bench.reader));
        (count(bench.writer), second.join().unwrap_or_else(|_| Err(Failure::new("a thread died"))))
    });
    let timed = Timed::together([first?, second?], begun.elapsed());
    let counted = fs::read(bench.reader.join(name)).during(|| "read the counter".into())?;
    let counted = <[u8; 8]>::try_from(counted.as_slice()).map_or(0, u64::from_le_bytes);
    fs::remove_file(bench.writer.join(name)).during(|| "remove a file".into())?;
    Ok(Figure { lost: timed.count.saturating_sub(counted), ..timed.into() })
}
