//! Archives of volumes that are in use, and commands that are interrupted.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use holdfast_tests::command::{program, run_limited};
use holdfast_tests::process::Process;
use holdfast_tests::random::{self, Random};
use holdfast_tests::wait;
use nix::sys::signal::Signal;

use super::{Place, WARNINGS, text, verify};
use crate::network::Stop;

const LONG_BYTES: usize = 24 << 20;

#[test]
fn an_archive_of_a_busy_volume_is_whole() {
    let place = Place::new("busy");
    let mount = place.cluster.mount(0, "v");
    let seed = random::seed("busy");
    fs::write(mount.at("long"), vec![1; LONG_BYTES]).unwrap();
    for number in 0..300 {
        fs::write(mount.at(&format!("f{number}")), vec![2; number * 50]).unwrap();
    }
    let stop = AtomicBool::new(false);
    let (rounds, changed, removed, changes) = thread::scope(|scope| {
        let work = scope.spawn(|| {
            let (mut random, mut changes) = (Random::new(seed), 0_u64);
            let long = OpenOptions::new().write(true).open(mount.at("long")).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let name = mount.at(&format!("f{}", random.below(300)));
                match random.below(5) {
                    0 => drop(fs::remove_file(&name)),
                    1 => drop(fs::rename(&name, mount.at(&format!("f{}", random.below(300))))),
                    2 => long.set_len(random.below(LONG_BYTES as u64)).unwrap(),
                    3 => long.write_all_at(&[3; 1000], random.below(LONG_BYTES as u64)).unwrap(),
                    _ => {
                        let len = random.index(100_000);
                        fs::write(&name, random.bytes(len)).unwrap();
                    }
                }
                changes += 1;
            }
            changes
        });
        let enough = Stop(&stop);
        let (mut rounds, mut changed, mut removed) = (0, 0, 0);
        while rounds < 3 || (changed == 0 && rounds < 60) {
            let file = place.file("busy.tar");
            let outcome = place.holdfast(&["volume", "export", "v", "--json", "-o", &text(&file)]);
            assert!([0, WARNINGS].contains(&outcome.code), "{}: {}", outcome.code, outcome.text);
            let json = outcome.text.find('{').map(|at| &outcome.text[at..]).unwrap();
            let json: serde_json::Value =
                serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {}", outcome.text));
            let count = |field: &str| json[field].as_u64().unwrap();
            let finish = verify(&file);
            assert_eq!(finish.members, count("members"));
            assert_eq!(finish.ending.unwrap().warnings, count("changed"));
            assert_eq!(outcome.code == WARNINGS, count("changed") > 0);
            let _ = run_limited(program(&["tar", "-tf", &text(&file)]), Duration::from_secs(60)).ok();
            rounds += 1;
            changed += count("changed");
            removed += count("removed");
        }
        drop(enough);
        (rounds, changed, removed, work.join().unwrap())
    });
    eprintln!(
        "{rounds} exports beside {changes} changes: {changed} files changed while they were read, {removed} removed before"
    );
    assert!(changed > 0 && changes > 100, "nothing was changed under an export");
    // Alone it is of one moment, and alone is alone.
    let file = place.file("alone.tar");
    let words = ["volume", "export", "v", "--exclusive", "-o", &text(&file)];
    place.holdfast(&words).refused(&["in use", "exclusively", "unmount"]);
    assert!(!file.exists());
    mount.unmount(&place.cluster, 0);
    let _ = place.holdfast(&words).ok();
    assert_eq!(verify(&file).ending.unwrap().warnings, 0);
}

#[test]
fn an_interrupted_export_leaves_nothing_and_ends() {
    let place = Place::new("interrupted");
    let mount = place.cluster.mount(0, "v");
    fs::write(mount.at("long"), vec![1; LONG_BYTES]).unwrap();
    mount.unmount(&place.cluster, 0);
    // A pipe that nobody reads: it stops in the middle.
    let pipe = place.file("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _reader = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    let mut command = place.cluster.command(0, "holdfast");
    command.args(["volume", "export", "v", "-o", &text(&pipe)]);
    let mut process = Process::start("export", command, &place.file("export.log"));
    wait::until_true("the session of the export", wait::SOON, || place.cluster.show("v").mounts == 1);
    thread::sleep(Duration::from_millis(500));
    assert!(process.ended().is_none(), "it should wait for a reader: {}", process.output());
    process.signal(Signal::SIGINT);
    let status = process.wait(wait::SOON);
    assert_eq!(status.code(), Some(1), "{}", process.output());
    assert!(process.output().contains("interrupted"), "{}", process.output());
    // An import of a pipe that nobody fills ends too.
    let mut command = place.cluster.command(0, "holdfast");
    command.args(["volume", "import", "w", "--create", "-i", &text(&place.file("pipe2"))]);
    nix::unistd::mkfifo(&place.file("pipe2"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _writer = OpenOptions::new().read(true).write(true).open(place.file("pipe2")).unwrap();
    let mut process = Process::start("import", command, &place.file("import.log"));
    wait::until_true("the session of the import", wait::SOON, || {
        let shown = place.holdfast(&["volume", "show", "w", "--json"]);
        shown.code == 0 && shown.text.contains("\"mounts\": 1")
    });
    process.signal(Signal::SIGINT);
    assert_eq!(process.wait(wait::SOON).code(), Some(1), "{}", process.output());
    wait::until_true("both sessions to be gone", wait::SOON, || {
        ["v", "w"].iter().all(|volume| place.cluster.show(volume).mounts == 0)
    });
    let left: Vec<_> = fs::read_dir(place.scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".part"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
