//! A volume on two mounts beside ext4: the same calls, the same answers, the same tree.
//!
//! [`call`] is what a sequence is made of and its text form, [`generate`] makes sequences up,
//! [`cast`] are the callers (processes and users on two mounts), [`execute`] makes the calls,
//! [`run`] plays a sequence on both sides and compares, [`shrink`] makes a failing one short.
//! [`intended`] lists the differences that are meant. Sequences that once failed are kept in
//! `regressions/` and played each time. [`exercise`] is about one file under heavy use instead.
//!
//! `HOLDFAST_SEED` repeats a run; `HOLDFAST_DIFFERENTIAL_OPS` and `HOLDFAST_EXERCISER_OPS` size it;
//! `HOLDFAST_REPLAY=FILE` plays a script; `HOLDFAST_WITHOUT=KIND,..` leaves calls out and
//! `HOLDFAST_PASS_OVER=KIND;..` goes on after such differences, both by hand: neither run passes.
#![expect(clippy::unwrap_used, reason = "a failed step of a test fails the test")]

mod call;
mod campaign;
mod cast;
mod execute;
mod exercise;
mod generate;
mod intended;
mod outcome;
mod run;
mod shrink;
mod sys;
mod tree;
mod volume;
mod watch;
mod word;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use call::Call;
use campaign::Campaign;
use exercise::Exercise;
use holdfast_tests::random::{seed, seed_of, size};
use holdfast_tests::scratch::Scratch;
use holdfast_tests::wait::Watchdog;
use run::{Script, Side, play};
use shrink::{Failure, shrink};
use volume::Pair;

/// The seed of what two mounts do in `make test`: hundreds of thousands of calls still find something
/// now and then that nobody has seen, which is for `make torture` and runs by hand, not for who changes
/// something else.
const QUICK_SEED: u64 = 20_261_127;

/// Nothing here takes longer at the quick sizes; at the full ones an hour and more.
fn limit() -> Duration {
    Duration::from_secs(if holdfast_tests::random::torture() { 4 * 3600 } else { 1140 })
}

fn local_side(scratch: &Scratch, name: &str) -> Side {
    let root = scratch.dir(name);
    Side { roots: [root.clone(), root], defect: None }
}

fn without() -> Vec<String> {
    let list = std::env::var("HOLDFAST_WITHOUT").unwrap_or_default();
    list.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect()
}

/// The fuzzer finds nothing where nothing is.
#[test]
fn ext4_does_what_ext4_does() {
    let _watchdog = Watchdog::start("ext4 beside ext4", limit());
    let scratch = Scratch::new("differential");
    let (one, other) = (local_side(&scratch, "one"), local_side(&scratch, "other"));
    let calls = size("HOLDFAST_EXT4_OPS", 20_000, 200_000);
    let campaign = Campaign { seed: seed("ext4 beside ext4"), calls, without: without() };
    campaign.play(&one, &other).judge(&campaign);
}

/// The fuzzer finds what is there: each defect, put into one of two ext4 directories, is found and
/// shrunk to a few steps.
#[test]
fn defects_put_in_on_purpose_are_found() {
    let _watchdog = Watchdog::start("defects put in", limit());
    let scratch = Scratch::new("differential");
    let seed = seed("defects put in");
    let defects: [(&str, run::Defect); 6] = [
        ("chmod forgets set-group-id", |call| match call {
            Call::Chmod { at, mode } => Some(Call::Chmod { at: at.clone(), mode: word::Perm(mode.0 & !0o2000) }),
            _ => None,
        }),
        ("writing at an offset loses the last byte of long writes", |call| match call {
            Call::Pwrite { slot, offset, len, seed } if *len > 65_536 => {
                Some(Call::Pwrite { slot: *slot, offset: *offset, len: len - 1, seed: *seed })
            }
            _ => None,
        }),
        ("a truncated file keeps its length", |call| match call {
            Call::Ftruncate { slot, .. } => Some(Call::Fsync { slot: *slot }),
            _ => None,
        }),
        ("unlocking is forgotten", |call| match call {
            Call::SetLock { slot, kind: word::LockKind::Unlock, .. } => Some(Call::Fdatasync { slot: *slot }),
            _ => None,
        }),
        ("a default list is taken for an access list", |call| match call {
            Call::SetAcl { path, kind: word::AclKind::Default, acl } => {
                Some(Call::SetAcl { path: path.clone(), kind: word::AclKind::Access, acl: acl.clone() })
            }
            _ => None,
        }),
        ("times are set to whole seconds", |call| match call {
            Call::Utimens { at, atime, mtime: word::Time::Exact(seconds, _), follow } => {
                let (at, mtime) = (at.clone(), word::Time::Exact(*seconds, 0));
                Some(Call::Utimens { at, atime: *atime, mtime, follow: *follow })
            }
            _ => None,
        }),
    ];
    for (name, defect) in defects {
        let bad = Side { defect: Some(defect), ..local_side(&scratch, "bad") };
        let good = local_side(&scratch, "good");
        let campaign = Campaign { seed, calls: 30_000, without: Vec::new() };
        let report = campaign.first_failure(&bad, &good);
        let failure = report.unwrap_or_else(|| panic!("not found: {name}"));
        eprintln!("{name}:\n{failure}");
        assert!(failure.steps.len() <= 12, "{name}: {} steps are left", failure.steps.len());
    }
}

/// Issue 3: a program that works on ext4 works on a volume, and two on two hosts that work on one
/// ext4 work on one volume.
#[test]
fn two_mounts_do_what_ext4_does() {
    let pair = Pair::new("two mounts beside ext4", limit());
    let calls = size("HOLDFAST_DIFFERENTIAL_OPS", 100_000, 1_000_000);
    let campaign = Campaign { seed: seed_of("two mounts beside ext4", QUICK_SEED), calls, without: without() };
    let report = campaign.play(&pair.volume, &pair.local);
    let complaints = pair.complaints();
    if !complaints.is_empty() {
        eprintln!("errors in the logs:\n{complaints}");
    }
    report.judge(&campaign);
    assert!(complaints.is_empty(), "there are errors in the logs");
    pair.is_empty_in_the_end();
}

fn scripts() -> Vec<PathBuf> {
    if let Some(script) = std::env::var_os("HOLDFAST_REPLAY") {
        return vec![script.into()];
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("differential/regressions");
    let mut scripts: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    scripts
}

/// Sequences that once failed; or the one that `HOLDFAST_REPLAY` names.
#[test]
fn what_once_differed_does_so_no_more() {
    let pair = Pair::new("regressions", limit());
    let mut failed = Vec::new();
    for script in scripts() {
        let steps = call::parse(&fs::read_to_string(&script).unwrap());
        let steps = steps.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        let played = play(&pair.volume, &pair.local, &mut Script(steps.iter()));
        let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(difference) = played.difference {
            let failure = Failure { steps: played.steps, difference };
            let shrink_it = std::env::var_os("HOLDFAST_REPLAY").is_some() && !played.hung;
            let failure =
                if shrink_it { shrink(&pair.volume, &pair.local, failure, Duration::from_secs(60)) } else { failure };
            eprintln!("{name}:\n{failure}");
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "differ: {failed:?}");
}

/// One file, two mounts in turn.
#[test]
fn one_file_stays_true_when_two_mounts_change_it_in_turn() {
    let pair = Pair::new("two mounts in turn", limit());
    let times = size("HOLDFAST_EXERCISER_OPS", 20_000, 1_000_000);
    let paths = [pair.mounts[0].at("exercised"), pair.mounts[1].at("exercised")];
    Exercise::new(&paths, seed("two mounts in turn")).unwrap().run(times);
}

/// The same on ext4: the exerciser's own expectations are right.
#[test]
fn the_exerciser_finds_nothing_on_ext4() {
    let _watchdog = Watchdog::start("exerciser on ext4", limit());
    let scratch = Scratch::new("exercised");
    let path = scratch.path().join("file");
    let times = size("HOLDFAST_EXT4_OPS", 20_000, 200_000);
    Exercise::new(&[path.clone(), path], seed("exerciser on ext4")).unwrap().run(times);
}
