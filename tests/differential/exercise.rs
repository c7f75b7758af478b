//! One file under heavy use from two mounts in turn, checked against an image in memory.
//!
//! The idea is that of fsx, the file system exerciser: every operation on one file is also done to
//! an array of bytes, and each read must show what the array has. Here operations alternate at
//! random between two mounts, each with handles of its own, so that every read after a change by
//! the other mount is a check of coherence: of size, of cached pages, and of mapped ones.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use holdfast_tests::random::Random;
use nix::fcntl::{FallocateFlags, copy_file_range, fallocate};

use crate::sys::Mapping;

/// The file never gets longer than this.
const LEN_MAX: usize = 256 << 10;
/// Changes that are told when a check fails.
const TOLD: usize = 24;

/// What is done to the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Read,
    MapRead,
    KeptMapRead,
    Write,
    MapWrite,
    Append,
    Truncate,
    Extend,
    Reserve,
    Punch,
    Zero,
    Copy,
    Sync,
    Reopen,
    Size,
}

const KINDS: [(u64, Kind); 15] = [
    (16, Kind::Read),
    (8, Kind::MapRead),
    (8, Kind::KeptMapRead),
    (20, Kind::Write),
    (8, Kind::MapWrite),
    (4, Kind::Append),
    (5, Kind::Truncate),
    (3, Kind::Extend),
    (3, Kind::Reserve),
    (5, Kind::Punch),
    (4, Kind::Zero),
    (5, Kind::Copy),
    (2, Kind::Sync),
    (4, Kind::Reopen),
    (4, Kind::Size),
];

/// A mount with its handles on the file.
struct Host {
    path: PathBuf,
    file: File,
    append: File,
    /// A mapping that stays, so that its pages must follow what the other mount does.
    kept: Option<Mapping>,
}

impl Host {
    fn new(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let append = OpenOptions::new().append(true).open(&path)?;
        let kept = Some(Mapping::new(file.as_fd(), 0, LEN_MAX, false, true)?);
        Ok(Self { path, file, append, kept })
    }
}

/// The exerciser.
pub(crate) struct Exercise {
    hosts: Vec<Host>,
    image: Vec<u8>,
    random: Random,
    counts: BTreeMap<Kind, usize>,
    told: Vec<String>,
}

impl Exercise {
    /// On the file at these paths, one for each mount.
    pub(crate) fn new(paths: &[PathBuf], seed: u64) -> io::Result<Self> {
        let hosts = paths.iter().cloned().map(Host::new).collect::<io::Result<Vec<_>>>()?;
        Ok(Self { hosts, image: Vec::new(), random: Random::new(seed), counts: BTreeMap::new(), told: Vec::new() })
    }

    /// Does this many things.
    ///
    /// # Panics
    /// At the first that does not show what the image has: says what was done last.
    pub(crate) fn run(&mut self, times: usize) {
        for time in 0..times {
            if let Err(error) = self.one() {
                panic!("operation {time}: {error}\nlast of what was done:\n{}", self.told.join("\n"));
            }
        }
        for (kind, _) in KINDS.map(|(weight, kind)| (kind, weight)) {
            let times = self.counts.get(&kind).copied().unwrap_or(0);
            eprintln!("{kind:?}: {times}");
            assert!(times > 0, "{kind:?} was never done");
        }
        assert_eq!(self.counts.values().sum::<usize>(), times);
    }

    fn kind(&mut self) -> Kind {
        let mut at = self.random.below(KINDS.iter().map(|(weight, _)| weight).sum());
        for (weight, kind) in KINDS {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        Kind::Read
    }

    /// Where: anywhere, but often at the edges of pages and of what is written inline.
    fn place(&mut self, limit: usize) -> usize {
        let place = match self.random.below(10) {
            0..3 => self.random.index(LEN_MAX) / 4096 * 4096,
            3 => 65_535 + self.random.index(3),
            _ => self.random.index(LEN_MAX),
        };
        place.min(limit)
    }

    fn len(&mut self) -> usize {
        match self.random.below(10) {
            0..5 => 1 + self.random.index(5000),
            5..8 => 4096 * (1 + self.random.index(4)),
            _ => 1 + self.random.index(80_000),
        }
    }

    fn one(&mut self) -> Result<(), String> {
        let (kind, host) = (self.kind(), self.random.index(self.hosts.len()));
        let at = self.place(LEN_MAX - 1);
        let len = self.len().min(LEN_MAX - at);
        if self.told.len() == TOLD {
            self.told.remove(0);
        }
        let name = ["A", "B"].get(host).copied().unwrap_or("?");
        self.told.push(format!("  {name} {kind:?} {at}+{len} (size {})", self.image.len()));
        *self.counts.entry(kind).or_default() += 1;
        let result = match kind {
            Kind::Read | Kind::MapRead | Kind::KeptMapRead | Kind::Size => self.look(kind, host, at, len),
            Kind::Write | Kind::MapWrite | Kind::Append | Kind::Copy => self.put(kind, host, at, len),
            Kind::Truncate | Kind::Extend | Kind::Reserve | Kind::Punch | Kind::Zero => self.shape(kind, host, at, len),
            Kind::Sync => self.hosts[host].file.sync_data().map_err(|error| error.to_string()),
            Kind::Reopen => self.reopen(host),
        };
        result.map_err(|error| format!("{name} {kind:?} {at}+{len}: {error}"))
    }

    /// The bytes that the image has there.
    fn wanted(&self, at: usize, len: usize) -> &[u8] {
        &self.image[at.min(self.image.len())..(at + len).min(self.image.len())]
    }

    fn compare(&self, at: usize, got: &[u8], wanted: &[u8]) -> Result<(), String> {
        if got.len() != wanted.len() {
            return Err(format!("{} bytes instead of {} (size {})", got.len(), wanted.len(), self.image.len()));
        }
        match got.iter().zip(wanted).position(|(got, wanted)| got != wanted) {
            None => Ok(()),
            Some(first) => {
                let wrong = got.iter().zip(wanted).filter(|(got, wanted)| got != wanted).count();
                let (place, got, wanted) = (at + first, got[first], wanted[first]);
                Err(format!("{wrong} bytes are wrong, the first at {place}: {got:02x} instead of {wanted:02x}"))
            }
        }
    }

    fn look(&mut self, kind: Kind, host: usize, at: usize, len: usize) -> Result<(), String> {
        let text = |error: nix::errno::Errno| error.to_string();
        if kind == Kind::Size {
            let told = self.hosts[host].file.metadata().map_err(|error| error.to_string())?.len();
            let size = self.image.len() as u64;
            return if told == size { Ok(()) } else { Err(format!("size {told} instead of {size}")) };
        }
        if kind == Kind::Read {
            let mut buffer = vec![0; len];
            let got = self.hosts[host].file.read_at(&mut buffer, at as u64).map_err(|error| error.to_string())?;
            return self.compare(at, &buffer[..got], self.wanted(at, len));
        }
        // Within what is there: after the end of a file there are no pages.
        let wanted = self.wanted(at, len).to_vec();
        if wanted.is_empty() {
            return Ok(());
        }
        let file = &self.hosts[host].file;
        let fresh = if kind == Kind::MapRead {
            Some(Mapping::new(file.as_fd(), 0, LEN_MAX, false, true).map_err(text)?)
        } else {
            None
        };
        let mapping = fresh.as_ref().or(self.hosts[host].kept.as_ref()).ok_or("no mapping")?;
        self.compare(at, &mapping.read(at, wanted.len()).map_err(text)?, &wanted)
    }

    fn keep(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        self.image.resize(self.image.len().max(end), 0);
        self.image[at..end].copy_from_slice(bytes);
    }

    fn put(&mut self, kind: Kind, host: usize, at: usize, len: usize) -> Result<(), String> {
        let bytes = self.random.bytes(len);
        let text = |error: nix::errno::Errno| error.to_string();
        let file = &self.hosts[host].file;
        match kind {
            Kind::MapWrite => {
                let len = self.wanted(at, len).len();
                if len == 0 {
                    return Ok(());
                }
                let mapping = Mapping::new(file.as_fd(), 0, LEN_MAX, true, true).map_err(text)?;
                let written = mapping.write(at, &bytes[..len]).map_err(text)?;
                mapping.sync().map_err(text)?;
                self.keep(at, &bytes[..written]);
                if written == len { Ok(()) } else { Err(format!("{written} of {len} bytes could be written")) }
            }
            Kind::Append => {
                use std::io::Write as _;
                let at = self.image.len();
                let len = len.min(LEN_MAX - at);
                (&self.hosts[host].append).write_all(&bytes[..len]).map_err(|error| error.to_string())?;
                self.keep(at, &bytes[..len]);
                Ok(())
            }
            Kind::Copy => {
                let from = self.random.index(LEN_MAX);
                let apart = from.abs_diff(at);
                let len = self.wanted(from, len.min(apart)).len();
                if len == 0 {
                    return Ok(());
                }
                let offset = |place: usize| i64::try_from(place).unwrap_or(i64::MAX);
                let (mut source, mut target) = (offset(from), offset(at));
                let file = &self.hosts[host].file;
                let copied = copy_file_range(file, Some(&mut source), file, Some(&mut target), len).map_err(text)?;
                let bytes = self.image[from..from + copied].to_vec();
                self.keep(at, &bytes);
                if copied > 0 { Ok(()) } else { Err("nothing was copied".to_owned()) }
            }
            _ => {
                file.write_all_at(&bytes, at as u64).map_err(|error| error.to_string())?;
                self.keep(at, &bytes);
                Ok(())
            }
        }
    }

    fn shape(&mut self, kind: Kind, host: usize, at: usize, len: usize) -> Result<(), String> {
        let file = &self.hosts[host].file;
        let (keep, zero) = (FallocateFlags::FALLOC_FL_KEEP_SIZE, FallocateFlags::FALLOC_FL_ZERO_RANGE);
        let set_len = |len: usize| file.set_len(len as u64).map_err(|error| error.to_string());
        let allocate = |flags| {
            let number = |place: usize| i64::try_from(place).unwrap_or(i64::MAX);
            fallocate(file, flags, number(at), number(len)).map_err(|error| error.to_string())
        };
        match kind {
            Kind::Truncate => {
                let shorter = at.min(self.image.len());
                set_len(shorter)?;
                self.image.truncate(shorter);
            }
            Kind::Extend => {
                let longer = at.max(self.image.len());
                set_len(longer)?;
                self.image.resize(longer, 0);
            }
            Kind::Reserve => {
                allocate(FallocateFlags::empty())?;
                self.image.resize(self.image.len().max(at + len), 0);
            }
            Kind::Zero => {
                allocate(zero)?;
                self.keep(at, &vec![0; len]);
            }
            _ => {
                allocate(FallocateFlags::FALLOC_FL_PUNCH_HOLE | keep)?;
                let end = (at + len).min(self.image.len());
                self.image[at.min(end)..end].fill(0);
            }
        }
        Ok(())
    }

    fn reopen(&mut self, host: usize) -> Result<(), String> {
        let path = self.hosts[host].path.clone();
        // The old handles go first, so that the file is closed on this host for a moment.
        let again = |host: &mut Host| -> io::Result<()> {
            host.kept = None;
            host.file = File::open("/dev/null")?;
            host.append = File::open("/dev/null")?;
            *host = Host::new(path)?;
            Ok(())
        };
        again(&mut self.hosts[host]).map_err(|error| error.to_string())
    }
}
