//! Runs the same steps in the model and in a real file system, and compares every answer, and at
//! the end the whole tree as each client sees it. A failing list of steps is cut down before it
//! is shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::Model;
use super::generate::Generator;
use super::step::{Answer, Kind, Outcome, Step, agrees};
use crate::random;

/// A real file system.
pub trait Driver {
    /// Does one step for one client.
    ///
    /// # Errors
    /// The errno that the caller sees.
    fn run(&mut self, client: usize, step: &Step) -> Outcome;
}

/// What a run did: a run that did nothing proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Steps done.
    pub steps: usize,
    /// Those that succeeded.
    pub succeeded: usize,
    /// Times the server was disturbed.
    pub disturbed: usize,
    /// Inodes in the tree at the end.
    pub tree: usize,
}

/// What a test asks of the model.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Clients that take turns.
    pub clients: usize,
    /// Steps of one run.
    pub steps: usize,
    /// One step in so many disturbs the server.
    pub disturb_every: Option<u64>,
    /// Whether inode numbers are never used again (Holdfast) or may be (ext4).
    pub unique_inodes: bool,
}

/// Compares, and keeps the pairs of inode numbers that must stay pairs.
struct Comparison<D> {
    model: Model,
    driver: D,
    pairs: BTreeMap<u64, u64>,
    unique_inodes: bool,
    counts: Counts,
}

type Steps = Vec<(usize, Step)>;

impl<D: Driver> Comparison<D> {
    fn new(driver: D, plan: &Plan) -> Self {
        let (pairs, counts) = (BTreeMap::new(), Counts::default());
        Self { model: Model::new(), driver, pairs, unique_inodes: plan.unique_inodes, counts }
    }

    fn step(&mut self, client: usize, step: &Step) -> Result<(), String> {
        let expected = self.model.run(client, step);
        let real = self.driver.run(client, step);
        self.counts.steps += 1;
        self.counts.succeeded += usize::from(real.is_ok());
        self.counts.disturbed += usize::from(matches!(step, Step::Disturb(_)));
        if !agrees(step, &expected, &real) {
            return Err(format!(
                "client {client}: {step:?}\n  expected {}\n  was      {}",
                show(&expected),
                show(&real)
            ));
        }
        match (&expected, &real) {
            (Ok(Answer::Stat(expected)), Ok(Answer::Stat(real))) => self.pair(expected.ino, real.ino),
            _ => Ok(()),
        }
    }

    /// The same inode has the same number, always; another has another.
    fn pair(&mut self, model: u64, real: u64) -> Result<(), String> {
        if !self.unique_inodes {
            let lives = &self.model;
            self.pairs.retain(|id, _| lives.lives(*id));
        }
        let known = self.pairs.get(&model);
        if known.is_some_and(|known| *known != real) {
            return Err(format!("inode {} became {real}", self.pairs[&model]));
        }
        if known.is_none() && self.pairs.values().any(|taken| *taken == real) {
            return Err(format!("inode number {real} belongs to two inodes"));
        }
        self.pairs.insert(model, real);
        Ok(())
    }

    /// Compares the whole tree, as this client sees it.
    fn tree(&mut self, client: usize) -> Result<(), String> {
        let paths = self.model.paths();
        self.counts.tree = paths.len();
        for path in paths {
            let kind = self.model.kind(&path);
            self.step(client, &Step::Stat { path: path.clone() })?;
            self.step(client, &Step::ListXattr { path: path.clone() })?;
            if let Ok(Answer::Words(names)) = self.model.run(client, &Step::ListXattr { path: path.clone() }) {
                for name in names {
                    self.step(client, &Step::GetXattr { path: path.clone(), name })?;
                }
            }
            match kind {
                Some(Kind::File) => self.step(client, &Step::ReadFile { path })?,
                Some(Kind::Directory) => self.step(client, &Step::Readdir { path })?,
                Some(Kind::Symlink) => self.step(client, &Step::Readlink { path })?,
                Some(Kind::Fifo) | None => {}
            }
        }
        Ok(())
    }
}

fn show(outcome: &Outcome) -> String {
    match outcome {
        Ok(Answer::Bytes(bytes) | Answer::Holes(bytes)) if bytes.len() > 40 => {
            let first = bytes.iter().position(|byte| *byte != 0);
            format!("{} bytes, hash {:016x}, first not zero at {first:?}", bytes.len(), hash(bytes))
        }
        outcome => format!("{outcome:?}"),
    }
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Runs a list of steps; `Err` has the number of the step that differed.
fn replay<D: Driver>(driver: D, plan: &Plan, steps: &[(usize, Step)]) -> Result<Counts, (usize, String)> {
    let mut run = Comparison::new(driver, plan);
    for (index, (client, step)) in steps.iter().enumerate() {
        run.step(*client, step).map_err(|text| (index, text))?;
    }
    for client in 0..plan.clients {
        run.tree(client).map_err(|text| (steps.len(), format!("at the end, {text}")))?;
    }
    Ok(run.counts)
}

/// Steps that the generator makes from a seed.
fn generate(seed: u64, plan: &Plan) -> Steps {
    let mut model = Model::new();
    let mut generator = Generator::new(seed, plan.clients, plan.disturb_every);
    let mut steps = Vec::with_capacity(plan.steps);
    for _ in 0..plan.steps {
        let (client, step) = generator.next(&model);
        let _ = model.run(client, &step);
        steps.push((client, step));
    }
    steps
}

/// Leaves out whatever is not needed to fail, as far as a minute goes.
fn shrink<D: Driver>(mut steps: Steps, plan: &Plan, fresh: &mut dyn FnMut() -> D) -> (Steps, Option<String>) {
    let start = Instant::now();
    let mut text = None;
    let mut piece = steps.len().div_ceil(2);
    while piece > 0 && start.elapsed() < Duration::from_secs(60) {
        let mut at = 0;
        while at < steps.len() && start.elapsed() < Duration::from_secs(60) {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + piece).min(steps.len()));
            match replay(fresh(), plan, &fewer) {
                Ok(_) => at += piece,
                Err((index, found)) => {
                    fewer.truncate(index + 1);
                    (steps, text) = (fewer, Some(found));
                }
            }
        }
        piece /= 2;
    }
    (steps, text)
}

/// Runs random steps in `runs` fresh file systems, each with a seed of its own.
///
/// # Panics
/// When an answer or a tree differs: shows the seed and the shortest steps that it found. Also
/// when the runs did not do what they are for.
pub fn hunt<D: Driver>(name: &str, runs: usize, plan: &Plan, mut fresh: impl FnMut() -> D) {
    let first = random::seed(name);
    let mut sum = Counts::default();
    for seed in (first..).take(runs) {
        let steps = generate(seed, plan);
        match replay(fresh(), plan, &steps) {
            Ok(counts) => {
                sum.steps += counts.steps;
                sum.succeeded += counts.succeeded;
                sum.disturbed += counts.disturbed;
                sum.tree += counts.tree;
            }
            Err((index, text)) => {
                let failing = steps[..(index + 1).min(steps.len())].to_vec();
                let (short, shorter) = shrink(failing, plan, &mut fresh);
                let mut list = String::new();
                for (client, step) in &short {
                    let _ = writeln!(list, "  client {client}: {step:?}");
                }
                let shorter = shorter.map_or_else(String::new, |text| format!("\nafter cutting down:\n{text}"));
                let list = list.replace(&"n".repeat(255), "<255 n>");
                panic!("{name}: HOLDFAST_SEED={seed}, step {index}:\n{text}{shorter}\nsteps:\n{list}");
            }
        }
    }
    eprintln!("{name}: {runs} runs, {sum:?}");
    assert!(sum.succeeded * 3 > sum.steps, "{name}: most steps failed, so little was compared: {sum:?}");
    assert!(sum.tree > runs, "{name}: the trees were empty: {sum:?}");
    assert!(plan.disturb_every.is_none() || sum.disturbed > 0, "{name}: the server was never disturbed");
}
