//! The differences from ext4 that are meant, each with its reason.

use crate::call::{Call, Step};
use crate::outcome::{Fact, Outcome, Value};
use crate::tree::Place;

/// A difference that is meant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowed {
    /// Its name in the output.
    pub name: &'static str,
    /// Why it is meant.
    pub reason: &'static str,
    /// How sequences deal with it.
    pub handling: Handling,
}

/// How sequences deal with a difference that is meant.
#[derive(Clone, Copy)]
pub(crate) enum Handling {
    /// What differs is never asked for, or never compared.
    NotAsked,
    /// Answers may differ like this.
    Result(fn(&Step, &Outcome, &Outcome) -> bool),
    /// Trees may differ like this.
    Tree(fn(&Place, bool) -> bool),
}

impl std::fmt::Debug for Handling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "never asked or compared",
            Self::Result(_) => "answers may differ",
            Self::Tree(_) => "trees may differ",
        })
    }
}

/// All of them.
pub(crate) const ALL: &[Allowed] = &[
    Allowed {
        name: "sizes of directories, st_blocks, st_blksize",
        reason: "tell how a file system stores, which POSIX leaves to it",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "inode numbers, cookies and order of listings",
        reason: "any are right; compared are identity between names and between mounts, and the set of names",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "where holes are",
        reason: "ext4 counts in blocks, a volume in bytes; compared is that what lseek skips reads as zeros",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "limits",
        reason: "ext4 ends at 16 TiB a file and 4 KiB of xattrs a file; sequences stay below, or above both",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "fallocate that moves data, file attributes of chattr(1)",
        reason: "the kernel's FUSE passes neither collapse nor insert to any file system; a volume has no such flags",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "O_DIRECT that is not aligned",
        reason: "ext4 refuses it, since its disk would; a volume has no blocks to align to",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "locks on directories",
        reason: "the kernel's FUSE does not pass them on, so they hold on one host only",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "handles with O_PATH",
        reason: "the kernel tells no FUSE file system of them, so they keep no file that loses its last name",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "chown for nothing by a stranger, while the file is open to be changed",
        reason: "the kernel's FUSE asks the same before a write, which must not fail; so nothing is done",
        handling: Handling::Result(|step, volume, local| {
            let nothing = match &step.call {
                Call::Chown { uid, gid, .. } | Call::Fchown { uid, gid, .. } => (uid.0, gid.0) == (None, None),
                _ => false,
            };
            nothing && volume.is_done() && *local == Outcome::Failed(nix::errno::Errno::EPERM)
        }),
    },
    Allowed {
        name: "data in pipes, sockets and devices",
        reason: "the kernel of each host has its own; only their names and attributes are shared",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "which of several locks F_GETLK names, and the process of a holder on another host",
        reason: "any lock in the way may be named; process ids mean nothing on another host",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "access times that stay behind",
        reason: "the kernel's FUSE reads from its cache, maps and follows links without telling; never the other way round",
        handling: Handling::Result(|_, volume, local| {
            let (Outcome::Done(volume), Outcome::Done(local)) = (volume, local) else { return false };
            let behind = |(left, right): (&Fact, &Fact)| left.0 == "atime" && right.1 == Value::text("now");
            volume.len() == local.len() && volume.iter().zip(local).all(|pair| pair.0 == pair.1 || behind(pair))
        }),
    },
    Allowed {
        name: "access times that stay behind, at the end",
        reason: "the same, in the comparison of the trees",
        handling: Handling::Tree(|place, _| place.fact == "atime" && place.text.ends_with("ext4 now")),
    },
    Allowed {
        name: "ctime of an xattr that is set to the value it has",
        reason: "ext4 sees that nothing changes, and leaves the time as it is too",
        handling: Handling::Result(|step, volume, local| {
            let text = |outcome: &Outcome| outcome.fact("times").map(ToString::to_string);
            let without = |outcome: &Outcome| text(outcome).map(|times| times.replace("ctime", "unchanged"));
            step.call.kind().ends_with("setxattr") && volume.is_done() && without(volume) == text(local)
        }),
    },
    Allowed {
        name: "opening a device",
        reason: "volumes are mounted nodev, so the kernel answers EACCES",
        handling: Handling::Result(|step, volume, local| {
            let is_device =
                local.fact("kind").is_some_and(|kind| ["char", "block"].contains(&kind.to_string().as_str()));
            let no_driver = *local == Outcome::Failed(nix::errno::Errno::ENXIO);
            step.call.kind() == "open"
                && *volume == Outcome::Failed(nix::errno::Errno::EACCES)
                && (is_device || no_driver)
        }),
    },
];

/// The intended difference that these answers are, if they are one.
pub(crate) fn result(step: &Step, volume: &Outcome, local: &Outcome) -> Option<&'static Allowed> {
    ALL.iter().find(|allowed| match allowed.handling {
        Handling::Result(applies) => applies(step, volume, local),
        Handling::NotAsked | Handling::Tree(_) => false,
    })
}

/// The intended difference that this one of trees is, if it is one.
pub(crate) fn tree(place: &Place, between_mounts: bool) -> Option<&'static Allowed> {
    ALL.iter().find(|allowed| match allowed.handling {
        Handling::Tree(applies) => applies(place, between_mounts),
        Handling::NotAsked | Handling::Result(_) => false,
    })
}
