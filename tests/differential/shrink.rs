//! Makes a failing sequence as short as it gets: leaves steps out, in ever smaller pieces, as long
//! as what is left still shows the same kind of difference; then simplifies single steps.

use std::time::{Duration, Instant};

use crate::call::{Call, Step, USERS};
use crate::run::{Difference, Script, Side, play};

/// A sequence that fails, and how.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The steps; the last one differs, or the tree after it.
    pub steps: Vec<Step>,
    /// How.
    pub difference: Difference,
}

struct Shrinker<'a> {
    volume: &'a Side,
    local: &'a Side,
    best: Failure,
    until: Instant,
}

/// Shrinks for at most this long. What hangs is left as it is.
pub(crate) fn shrink(volume: &Side, local: &Side, failure: Failure, limit: Duration) -> Failure {
    let mut shrinker = Shrinker { volume, local, best: failure, until: Instant::now() + limit };
    while shrinker.leave_out() | shrinker.simplify() {}
    shrinker.best
}

impl Shrinker<'_> {
    fn fails(&mut self, steps: &[Step]) -> bool {
        if Instant::now() > self.until {
            return false;
        }
        let played = play(self.volume, self.local, &mut Script(steps.iter()));
        match played.difference {
            Some(difference) if difference.kind == self.best.difference.kind && !played.hung => {
                self.best = Failure { steps: played.steps, difference };
                true
            }
            _ => false,
        }
    }

    fn leave_out(&mut self) -> bool {
        let (start, mut piece) = (self.best.steps.len(), self.best.steps.len() / 2);
        while piece > 0 {
            // From the end, as what matters most is near it.
            let mut end = self.best.steps.len();
            while end > 0 {
                let from = end.saturating_sub(piece);
                let mut fewer = self.best.steps.clone();
                fewer.drain(from..end.min(fewer.len()));
                let _ = self.fails(&fewer);
                end = from.min(self.best.steps.len());
            }
            piece /= 2;
        }
        self.best.steps.len() < start
    }

    fn simplify(&mut self) -> bool {
        let mut simpler = false;
        for at in 0..self.best.steps.len() {
            let Some(step) = self.best.steps.get(at).cloned() else { break };
            for changed in variants(&step) {
                let mut steps = self.best.steps.clone();
                if steps.get(at).is_some_and(|step| *step != changed) {
                    steps[at] = changed;
                    simpler |= self.fails(&steps);
                }
            }
        }
        simpler
    }
}

/// The same step, unwatched, by a simpler caller, or with less data.
fn variants(step: &Step) -> Vec<Step> {
    let mut variants = Vec::new();
    if step.watch {
        variants.push(Step { watch: false, ..step.clone() });
    }
    for user in 0..step.actor.user.min(USERS.len()) {
        let mut by_another = step.clone();
        by_another.actor.user = user;
        variants.push(by_another);
    }
    if step.actor.mount == 1 {
        let mut on_a = step.clone();
        on_a.actor.mount = 0;
        variants.push(on_a);
    }
    if step.actor.process == 1 {
        let mut in_first = step.clone();
        in_first.actor.process = 0;
        variants.push(in_first);
    }
    let shorter = match &step.call {
        Call::Write { slot, len, .. } if *len > 10 => Some(Call::Write { slot: *slot, len: 10, seed: 1 }),
        Call::Pwrite { slot, offset, len, .. } if *len > 10 => {
            Some(Call::Pwrite { slot: *slot, offset: *offset, len: 10, seed: 1 })
        }
        _ => None,
    };
    variants.extend(shorter.map(|call| Step { call, ..step.clone() }));
    variants
}
