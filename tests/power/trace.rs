//! A server on a disk that is recorded, a client that works on a volume of it, and at which place of the
//! record what was begun and what was acknowledged.

use std::cell::RefCell;
use std::rc::Rc;

use holdfast_tests::cluster::{Cluster, Options};
use holdfast_tests::lossy::{Change, Image, Lossy};
use holdfast_tests::model::Model;
use holdfast_tests::model::harness::Driver as _;
use holdfast_tests::model::step::{Step, agrees};

use crate::kernel::Kernel;
use crate::sequence::{self, Sequence, Syncs};
use crate::tree::Tree;

/// The volume's name.
pub(crate) const VOLUME: &str = "power";
/// The server's data directory on the disk: not its root, so that its own name must be synced too.
pub(crate) const DATA: &str = "data";

/// The volume after a step.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Where the record was when the step began: before that it cannot have happened.
    pub(crate) begun: usize,
    pub(crate) what: String,
    pub(crate) tree: Tree,
}

/// What was done, and what was promised.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) record: Vec<Change>,
    /// In the volume's order; the first is the empty volume.
    pub(crate) marks: Vec<Mark>,
    /// From this place of the record on there must be a volume.
    pub(crate) volume_from: usize,
    /// From which place on which mark is acknowledged, in order.
    pub(crate) acknowledged: Vec<(usize, usize)>,
    pub(crate) sequences: Vec<Sequence>,
}

/// How a server of these tests is started.
pub(crate) fn options(disk: &Lossy, lease: &str, failpoints: &str) -> Options {
    let words = vec![format!("--lease={lease}"), "--log=info".to_owned()];
    let armed = (!failpoints.is_empty()).then(|| ("HOLDFAST_FAILPOINTS".to_owned(), failpoints.to_owned()));
    let environment = armed.into_iter().collect();
    Options { data: Some(disk.path().join(DATA)), words, environment, ..Options::default() }
}

impl Trace {
    /// Runs some sequences, with these failpoints armed in the server.
    pub(crate) fn make(sequences: &[Sequence], failpoints: &str) -> Self {
        let disk = Lossy::mount(Image::default());
        let cluster = Rc::new(RefCell::new(Cluster::machine_with(options(&disk, "5s", failpoints))));
        let mut run = Run {
            kernel: Kernel::new(&cluster, VOLUME, 1),
            model: Model::new(),
            trace: Self { volume_from: disk.recorded(), sequences: sequences.to_vec(), ..Self::default() },
            disk: &disk,
        };
        run.mark(0, "a new volume", None);
        run.step(&sequence::anchor(), None);
        for (number, sequence) in sequences.iter().enumerate() {
            run.sequence(number, sequence);
        }
        let (mut kernel, mut trace) = (run.kernel, run.trace);
        kernel.end().unwrap();
        drop(kernel);
        // Half of the servers stop in order, half at once: what they sync at the end is recorded too.
        let last = trace.marks.len() - 1;
        if last % 2 == 0 {
            cluster.borrow_mut().stop();
            trace.acknowledged.push((disk.recorded(), last));
        } else {
            cluster.borrow_mut().kill();
        }
        trace.record = disk.record();
        trace
    }

    /// What a power loss at a place of the record may leave: the first and the last of the marks.
    pub(crate) fn allowed(&self, place: usize) -> (usize, usize) {
        let first = self.acknowledged.iter().rev().find(|(from, _)| *from <= place).map_or(0, |(_, mark)| *mark);
        let last = self.marks.iter().rposition(|mark| mark.begun < place).unwrap_or(0);
        (first, last)
    }

    /// The places at which something became durable.
    pub(crate) fn syncs(&self) -> Vec<usize> {
        let sync = |change: &Change| matches!(change, Change::SyncFile(_) | Change::SyncDirectory(_));
        (0..self.record.len()).filter(|at| sync(&self.record[*at])).collect()
    }
}

struct Run<'a> {
    kernel: Kernel,
    model: Model,
    trace: Trace,
    disk: &'a Lossy,
}

impl Run<'_> {
    fn sequence(&mut self, number: usize, sequence: &Sequence) {
        let directory = format!("s{number}");
        let tag = |act: usize| u8::try_from((number * 7 + act) % 250 + 1).unwrap();
        for step in sequence::set_up(&directory, tag(0)) {
            self.step(&step, Some(&directory));
        }
        self.sync();
        for (at, act) in sequence.acts.iter().enumerate() {
            for step in sequence::steps(*act, &directory, tag(at + 1)) {
                self.step(&step, Some(&directory));
            }
            if sequence.syncs == Syncs::AfterEach || at + 1 == sequence.acts.len() {
                self.sync();
            }
        }
    }

    fn step(&mut self, step: &Step, directory: Option<&str>) {
        let begun = self.disk.recorded();
        let expected = self.model.run(0, step);
        let real = self.kernel.run(0, step);
        assert!(agrees(step, &expected, &real), "{step:?} should give {expected:?}, and gave {real:?}");
        if real.is_ok() && !matches!(step, Step::Close { .. }) {
            self.mark(begun, &format!("{step:?}"), directory);
        }
    }

    fn mark(&mut self, begun: usize, what: &str, directory: Option<&str>) {
        let model = &mut self.model;
        let mut read = |path: &[String]| Tree::read(&mut |step| model.run(0, step), &path.to_vec()).unwrap();
        let tree = match (directory, self.trace.marks.last()) {
            (Some(directory), Some(last)) => {
                let below = read(&[directory.to_owned()]);
                last.tree.with(read_root(&mut self.model), directory, below)
            }
            _ => read(&[]),
        };
        self.trace.marks.push(Mark { begun, what: what.to_owned(), tree });
    }

    fn sync(&mut self) {
        let last = self.trace.marks.len() - 1;
        let synced = self.kernel.run(0, &Step::Sync { slot: sequence::ANCHOR });
        synced.unwrap_or_else(|error| panic!("fsync: {error}"));
        self.trace.acknowledged.push((self.disk.recorded(), last));
    }
}

/// The root directory alone: its links count the directories in it.
fn read_root(model: &mut Model) -> Tree {
    let mut only_root = |step: &Step| match step {
        Step::Readdir { .. } => Ok(holdfast_tests::model::step::Answer::Names(Vec::new())),
        step => model.run(0, step),
    };
    Tree::read(&mut only_root, &Vec::new()).unwrap()
}
