//! Waiting with a deadline, and a watchdog for what cannot be interrupted.

use std::fmt::Debug;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::process;

/// How long a test waits for something that takes milliseconds when all is well.
pub const SOON: Duration = Duration::from_secs(30);

/// Asks again and again until the answer is there.
///
/// # Panics
/// When it is not there after `limit`: says what was waited for.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain for {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until something is so.
///
/// # Panics
/// When it is not so after `limit`.
#[track_caller]
pub fn until_true(what: &str, limit: Duration, mut ask: impl FnMut() -> bool) {
    until(what, limit, || ask().then_some(()));
}

/// Waits until two values are the same, and shows both when they never are.
///
/// # Panics
/// When they differ after `limit`.
#[track_caller]
pub fn until_eq<T: PartialEq + Debug>(what: &str, limit: Duration, wanted: &T, mut ask: impl FnMut() -> T) {
    let start = Instant::now();
    loop {
        let is = ask();
        if is == *wanted {
            return;
        }
        assert!(start.elapsed() < limit, "{what} after {limit:?}: is {is:?}, wanted {wanted:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Ends a test that hangs. A thread stuck in a file system call cannot be stopped, but the mount
/// that it waits for can: when the time is over every process that the tests started is killed,
/// the stuck call fails, and the test with it. If even that does not help the program ends.
#[derive(Debug)]
pub struct Watchdog {
    over: Option<Sender<()>>,
}

impl Watchdog {
    /// Starts to count.
    #[must_use]
    pub fn start(name: &str, limit: Duration) -> Self {
        let (over, ended) = channel::<()>();
        let name = name.to_owned();
        thread::spawn(move || {
            if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name}: not over after {limit:?}; killing every process that the tests started");
                process::kill_all();
                if ended.recv_timeout(Duration::from_secs(30)) == Err(RecvTimeoutError::Timeout) {
                    eprintln!("{name}: still stuck; giving up");
                    std::process::exit(101);
                }
            }
        });
        Self { over: Some(over) }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.take();
    }
}
