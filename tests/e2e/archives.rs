//! Volumes to archives and back, and out of a data directory without a server: what comes back is what was
//! there; what is damaged is named; what is hostile is refused.

mod busy;
mod damaged;
mod hostile;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_archive::{Finish, Reader};
use holdfast_tests::bins;
use holdfast_tests::cluster::Cluster;
use holdfast_tests::command::{Outcome, program, run_limited, shell};
use holdfast_tests::random::{self, Random};
use holdfast_tests::scratch::Scratch;
use holdfast_tests::wait::Watchdog;

use self::tree::{Fact, Facts, differences, look, plant};

/// Done, with something to tell.
const WARNINGS: i32 = 3;

/// A header and the block of its records.
const LABEL_BYTES: usize = 1024;

struct Place {
    cluster: Cluster,
    scratch: Scratch,
    _watchdog: Watchdog,
}

impl Place {
    fn new(name: &str) -> Self {
        let watchdog = Watchdog::start(name, Duration::from_secs(600));
        let cluster = Cluster::one_host();
        cluster.volume("v");
        Self { cluster, scratch: Scratch::new("archives"), _watchdog: watchdog }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Puts a tree with all kinds of things into the volume; what it is then.
    fn planted(&self, name: &str) -> Facts {
        let mount = self.cluster.mount_with(0, "v", "noatime");
        plant(&mount.path, &mut Random::new(random::seed(name)));
        let facts = look(&mount.path);
        assert!(facts.len() > 380, "only {} names", facts.len());
        mount.unmount(&self.cluster, 0);
        facts
    }

    /// What another volume has.
    fn volume(&self, name: &str) -> Facts {
        let mount = self.cluster.mount_with(0, name, "noatime");
        let facts = look(&mount.path);
        mount.unmount(&self.cluster, 0);
        facts
    }

    fn export(&self, volume: &str, file: &Path) -> Outcome {
        self.holdfast(&["volume", "export", volume, "-o", &text(file)])
    }

    fn import(&self, volume: &str, file: &Path) -> Outcome {
        self.holdfast(&["volume", "import", volume, "--create", "-i", &text(file)])
    }

    fn holdfast(&self, words: &[&str]) -> Outcome {
        let mut command = self.cluster.command(0, "holdfast");
        command.args(words);
        run_limited(command, Duration::from_secs(300))
    }

    /// Unpacks with GNU tar.
    fn unpack(&self, file: &Path) -> Facts {
        let dir = self.scratch.dir(&format!("unpacked-{}", file.file_name().unwrap().display()));
        let words =
            ["tar", "--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpf", &text(file), "-C", &text(&dir)];
        let said = run_limited(program(&words), Duration::from_secs(300)).ok();
        eprintln!("tar: {said}");
        look(&dir)
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn same(expected: &Facts, found: &Facts, leave: impl Fn(&[u8], &mut Fact)) {
    let differences = differences(expected, found, leave);
    assert!(
        differences.is_empty(),
        "{} differences, such as\n{}",
        differences.len(),
        differences[..differences.len().min(5)].join("\n")
    );
}

/// What a local disk and tar cannot have: sockets, times of access and change.
fn but_for_tar(path: &[u8], fact: &mut Fact) {
    (fact.atime, fact.ctime) = ((0, 0), (0, 0));
    if path == b"socket" {
        // An empty file, as the page says.
        fact.mode = 0;
    }
}

/// Reads an archive to its end.
fn verify(file: &Path) -> Finish {
    let mut reader = Reader::new(fs::File::open(file).unwrap());
    while let Some(_member) = reader.next_member().unwrap() {
        while let Some(_piece) = reader.data().unwrap() {}
    }
    reader.finish()
}

#[test]
fn a_volume_comes_back_from_its_archive() {
    let place = Place::new("archive");
    let planted = place.planted("archive");
    let file = place.file("v.tar");
    let said = place.export("v", &file).ok();
    eprintln!("{said}");
    let finish = verify(&file);
    let members = finish.ending.unwrap().members;
    assert_eq!((members, finish.ending.unwrap().warnings), (planted.len() as u64, 0));
    let len = fs::metadata(&file).unwrap().len();
    assert!(len < 20 << 20, "holes are holes in the archive too, which has {len} bytes");

    let unpacked = place.unpack(&file);
    same(&planted, &unpacked, but_for_tar);

    let said = place.import("w", &file).ok();
    eprintln!("{said}");
    let imported = place.volume("w");
    same(&planted, &imported, |_, _| {});
    assert_eq!(place.cluster.show("w").inodes, place.cluster.show("v").inodes);

    // The archive of what was imported is the same but for its label.
    let again = place.file("w.tar");
    let _ = place.export("w", &again).ok();
    let (first, second) = (fs::read(&file).unwrap(), fs::read(&again).unwrap());
    let end = usize::try_from(finish.ending.unwrap().bytes).unwrap();
    assert!(first[LABEL_BYTES..end] == second[LABEL_BYTES..end], "an archive of the copy differs");

    through_pipes(&place, &planted);
    let made = from_tar(&place, &unpacked);
    eprintln!("{members} members, {len} bytes of archive, {made} archives of GNU tar's");
}

/// Into a directory of a volume that is in use.
fn through_pipes(place: &Place, planted: &Facts) {
    let mount = place.cluster.mount_with(0, "w", "noatime");
    let mut command = place.cluster.host(0).command("bash");
    place.cluster.environment(&mut command);
    let script = "\"$0\" volume export v | \"$0\" volume import w --into /copies/one";
    command.args(["-o", "pipefail", "-c", script]).arg(bins::ours("holdfast"));
    let said = run_limited(command, Duration::from_secs(300)).ok();
    eprintln!("{said}");
    // When something was changed is only for who has the volume alone.
    same(planted, &look(&mount.at("copies/one")), |_, fact| fact.ctime = (0, 0));
    mount.unmount(&place.cluster, 0);
}

/// Archives that GNU tar makes of the tree on the local disk; how many.
fn from_tar(place: &Place, unpacked: &Facts) -> usize {
    let local = place.scratch.path().join("unpacked-v.tar");
    let huge = [&b"sparse"[..], b"a/only a hole"];
    let sparse = ["0.0", "0.1", "1.0"].map(|version| format!("--format=pax -S --sparse-version={version}"));
    let plain = ["--format=pax".to_owned(), "--format=gnu".to_owned(), "--format=gnu -S".to_owned()];
    let ways: Vec<String> = plain.into_iter().chain(sparse).collect();
    for (number, how) in ways.iter().enumerate() {
        // Without a map the holes are zeros: not of 20 GiB.
        let mapped = how.contains("-S");
        let leave = if mapped { "" } else { "--exclude=./sparse --exclude='./a/only a hole'" };
        let archive = place.file(&format!("foreign-{number}.tar"));
        let xattrs = if how.contains("pax") { "--xattrs --xattrs-include='*'" } else { "" };
        let words = format!("{how} {leave} {xattrs} -C {} -cf {} .", text(&local), text(&archive));
        let _ = run_limited(shell(&format!("tar {words}")), Duration::from_secs(300)).ok();
        let volume = format!("from-tar-{number}");
        let said = place.import(&volume, &archive).ok();
        assert!(said.contains("no checksum"), "{said}");
        let mut expected = unpacked.clone();
        expected.retain(|path, _| mapped || !huge.contains(&&path[..]));
        same(&expected, &place.volume(&volume), |_, fact| {
            (fact.atime, fact.ctime) = ((0, 0), (0, 0));
            if !how.contains("pax") {
                // Its own form has no fractions of seconds and no xattrs.
                fact.mtime.1 = 0;
                fact.xattrs.clear();
            }
            // Where there is no map there are no holes.
            fact.holes &= mapped;
            if fact.is_pipe() {
                // GNU tar makes two of a pipe with two names.
                fact.links = 1;
                fact.first.clear();
            }
        });
    }
    ways.len()
}
