//! What the demo tells: steps as they happen, checks, and the verdict.

use std::future::Future;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::program::Verbosity;
use crate::failure::{Failure, Result};
use crate::output::table::{Align, Table};
use crate::output::{Format, Output, Report, safe};

/// The story so far.
#[derive(Debug)]
pub(super) struct Account<'a> {
    output: &'a mut Output,
    verbosity: Verbosity,
    begun: Instant,
    verdict: Verdict,
}

/// Everything that was done and found.
#[derive(Debug, Default, Serialize)]
struct Verdict {
    ok: bool,
    seconds: f64,
    steps: Vec<Step>,
    checks: Vec<Check>,
    kept: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Step {
    what: String,
    result: String,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Check {
    what: String,
    expected: String,
    found: String,
    ok: bool,
}

impl<'a> Account<'a> {
    /// Begins to tell.
    pub(super) fn begin(output: &'a mut Output, verbose: bool) -> Self {
        let verbosity = if verbose { Verbosity::EachProgram } else { Verbosity::Quiet };
        let mut account = Self { output, verbosity, begun: Instant::now(), verdict: Verdict::default() };
        account.say("Holdfast demo: one storage server, two hosts, a container on each, one volume in both.\n");
        account
    }

    /// Who wants to see the programs.
    pub(super) const fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    fn say(&mut self, line: &str) {
        self.output.say(line);
    }

    /// Tells a step: what is being done, then what came of it and how long it took.
    ///
    /// # Errors
    /// As the step.
    pub(super) async fn step<T>(&mut self, what: &str, doing: impl Future<Output = Result<(T, String)>>) -> Result<T> {
        self.say(&format!("{:>2}. {what}", self.verdict.steps.len() + 1));
        let begun = Instant::now();
        let (value, result) = doing.await?;
        let took = begun.elapsed();
        for line in result.lines() {
            self.say(&format!("      {line}"));
        }
        self.say(&format!("      [{}]", seconds(took)));
        self.verdict.steps.push(Step { what: what.to_owned(), result, seconds: took.as_secs_f64() });
        Ok(value)
    }

    /// Says more about what was just done or found.
    pub(super) fn remark(&mut self, line: &str) {
        self.say(&format!("      {}", safe(line)));
    }

    /// Notes a check; a difference fails the demo, at its end.
    pub(super) fn check<T: PartialEq + ToString>(&mut self, what: &str, expected: T, found: T) {
        let ok = expected == found;
        self.judge(what, ok, expected.to_string(), found.to_string());
    }

    /// Notes a check that is more than a comparison.
    pub(super) fn judge(&mut self, what: &str, ok: bool, expected: String, found: String) {
        if !ok {
            self.say(&format!("      DIFFERENT: {what}: expected {expected}, found {found}"));
        }
        self.verdict.checks.push(Check { what: what.to_owned(), expected, found, ok });
    }

    /// Tells the verdict.
    ///
    /// # Errors
    /// What went wrong in the telling or the cleaning up, else the checks that found a difference.
    pub(super) fn end(
        mut self,
        told: Result<()>,
        cleaned: Result<Option<PathBuf>>,
        evidence: Option<String>,
    ) -> Result<()> {
        let different = self.verdict.checks.iter().filter(|check| !check.ok).count();
        let (kept, cleaned) = match cleaned {
            Ok(kept) => (kept, Ok(())),
            Err(failure) => (None, Err(failure)),
        };
        self.verdict.ok = told.is_ok() && cleaned.is_ok() && different == 0;
        self.verdict.seconds = self.begun.elapsed().as_secs_f64();
        self.verdict.kept = kept;
        if let Some(evidence) = evidence.filter(|_| self.output.format() == Format::Text) {
            self.output.note(&evidence);
        }
        self.output.report(&self.verdict)?;
        told?;
        cleaned?;
        if different > 0 {
            return Err(Failure::new(format!(
                "{different} of {} checks found a difference",
                self.verdict.checks.len()
            ))
            .hint("run it again with --keep and look at the logs in the directory that it names"));
        }
        Ok(())
    }
}

impl Report for Verdict {
    fn text(&self) -> String {
        let mut table = Table::new(&[
            ("CHECK", Align::Left),
            ("EXPECTED", Align::Right),
            ("FOUND", Align::Right),
            ("VERDICT", Align::Left),
        ]);
        for check in &self.checks {
            let verdict = if check.ok { "same" } else { "DIFFERENT" };
            table.row([check.what.clone(), check.expected.clone(), check.found.clone(), verdict.into()]);
        }
        let kept = self.kept.as_ref().map_or_else(String::new, |path| format!("kept: {}\n", path.display()));
        let verdict = if self.ok { "everything is as it must be" } else { "the demo FAILED" };
        let (checks, time) = (self.checks.len(), seconds(Duration::from_secs_f64(self.seconds)));
        let table = if checks == 0 { String::new() } else { format!("\n{}", table.text(0)) };
        format!("{table}\n{kept}{verdict}: {checks} checks in {time}; nothing is left behind\n")
    }
}

/// `0.42 s`, `12.3 s`
pub(super) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 10.0 { format!("{seconds:.2} s") } else { format!("{seconds:.1} s") }
}
