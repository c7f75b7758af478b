//! Names of a directory: made, moved, taken away, looked up and listed.

use std::fs;
use std::io::{self, ErrorKind};

use holdfast_tests::linear::objects::NamesCall;
use holdfast_tests::linear::{End, Entry};

use super::{Call, Client, NAMES};

impl Client<'_> {
    /// Changes or looks at one name, or lists all. What a name leads to is the text of a symbolic link, since
    /// that is there from the moment that the name is.
    pub(super) fn names(&mut self, object: usize) {
        let dir = self.dir(object);
        let (name, other) = (self.random.index(NAMES), self.random.index(NAMES));
        let what = self.random.below(100);
        let at = |name: usize| dir.join(format!("n{name}"));
        let (thing, sync, begun) = (self.fresh(), self.syncs(), self.now());
        let changed = |done: io::Result<()>, refused: ErrorKind| match done {
            Ok(()) => self.sync_dir(object, sync).map(|()| true),
            Err(error) if error.kind() == refused => Ok(false),
            Err(error) => Err(error),
        };
        match what {
            0..20 => {
                let done = changed(std::os::unix::fs::symlink(thing.to_string(), at(name)), ErrorKind::AlreadyExists);
                self.note_change(object, &done, begun, |done, _| NamesCall::Make { name, thing, done });
            }
            20..32 => {
                let done = changed(fs::remove_file(at(name)), ErrorKind::NotFound);
                self.note_change(object, &done, begun, |done, _| NamesCall::Remove { name, done });
            }
            32..60 if name != other => {
                let done = changed(fs::rename(at(name), at(other)), ErrorKind::NotFound);
                self.note_change(object, &done, begun, |done, ended| {
                    let during = (begun, ended);
                    NamesCall::Move { from: name, to: other, done, during }
                });
            }
            60..75 => {
                let listed: io::Result<Vec<_>> =
                    fs::read_dir(&dir).and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect());
                let end = self.end("listing", &listed);
                // Each name for itself: a listing is not one moment.
                for name in (0..NAMES).filter(|_| listed.is_ok()) {
                    let there = listed.iter().flatten().any(|found| *found == *format!("n{name}"));
                    self.note_names(object, NamesCall::Lists { name, there }, begun, end);
                }
            }
            _ => match fs::read_link(at(name)) {
                Err(error) if error.kind() != ErrorKind::NotFound => self.errors.push(format!("readlink: {error}")),
                found => {
                    let end = End::Answered(self.now());
                    let found = found.ok().and_then(|target| target.to_str()?.parse().ok());
                    self.note_names(object, NamesCall::Look { name, found }, begun, end);
                }
            },
        }
    }

    fn note_change(
        &mut self,
        object: usize,
        done: &io::Result<bool>,
        begun: u64,
        call: impl Fn(bool, u64) -> NamesCall,
    ) {
        let end = self.end("change of names", done);
        let ended = self.now();
        self.note_names(object, call(*done.as_ref().unwrap_or(&true), ended), begun, end);
    }

    fn note_names(&mut self, object: usize, call: NamesCall, begun: u64, end: End) {
        self.calls.push((object, Call::Names(Entry { client: self.number, call, begun, end })));
    }
}
