//! How fast a file system does what programs do: `yardstick WRITER READER [--quick]` prints a line
//! `NAME FIGURE UNIT` for each measure.
//!
//! WRITER and READER are two mounts of one volume, or twice the same directory of a local disk.
//! What is called cold is read through READER after the caches of the machine were dropped (as
//! root), by a mount that has not read it before. Each figure is the median of three runs.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use holdfast_tests::random::Random;

const MIB: usize = 1 << 20;

/// How much of everything.
struct Sizes {
    runs: usize,
    large_mib: usize,
    files: usize,
    syncs: usize,
    random_reads: usize,
}

const FULL: Sizes = Sizes { runs: 3, large_mib: 1024, files: 2000, syncs: 300, random_reads: 4000 };
const QUICK: Sizes = Sizes { runs: 1, large_mib: 128, files: 300, syncs: 50, random_reads: 500 };

struct Bench {
    writer: PathBuf,
    reader: PathBuf,
    sizes: Sizes,
    block: Vec<u8>,
}

fn drop_caches() -> Result<()> {
    ensure!(Command::new("sync").status()?.success(), "sync failed");
    fs::write("/proc/sys/vm/drop_caches", "3").context("cannot drop caches: be root")
}

fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64())
}

/// The middle one.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn show(name: &str, figure: f64, unit: &str) {
    println!("{name} {figure:.2} {unit}");
}

impl Bench {
    fn repeat(&self, mut once: impl FnMut(usize) -> Result<f64>) -> Result<f64> {
        Ok(median((0..self.sizes.runs).map(&mut once).collect::<Result<_>>()?))
    }

    fn large(&self) -> Result<()> {
        let mb = (self.sizes.large_mib * MIB) as f64 / 1e6;
        let write = self.repeat(|run| {
            let path = self.writer.join(format!("large-{run}"));
            timed(|| {
                let mut file = File::create(&path)?;
                for number in 0..self.sizes.large_mib {
                    let from = number * 4099 % MIB;
                    file.write_all(&self.block[from..from + MIB])?;
                }
                Ok(file.sync_all()?)
            })
        })?;
        show("seq_write_fsync", mb / write, "MB/s");
        let read = self.repeat(|run| {
            drop_caches()?;
            let mut buffer = vec![0; MIB];
            timed(|| {
                let mut file = File::open(self.reader.join(format!("large-{run}")))?;
                let mut sum = 0;
                loop {
                    match file.read(&mut buffer)? {
                        0 => break,
                        count => sum += count,
                    }
                }
                ensure!(sum == self.sizes.large_mib * MIB, "only {sum} bytes");
                Ok(())
            })
        })?;
        show("seq_read_cold", mb / read, "MB/s");
        drop_caches()?;
        let (file, mut random) = (File::open(self.reader.join("large-0"))?, Random::new(1));
        let pages = (self.sizes.large_mib * MIB / 4096) as u64;
        let seconds = timed(|| {
            let mut page = [0; 4096];
            for _ in 0..self.sizes.random_reads {
                file.read_exact_at(&mut page, random.below(pages) * 4096)?;
            }
            Ok(())
        })?;
        show("rand_read_4k_cold", self.sizes.random_reads as f64 / seconds, "ops/s");
        (0..self.sizes.runs).try_for_each(|run| Ok(fs::remove_file(self.writer.join(format!("large-{run}")))?))
    }

    fn small(&self) -> Result<()> {
        let count = self.sizes.files as f64;
        let names =
            |run: usize| (0..self.sizes.files).map(move |number| format!("small-{run}/d{}/f{number}", number % 10));
        let create = self.repeat(|run| {
            for dir in 0..10 {
                fs::create_dir_all(self.writer.join(format!("small-{run}/d{dir}")))?;
            }
            timed(|| names(run).try_for_each(|name| Ok(fs::write(self.writer.join(name), &self.block[..4096])?)))
        })?;
        show("create_4k", count / create, "files/s");
        let stat = self.repeat(|run| {
            drop_caches()?;
            timed(|| names(run).try_for_each(|name| Ok(fs::metadata(self.reader.join(name)).map(|_| ())?)))
        })?;
        show("stat_cold", count / stat, "ops/s");
        let read = self.repeat(|run| {
            drop_caches()?;
            timed(|| names(run).try_for_each(|name| Ok(fs::read(self.reader.join(name)).map(|_| ())?)))
        })?;
        show("read_4k_cold", count / read, "files/s");
        let remove =
            self.repeat(|run| timed(|| names(run).try_for_each(|name| Ok(fs::remove_file(self.writer.join(name))?))))?;
        show("unlink", count / remove, "files/s");
        Ok(())
    }

    fn syncs(&self) -> Result<()> {
        let file = File::create(self.writer.join("synced"))?;
        let mut waits = Vec::new();
        for number in 0..self.sizes.syncs {
            waits.push(timed(|| {
                file.write_all_at(&self.block[..4096], 4096 * number as u64)?;
                Ok(file.sync_data()?)
            })?);
        }
        waits.sort_by(f64::total_cmp);
        show("write_fsync_4k", waits.len() as f64 / waits.iter().sum::<f64>(), "ops/s");
        show("write_fsync_4k_p50", 1e3 * waits[waits.len() / 2], "ms");
        show("write_fsync_4k_p99", 1e3 * waits[waits.len() * 99 / 100], "ms");
        Ok(())
    }

    /// A real tree: the C headers of the machine.
    fn untar(&self) -> Result<()> {
        let archive = std::env::temp_dir().join(format!("holdfast-bench-{}.tar", std::process::id()));
        let tar = |words: &[&str]| -> Result<()> {
            ensure!(Command::new("tar").args(words).status()?.success(), "tar {words:?} failed");
            Ok(())
        };
        tar(&["cf", &archive.to_string_lossy(), "-C", "/usr", "include"])?;
        let into = |run: usize| self.writer.join(format!("untar-{run}"));
        let seconds = self.repeat(|run| {
            fs::create_dir(into(run))?;
            let seconds = timed(|| tar(&["xf", &archive.to_string_lossy(), "-C", &into(run).to_string_lossy()]))?;
            fs::remove_dir_all(into(run))?;
            Ok(seconds)
        });
        fs::remove_file(&archive)?;
        show("untar_usr_include", seconds?, "s");
        Ok(())
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let quick = words.iter().any(|word| word == "--quick");
    let dirs: Vec<&Path> = words.iter().filter(|word| !word.starts_with("--")).map(Path::new).collect();
    let [writer, reader] = dirs[..] else { anyhow::bail!("usage: yardstick WRITER READER [--quick]") };
    let bench = Bench {
        writer: writer.join("bench"),
        reader: reader.join("bench"),
        sizes: if quick { QUICK } else { FULL },
        block: Random::new(7).bytes(2 * MIB),
    };
    fs::create_dir(&bench.writer)?;
    let start = Instant::now();
    bench.large()?;
    bench.small()?;
    bench.syncs()?;
    bench.untar()?;
    fs::remove_dir_all(&bench.writer)?;
    eprintln!("{}: {:?}", writer.display(), Duration::from_secs(start.elapsed().as_secs()));
    Ok(())
}
