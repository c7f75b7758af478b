//! A server that does not answer at all (SIGSTOP): nothing on the hosts is stuck with it.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use holdfast_tests::command::run_limited;
use holdfast_tests::mount::is_mounted;
use holdfast_tests::process::Process;
use holdfast_tests::wait;
use nix::sys::signal::Signal;

use crate::Pair;

/// Perl: `lock(FILE, COMMAND, KIND, START, LENGTH)`, fcntl(2) on Linux with 64 bits.
pub(crate) const LOCK: &str = "use Fcntl; use POSIX (); sub lock { fcntl($_[0], $_[1], pack('ssx4qqlx4', $_[2], 0, $_[3], $_[4], 0)) or die \"fcntl: $!\" }";
/// How long a process may take to be gone after SIGKILL.
const AT_ONCE: Duration = Duration::from_secs(3);

/// A program on host A that opens a file of the mount, does something, says so, and goes on when
/// it is told to.
pub(crate) struct Helper {
    pub(crate) process: Process,
    go: PathBuf,
}

impl Helper {
    /// `before` and `after` are Perl, with the file open as `F`.
    pub(crate) fn start(pair: &Pair, name: &str, file: &str, before: &str, after: &str) -> Self {
        let host = pair.cluster.host(0);
        let (path, go) = (pair.a.inside.join(file), host.dir(&format!("go-{name}")).join("now"));
        let script = format!(
            "use IO::Handle; $| = 1; open(F, '+<', $ARGV[0]) or die \"open: $!\"; {before} print \"ready\\n\"; \
             select(undef, undef, undef, 0.02) until -e $ARGV[1]; {after} print \"done\\n\";"
        );
        let command = host.program(&["perl", "-e", &script, &path.to_string_lossy(), &go.to_string_lossy()]);
        Self { process: Process::start(name, command, &host.log(name)), go }
    }

    pub(crate) fn until_ready(&mut self) {
        wait::until_true("the helper", wait::SOON, || {
            assert!(self.process.ended().is_none(), "it ended: {}", self.process.output());
            self.process.output().contains("ready")
        });
    }

    pub(crate) fn tell_to_go(&self) {
        fs::write(&self.go, "").unwrap();
    }

    /// It goes on, and gets stuck.
    fn until_stuck(&mut self) {
        self.tell_to_go();
        thread::sleep(Duration::from_millis(700));
        assert!(self.process.ended().is_none() && !self.process.output().contains("done"), "it is not stuck");
    }

    #[track_caller]
    fn dies_at_once(&mut self, what: &str) {
        let start = Instant::now();
        self.process.signal(Signal::SIGKILL);
        self.process.wait(AT_ONCE);
        eprintln!("killed in {what}: gone after {:?}", start.elapsed());
    }
}

/// What a program can be stuck in: what it does first, and then.
const STUCK: [(&str, &str, &str); 7] = [
    ("fsync", "", "F->sync or die $!;"),
    ("read", "", "sysread(F, $x, 10) or die $!;"),
    ("write", "", "syswrite(F, 'more') or die $!;"),
    ("open", "", "open(G, '<', \"$ARGV[0].other\") or die $!;"),
    ("close", "lock(F, 6, F_WRLCK, 0, 1);", "close(F) or die $!;"),
    ("lock", "", "lock(F, 7, F_WRLCK, 0, 1);"),
    ("exit", "lock(F, 6, F_WRLCK, 0, 1);", "POSIX::_exit(0);"),
];

#[test]
fn a_process_that_is_stuck_on_a_stopped_server_can_be_killed_at_once() {
    let mut pair = Pair::new("stopped server");
    let mut helpers = Vec::new();
    for (name, before, after) in STUCK {
        let file = format!("f-{name}");
        fs::write(pair.b.at(&file), b"0123456789").unwrap();
        let mut helper = Helper::start(&pair, name, &file, &format!("{LOCK} {before}"), after);
        helper.until_ready();
        helpers.push((name, helper));
    }
    // One that holds a lock and does nothing is let go too, though its lock is not.
    fs::write(pair.b.at("held"), b"x").unwrap();
    let mut holder = Helper::start(&pair, "held", "held", &format!("{LOCK} lock(F, 6, F_WRLCK, 0, 1);"), "sleep 600;");
    holder.until_ready();
    pair.cluster.server().signal(Signal::SIGSTOP);
    for (_, helper) in &helpers {
        helper.tell_to_go();
    }
    thread::sleep(Duration::from_millis(300));
    for (name, helper) in &mut helpers {
        // The end of a process does not wait for long.
        if *name != "exit" {
            helper.until_stuck();
            helper.dies_at_once(name);
        }
        helper.process.wait(AT_ONCE);
    }
    holder.dies_at_once("nothing, with a lock");
    pair.cluster.server().signal(Signal::SIGCONT);
    wait::until_true("the mount to work again", wait::SOON, || fs::write(pair.a.at("g"), b"x").is_ok());
    for name in ["held", "f-close", "f-exit", "f-lock"] {
        let mut taker = Helper::start(&pair, &format!("take-{name}"), name, LOCK, "lock(F, 7, F_WRLCK, 0, 1);");
        taker.until_ready();
        taker.tell_to_go();
        assert!(taker.process.wait(wait::SOON).success(), "{name}: {}", taker.process.output());
    }
}

#[test]
fn a_mount_is_taken_away_though_its_server_is_stopped() {
    let mut pair = Pair::new("umount of a stopped server");
    fs::write(pair.b.at("f"), b"0123456789").unwrap();
    let second = pair.cluster.mount(0, "shared");
    let mut reader = Helper::start(&pair, "reader", "f", "", "sysread(F, $x, 10) or die $!;");
    reader.until_ready();
    pair.cluster.server().signal(Signal::SIGSTOP);
    reader.until_stuck();
    let host = pair.cluster.host(0);
    let limit = Duration::from_secs(20);
    let (first, other) = (pair.a.inside.clone(), second.inside.clone());
    let start = Instant::now();
    // umount(8) looks at the directory first, and waits like everybody who looks; it can be killed.
    let command = host.program(&["umount", &other.to_string_lossy()]);
    let mut waiting = Process::start("umount", command, &host.log("umount"));
    thread::sleep(Duration::from_millis(700));
    waiting.signal(Signal::SIGKILL);
    waiting.wait(AT_ONCE);
    // Nobody uses it: with -f or -l it does not look, and is done at once.
    let _ = host.sh_limited(&format!("umount -f {}", other.display()), limit).ok();
    assert!(!is_mounted(host, &other));
    // In use: umount -f fails everything that waits; then it is free.
    let _ = host.sh_limited(&format!("umount -f {}", first.display()), limit);
    assert!(!reader.process.wait(AT_ONCE).success(), "the read must have failed");
    wait::until_true("umount", wait::SOON, || {
        !is_mounted(host, &first) || host.sh_limited(&format!("umount -f {}", first.display()), limit).code == 0
    });
    eprintln!("both mounts were gone after {:?}", start.elapsed());
    assert!(start.elapsed() < limit);
    pair.cluster.server().signal(Signal::SIGCONT);
    assert_eq!(fs::read(pair.b.at("f")).unwrap(), b"0123456789");
}

#[test]
fn holdfast_umount_force_ends_what_is_stuck() {
    let mut pair = Pair::new("forced umount of a stopped server");
    fs::write(pair.b.at("f"), b"0123456789").unwrap();
    let mut reader = Helper::start(&pair, "reader", "f", "", "sysread(F, $x, 10) or die $!;");
    reader.until_ready();
    pair.cluster.server().signal(Signal::SIGSTOP);
    reader.until_stuck();
    let mut command = pair.cluster.command(0, "holdfast");
    command.args(["umount", "--force", "--timeout", "2"]).arg(&pair.a.inside);
    let start = Instant::now();
    let outcome = run_limited(command, Duration::from_secs(30));
    eprintln!("holdfast umount --force: {:?}, code {}: {}", start.elapsed(), outcome.code, outcome.text.trim());
    assert!(!is_mounted(pair.cluster.host(0), &pair.a.inside));
    assert!(!reader.process.wait(AT_ONCE).success(), "the read must have failed");
    pair.a.process.wait(wait::SOON);
    pair.cluster.server().signal(Signal::SIGCONT);
}
