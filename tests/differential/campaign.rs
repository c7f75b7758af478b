//! Many sequences in a row: counts, shrinks what fails, tells all of it at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use holdfast_tests::random::Random;

use crate::call::{Call, print};
use crate::generate::Generator;
use crate::intended;
use crate::outcome::Outcome;
use crate::run::{Counts, PASSED_OVER, Side, play};
use crate::shrink::{Failure, shrink};

/// Different failures after which a campaign ends.
const FAILURES_MAX: usize = 20;
/// Time for shrinking one of them.
const SHRINKING: Duration = Duration::from_secs(20);

/// What is played.
#[derive(Debug)]
pub(crate) struct Campaign {
    /// From which everything follows.
    pub seed: u64,
    /// Calls to make, at least.
    pub calls: usize,
    /// Kinds of call that are left out; `tmpfile` and `whiteout` are two more.
    pub without: Vec<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Calls made.
    pub calls: usize,
    /// Sequences.
    pub sequences: usize,
    /// By kind of call.
    pub counts: Counts,
    /// Intended differences seen.
    pub allowed: BTreeMap<&'static str, usize>,
    /// The failures, shrunk, one of each kind, and how often each kind came.
    pub failures: Vec<(Failure, usize)>,
    /// How long it took, without shrinking.
    pub took: Duration,
}

impl Campaign {
    /// The first difference, shrunk; none if there is none.
    pub(crate) fn first_failure(&self, volume: &Side, local: &Side) -> Option<Failure> {
        let mut random = Random::new(self.seed);
        let mut calls = 0;
        while calls < self.calls {
            let mut source = Generator::new(random.bits(), 50 + random.index(400), &self.without);
            let played = play(volume, local, &mut source);
            calls += played.steps.len();
            if let Some(difference) = played.difference {
                let failure = Failure { steps: played.steps, difference };
                return Some(shrink(volume, local, failure, SHRINKING));
            }
        }
        None
    }

    /// Plays sequences until enough calls were made.
    pub(crate) fn play(&self, volume: &Side, local: &Side) -> Report {
        let (mut random, mut report) = (Random::new(self.seed), Report::default());
        while report.calls < self.calls && report.failures.len() < FAILURES_MAX {
            let steps = 50 + random.index(400);
            let mut source = Generator::new(random.bits(), steps, &self.without);
            let start = Instant::now();
            let played = play(volume, local, &mut source);
            report.took += start.elapsed();
            report.sequences += 1;
            for (kind, count) in &played.counts {
                let sum = report.counts.entry(kind).or_default();
                for (label, times) in count {
                    *sum.entry(label.clone()).or_default() += times;
                    report.calls += if Outcome::was_made(label) { *times } else { 0 };
                }
            }
            for (name, times) in &played.allowed {
                *report.allowed.entry(name).or_default() += times;
            }
            let Some(difference) = played.difference else { continue };
            if let Some((_, times)) =
                report.failures.iter_mut().find(|(known, _)| known.difference.kind == difference.kind)
            {
                *times += 1;
                continue;
            }
            eprintln!("differs ({}); shrinking {} steps", difference.kind, played.steps.len());
            let failure = Failure { steps: played.steps, difference };
            let failure = if played.hung { failure } else { shrink(volume, local, failure, SHRINKING) };
            eprintln!("{failure}");
            report.failures.push((failure, 1));
            if played.hung {
                break;
            }
        }
        report
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "--- {}", self.difference.kind)?;
        write!(f, "{}", print(&self.steps))?;
        writeln!(f, "# {}", self.difference.text.replace('\n', "\n# "))
    }
}

impl Report {
    fn done(&self, kind: &str) -> usize {
        self.counts.get(kind).and_then(|ends| ends.get("ok")).copied().unwrap_or(0)
    }

    fn table(&self) -> String {
        let mut text = String::new();
        for kind in Call::KINDS {
            let ends = self.counts.get(kind).cloned().unwrap_or_default();
            let mut ends: Vec<(String, usize)> = ends.into_iter().filter(|(label, _)| label != "ok").collect();
            ends.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
            let others: Vec<String> = ends.into_iter().map(|(label, times)| format!("{label} {times}")).collect();
            let _ = writeln!(text, "{kind:<16} ok {:>6}; {}", self.done(kind), others.join(", "));
        }
        let _ = writeln!(text, "intended differences:");
        for allowed in intended::ALL {
            let times = self.allowed.get(allowed.name).copied().unwrap_or(0);
            let _ = writeln!(text, "- {} ({:?}, {times} times): {}", allowed.name, allowed.handling, allowed.reason);
        }
        text
    }

    /// Prints everything; fails where something differed, or too little was tried to tell.
    ///
    /// # Panics
    /// Then.
    pub(crate) fn judge(&self, campaign: &Campaign) {
        eprintln!("{}", self.table());
        let (calls, rate) = (self.calls, self.calls as f64 / self.took.as_secs_f64());
        eprintln!("{calls} calls in {} sequences in {:.1?} ({rate:.0}/s)", self.sequences, self.took);
        for (failure, times) in &self.failures {
            eprintln!("{failure}# {times} times");
        }
        assert!(
            self.failures.is_empty(),
            "{} kinds of difference; HOLDFAST_SEED={}",
            self.failures.len(),
            campaign.seed
        );
        assert!(calls >= campaign.calls, "only {calls} calls were made, {} were asked for", campaign.calls);
        let passed_over = self.allowed.get(PASSED_OVER).copied().unwrap_or(0);
        assert!(passed_over == 0, "{passed_over} differences were passed over by hand");
        let done: usize = Call::KINDS.iter().map(|kind| self.done(kind)).sum();
        assert!(done * 3 > calls, "only {done} of {calls} calls succeeded: this shows little");
        // Of the rarest kind there are a few among a thousand.
        let wanted =
            Call::KINDS.iter().filter(|kind| campaign.calls >= 20_000 && !campaign.without.iter().any(|w| w == *kind));
        let never: Vec<_> = wanted.filter(|kind| self.done(kind) == 0).collect();
        assert!(never.is_empty(), "calls that never succeeded: {never:?}");
    }
}
