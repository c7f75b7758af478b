//! What a fault test did: how often, how many faults it injected, how much was acknowledged meanwhile, and
//! what was wrong. A run that did too little has proven nothing, and fails as one with a violation does.
//!
//! Each test adds a line of JSON to the file that `HOLDFAST_REPORT` names, also when it fails;
//! `make torture` makes a table of them.

use std::env;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::time::Instant;

use serde_json::json;

/// Violations that are printed in full.
const SHOWN_MAX: usize = 20;

/// The account of one fault test.
#[derive(Debug)]
pub struct Report {
    what: &'static str,
    wanted: usize,
    start: Instant,
    /// How many rounds, histories or the like are done.
    pub done: usize,
    /// Faults that were injected.
    pub faults: usize,
    /// Calls that were acknowledged while faults were about.
    pub acknowledged: usize,
    violations: Vec<String>,
    notes: Vec<String>,
    passed: bool,
}

impl Report {
    /// Of a test that is to do something `wanted` times.
    #[must_use]
    pub fn new(what: &'static str, wanted: usize) -> Self {
        let (start, violations, notes) = (Instant::now(), Vec::new(), Vec::new());
        Self { what, wanted, start, done: 0, faults: 0, acknowledged: 0, violations, notes, passed: false }
    }

    /// Something was not as promised; where and when, for people.
    pub fn violation(&mut self, text: impl Into<String>) {
        let text = text.into();
        if self.violations.len() < SHOWN_MAX {
            eprintln!("{}: VIOLATION in {}: {text}", self.what, self.done);
        }
        self.violations.push(text);
    }

    /// The same of several.
    pub fn violations(&mut self, texts: impl IntoIterator<Item = String>) {
        texts.into_iter().for_each(|text| self.violation(text));
    }

    /// A figure that people want to see with the result.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// What stands against it: violations, and what it did not do.
    fn objections(&self) -> Vec<String> {
        let mut objections = self.violations.clone();
        let mut need = |is: usize, least: usize, what: &str| {
            if is < least {
                objections.push(format!("{is} {what}, and {least} at least were to be: this run proves nothing"));
            }
        };
        need(self.done, self.wanted.max(1), "done");
        need(self.faults, 1, "faults injected");
        need(self.acknowledged, 1, "acknowledged");
        objections
    }

    /// Whether there was a violation.
    #[must_use]
    pub fn is_violated(&self) -> bool {
        !self.violations.is_empty()
    }

    /// The end of a test whose server leaves something out on purpose, and which must have noticed.
    ///
    /// # Panics
    /// When there was no violation.
    #[track_caller]
    pub fn end_found(mut self) {
        self.passed = self.is_violated();
        let (what, text, passed) = (self.what, self.text(), self.passed);
        drop(self);
        eprintln!("{text}");
        assert!(passed, "{what}: the server left that out, and nobody noticed");
    }

    /// The end of the test.
    ///
    /// # Panics
    /// When there was a violation, or when too little was done.
    #[track_caller]
    pub fn end(mut self) {
        let objections = self.objections();
        self.passed = objections.is_empty();
        let (what, text) = (self.what, self.text());
        drop(self);
        eprintln!("{text}");
        assert!(objections.is_empty(), "{what}:\n  {}", objections.join("\n  "));
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}: {} times, {} faults, {} acknowledged, {} violations, {:.1} s",
            self.what,
            self.done,
            self.faults,
            self.acknowledged,
            self.violations.len(),
            self.start.elapsed().as_secs_f64()
        );
        self.notes.iter().for_each(|note| {
            let _ = write!(text, "; {note}");
        });
        text
    }

    fn line(&self) -> String {
        let line = json!({
            "what": self.what,
            "done": self.done,
            "faults": self.faults,
            "acknowledged": self.acknowledged,
            "violations": self.violations.len(),
            "seconds": self.start.elapsed().as_secs_f64(),
            "passed": self.passed,
            "notes": self.notes.join("; "),
        });
        format!("{line}\n")
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let Some(path) = env::var_os("HOLDFAST_REPORT") else { return };
        let written = File::options().create(true).append(true).open(&path);
        // One write, so that lines of tests that run at the same time stay whole.
        if let Err(error) = written.and_then(|mut file| file.write_all(self.line().as_bytes())) {
            eprintln!("cannot report to {}: {error}", path.display());
        }
    }
}

#[cfg(test)]
mod tests;
