//! How far a long copy is: figures that one thread stores, and a line on standard error.
//!
//! On a terminal the line is drawn over itself several times a second; elsewhere a new one comes
//! every half minute, so that a log shows that something happens.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use holdfast_core::size::ByteSize;

const EVERY: Duration = Duration::from_millis(200);
const EVERY_IN_A_LOG: Duration = Duration::from_secs(30);

/// What was done, and what there is to do.
#[derive(Debug, Default)]
pub struct Progress {
    files: AtomicU64,
    bytes: AtomicU64,
    files_all: AtomicU64,
    bytes_all: AtomicU64,
}

impl Progress {
    /// There is so much to do, about; zero: nobody knows.
    pub fn expect(&self, files: u64, bytes: u64) {
        self.files_all.store(files, Ordering::Relaxed);
        self.bytes_all.store(bytes, Ordering::Relaxed);
    }

    /// One more file, directory or other thing.
    pub fn file(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes of content more.
    pub fn bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The figures in words.
    #[must_use]
    pub fn line(&self) -> String {
        let figure = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let (files, bytes) = (figure(&self.files), figure(&self.bytes));
        let (files_all, bytes_all) = (figure(&self.files_all), figure(&self.bytes_all));
        let size = ByteSize(bytes);
        // Either may be over by then: the volume is in use.
        let share = |done: u64, all: u64| u128::from(done.min(all)) * 100 / u128::from(all.max(1));
        match (files_all, bytes_all) {
            (0, 0) => return format!("{files} files, {size}"),
            (0, all) => return format!("{:3} %  {files} files, {size} of {}", share(bytes, all), ByteSize(all)),
            _ => {}
        }
        let percent = if bytes_all == 0 { share(files, files_all) } else { share(bytes, bytes_all) };
        format!("{percent:3} %  {files} of {files_all} files, {size} of {}", ByteSize(bytes_all))
    }
}

/// Tells a person a line on standard error, above the one that is drawn.
pub fn say(line: &str) {
    let mut err = io::stderr();
    let clear = if err.is_terminal() { "\r\u{1b}[K" } else { "" };
    // Whoever closed the stream does not want it.
    let _gone = writeln!(err, "{clear}{line}");
}

/// The line on standard error, until it is dropped.
#[derive(Debug)]
pub struct Shown {
    over: Arc<AtomicBool>,
    drawer: Option<thread::JoinHandle<()>>,
}

impl Shown {
    /// Shows these figures from now on.
    #[must_use]
    pub fn start(progress: &Arc<Progress>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (figures, ended) = (Arc::clone(progress), Arc::clone(&over));
        // Without a thread there is no line, and nothing else is lost.
        let drawer = thread::Builder::new().name("progress".to_owned()).spawn(move || draw(&figures, &ended)).ok();
        Self { over, drawer }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(drawer) = self.drawer.take() {
            drawer.thread().unpark();
            let _panicked = drawer.join();
        }
    }
}

fn draw(progress: &Progress, over: &AtomicBool) {
    let mut err = io::stderr();
    let terminal = err.is_terminal();
    loop {
        thread::park_timeout(if terminal { EVERY } else { EVERY_IN_A_LOG });
        let ended = over.load(Ordering::Relaxed);
        let line = if ended { String::new() } else { progress.line() };
        let _gone = match (terminal, ended) {
            (true, _) => write!(err, "\r{line}\u{1b}[K").and_then(|()| err.flush()),
            (false, false) => writeln!(err, "{line}"),
            (false, true) => Ok(()),
        };
        if ended {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let progress = Progress::default();
        progress.file();
        progress.bytes(1 << 20);
        assert_eq!(progress.line(), "1 files, 1 MiB");
        progress.expect(0, 2 << 20);
        assert_eq!(progress.line(), " 50 %  1 files, 1 MiB of 2 MiB");
        progress.expect(4, 4 << 20);
        assert_eq!(progress.line(), " 25 %  1 of 4 files, 1 MiB of 4 MiB");
        progress.expect(4, 0);
        assert_eq!(progress.line(), " 25 %  1 of 4 files, 1 MiB of 0 B");
        progress.bytes(100 << 20);
        progress.expect(4, 4 << 20);
        assert!(progress.line().starts_with("100 %"), "{}", progress.line());
    }
}
