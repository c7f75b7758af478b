//! What one host has shown to another is kept, although it synced nothing and dies together with the server.
//!
//! Nobody can bring back then what was only applied. So it must have been on the disk before the other host
//! saw it: else that one would see it go, and lose what it has built on it, though nothing of its own broke.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use holdfast_tests::cluster::Cluster;
use holdfast_tests::random::{Random, seed, size};
use holdfast_tests::report::Report;

use crate::{limit, without};

/// Long enough to see two hosts meet, short enough to wait for one that is dead.
const LEASE: Duration = Duration::from_secs(1);

/// Times that both have used the directory before it counts. Who meets for the first time waits for names that
/// the other one's kernel believes, and by then everything is on the disk.
const MEETINGS: u64 = 4;

/// What a writer does without a sync: a file is replaced, another one written in its place, a name made.
fn write(dir: &Path, number: u64, content: &[u8]) -> io::Result<()> {
    fs::write(dir.join("new"), content)?;
    fs::rename(dir.join("new"), dir.join("replaced"))?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join("written"))?
        .write_all_at(&number.to_le_bytes(), 0)?;
    fs::create_dir(dir.join(format!("n{number}")))
}

/// What another host sees of it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    written: Vec<u8>,
    replaced: Vec<u8>,
    names: BTreeSet<String>,
}

fn look(dir: &Path) -> io::Result<Seen> {
    let (written, replaced) = (fs::read(dir.join("written"))?, fs::read(dir.join("replaced"))?);
    let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    Ok(Seen { written, replaced, names: names.collect::<io::Result<_>>()? })
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} bytes in place of a file, {:?}", self.written, self.replaced.len(), self.names)
    }
}

fn shown_and_lost(what: &'static str, rounds: usize, failpoint: &str) -> Report {
    let _watchdog = limit(what);
    let mut report = Report::new(what, rounds);
    let mut random = Random::new(seed(what));
    let mut cluster = Cluster::lan_with(&["host-a", "host-b"], without(failpoint, LEASE));
    cluster.volume("v");
    let other = cluster.mount(1, "v");
    while report.done < rounds && (failpoint.is_empty() || !report.is_violated()) {
        let writer = cluster.mount(0, "v");
        let name = format!("d{}", report.done);
        let (ours, theirs) = (writer.at(&name), other.at(&name));
        fs::create_dir(&ours).unwrap();
        let mut seen = Err(io::Error::other("nobody has looked"));
        for number in 0..MEETINGS {
            let len = 1 + random.index(50_000);
            write(&ours, number, &random.bytes(len)).unwrap();
            // The other host's own, built on what it sees: it loses none of that.
            let built = OpenOptions::new().write(true).open(theirs.join("written"));
            built.unwrap().write_all_at(&number.to_le_bytes(), 8).unwrap();
            seen = look(&theirs);
            report.acknowledged += 6;
        }
        let seen = seen.unwrap();
        cluster.kill();
        writer.kill();
        cluster.start();
        report.faults += 2;
        match look(&theirs) {
            Ok(now) if now == seen => {}
            Ok(now) => report.violation(format!("{name}: seen were {seen}; and then {now}")),
            Err(error) => report.violation(format!("{name} was seen, and part of it is gone: {error}")),
        }
        report.done += 1;
    }
    report
}

#[test]
fn what_another_host_has_seen_outlives_its_writer_and_the_server() {
    shown_and_lost("writer and server die, what was seen stays", size("HOLDFAST_SEEN", 8, 200), "").end();
}

#[test]
fn a_server_that_shows_what_is_not_on_its_disk_is_found() {
    shown_and_lost("without the wait for the disk before others see it", 20, "settle").end_found();
}
