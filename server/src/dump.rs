//! `holdfastd dump`: a volume's files out of a data directory, without a server.
//!
//! The tool for the worst day. Nothing is ever written into the directory. What its checksums say is
//! damaged is named and left out, or zeros; the rest goes on.

mod frames;
mod listing;
mod report;
mod salvage;
mod source;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_archive::file::{Target, written};
use holdfast_archive::progress::{Progress, Shown, say};
use holdfast_archive::walk::{Warning, walk};
use holdfast_archive::{Label, Writer};
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::VolumeId;

pub use self::report::{Dumped, Listing, Report};
use self::source::StoredVolume;
use crate::clock::{Clock as _, SystemClock};
use crate::data_dir::{ReadOnlyDir, cannot};
use crate::registry::record::{self, Record};

/// A volume's directory, and what its record says, if that can be read.
struct Found {
    id: VolumeId,
    dir: PathBuf,
    record: Result<Record>,
}

impl Found {
    fn name(&self) -> String {
        self.record.as_ref().map_or_else(|_| self.id.to_string(), |record| record.spec.name.to_string())
    }
}

/// The volumes of a data directory, in order of names.
///
/// # Errors
/// `InUse` while a server runs on it; `Version`, `Invalid` for what is no such directory, or of another format.
pub fn list(data: &Path) -> Result<Listing> {
    let data = ReadOnlyDir::open(data)?;
    Ok(Listing::new(found(&data)?.iter().map(|found| (found.id, found.record.as_ref()))))
}

/// Writes the archive of one volume, by its name or id. `stop`: set when it is to end early.
///
/// # Errors
/// As [`list`]; `NotFound`; `Damaged` when nothing of it can be had; and what writing fails with.
pub fn dump(data: &Path, volume: &str, mut target: Target, stop: &Arc<AtomicBool>) -> Result<Dumped> {
    let data = ReadOnlyDir::open(data)?;
    let mut all = found(&data)?;
    let wanted = all.iter().position(|found| found.id.to_string() == volume || found.name() == volume);
    let Some(wanted) = wanted.map(|index| all.swap_remove(index)) else {
        return Err(Error::new(
            ErrorKind::NotFound,
            format!("there is no volume {volume}; without a volume, dump lists those that there are"),
        ));
    };
    let mut dumped = Dumped::new(wanted.id, wanted.name());
    let warn = |warning: &str| say(&format!("holdfastd: {warning}"));
    if let Err(error) = &wanted.record {
        warn(&format!("the volume's name and limits are not known: {error}"));
        dumped.metadata_damaged += 1;
    }
    let (mut source, problems) = StoredVolume::open(&wanted.dir.join("store"))?;
    for problem in &problems {
        warn(problem);
        dumped.metadata_damaged += 1;
    }
    let label = Label {
        volume: wanted.name(),
        id: wanted.id,
        by: format!("holdfastd dump {}", crate::VERSION),
        made: SystemClock.now(),
        spec: wanted.record.ok().map(|record| record.spec),
    };
    let progress = Arc::new(Progress::default());
    if let Some(usage) = source.usage() {
        progress.expect(usage.inodes, usage.bytes);
    }
    let shown = Shown::start(&progress);
    let output = Stoppable { to: io::BufWriter::with_capacity(1 << 20, &mut target), stop };
    let mut writer = Writer::new(output, &label).map_err(|error| written(&error))?;
    let mut each = |warning: &Warning| warn(&warning.to_string());
    let tally = walk(&mut source, &mut writer, &progress, &mut each)?;
    let warnings = tally.warnings() + dumped.metadata_damaged;
    let (output, ending) = writer.finish(warnings).map_err(|error| written(&error))?;
    drop(output);
    drop(shown);
    target.finish()?;
    dumped.ended(tally, ending);
    Ok(dumped)
}

fn found(data: &ReadOnlyDir) -> Result<Vec<Found>> {
    let dir = data.volumes();
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&dir).map_err(|error| cannot("read", &dir, error))? {
        let path = entry.map_err(|error| cannot("read", &dir, error))?.path();
        let id = path.file_name().and_then(|name| name.to_str()?.parse::<VolumeId>().ok());
        let Some(id) = id else { continue };
        let record = record::read(&path).and_then(|record| {
            record.ok_or_else(|| Error::new(ErrorKind::Damaged, format!("{} has no volume.json", path.display())))
        });
        all.push(Found { id, dir: path, record });
    }
    all.sort_by_key(Found::name);
    Ok(all)
}

/// An output that fails once it is to stop.
struct Stoppable<'a, W> {
    to: W,
    stop: &'a AtomicBool,
}

impl<W: io::Write> io::Write for Stoppable<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Not `Interrupted`, which means "try again".
        if self.stop.load(Ordering::Relaxed) {
            Err(io::Error::other("it was interrupted"))
        } else {
            self.to.write(bytes)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests;
