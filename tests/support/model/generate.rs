//! Random steps. They look at the model, so that most of them meet something; the steps that come
//! out are plain values, so that a failing list can be cut down and replayed.

use super::Model;
use super::step::{Access, Allocate, Disturb, Kind, Path, Rename, Step, Time};
use crate::random::Random;

/// Open files of each client.
pub const SLOTS: usize = 4;
/// Longest file that is made.
const SIZE_MAX: u64 = 300_000;
const DEPTH_MAX: usize = 4;
const PATHS_MAX: usize = 120;
const XATTRS: &[&str] = &["user.a", "user.b", "user.much-longer-name-of-an-attribute", "trusted.c"];

/// Makes steps.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    clients: usize,
    /// One step in so many is a disturbance; none: never.
    disturb_every: Option<u64>,
    names: Vec<String>,
}

impl Generator {
    /// For so many clients.
    #[must_use]
    pub fn new(seed: u64, clients: usize, disturb_every: Option<u64>) -> Self {
        let mut names: Vec<String> = ["a", "b", "c", "d", "e", "f g", "ü"].map(str::to_owned).to_vec();
        names.push("n".repeat(255));
        Self { random: Random::new(seed), clients, disturb_every, names }
    }

    /// The next step, and which client does it.
    pub fn next(&mut self, model: &Model) -> (usize, Step) {
        let client = self.random.index(self.clients);
        if let Some(every) = self.disturb_every
            && self.random.below(every) == 0
        {
            return (client, Step::Disturb(*self.random.pick(&[Disturb::Restart, Disturb::Kill, Disturb::Kill])));
        }
        let paths = model.paths();
        let step =
            if self.random.percent(50) { self.handle_step(model, &paths) } else { self.name_step(model, &paths) };
        (client, step)
    }

    /// A path that is there.
    fn old(&mut self, paths: &[Path]) -> Path {
        self.random.pick(paths).clone()
    }

    /// A path in a directory that is there (mostly), which may be free or taken.
    fn new_path(&mut self, model: &Model, paths: &[Path]) -> Path {
        let dirs: Vec<&Path> =
            paths.iter().filter(|path| path.len() < DEPTH_MAX && model.kind(path) == Some(Kind::Directory)).collect();
        let mut path = if self.random.percent(95) { (*self.random.pick(&dirs)).clone() } else { self.old(paths) };
        path.push(if self.random.percent(1) { "n".repeat(256) } else { self.random.pick(&self.names).clone() });
        path
    }

    /// A path to be used up: mostly there, never the root.
    fn some(&mut self, model: &Model, paths: &[Path]) -> Path {
        if paths.len() > 1 && self.random.percent(85) {
            self.random.pick(&paths[1..]).clone()
        } else {
            self.new_path(model, paths)
        }
    }

    fn offset(&mut self) -> u64 {
        let near = self.random.below(200);
        match self.random.below(6) {
            0 => near,
            1 => self.random.below(20_000),
            2 => 4096 * self.random.below(40),
            3 => (65_536 * self.random.below(4) + 100).saturating_sub(near),
            _ => self.random.below(SIZE_MAX - 70_000),
        }
    }

    fn len(&mut self) -> u64 {
        match self.random.below(8) {
            0 => 1,
            1 => 4096,
            2 => 65_536,
            3 => 65_536 + 1 + self.random.below(5000),
            4 => 1 + self.random.below(60_000),
            _ => 1 + self.random.below(5000),
        }
    }

    fn time(&mut self) -> Time {
        let secs = [0, -1_000_000, 1_600_000_000, 5_000_000_000, 1_700_000_000];
        let nanos = u32::try_from(self.random.below(1_000_000_000)).unwrap_or(0);
        Time { secs: *self.random.pick(&secs), nanos: if self.random.percent(30) { 0 } else { nanos } }
    }

    fn mode(&mut self) -> u32 {
        // Not sticky and writable by all: there fs.protected_regular refuses opens, which is the
        // kernel's doing and a setting of the machine.
        *self.random.pick(&[0o644, 0o600, 0o755, 0o777, 0o4755, 0o2755, 0o2745, 0o1755, 0o000, 0o6711])
    }

    fn name_step(&mut self, model: &Model, paths: &[Path]) -> Step {
        let full = paths.len() > PATHS_MAX;
        match self.random.below(100) {
            0..12 if !full => Step::Mkdir { path: self.new_path(model, paths), mode: self.mode() & 0o777 },
            12..14 if !full => Step::Mkfifo { path: self.new_path(model, paths), mode: self.mode() & 0o777 },
            14..18 if !full => {
                let target = *self.random.pick(&["nowhere", "no/where", "../nowhere/at/all"]);
                let long = self.random.percent(10);
                Step::Symlink {
                    path: self.new_path(model, paths),
                    target: if long { format!("nowhere/{}", "l/".repeat(1000)) } else { target.to_owned() },
                }
            }
            18..26 if !full => Step::Link { old: self.old(paths), new: self.new_path(model, paths) },
            0..36 => Step::Unlink { path: self.some(model, paths) },
            36..42 => Step::Rmdir { path: self.some(model, paths) },
            42..56 => {
                let new = if self.random.percent(50) { self.some(model, paths) } else { self.new_path(model, paths) };
                let how = *self.random.pick(&[Rename::Replace, Rename::Replace, Rename::NoReplace, Rename::Exchange]);
                Step::Rename { old: self.some(model, paths), new, how }
            }
            56..64 => Step::Stat { path: self.old(paths) },
            64..70 => Step::Readdir { path: self.old(paths) },
            70..72 => Step::Readlink { path: self.old(paths) },
            72..78 => Step::ReadFile { path: self.old(paths) },
            78..82 => Step::Chmod { path: self.old(paths), mode: self.mode() },
            82..85 => {
                let id = [0, 1000, 65_534];
                Step::Chown { path: self.old(paths), uid: *self.random.pick(&id), gid: *self.random.pick(&id) }
            }
            85..88 => Step::Utimens { path: self.old(paths), atime: self.time(), mtime: self.time() },
            88..91 => Step::Truncate { path: self.old(paths), size: self.offset() },
            _ => self.xattr_step(paths),
        }
    }

    fn xattr_step(&mut self, paths: &[Path]) -> Step {
        let (path, name) = (self.old(paths), (*self.random.pick(XATTRS)).to_owned());
        match self.random.below(10) {
            0..5 => {
                let tag = u8::try_from(self.random.below(256)).unwrap_or(0);
                let len = *self.random.pick(&[0, 1, 20, 300]);
                let (create, replace) =
                    *self.random.pick(&[(false, false), (false, false), (true, false), (false, true)]);
                Step::SetXattr { path, name, len, tag, create, replace }
            }
            5..7 => Step::GetXattr { path, name },
            7..9 => Step::ListXattr { path },
            _ => Step::RemoveXattr { path, name },
        }
    }

    fn handle_step(&mut self, model: &Model, paths: &[Path]) -> Step {
        let slot = self.random.index(SLOTS);
        let tag = u8::try_from(self.random.below(256)).unwrap_or(0);
        match self.random.below(100) {
            0..22 => {
                let create = self.random.percent(50) && paths.len() <= PATHS_MAX;
                let path = if create { self.new_path(model, paths) } else { self.some(model, paths) };
                let (read, write) = *self.random.pick(&[(true, true), (true, true), (true, false), (false, true)]);
                let append = write && self.random.percent(20);
                let access = Access {
                    read,
                    write,
                    append,
                    truncate: write && self.random.percent(20),
                    create,
                    exclusive: create && self.random.percent(20),
                };
                Step::Open { slot, path, mode: self.mode(), access }
            }
            22..28 => Step::Close { slot },
            28..48 => Step::Write { slot, offset: self.offset(), len: self.len(), tag },
            48..66 => Step::Read { slot, offset: self.offset(), len: self.len() },
            66..71 => Step::Resize { slot, size: self.offset() },
            71..79 => {
                let how = *self.random.pick(&[Allocate::Reserve, Allocate::Punch, Allocate::Zero]);
                let keep_size = how == Allocate::Punch || self.random.percent(50);
                Step::Allocate { slot, how, offset: self.offset(), len: self.len(), keep_size }
            }
            79..85 => Step::Copy {
                from: self.random.index(SLOTS),
                from_offset: self.offset(),
                to: slot,
                to_offset: self.offset(),
                len: self.len(),
            },
            85..90 => Step::Seek { slot, offset: self.offset(), hole: self.random.percent(50) },
            90..96 => Step::StatOpen { slot },
            _ => Step::Sync { slot },
        }
    }
}
