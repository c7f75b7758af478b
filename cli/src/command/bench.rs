//! `holdfast bench`: the user's own yardstick, for a mount or any other directory.
//!
//! It writes into a directory of its own below the one that it is given, never more than a quarter
//! of what is free there, and removes it again: at the end, after an error, after Ctrl-C. A second
//! directory, another mount of the same volume, reads what the first wrote, and shows how soon one
//! host sees what the other does. With `--beside` the same is done on a local disk, and compared.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::{During, Failure, Result};
use crate::output::Output;

mod control;
mod figure;
mod large;
mod metadata;
mod pair;
mod place;
mod plan;
mod progress;
mod report;
mod rows;
mod small;
mod synced;

use control::Control;
use place::{Caches, Place};
use plan::{Scale, Sizes};
use report::Report;
use rows::{Group, Row};

/// `holdfast bench`
#[derive(Debug, Args)]
#[command(after_help = rows::HELP)]
pub struct BenchArgs {
    /// Directory to measure: a mount, or any other that can be written
    dir: PathBuf,
    /// A second mount of the same volume: it reads what the first wrote, and is timed in seeing it
    dir2: Option<PathBuf>,
    /// Measure this directory too, on a local disk, and show how the two compare
    #[arg(long, value_name = "DIR")]
    beside: Option<PathBuf>,
    /// A short look: a few seconds, small sizes
    #[arg(long, short)]
    quick: bool,
    /// Longest time of a row, in seconds [default: 5, with --quick 0.5]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<f64>,
    /// Measure each row so often; the run with the middle rate is shown
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=99))]
    runs: u8,
    /// Only these rows or groups
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    only: Vec<String>,
    /// Drop the caches of the whole machine before each cold row; needs root
    #[arg(long)]
    drop_caches: bool,
    /// Write the result there too, as JSON
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// Everything that the rows need.
struct Bench<'a> {
    control: &'a Control,
    /// Where is written.
    writer: &'a Path,
    /// Where is read; the same directory, unless there is a second mount.
    reader: &'a Path,
    sizes: Sizes,
    rows: &'a [Row],
    caches: Caches,
}

impl Bench<'_> {
    fn wants(&self, group: Group) -> bool {
        self.rows.iter().any(|row| row.group() == group)
    }
}

/// Runs the command.
///
/// # Errors
/// A directory that is none or cannot be written, too little space, an error of the file system
/// that is measured, a counter under a lock that lost steps, or Ctrl-C.
pub fn run(args: &BenchArgs, output: &mut Output) -> Result<()> {
    let rows = rows::choose(&args.only, args.dir2.is_some())?;
    let caches = if args.drop_caches { Caches::of_the_machine()? } else { Caches::OfTheFile };
    let scale = Scale::new(args.quick, args.seconds);
    let control = Control::begin()?;
    let second = args.dir2.as_deref();
    let beside_second = second.and(args.beside.as_deref());
    let first = Place::begin(&args.dir, second, scale)?;
    let beside = args.beside.as_deref().map(|dir| Place::begin(dir, beside_second, scale)).transpose()?;
    let places = 1 + usize::from(beside.is_some());
    control.expect(rows.len() * places * usize::from(args.runs));
    let measured = measure(&control, &first, &rows, args.runs, caches).and_then(|figures| {
        let beside = beside.as_ref().map(|place| {
            let figures = measure(&control, place, &rows, args.runs, caches)?;
            Ok::<_, Failure>((place.description().clone(), figures))
        });
        Ok(Report::new(first.description().clone(), args.quick, &rows, figures, beside.transpose()?))
    });
    control.end();
    let removed = first.remove().and(beside.map_or(Ok(()), Place::remove));
    let report = measured?;
    removed?;
    if let Some(path) = &args.save {
        let text = serde_json::to_vec_pretty(&report).during(|| "write JSON".into())?;
        fs::write(path, text).during(|| format!("write {}", path.display()))?;
    }
    output.report(&report)?;
    match report.lost() {
        0 => Ok(()),
        lost => Err(Failure::new(format!("the counter lost {lost} steps: locks do not exclude there")).hint(
            "do not share files between hosts through this directory; docs/SEMANTICS.md says what Holdfast promises",
        )),
    }
}

/// All rows on one directory, or one pair.
fn measure(
    control: &Control,
    place: &Place,
    rows: &[Row],
    runs: u8,
    caches: Caches,
) -> Result<Vec<(Row, figure::Figure)>> {
    let bench = Bench { control, writer: place.writer(), reader: place.reader(), sizes: place.sizes(), rows, caches };
    let mut all = Vec::new();
    for _ in 0..runs {
        for group in Group::ALL.into_iter().filter(|group| bench.wants(*group)) {
            all.extend(match group {
                Group::Large => large::measure(&bench)?,
                Group::Small => small::measure(&bench)?,
                Group::Meta => metadata::measure(&bench)?,
                Group::Sync => synced::measure(&bench)?,
                Group::Pair => pair::measure(&bench)?,
            });
        }
    }
    Ok(rows.iter().filter_map(|row| Some((*row, figure::middle(&all, *row)?))).collect())
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.1 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests;
