#![expect(clippy::unwrap_used, reason = "tests")]

use super::disk::Disk;
use super::harness::{Driver, Plan, hunt};
use super::step::{Access, Answer, Kind, Outcome, Rename, Step, agrees};
use super::*;

fn path(text: &str) -> Path {
    text.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

const ACCESS: Access =
    Access { read: true, write: true, append: false, truncate: false, create: true, exclusive: false };

fn open(slot: usize, at: &str) -> Step {
    Step::Open { slot, path: path(at), mode: 0o644, access: ACCESS }
}

#[test]
fn an_open_file_outlives_its_name() {
    let mut model = Model::new();
    model.run(0, &open(0, "a")).unwrap();
    model.run(0, &Step::Write { slot: 0, offset: 0, len: 3, tag: 1 }).unwrap();
    model.run(1, &Step::Unlink { path: path("a") }).unwrap();
    assert_eq!(model.run(1, &Step::Stat { path: path("a") }), Err(Errno::ENOENT));
    let Ok(Answer::Stat(stat)) = model.run(0, &Step::StatOpen { slot: 0 }) else { panic!() };
    assert_eq!((stat.nlink, stat.size), (0, 3));
    assert!(model.lives(stat.ino));
    model.run(0, &Step::Close { slot: 0 }).unwrap();
    assert!(!model.lives(stat.ino));
}

#[test]
fn a_rename_cannot_go_below_itself() {
    let mut model = Model::new();
    model.run(0, &Step::Mkdir { path: path("a"), mode: 0o755 }).unwrap();
    model.run(0, &Step::Mkdir { path: path("a/b"), mode: 0o755 }).unwrap();
    let rename = |old: &str, new: &str| Step::Rename { old: path(old), new: path(new), how: Rename::Replace };
    assert_eq!(model.run(0, &rename("a", "a/b/c")), Err(Errno::EINVAL));
    assert_eq!(model.run(0, &rename("a/b", "a")), Err(Errno::ENOTEMPTY));
    model.run(0, &rename("a/b", "c")).unwrap();
    let Ok(Answer::Names(names)) = model.run(0, &Step::Readdir { path: path("") }) else { panic!() };
    assert_eq!(names, [("a".to_owned(), Kind::Directory), ("c".to_owned(), Kind::Directory)]);
}

#[test]
fn seeks_may_choose_holes_but_not_hide_data() {
    let step = Step::Seek { slot: 0, offset: 0, hole: false };
    let file = Ok(Answer::Holes(vec![0, 0, 7, 0]));
    for (at, right) in [(0, true), (2, true), (3, false), (4, false)] {
        assert_eq!(agrees(&step, &file, &Ok(Answer::Offset(at))), right, "{at}");
    }
    assert!(!agrees(&step, &file, &Err(Errno::ENXIO)));
}

/// The model itself as the real file system, with a fault if asked for.
struct Twin {
    model: Model,
    faulty: bool,
}

impl Driver for Twin {
    fn run(&mut self, client: usize, step: &Step) -> Outcome {
        match step {
            // Forgets that a longer file has zeros behind its old end.
            Step::Resize { slot, size } if self.faulty && *size > 100_000 => {
                self.model.run(client, &Step::Resize { slot: *slot, size: size - 1 })
            }
            Step::Seek { .. } => Ok(match self.model.run(client, step)? {
                Answer::Holes(bytes) => match step {
                    Step::Seek { offset, hole, .. } if *offset < bytes.len() as u64 => {
                        Answer::Offset(if *hole { bytes.len() as u64 } else { *offset })
                    }
                    _ => return Err(Errno::ENXIO),
                },
                other => other,
            }),
            _ => self.model.run(client, step),
        }
    }
}

const PLAN: Plan = Plan { clients: 2, steps: 3000, disturb_every: None, unique_inodes: true };

#[test]
fn the_harness_passes_a_right_file_system() {
    hunt("twin", 3, &PLAN, || Twin { model: Model::new(), faulty: false });
}

#[test]
#[should_panic(expected = "after cutting down")]
fn the_harness_catches_a_wrong_file_system() {
    hunt("faulty twin", 3, &PLAN, || Twin { model: Model::new(), faulty: true });
}

#[test]
fn the_model_is_what_a_local_disk_does() {
    let mut number = 0;
    let scratch = crate::scratch::Scratch::new("model");
    let plan = Plan { unique_inodes: false, steps: 2000, ..PLAN };
    hunt("local disk", 5, &plan, || {
        number += 1;
        let root = scratch.dir(&format!("run-{number}"));
        Disk::new(vec![root.clone(), root], |_| ())
    });
}
