//! The bar of long work on standard error; nothing unless that is a terminal.

use std::io::{self, IsTerminal as _, Write as _};

const WIDTH: usize = 30;
/// Takes away what stood behind it.
const LINE_END: &str = "\u{1b}[K";

/// The bar: as much of it full as is done, from 0 to 1, and words beside it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a small width")]
#[must_use]
pub fn line(done: f64, words: &str) -> String {
    let done = done.clamp(0.0, 1.0);
    let full = (done * WIDTH as f64) as usize;
    format!("[{}{}] {:3.0} %  {words}", "#".repeat(full), ".".repeat(WIDTH - full), done * 100.0)
}

/// A bar that is drawn whenever it is told something. Goes when it is dropped.
#[derive(Debug)]
pub struct Bar {
    shown: bool,
}

impl Bar {
    /// Nothing is drawn yet.
    #[must_use]
    pub fn start() -> Self {
        Self { shown: io::stderr().is_terminal() }
    }

    /// So much is done.
    pub fn stands(&mut self, done: f64, words: &str) {
        self.draw(&line(done, words));
    }

    fn draw(&mut self, line: &str) {
        if self.shown {
            let mut err = io::stderr();
            // Who closed the stream does not want it.
            self.shown = write!(err, "\r{line}{LINE_END}").and_then(|()| err.flush()).is_ok();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.draw("");
    }
}
