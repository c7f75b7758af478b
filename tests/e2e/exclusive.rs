//! Mounts with `-o exclusive`: nobody else comes, the kernel keeps writes back, and nothing of that is lost
//! or old.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use holdfast_tests::cluster::{Cluster, LEASE};
use holdfast_tests::command::{Outcome, run_limited};
use holdfast_tests::mount::Mount;
use holdfast_tests::random::{self, Random};
use holdfast_tests::sys::Mapping;
use holdfast_tests::wait::{self, Watchdog};
use nix::sys::signal::Signal;
use nix::unistd::{Whence, lseek, syncfs};

const PAGE: u64 = 4096;

fn cluster(name: &str) -> (Watchdog, Cluster) {
    let watchdog = Watchdog::start(name, Duration::from_secs(240));
    let cluster = Cluster::lan(&["host-a", "host-b"]);
    cluster.volume("v");
    (watchdog, cluster)
}

/// Tries to mount where it must not work.
fn try_mount(cluster: &Cluster, host: usize, options: &str) -> Outcome {
    let point = cluster.host(host).dir("refused");
    let mut command = cluster.command(host, "holdfast");
    command.args(["mount", &format!("{}/v", cluster.address())]).arg(&point).args(["-o", options]);
    run_limited(command, Duration::from_secs(60))
}

/// Waits until the server has given up whoever had the volume.
fn until_free(cluster: &Cluster) {
    wait::until_true("the end of the session", LEASE * 6, || cluster.show("v").mounts == 0);
}

/// Content, size and times.
fn look(path: &Path) -> (Vec<u8>, [i64; 4]) {
    let found = fs::metadata(path).unwrap();
    (fs::read(path).unwrap(), [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()])
}

/// Changes a file in all the ways that the kernel keeps back; what is in it then.
fn scribble(mount: &Mount, random: &mut Random) -> Vec<u8> {
    let path = mount.at("f");
    let mut expected = random.bytes(64 * 4096);
    fs::write(&path, &expected).unwrap();
    // A part of a page through a handle that cannot read.
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for _ in 0..200 {
        let (at, len) = (random.below(60 * PAGE), 1 + random.below(2 * PAGE));
        let bytes = random.bytes(usize::try_from(len).unwrap());
        file.write_all_at(&bytes, at).unwrap();
        let at = usize::try_from(at).unwrap();
        expected[at..at + bytes.len()].copy_from_slice(&bytes);
    }
    // Appended by two handles in turn, where no other host can have moved the end.
    let mut ends = [0, 1].map(|_| OpenOptions::new().append(true).open(&path).unwrap());
    for turn in 0..100_u8 {
        ends[usize::from(turn % 2)].write_all(&[turn; 77]).unwrap();
        expected.extend([turn; 77]);
    }
    // Through a mapping, and past the cache beside it.
    let both = OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let mapping = Mapping::new(&both, 4096, true).unwrap();
    mapping.write(7, &[77]);
    expected[7] = 77;
    let direct = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(&path).unwrap();
    direct.write_all_at(&[9; 4096], 3 * PAGE).unwrap();
    expected[3 * 4096..4 * 4096].fill(9);
    let mut head = [0; 8];
    direct.read_exact_at(&mut head, 0).unwrap();
    assert_eq!(head[7], 77, "what was written through the mapping");
    // Shorter, longer, and a hole.
    both.set_len(50 * PAGE).unwrap();
    both.set_len(55 * PAGE).unwrap();
    expected.resize(50 * 4096, 0);
    expected.resize(55 * 4096, 0);
    // What the server has not heard of is no hole.
    both.write_all_at(&[5; 100], 60 * PAGE).unwrap();
    expected.resize(60 * 4096, 0);
    expected.extend([5; 100]);
    let data = lseek(&both, i64::try_from(60 * PAGE).unwrap(), Whence::SeekData).unwrap();
    assert_eq!(data, i64::try_from(60 * PAGE).unwrap());
    both.sync_all().unwrap();
    assert_eq!(fs::read(&path).unwrap(), expected);
    expected
}

#[test]
fn nobody_else_comes_while_a_volume_is_mounted_exclusively() {
    let (_watchdog, cluster) = cluster("alone");
    let a = cluster.mount_with(0, "v", "exclusive");
    fs::write(a.at("f"), b"of a").unwrap();
    try_mount(&cluster, 1, "rw").refused(&["v", "in use", "exclusively", "unmount"]);
    try_mount(&cluster, 1, "ro").refused(&["in use"]);
    try_mount(&cluster, 1, "exclusive").refused(&["in use"]);
    assert_eq!(fs::read(a.at("f")).unwrap(), b"of a");
    a.unmount(&cluster, 0);
    let b = cluster.mount(1, "v");
    assert_eq!(fs::read(b.at("f")).unwrap(), b"of a");
    try_mount(&cluster, 0, "exclusive").refused(&["in use", "wanted exclusively"]);
    // Who may share it still comes.
    let a = cluster.mount(0, "v");
    assert_eq!(fs::read(a.at("f")).unwrap(), b"of a");
}

#[test]
fn what_the_kernel_kept_back_is_there_after_an_unmount_with_its_times() {
    let (_watchdog, cluster) = cluster("kept back");
    let mut random = Random::new(random::seed("exclusive"));
    let a = cluster.mount_with(0, "v", "exclusive");
    let expected = scribble(&a, &mut random);
    // Nobody syncs these.
    for number in 0..300_u32 {
        let name = a.at(&format!("small-{number}"));
        fs::write(&name, vec![u8::try_from(number % 251).unwrap(); 3000]).unwrap();
        if number % 3 == 0 {
            fs::hard_link(&name, a.at(&format!("link-{number}"))).unwrap();
        }
    }
    let mut late = File::create(a.at("late")).unwrap();
    late.seek(SeekFrom::Start(10 * PAGE)).unwrap();
    late.write_all(b"never synced").unwrap();
    drop(late);
    let names: Vec<String> =
        fs::read_dir(&a.path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let before: Vec<_> = names.iter().map(|name| look(&a.at(name))).collect();
    a.unmount(&cluster, 0);
    let b = cluster.mount(1, "v");
    assert_eq!(fs::read(b.at("f")).unwrap(), expected);
    for (name, (content, times)) in names.iter().zip(before) {
        let found = look(&b.at(name));
        assert_eq!(found.1, times, "{name}");
        assert!(found.0 == content, "the content of {name}");
    }
    assert_eq!(names.len(), 402);
}

#[test]
fn times_are_the_kernels_whenever_it_writes_back() {
    let (_watchdog, cluster) = cluster("times");
    let a = cluster.mount_with(0, "v", "exclusive");
    let names: Vec<String> = (0..400).map(|number| format!("f{number}")).collect();
    let (done, syncs) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            // The flush begins without waiting, so that times and bytes are on their way at once.
            let root = File::open(&a.path).unwrap();
            while !done.load(Ordering::Relaxed) {
                syncfs(&root).unwrap();
                syncs.fetch_add(1, Ordering::Relaxed);
            }
        });
        for name in &names {
            let mut file = File::create(a.at(name)).unwrap();
            for _ in 0..8 {
                file.write_all(&[7; 3000]).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(syncs.into_inner() > 10, "too few flushes beside the writes");
    let before: Vec<_> = names.iter().map(|name| look(&a.at(name))).collect();
    a.unmount(&cluster, 0);
    let b = cluster.mount(1, "v");
    let differs = names.iter().zip(before).filter(|(name, before)| look(&b.at(name)) != *before);
    let differs: Vec<_> = differs.map(|(name, before)| (name, before.1, look(&b.at(name)).1)).collect();
    assert!(differs.is_empty(), "{} of {}: {differs:?}", differs.len(), names.len());
}

#[test]
fn what_was_synced_outlives_the_mounts_death() {
    let (_watchdog, mut cluster) = cluster("synced");
    let mut random = Random::new(random::seed("exclusive"));
    let a = cluster.mount_with(0, "v", "exclusive");
    let expected = scribble(&a, &mut random);
    // The server's death is no loss.
    cluster.kill();
    cluster.start();
    assert_eq!(fs::read(a.at("f")).unwrap(), expected);
    fs::write(a.at("g"), b"after the restart").unwrap();
    File::open(a.at("g")).unwrap().sync_all().unwrap();
    a.kill();
    try_mount(&cluster, 1, "rw").refused(&["in use", "until its lease is over"]);
    until_free(&cluster);
    let b = cluster.mount(1, "v");
    assert_eq!(fs::read(b.at("f")).unwrap(), expected);
    assert_eq!(fs::read(b.at("g")).unwrap(), b"after the restart");
}

#[test]
fn an_exclusive_mount_that_has_lost_its_session_ends_and_shows_nothing_old() {
    let (_watchdog, cluster) = cluster("lost alone");
    let mut a = cluster.mount_with(0, "v", "exclusive");
    fs::write(a.at("f"), b"old").unwrap();
    let path = a.at("f");
    let (ready, is_ready) = mpsc::channel();
    let (go, goes) = mpsc::channel();
    let looker = thread::spawn(move || {
        // A table of its own: programs that the test starts would close the file too, and wait for the mount.
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let read = || {
            let mut bytes = [0; 3];
            file.read_exact_at(&mut bytes, 0).map(|()| bytes)
        };
        file.sync_all().unwrap();
        assert_eq!(read().unwrap(), *b"old");
        // Kept back, and never synced: lost, and told.
        file.write_all_at(b"mud", PAGE).unwrap();
        ready.send(()).unwrap();
        goes.recv().unwrap();
        (read(), read(), file.sync_all())
    });
    is_ready.recv().unwrap();
    a.process.signal(Signal::SIGSTOP);
    until_free(&cluster);
    let b = cluster.mount(1, "v");
    fs::write(b.at("f"), b"new").unwrap();
    // In the cache of A's kernel, and A's kernel must not show it: it waits for the mount, which is stopped.
    go.send(()).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(!looker.is_finished(), "the kernel answered by itself");
    a.process.signal(Signal::SIGCONT);
    let (first, second, synced) = looker.join().unwrap();
    assert!(first.is_err() && second.is_err(), "{first:?}, {second:?}");
    assert!(synced.is_err(), "what was lost was called synced");
    let status = a.process.wait(wait::SOON);
    assert!(!status.success());
    assert!(a.process.output().contains("exclusive"), "{}", a.process.output());
    assert_eq!(fs::read(b.at("f")).unwrap(), b"new");
}
