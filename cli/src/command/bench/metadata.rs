//! Names: directories made, moved, removed; a tree that is listed.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::Bench;
use super::control::Bound;
use super::figure::Figure;
use super::plan::DIRS;
use super::rows::Row;
use crate::failure::{During, Result};

/// All rows of the group.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<(Row, Figure)>> {
    let (writer, reader) = (bench.writer.join("names"), bench.reader.join("names"));
    let mut figures = Vec::new();
    fs::create_dir(&writer).during(|| "make a directory".into())?;
    let bound = Bound { count: bench.sizes.files / 2, time: bench.sizes.time };

    bench.control.row(Row::Mkdir.name());
    let made = bench.control.repeat("make a directory", bound, |number| {
        fs::create_dir(writer.join(format!("d{number}"))).map(|()| Some(0))
    })?;
    let all = Bound { count: made.count, time: Duration::MAX };
    figures.push((Row::Mkdir, made.into()));

    bench.control.row(Row::Rename.name());
    let moved = bench.control.repeat("rename a directory", all, |number| {
        fs::rename(writer.join(format!("d{number}")), writer.join(format!("moved{number}"))).map(|()| Some(0))
    })?;
    figures.push((Row::Rename, moved.into()));

    let tree = Bound { count: bench.sizes.files, time: bench.sizes.time };
    for dir in 0..DIRS {
        fs::create_dir_all(writer.join(format!("tree/t{dir}"))).during(|| "make a directory".into())?;
    }
    let files = bench.control.repeat("create a file", tree, |number| {
        File::create(writer.join(format!("tree/t{}/f{number}", number % DIRS))).map(|_| Some(0))
    })?;
    bench.caches.cool(None)?;
    bench.control.row(Row::List.name());
    figures.push((Row::List, list(bench, &reader.join("tree"), files.count + DIRS)?));

    bench.control.row(Row::Rmdir.name());
    let removed = bench.control.repeat("remove a directory", all, |number| {
        fs::remove_dir(writer.join(format!("moved{number}"))).map(|()| Some(0))
    })?;
    figures.push((Row::Rmdir, removed.into()));
    fs::remove_dir_all(&writer).during(|| "remove a directory".into())?;
    Ok(figures)
}

/// As `ls -lR`: every entry, with its attributes. Each turn is a directory; the rate counts entries.
fn list(bench: &Bench<'_>, root: &Path, expected: u64) -> Result<Figure> {
    let mut waiting = vec![root.to_owned()];
    let mut entries = 0;
    let all = Bound { count: DIRS + 1, time: Duration::MAX };
    let mut listed = bench.control.repeat("list a directory", all, |_| {
        let Some(dir) = waiting.pop() else { return Ok(None) };
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            entries += 1;
            if entry.metadata()?.is_dir() {
                waiting.push(entry.path());
            }
        }
        Ok(Some(0))
    })?;
    if entries != expected {
        let error = io::Error::other(format!("{entries} entries were listed, and there are {expected}"));
        return Err(error).during(|| format!("list {}", root.display()));
    }
    listed.count = entries;
    Ok(listed.into())
}
