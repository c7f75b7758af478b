//! Mounts that wait for their server for ever (`hard`), and those that do not (`soft`).

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::mount::Mount;
use holdfast_tests::wait;
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use crate::Pair;
use crate::stats::stats_on;

const TIMEOUT: Duration = Duration::from_secs(2);
/// Long for a call that gives up, and short for a person.
const BOUND: Duration = Duration::from_secs(30);

type Call = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A directory of its own, with files that are open.
struct Place {
    path: PathBuf,
    write: File,
    change: File,
    read: File,
    sync: File,
    lock: File,
}

impl Place {
    fn new(mount: &Mount, name: &str) -> Self {
        let path = mount.at(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("read"), vec![7; 3 << 20]).unwrap();
        let open = |file: &str| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).open(path.join(file)).unwrap()
        };
        let place = Self {
            write: open("write"),
            change: open("change"),
            read: open("read"),
            sync: open("sync"),
            lock: open("lock"),
            path: path.clone(),
        };
        place.write.write_all_at(b"before", 0).unwrap();
        place.write.sync_all().unwrap();
        // Answered, and not synced.
        fs::write(path.join("answered"), name).unwrap();
        place
    }

    /// One of each kind: names, reads, changes, syncs, locks.
    fn calls(&self) -> Vec<(&'static str, Call)> {
        let at = |name: &str| self.path.join(name);
        let (stat, list, made, moved) = (at("nothing"), self.path.clone(), at("made"), at("moved"));
        let [write, change, read, sync, lock] =
            [&self.write, &self.change, &self.read, &self.sync, &self.lock].map(|file| file.try_clone().unwrap());
        let answered = at("answered");
        let calls: Vec<(&str, Call)> = vec![
            ("stat", Box::new(move || not_there(&stat))),
            ("readdir", Box::new(move || fs::read_dir(list)?.try_for_each(|entry| entry.map(drop)))),
            ("mkdir", Box::new(move || fs::create_dir(made))),
            ("rename", Box::new(move || fs::rename(answered, moved))),
            ("read", Box::new(move || read.read_exact_at(&mut [0; 4096], 2 << 20))),
            ("write", Box::new(move || write.write_all_at(b"during", 0))),
            ("fchmod", Box::new(move || change.set_permissions(Permissions::from_mode(0o600)))),
            ("ftruncate", {
                let file = self.change.try_clone().unwrap();
                Box::new(move || file.set_len(100))
            }),
            ("fsync", Box::new(move || sync.sync_all())),
            (
                "flock",
                Box::new(move || {
                    Flock::lock(lock, FlockArg::LockExclusive).map(drop).map_err(|(_, error)| error.into())
                }),
            ),
        ];
        calls
    }
}

/// Looks for a name that is not there.
fn not_there(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map(drop),
    }
}

/// All calls on a hard and a soft mount at the same time, while the server is away: `hard` waits and goes on
/// without an error, `soft` fails each within bounds; neither loses what was answered, and both work again.
#[test]
fn hard_waits_and_soft_gives_up_and_neither_loses_what_was_answered() {
    let mut pair = Pair::new("hard and soft");
    let soft = pair.cluster.mount_with(0, "shared", "soft,timeout=2s");
    let hard = pair.cluster.mount_with(0, "shared", "hard");
    let (soft_place, hard_place) = (Place::new(&soft, "soft"), Place::new(&hard, "hard"));
    pair.cluster.kill();
    for mount in [&soft, &hard] {
        wait::until_true("the mount to notice", wait::SOON, || {
            !stats_on(&pair.cluster, 0, mount)["session"]["connected"].as_bool().unwrap()
        });
    }
    thread::scope(|scope| {
        let waiting: Vec<_> = hard_place.calls().into_iter().map(|(name, call)| (name, scope.spawn(call))).collect();
        let began = Instant::now();
        let giving_up: Vec<_> = soft_place
            .calls()
            .into_iter()
            .map(|(name, call)| (name, scope.spawn(move || (call(), began.elapsed()))))
            .collect();
        for (name, call) in giving_up {
            let (result, waited) = call.join().unwrap();
            let error = result.expect_err(name);
            assert_eq!(error.raw_os_error(), Some(libc::EIO), "{name}: {error}");
            assert!((TIMEOUT..BOUND).contains(&waited), "{name} gave up after {waited:?}");
        }
        for (name, call) in &waiting {
            assert!(!call.is_finished(), "{name} of the hard mount does not wait");
        }
        pair.cluster.start();
        for (name, call) in waiting {
            call.join().unwrap().unwrap_or_else(|error| panic!("{name} of the hard mount: {error}"));
        }
    });
    // No new mount is needed, and nothing is left behind: what failed was not done, what was answered is there.
    wait::until_true("the soft mount to work again", wait::SOON, || fs::write(soft.at("soft/later"), b"y").is_ok());
    soft_place.sync.sync_all().unwrap();
    let other = |name: &str| pair.b.at(name);
    assert_eq!(fs::read(other("soft/answered")).unwrap(), b"soft", "an answered write is gone");
    assert_eq!(fs::read(other("soft/write")).unwrap(), b"before");
    assert!(!other("soft/made").exists() && other("soft/later").exists());
    assert_eq!(fs::read(other("hard/moved")).unwrap(), b"hard");
    assert_eq!(fs::read(other("hard/write")).unwrap(), b"during");
    assert!(other("hard/made").exists());
    Flock::lock(soft_place.lock.try_clone().unwrap(), FlockArg::LockExclusiveNonblock).unwrap();
}

/// Begins a silence, or ends it.
type Silence<'a> = &'a dyn Fn(&mut Pair, bool);

/// A server that is there and says nothing, and then a network that is gone.
#[test]
fn a_soft_mount_gives_a_silent_server_up_and_works_again() {
    let mut pair = Pair::new("soft and silence");
    let soft = pair.cluster.mount_with(0, "shared", "soft,timeout=2s");
    let stopped = |pair: &mut Pair, begins| {
        pair.cluster.server().signal(if begins { Signal::SIGSTOP } else { Signal::SIGCONT });
    };
    let cut = |pair: &mut Pair, begins| {
        let host = pair.cluster.host(0);
        if begins { host.cut() } else { host.heal() }
    };
    let silences: [(&str, Silence<'_>); 2] = [("a stopped server", &stopped), ("a cut network", &cut)];
    for (round, (name, silence)) in silences.into_iter().enumerate() {
        let path = soft.at(&format!("f{round}"));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        file.write_all_at(b"synced", 0).unwrap();
        file.sync_all().unwrap();
        silence(&mut pair, true);
        let began = Instant::now();
        let sync = file.write_all_at(b"SYNCED", 0).and_then(|()| file.sync_all());
        let look = not_there(&soft.at("nothing"));
        let waited = began.elapsed();
        silence(&mut pair, false);
        assert_eq!(sync.unwrap_err().raw_os_error(), Some(libc::EIO), "{name}");
        assert_eq!(look.unwrap_err().raw_os_error(), Some(libc::EIO), "{name}");
        assert!((TIMEOUT * 2..BOUND).contains(&waited), "{name}: {waited:?}");
        let again = soft.at("again");
        wait::until_true("the soft mount to work again", wait::SOON, || fs::write(&again, name).is_ok());
        // A write that failed after it was sent may have been done; nothing else may be there.
        let seen = fs::read(pair.b.at(&format!("f{round}"))).unwrap();
        assert!(seen == b"synced" || seen == b"SYNCED", "{name}: {seen:?}");
        assert_eq!(fs::read(&path).unwrap(), seen, "{name}: the mounts disagree");
        assert_eq!(fs::read(pair.b.at("again")).unwrap(), name.as_bytes());
    }
}
