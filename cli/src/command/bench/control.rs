//! What every row goes by: the time it has, where it stands, and whether somebody pressed Ctrl-C.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal};

use super::figure::Timed;
use super::progress::Progress;
use crate::failure::{During, Failure, Result};

/// Exit status of a process that a signal ended, less the signal's number.
const EXIT_SIGNALLED: i32 = 128;

/// Shared by all threads of a run.
#[derive(Debug)]
pub(super) struct Control {
    interrupted: Arc<AtomicBool>,
    progress: Progress,
}

/// When a row is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) count: u64,
    pub(super) time: Duration,
}

impl Control {
    /// From here on Ctrl-C ends a row and lets us clean up; the second one does not wait for that.
    pub(super) fn begin() -> Result<Self> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        // Blocked in this thread and in all that it starts; one waits for them.
        signals.thread_block().during(|| "block signals".into())?;
        let interrupted = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&interrupted);
        let wait = move || {
            while let Ok(signal) = signals.wait() {
                if told.swap(true, Ordering::Relaxed) {
                    // The file system does not answer, or the person is in a hurry.
                    std::process::exit(EXIT_SIGNALLED + signal as i32);
                }
            }
        };
        thread::Builder::new().name("signals".to_owned()).spawn(wait).during(|| "start a thread".into())?;
        Ok(Self { interrupted, progress: Progress::start() })
    }

    #[cfg(test)]
    pub(super) fn quiet() -> Self {
        Self { interrupted: Arc::default(), progress: Progress::hidden() }
    }

    #[cfg(test)]
    pub(super) fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// So many rows will be measured.
    pub(super) fn expect(&self, rows: usize) {
        self.progress.expect(rows);
    }

    /// A row begins.
    pub(super) fn row(&self, name: &'static str) {
        self.progress.row(name);
    }

    /// The last row is over: nothing is drawn any more.
    pub(super) fn end(&self) {
        self.progress.end();
    }

    /// # Errors
    /// `interrupted`.
    pub(super) fn check(&self) -> Result<()> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Failure::interrupted("interrupted; what was written is removed"));
        }
        Ok(())
    }

    /// Does something again and again, within a bound, and times each. `work` gets the number of the
    /// turn, and says how many bytes it moved, or nothing when there is nothing left to do.
    ///
    /// # Errors
    /// The first error of `work`; `interrupted`.
    pub(super) fn repeat(
        &self,
        doing: &str,
        bound: Bound,
        mut work: impl FnMut(u64) -> io::Result<Option<u64>>,
    ) -> Result<Timed> {
        let mut timed = Timed::default();
        let begun = Instant::now();
        let mut last = begun;
        while timed.count < bound.count {
            self.check()?;
            let Some(bytes) = work(timed.count).during(|| doing.to_owned())? else { break };
            let now = Instant::now();
            timed.count += 1;
            timed.bytes += bytes;
            timed.samples.add(now - last);
            timed.elapsed = now - begun;
            last = now;
            let done = timed.count as f64 / bound.count.max(1) as f64;
            self.progress.stands(done.max(timed.elapsed.as_secs_f64() / bound.time.as_secs_f64()));
            if timed.elapsed >= bound.time {
                break;
            }
        }
        Ok(timed)
    }
}
