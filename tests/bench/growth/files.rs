//! Rows `files` and `directory`: one volume that fills up.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use holdfast_tests::cluster::Cluster;
use holdfast_tests::mount::Mount;
use holdfast_tests::random::Random;

use crate::figures::{disk_bytes, memory, rate};
use crate::report::Report;

/// Where the files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A thousand in each directory.
    Tree,
    /// All in one.
    OneDirectory,
}

const A_DIRECTORY: u64 = 1000;
/// Files that the second mount looks at, here and there.
const LOOKS: u64 = 2000;
const VOLUME: &str = "files";

impl Layout {
    fn directory(self, root: &Path, number: u64) -> PathBuf {
        match self {
            Self::Tree => root.join(format!("d{}", number / A_DIRECTORY)),
            Self::OneDirectory => root.join("all"),
        }
    }

    fn is_first_of_its_directory(self, number: u64) -> bool {
        match self {
            Self::Tree => number.is_multiple_of(A_DIRECTORY),
            Self::OneDirectory => number == 0,
        }
    }

    fn file(self, root: &Path, number: u64) -> PathBuf {
        self.directory(root, number).join(format!("f{number}"))
    }

    const fn table(self) -> &'static str {
        match self {
            Self::Tree => "Files in a volume, a thousand a directory",
            Self::OneDirectory => "Files in one directory",
        }
    }
}

/// Makes the files that are missing to each size, and measures there.
pub(crate) fn run(report: &mut Report, mut cluster: Cluster, sizes: &[u64], layout: Layout) -> Result<()> {
    cluster.volume(VOLUME);
    let mount = cluster.mount(0, VOLUME);
    let mut there = 0;
    for &size in sizes {
        let begun = Instant::now();
        for number in there..size {
            if layout.is_first_of_its_directory(number) {
                fs::create_dir(layout.directory(&mount.path, number))?;
            }
            File::create_new(layout.file(&mount.path, number)).with_context(|| format!("file {number}"))?;
        }
        let creates = rate(size - there, begun.elapsed());
        there = size;
        File::open(&mount.path)?.sync_all()?;
        let (server, server_most) = memory(cluster.server().pid())?;
        let (client, client_most) = memory(mount.process.pid())?;
        let disk = disk_bytes(&cluster.data()) as f64 / size as f64;
        let (stats, listed) = look_again(&cluster, layout, size)?;
        let restart = restart(&mut cluster, &mount, layout, size)?;
        let line = vec![
            ("files", size as f64),
            ("creates/s", creates),
            ("server MB", server),
            ("server MB at most", server_most),
            ("mount MB", client),
            ("mount MB at most", client_most),
            ("disk bytes a file", disk),
            ("stat/s, other mount", stats),
            ("listed/s, other mount", listed),
            ("restart s", restart),
        ];
        report.add(layout.table(), line);
    }
    Ok(())
}

/// A mount that knows nothing: looks at files here and there, and lists a directory.
fn look_again(cluster: &Cluster, layout: Layout, size: u64) -> Result<(f64, f64)> {
    let mount = cluster.mount(0, VOLUME);
    let mut random = Random::new(size);
    let begun = Instant::now();
    for _ in 0..LOOKS {
        fs::symlink_metadata(layout.file(&mount.path, random.below(size)))?;
    }
    let stats = rate(LOOKS, begun.elapsed());
    let begun = Instant::now();
    let listed = fs::read_dir(layout.directory(&mount.path, 0))?.count();
    let listed = rate(listed as u64, begun.elapsed());
    mount.unmount(cluster, 0);
    Ok((stats, listed))
}

/// From the start of a stopped server until a file can be made again.
fn restart(cluster: &mut Cluster, mount: &Mount, layout: Layout, size: u64) -> Result<f64> {
    cluster.stop();
    let begun = Instant::now();
    cluster.start();
    let file = layout.directory(&mount.path, size - 1).join("after the restart");
    File::create_new(&file)?.sync_all()?;
    let time = begun.elapsed().as_secs_f64();
    fs::remove_file(&file)?;
    Ok(time)
}
