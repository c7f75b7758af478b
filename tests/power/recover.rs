//! A real server on what a power loss left: it must start, have everything that was acknowledged, nothing
//! that is half, and a volume without a flaw, on which work can go on.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

use holdfast_client::{Client, Endpoint, Token, VolumeRef};
use holdfast_core::error::ErrorKind;
use holdfast_tests::cluster::Cluster;
use holdfast_tests::lossy::{Change, Image, Lossy};
use holdfast_tests::model::harness::Driver as _;
use holdfast_tests::model::step::{Access, Answer, Outcome, Step, fill};
use holdfast_tests::offline::Offline;

use crate::kernel::Kernel;
use crate::trace::{DATA, Mark, VOLUME, options};
use crate::tree::Tree;

/// The lease of servers that recover: they wait that long for the client that the power loss took too. One
/// that is lost because the machine is busy is begun again.
const LEASE: &str = "600ms";
/// How often the volume is read again after the session was lost.
const READS_MAX: usize = 4;

/// What must be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// Whether there must be a volume.
    pub(crate) volume: bool,
    /// One of these must be what it holds.
    pub(crate) marks: &'a [Mark],
}

/// What was found, without a violation.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Which of the marks; `None`: there is no volume, and there need not be one.
    pub(crate) mark: Option<usize>,
    /// Names in the volume.
    pub(crate) names: usize,
    /// What the recovery itself changed and synced.
    pub(crate) record: Vec<Change>,
}

/// Starts a server on a disk and looks at everything.
///
/// # Errors
/// The violation.
pub(crate) fn recover(image: &Image, wanted: Wanted<'_>) -> Result<Recovered, String> {
    let tried = catch_unwind(AssertUnwindSafe(|| attempt(image, wanted)));
    tried.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    })
}

fn attempt(image: &Image, wanted: Wanted<'_>) -> Result<Recovered, String> {
    let disk = Lossy::mount(image.clone());
    let cluster = Rc::new(RefCell::new(Cluster::machine_with(options(&disk, LEASE, ""))));
    let Some(id) = volume_id(&cluster.borrow())? else {
        let record = disk.record();
        cluster.borrow_mut().kill();
        let nothing = Recovered { mark: None, names: 0, record };
        return if wanted.volume { Err("the volume is gone".to_owned()) } else { Ok(nothing) };
    };
    let tree = read(&cluster)?;
    let record = disk.record();
    let mark = find(&tree, wanted.marks)?;
    go_on(&cluster)?;
    cluster.borrow_mut().kill();
    let findings = check_volume(&disk.path().join(DATA).join("volumes").join(&id).join("store"))?;
    if !findings.is_empty() {
        return Err(format!("the check of the volume finds:\n  {}", findings.join("\n  ")));
    }
    Ok(Recovered { mark: Some(mark), names: tree.len(), record })
}

fn volume_id(cluster: &Cluster) -> Result<Option<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut endpoint = Endpoint::plain(cluster.address().parse().unwrap());
    endpoint.token = Some(Token::new(std::fs::read_to_string(cluster.token_file()).unwrap()).unwrap());
    let asked = runtime.block_on(async {
        let name = VolumeRef::Name(VOLUME.parse().unwrap());
        Client::connect(&endpoint).await?.get_volume(&name).await
    });
    match asked {
        Ok(info) => Ok(Some(info.id.to_string())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("the volume cannot be shown: {error}")),
    }
}

/// Reads the volume with a session of its own.
fn read(cluster: &Rc<RefCell<Cluster>>) -> Result<Tree, String> {
    again(|| {
        let mut kernel = begin(cluster)?;
        let tree = Tree::read(&mut |step| kernel.run(0, step), &Vec::new());
        kernel.end().map_err(Failed::Session)?;
        tree.map_err(Failed::Wrong)
    })
}

enum Failed {
    /// Nothing was learned.
    Session(String),
    Wrong(String),
}

fn begin(cluster: &Rc<RefCell<Cluster>>) -> Result<Kernel, Failed> {
    Kernel::open(cluster, VOLUME, 1).map_err(|error| Failed::Wrong(format!("the volume cannot be opened: {error}")))
}

fn again<T>(mut work: impl FnMut() -> Result<T, Failed>) -> Result<T, String> {
    let mut tries = 1;
    loop {
        match work() {
            Ok(done) => return Ok(done),
            Err(Failed::Wrong(text)) => return Err(text),
            Err(Failed::Session(text)) if tries == READS_MAX => return Err(text),
            Err(Failed::Session(_)) => tries += 1,
        }
    }
}

/// Which mark this is.
fn find(tree: &Tree, marks: &[Mark]) -> Result<usize, String> {
    if let Some(at) = marks.iter().rposition(|mark| mark.tree.difference(tree).is_none()) {
        return Ok(at);
    }
    let (first, last) = (&marks[0], &marks[marks.len() - 1]);
    let difference = |mark: &Mark| mark.tree.difference(tree).unwrap_or_default();
    Err(format!(
        "the volume is not as it was after any step that it may be after.\nAcknowledged is {}; it differs:\n{}\
         The last one begun is {}; it differs:\n{}",
        first.what,
        difference(first),
        last.what,
        difference(last)
    ))
}

/// Writes and reads something new: a small and a large file.
fn go_on(cluster: &Rc<RefCell<Cluster>>) -> Result<(), String> {
    again(|| {
        let mut kernel = begin(cluster)?;
        let wrong = |step: &Step, outcome: Outcome| format!("after the power loss {step:?} gives {outcome:?}");
        let mut work = || {
            for (name, len, tag) in [("after-small", 100, 251), ("after-large", 70_000, 252)] {
                let path = vec![name.to_owned()];
                let access =
                    Access { read: true, write: true, append: false, truncate: true, create: true, exclusive: false };
                let steps = [
                    Step::Open { slot: 0, path: path.clone(), mode: 0o600, access },
                    Step::Write { slot: 0, offset: 0, len, tag },
                    Step::Sync { slot: 0 },
                    Step::Close { slot: 0 },
                ];
                for step in &steps {
                    let outcome = kernel.run(0, step);
                    if outcome.is_err() {
                        return Err(wrong(step, outcome));
                    }
                }
                let step = Step::ReadFile { path };
                let outcome = kernel.run(0, &step);
                if outcome != Ok(Answer::Bytes(fill(tag, 0, len))) {
                    return Err(format!("{name} does not read as it was written: {:?}", outcome.err()));
                }
            }
            Ok(())
        };
        let done = work();
        kernel.end().map_err(Failed::Session)?;
        done.map_err(Failed::Wrong)
    })
}

/// The volume's own check, on the files that a server left that was killed.
fn check_volume(store: &Path) -> Result<Vec<String>, String> {
    Offline::open(store)
        .and_then(|volume| volume.findings())
        .map_err(|error| format!("the volume cannot be checked: {error}"))
}
