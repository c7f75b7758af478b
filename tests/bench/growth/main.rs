//! How cost grows: with files in a volume and in one directory, with mounts, with volumes, and with
//! sessions that hold what somebody changes. Real servers and mounts on this machine, on free ports in
//! scratch directories; nothing is left. Needs root (mounts). As `make bench-growth` runs it:
//!
//! ```text
//! growth [--rows ROW,..] [--files N,..] [--directory N,..] [--mounts N,..] [--volumes N,..]
//!        [--holders N,..] [--rounds N] [--data DIR] [--json FILE]
//!
//! make bench-growth                                                        # moderate sizes, some ten minutes
//! make bench-growth ARGS="--files 10000,100000,1000000,10000000 --data DIR --json files.json --rows files"
//! make bench-growth ARGS="--directory 10000,100000,1000000 --rows directory"
//! make bench-growth ARGS="--mounts 1,2,8,64 --volumes 1,100,10000 --holders 1,8,64,512 --rows mounts,volumes,recall"
//! ```
//!
//! - `files`: sizes in a row in one volume, a thousand files a directory; `directory`: all in one. The time
//!   of each step, what the server and the mount then take, what a second mount sees, what a restart costs.
//! - `mounts`: so many mounts on one host, each creating in a directory of its own, then all looking at one
//!   tree. A machine with two processors measures itself here before it measures the server.
//! - `volumes`: so many volumes made, listed, found after a restart, and up to 100 of them open.
//! - `recall`: so many sessions hold a file, or the names in a directory, and one more changes it: from the
//!   call to its answer. Sessions have no kernel here, so the time that kernels believe names (150 ms at most)
//!   is not in it.
//!
//! `--data DIR` is where servers keep their data (the temporary directory unless told): the disk measured.

mod figures;
mod files;
mod mounts;
mod recall;
mod report;
mod volumes;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use holdfast_tests::cluster::{Cluster, Options};

use files::Layout;
use report::Report;

/// What is asked for.
#[derive(Debug)]
struct Asked {
    rows: Vec<String>,
    files: Vec<u64>,
    directory: Vec<u64>,
    mounts: Vec<u64>,
    volumes: Vec<u64>,
    holders: Vec<u64>,
    rounds: u64,
    data: Option<PathBuf>,
    json: Option<PathBuf>,
}

const ROWS: [&str; 5] = ["files", "directory", "mounts", "volumes", "recall"];

impl Asked {
    fn from_words(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let mut asked = Self {
            rows: ROWS.map(str::to_owned).into(),
            files: vec![10_000, 100_000],
            directory: vec![10_000, 100_000],
            mounts: vec![1, 2, 8],
            volumes: vec![1, 100, 1000],
            holders: vec![1, 8, 64],
            rounds: 100,
            data: None,
            json: None,
        };
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--rows" => asked.rows = value()?.split(',').map(str::to_owned).collect(),
                "--files" => asked.files = sizes(&value()?)?,
                "--directory" => asked.directory = sizes(&value()?)?,
                "--mounts" => asked.mounts = sizes(&value()?)?,
                "--volumes" => asked.volumes = sizes(&value()?)?,
                "--holders" => asked.holders = sizes(&value()?)?,
                "--rounds" => asked.rounds = value()?.parse().context("--rounds is a number")?,
                "--data" => asked.data = Some(value()?.into()),
                "--json" => asked.json = Some(value()?.into()),
                _ => bail!(
                    "{word} is none of --rows, --files, --directory, --mounts, --volumes, --holders, --rounds, --data, --json"
                ),
            }
        }
        for row in &asked.rows {
            ensure!(ROWS.contains(&row.as_str()), "there is no row {row}; there are {}", ROWS.join(", "));
        }
        ensure!(asked.rounds > 0, "at least one round");
        Ok(asked)
    }
}

/// Numbers in rising order.
fn sizes(text: &str) -> Result<Vec<u64>> {
    let sizes: Vec<u64> = text
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()
        .with_context(|| format!("{text} is not a list of numbers"))?;
    ensure!(sizes.is_sorted() && sizes.first() > Some(&0), "{text}: numbers from 1 on, in rising order");
    Ok(sizes)
}

/// Where a server keeps its data; removed with it.
#[derive(Debug)]
struct Disk(Option<PathBuf>);

impl Disk {
    fn new(asked: &Asked) -> Result<Self> {
        let Some(below) = &asked.data else { return Ok(Self(None)) };
        let path = below.join(format!("holdfast-growth-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(Some(path)))
    }

    /// A server with the settings that users have.
    fn options(&self) -> Options {
        let words = vec!["--log=warn".to_owned()];
        Options { data: self.0.as_ref().map(|path| path.join("data")), words, ..Options::default() }
    }

    fn one_host(&self) -> Cluster {
        Cluster::one_host_with(self.options())
    }

    fn machine(&self) -> Cluster {
        Cluster::machine_with(self.options())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = fs::remove_dir_all(path)
        {
            eprintln!("{} is left: {error}", path.display());
        }
    }
}

fn main() -> Result<()> {
    let asked = Asked::from_words(std::env::args().skip(1))?;
    let mut report = Report::default();
    for row in &asked.rows {
        match row.as_str() {
            "files" => {
                let disk = Disk::new(&asked)?;
                files::run(&mut report, disk.one_host(), &asked.files, Layout::Tree)?;
            }
            "directory" => {
                let disk = Disk::new(&asked)?;
                files::run(&mut report, disk.one_host(), &asked.directory, Layout::OneDirectory)?;
            }
            "volumes" => {
                let disk = Disk::new(&asked)?;
                volumes::run(&mut report, disk.machine(), &asked.volumes)?;
            }
            // A server for each number, so that its memory is what that number takes.
            "mounts" => {
                for &number in &asked.mounts {
                    let disk = Disk::new(&asked)?;
                    mounts::run(&mut report, disk.one_host(), number)?;
                }
            }
            _ => {
                for &number in &asked.holders {
                    let disk = Disk::new(&asked)?;
                    recall::run(&mut report, disk.machine(), number, asked.rounds)?;
                }
            }
        }
    }
    if let Some(path) = &asked.json {
        fs::write(path, report.json()?).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
