//! Clocks that jump: wall clocks that somebody sets, machines that sleep. Each process of a test has clocks
//! of its own; the machine's are left alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_tests::clocks::Clocks;
use holdfast_tests::cluster::{Cluster, LEASE, Options};
use holdfast_tests::mount::Mount;
use holdfast_tests::wait::{self, Watchdog};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;

use crate::Pair;
use crate::locks::try_flock;
use crate::network::Stop;
use crate::stats::{count, stats_on};

const HOUR: i64 = 3600;
const SLEEP: Duration = Duration::from_secs(3600);

/// Two hosts, the second and the server with clocks of their own.
struct Jumping {
    pair: Pair,
    server: Clocks,
    b: Clocks,
}

impl Jumping {
    fn new(name: &str, lease: Duration, options_of_b: &str) -> Self {
        let watchdog = Watchdog::start(name, Duration::from_secs(240));
        let (server, b) = (Clocks::new(), Clocks::new());
        let words = vec![format!("--lease={}s", lease.as_secs()), "--log=info".into()];
        let options = Options { words, clocks: Some(server.clone()), ..Options::default() };
        let cluster = Cluster::lan_with(&["host-a", "host-b"], options);
        cluster.volume("shared");
        let first = cluster.mount(0, "shared");
        let second = cluster.mount_under(&b, 1, "shared", options_of_b);
        Self { pair: Pair { a: first, b: second, cluster, _watchdog: watchdog }, server, b }
    }

    #[track_caller]
    fn no_session_was_lost(&self) {
        for (host, mount) in [&self.pair.a, &self.pair.b].into_iter().enumerate() {
            let session = &stats_on(&self.pair.cluster, host, mount)["session"];
            assert_eq!(session["losses"], 0, "{session:#}");
        }
        let log = self.pair.cluster.server_log();
        assert!(!log.contains("session ended"), "{log}");
    }
}

/// A file with a name that is gone: the server keeps it as long as its session.
fn open_without_a_name(mount: &Mount) -> File {
    let path = mount.at("unnamed");
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all_at(b"kept", 0).unwrap();
    fs::remove_file(&path).unwrap();
    file
}

fn is_kept(mut file: &File) -> bool {
    let mut content = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut content).unwrap() == 4 && content == "kept"
}

/// Adds one to a number in a file under a lock, and reads a file that others write, until told to stop: no
/// number and no access time goes back. How often it added.
fn work(mount: &Mount, writes: bool, stop: &AtomicBool, rounds: &AtomicU64) -> u64 {
    let (mut added, mut seen, mut accessed) = (0, 0, (0, 0));
    while !stop.load(Ordering::Relaxed) {
        let file = OpenOptions::new().read(true).write(true).open(mount.at("number")).unwrap();
        let locked = Flock::lock(file, FlockArg::LockExclusive).unwrap();
        let mut bytes = [0; 8];
        locked.read_exact_at(&mut bytes, 0).unwrap();
        let number = u64::from_le_bytes(bytes);
        assert!(number >= seen + u64::from(added > 0), "{number} after {seen} was written");
        locked.write_all_at(&(number + 1).to_le_bytes(), 0).unwrap();
        drop(locked);
        (added, seen) = (added + 1, number);
        let text = OpenOptions::new().read(true).write(writes).open(mount.at("text")).unwrap();
        if writes {
            text.write_all_at(b"text", 0).unwrap();
        }
        text.read_exact_at(&mut bytes[..4], 0).unwrap();
        let stat = text.metadata().unwrap();
        let now = (stat.atime(), stat.atime_nsec());
        assert!(now >= accessed, "the access time went back from {accessed:?} to {now:?}");
        accessed = now;
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    added
}

/// How far ahead of this program's clock the time of a new file is.
fn ahead_secs(mount: &Mount, name: &str) -> i64 {
    fs::write(mount.at(name), b"").unwrap();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    fs::metadata(mount.at(name)).unwrap().mtime() - now
}

#[test]
fn wall_clocks_that_jump_cost_nothing_while_both_hosts_work() {
    let jumping = Jumping::new("wall clocks", LEASE, "");
    let Jumping { pair, server, b: clocks } = &jumping;
    for (name, content) in [("number", &[0; 8][..]), ("text", b"text"), ("held", b"")] {
        fs::write(pair.a.at(name), content).unwrap();
    }
    let held = try_flock(&pair.a.at("held"), FlockArg::LockExclusiveNonblock).expect("free");
    let unnamed = open_without_a_name(&pair.b);
    let (stop, rounds) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    let added = thread::scope(|scope| {
        let enough = Stop(&stop);
        let a = scope.spawn(|| work(&pair.a, true, &stop, &rounds[0]));
        let b = scope.spawn(|| work(&pair.b, false, &stop, &rounds[1]));
        let goes_on = || {
            let before = rounds.each_ref().map(|rounds| rounds.load(Ordering::Relaxed));
            wait::until_true("work of both hosts", wait::SOON, || {
                let done = rounds.each_ref().map(|rounds| rounds.load(Ordering::Relaxed));
                a.is_finished() || b.is_finished() || (done[0] > before[0] + 5 && done[1] > before[1] + 5)
            });
        };
        for (of_server, of_b) in [(HOUR, 0), (HOUR, 2 * HOUR), (-HOUR, 2 * HOUR), (-HOUR, -HOUR), (0, 0)] {
            server.set_wall(of_server);
            server.until_wall_is_read();
            clocks.set_wall(of_b);
            goes_on();
            // Certificates are judged by the wall clock.
            pair.cluster.host(1).reset_connections();
            clocks.until_wall_is_read();
            goes_on();
            assert!(try_flock(&pair.b.at("held"), FlockArg::LockExclusiveNonblock).is_none(), "the lock is gone");
        }
        drop(enough);
        a.join().unwrap() + b.join().unwrap()
    });
    assert_eq!(fs::read(pair.b.at("number")).unwrap(), added.to_le_bytes());
    assert!(is_kept(&unnamed), "an open file is gone");
    jumping.no_session_was_lost();
    drop(held);
    assert!(try_flock(&pair.b.at("held"), FlockArg::LockExclusiveNonblock).is_some());
}

/// The server's clock dates what every host does, and no host's own.
#[test]
fn files_bear_the_time_of_the_server() {
    let Jumping { pair, server, b: clocks } = &Jumping::new("times of files", LEASE, "");
    clocks.set_wall(-2 * HOUR);
    server.set_wall(HOUR);
    server.until_wall_is_read();
    // Heartbeats bring it to the hosts.
    for (mount, name) in [(&pair.a, "a"), (&pair.b, "b")] {
        wait::until_true("the server's time", wait::SOON, || ahead_secs(mount, name) > HOUR - 60);
        assert!(ahead_secs(mount, name) <= HOUR);
    }
}

/// What a host shows of something that another one has changed.
#[derive(Debug, PartialEq, Eq)]
enum Shows {
    Old,
    New,
    /// It does not know and says so.
    Nothing,
}

/// `found`: what is there, and whether that is the new one. A file that is not there is the new one if
/// `gone` says so.
fn shows(found: io::Result<bool>, gone: bool) -> Shows {
    match found {
        Ok(new) => {
            if new {
                Shows::New
            } else {
                Shows::Old
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if gone {
                Shows::New
            } else {
                Shows::Old
            }
        }
        Err(_) => Shows::Nothing,
    }
}

/// Looks at everything that [`changes`] changes, all at once.
fn look(root: &Path, open: &File) -> Vec<(&'static str, Shows)> {
    let at = |name: &str| root.join("d").join(name);
    let mut bytes = [0; 3];
    thread::scope(|scope| {
        let looks = [
            (
                "content",
                scope.spawn(move || shows(open.read_exact_at(&mut bytes, 0).map(|()| bytes == *b"new"), false)),
            ),
            ("attributes", scope.spawn(|| shows(open.metadata().map(|stat| stat.mode() & 0o777 == 0o600), false))),
            ("size", scope.spawn(|| shows(fs::metadata(at("size")).map(|stat| stat.len() == 6), false))),
            ("removed name", scope.spawn(|| shows(fs::symlink_metadata(at("gone")).map(|_| false), true))),
            ("new name", scope.spawn(|| shows(fs::symlink_metadata(at("new")).map(|_| true), false))),
        ];
        looks.map(|(what, look)| (what, look.join().unwrap())).into()
    })
}

fn prepare(root: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::create_dir(root.join("d")).unwrap();
    for name in ["content", "size", "gone"] {
        fs::write(root.join("d").join(name), b"old").unwrap();
    }
    fs::set_permissions(root.join("d/content"), fs::Permissions::from_mode(0o644)).unwrap();
}

fn change(root: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    OpenOptions::new().write(true).open(root.join("d/content")).unwrap().write_all_at(b"new", 0).unwrap();
    fs::set_permissions(root.join("d/content"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(root.join("d/size"), b"longer").unwrap();
    fs::remove_file(root.join("d/gone")).unwrap();
    fs::write(root.join("d/new"), b"").unwrap();
}

fn all(looks: &[(&str, Shows)], wanted: &Shows) -> bool {
    looks.iter().all(|(_, shows)| shows == wanted)
}

/// The machine of a host sleeps without a network; another host changes things meanwhile.
#[test]
fn a_host_that_slept_for_longer_than_its_lease_shows_nothing_old() {
    let Jumping { pair, b: clocks, .. } = &Jumping::new("sleep of a host", LEASE, "soft,timeout=1");
    prepare(&pair.a.path);
    let open = File::open(pair.b.at("d/content")).unwrap();
    wait::until_true("the host to answer all from memory", wait::SOON, || {
        let asked = || {
            let stats = stats_on(&pair.cluster, 1, &pair.b);
            let of = |kind| count(&stats, kind, "count") - count(&stats, kind, "from_memory");
            let idle = stats["session"]["pending_changes"] == 0;
            (idle, ["lookup", "getattr", "read"].map(of))
        };
        let before = asked();
        assert!(all(&look(&pair.b.path, &open), &Shows::Old));
        // Longer than its kernel believes names: it asks for them again.
        thread::sleep(Duration::from_millis(200));
        assert!(all(&look(&pair.b.path, &open), &Shows::Old));
        before.0 && asked() == before
    });
    clocks.stop_boot();
    clocks.until_boot_is_read();
    pair.cluster.host(1).cut();
    let asleep = look(&pair.b.path, &open);
    assert!(all(&asleep, &Shows::Old), "it remembers nothing: {asleep:?}");
    // Waits until the server has given the host up.
    change(&pair.a.path);
    clocks.jump_boot(SLEEP);
    let awake = look(&pair.b.path, &open);
    assert!(awake.iter().all(|(_, shows)| *shows != Shows::Old), "{awake:?}");
    pair.cluster.host(1).heal();
    let mut last = Vec::new();
    wait::until_true("the host to see what has changed", wait::SOON, || {
        last = look(&pair.b.path, &open);
        assert!(last.iter().all(|(_, shows)| *shows != Shows::Old), "{last:?}");
        all(&last, &Shows::New)
    });
}

/// What a kernel was told to believe goes too, though its own clock stands still while the machine sleeps.
#[test]
fn the_kernel_of_a_host_that_slept_believes_nothing() {
    // So long that the kernel would believe it to the end of the test.
    let lease = Duration::from_secs(300);
    let Jumping { pair, b: clocks, .. } = &Jumping::new("sleep of a kernel", lease, "soft,timeout=1");
    prepare(&pair.a.path);
    let open = File::open(pair.b.at("d/content")).unwrap();
    let believed = || (open.metadata(), open.read_exact_at(&mut [0; 3], 0));
    // The first read moves the access time, and the kernel asks once more.
    wait::until_true("the kernel to ask nothing", wait::SOON, || {
        let asked = || {
            let stats = stats_on(&pair.cluster, 1, &pair.b);
            count(&stats, "getattr", "count") + count(&stats, "read", "count")
        };
        let before = asked();
        assert!(matches!(believed(), (Ok(_), Ok(()))));
        asked() == before
    });
    pair.cluster.host(1).cut();
    pair.cluster.host(1).reset_connections();
    for _ in 0..20 {
        assert!(matches!(believed(), (Ok(_), Ok(()))), "nothing was believed before the sleep");
        clocks.until_boot_is_read();
    }
    clocks.jump_boot(SLEEP);
    wait::until_true("the kernel to believe nothing", wait::SOON, || matches!(believed(), (Err(_), Err(_))));
    pair.cluster.host(1).heal();
    wait::until_true("the host to work again", wait::SOON, || matches!(believed(), (Ok(_), Ok(()))));
}

/// The hosts come back in the moment in which the server wakes up.
#[test]
fn a_server_that_slept_gives_nobody_up_for_that() {
    let mut jumping = Jumping::new("sleep of the server", LEASE, "");
    let pair = &mut jumping.pair;
    fs::write(pair.a.at("held"), b"").unwrap();
    let held = try_flock(&pair.a.at("held"), FlockArg::LockExclusiveNonblock).expect("free");
    let unnamed = open_without_a_name(&pair.b);
    for round in 0..5 {
        fs::write(pair.b.at("own"), round.to_string()).unwrap();
        pair.cluster.server().signal(Signal::SIGSTOP);
        jumping.server.jump_boot(SLEEP);
        for host in 0..2 {
            pair.cluster.host(host).reset_connections();
        }
        pair.cluster.server().signal(Signal::SIGCONT);
        jumping.server.until_boot_is_read();
        assert!(try_flock(&pair.b.at("held"), FlockArg::LockExclusiveNonblock).is_none(), "the lock is gone");
        assert!(is_kept(&unnamed), "an open file is gone");
        assert_eq!(fs::read(pair.a.at("own")).unwrap(), round.to_string().as_bytes());
    }
    jumping.no_session_was_lost();
    let slept = jumping.pair.cluster.server_log().matches("this server stood still").count();
    assert!(slept >= 5, "it slept {slept} times");
    drop(held);
    // Nobody was given an hour more than the sleep: a host that dies now is given up after a lease.
    let Jumping { pair, .. } = jumping;
    let Pair { a, b, cluster, _watchdog } = pair;
    fs::write(b.at("own"), b"last").unwrap();
    b.kill();
    fs::write(a.at("own"), b"taken").unwrap();
    assert_eq!(fs::read(a.at("own")).unwrap(), b"taken");
    drop((unnamed, a, cluster));
}
