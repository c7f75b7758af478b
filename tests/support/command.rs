//! Commands that a test runs to their end.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{Process, mortal};
use crate::scratch::Scratch;

/// How a command ended.
#[derive(Debug)]
pub struct Outcome {
    /// What was run.
    pub line: String,
    /// Exit code; 128 + signal when it was killed.
    pub code: i32,
    /// What it printed on standard output and standard error, in order.
    pub text: String,
}

impl Outcome {
    /// Goes on only if it succeeded.
    ///
    /// # Panics
    /// When it did not: shows what it said.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> String {
        assert!(self.code == 0, "`{}` failed with {}:\n{}", self.line, self.code, self.text);
        self.text
    }

    /// Goes on only if it failed, and said this (any case).
    ///
    /// # Panics
    /// When it succeeded, crashed, or did not say it.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) {
        assert!(self.code != 0, "`{}` should have failed, but said:\n{}", self.line, self.text);
        assert!(self.code < 128 && self.code != 101, "`{}` crashed with {}:\n{}", self.line, self.code, self.text);
        let text = self.text.to_lowercase();
        for word in words {
            assert!(text.contains(&word.to_lowercase()), "`{}` does not say {word:?}, but:\n{}", self.line, self.text);
        }
    }
}

/// Runs a command made with [`mortal`], at most this long.
///
/// # Panics
/// When it cannot be started, or does not end in time.
#[track_caller]
#[must_use]
pub fn run_limited(mut command: Command, limit: Duration) -> Outcome {
    use std::os::unix::process::ExitStatusExt as _;
    let line = line(&command);
    let scratch = Scratch::new("cmd");
    command.stdin(Stdio::null());
    let mut process = Process::start(&line, command, &scratch.path().join("out"));
    let status = process.wait(limit);
    let text = String::from_utf8_lossy(&fs::read(scratch.path().join("out")).unwrap_or_default()).into_owned();
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Outcome { line, code, text }
}

/// Runs a command, at most two minutes.
#[track_caller]
#[must_use]
pub fn run(command: Command) -> Outcome {
    run_limited(command, Duration::from_secs(120))
}

/// A line of shell.
#[must_use]
pub fn shell(script: &str) -> Command {
    let mut command = mortal("sh");
    command.args(["-c", script]);
    command
}

/// A program of the machine with its arguments.
#[must_use]
pub fn program(words: &[&str]) -> Command {
    let mut command = mortal(words[0]);
    command.args(&words[1..]);
    command
}

fn line(command: &Command) -> String {
    command.get_args().skip(3).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
