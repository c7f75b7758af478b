//! How long a program waits that must know its data to be on the disk.

use std::fs::{self, OpenOptions};
use std::io::Write as _;

use super::Bench;
use super::control::Bound;
use super::figure::Figure;
use super::large::Numbers;
use super::plan::PAGE;
use super::rows::Row;
use crate::failure::{During, Result};

/// The row of the group.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<(Row, Figure)>> {
    let path = bench.writer.join("synced");
    let page = Numbers(2).bytes(PAGE);
    let file = OpenOptions::new().append(true).create_new(true).open(&path);
    let mut file = file.during(|| "create a file".into())?;
    bench.control.row(Row::AppendFsync.name());
    let bound = Bound { count: bench.sizes.appends, time: bench.sizes.time };
    let appended = bench.control.repeat("append to a file and fsync it", bound, |_| {
        file.write_all(&page)?;
        file.sync_all().map(|()| Some(PAGE))
    })?;
    drop(file);
    fs::remove_file(&path).during(|| "remove a file".into())?;
    Ok(vec![(Row::AppendFsync, appended.into())])
}
