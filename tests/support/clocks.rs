//! Clocks of one process that jump and stand still, while those of the machine go on.
//!
//! A small library (`clocks.c`) is preloaded into the process. Only the two clocks that Holdfast reads are
//! changed: wall time and boot time. Timers and the kernel keep the machine's.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::command::{program, run};
use crate::scratch::Scratch;
use crate::wait;

/// What the file says, as in `clocks.c`; eight bytes each.
#[derive(Clone, Copy, Debug)]
enum Field {
    WallAhead,
    BootAhead,
    BootStandsAt,
    WallReads,
    BootReads,
}

/// The clocks of a process. All clones are one.
#[derive(Clone, Debug)]
pub struct Clocks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: File,
    scratch: Scratch,
}

impl Clocks {
    /// Clocks that are the machine's until they are told otherwise.
    ///
    /// # Panics
    /// When the library cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let scratch = Scratch::new("clocks");
        let source = scratch.path().join("clocks.c");
        fs::write(&source, include_str!("clocks.c")).unwrap_or_else(|error| panic!("cannot write clocks.c: {error}"));
        let mut compile = program(&["cc", "-std=gnu11", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]);
        compile.arg(scratch.path().join("clocks.so")).arg(&source);
        let _ = run(compile).ok();
        let path = scratch.path().join("clocks");
        let file = File::options().read(true).write(true).create_new(true).open(path);
        let file = file.unwrap_or_else(|error| panic!("no file of clocks: {error}"));
        file.set_len(8 * (Field::BootReads as u64 + 1)).unwrap_or_else(|error| panic!("no file of clocks: {error}"));
        Self(Arc::new(Inner { file, scratch }))
    }

    /// The process that this command starts has these clocks.
    pub fn give(&self, command: &mut Command) {
        let path = |name: &str| -> PathBuf { self.0.scratch.path().join(name) };
        command.env("LD_PRELOAD", path("clocks.so")).env("CLOCKS_OF_THIS_PROCESS", path("clocks"));
    }

    /// The wall clock shows so many seconds more than the machine's, or fewer.
    pub fn set_wall(&self, ahead_secs: i64) {
        self.put(Field::WallAhead, ahead_secs * 1_000_000_000);
    }

    /// The boot-time clock stands still, as the process does while its machine sleeps.
    ///
    /// # Panics
    /// When the machine has no such clock.
    pub fn stop_boot(&self) {
        let now =
            clock_gettime(ClockId::CLOCK_BOOTTIME).map_or_else(|error| panic!("no boot time: {error}"), Duration::from);
        self.put(Field::BootStandsAt, nanos(now) + self.get(Field::BootAhead));
    }

    /// The boot-time clock goes on, and is ahead by so much more: the machine has slept for that long.
    pub fn jump_boot(&self, by: Duration) {
        self.put(Field::BootAhead, self.get(Field::BootAhead) + nanos(by));
        self.put(Field::BootStandsAt, 0);
    }

    /// Waits until the process has looked at its wall clock as it is now.
    #[track_caller]
    pub fn until_wall_is_read(&self) {
        self.until_read(Field::WallReads);
    }

    /// The same of its boot-time clock.
    #[track_caller]
    pub fn until_boot_is_read(&self) {
        self.until_read(Field::BootReads);
    }

    #[track_caller]
    fn until_read(&self, reads: Field) {
        let before = self.get(reads);
        wait::until_true("a look at a clock", wait::SOON, || self.get(reads) > before);
    }

    fn get(&self, field: Field) -> i64 {
        let mut bytes = [0; 8];
        let read = self.0.file.read_exact_at(&mut bytes, field as u64 * 8);
        read.unwrap_or_else(|error| panic!("cannot read {field:?}: {error}"));
        i64::from_ne_bytes(bytes)
    }

    fn put(&self, field: Field, value: i64) {
        let written = self.0.file.write_all_at(&value.to_ne_bytes(), field as u64 * 8);
        written.unwrap_or_else(|error| panic!("cannot write {field:?}: {error}"));
    }
}

impl Default for Clocks {
    fn default() -> Self {
        Self::new()
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
