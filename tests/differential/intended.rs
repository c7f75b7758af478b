//! The differences from ext4 that are meant, each with its reason.

use nix::errno::Errno;

use crate::call::{Call, Step};
use crate::outcome::{Fact, Outcome, Value};
use crate::tree::Place;
use crate::word::{MapKind, Rename, Whence};

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
    /// Trees may differ like this after these steps; the last: it is those of two mounts.
    Tree(fn(&[Step], &Place, bool) -> bool),
    /// Answers may differ like this after these steps, and then so does what is left: the sequence
    /// ends, and its trees are not compared.
    Ends(fn(&[Step], &Step, &Outcome, &Outcome) -> bool),
}

impl std::fmt::Debug for Handling {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAsked => "never asked or compared",
            Self::Result(_) => "answers may differ",
            Self::Tree(_) => "trees may differ",
            Self::Ends(_) => "answers may differ, and end the sequence",
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
        name: "who another host made the owner, and changes a file through a handle",
        reason: "the kernel refuses by the owner that it saw last, without asking; it hears of another one at its next stat",
        handling: Handling::Ends(|before, step, volume, local| {
            let through_handle = matches!(
                step.call,
                Call::Fchmod { .. }
                    | Call::Fchown { .. }
                    | Call::Futimens { .. }
                    | Call::FsetXattr { .. }
                    | Call::FremoveXattr { .. }
            );
            let given_away = elsewhere(before, step, |call| matches!(call, Call::Chown { .. } | Call::Fchown { .. }));
            through_handle && given_away && *volume == Outcome::Failed(Errno::EPERM) && local.is_done()
        }),
    },
    Allowed {
        name: "a directory that another host made sticky no more, and its attributes through a handle",
        reason: "the kernel refuses user attributes by the sticky bit that it saw last, before it asks for anything",
        handling: Handling::Ends(|before, step, volume, local| {
            let of_user = match &step.call {
                Call::FsetXattr { name, .. } | Call::FremoveXattr { name, .. } => name.to_string().starts_with("user."),
                _ => false,
            };
            let chmod = elsewhere(before, step, |call| matches!(call, Call::Chmod { .. } | Call::Fchmod { .. }));
            let otherwise = local.is_done() || *local == Outcome::Failed(Errno::EACCES);
            of_user && chmod && *volume == Outcome::Failed(Errno::EPERM) && otherwise
        }),
    },
    Allowed {
        name: "names in an open directory that another host has removed or moved",
        reason: "the kernel looks at rights, types, lengths and who is above whom first, and learns from the answer that the directory is gone, or that it is the one to be moved",
        handling: Handling::Ends(|before, step, volume, local| {
            let through_handle = match &step.call {
                Call::Open { at, .. }
                | Call::Mkdir { at, .. }
                | Call::Mknod { at, .. }
                | Call::Symlink { at, .. }
                | Call::Unlink { at }
                | Call::Rmdir { at }
                | Call::Readlink { at }
                | Call::Chmod { at, .. }
                | Call::Chown { at, .. }
                | Call::Utimens { at, .. }
                | Call::Stat { at, .. }
                | Call::Access { at, .. }
                | Call::List { at } => at.base.is_some(),
                Call::LinkHandle { to, .. } => to.base.is_some(),
                Call::Link { from, to, .. } | Call::Rename { from, to, .. } => from.base.is_some() || to.base.is_some(),
                _ => false,
            };
            let removed = elsewhere(before, step, |call| matches!(call, Call::Rmdir { .. } | Call::Rename { .. }));
            let failed = |outcome: &Outcome, errno| *outcome == Outcome::Failed(errno);
            let renames = matches!(step.call, Call::Rename { .. });
            // Of a rename also: the two are kin, into itself, onto what it lies in.
            let (earlier, first) = if renames {
                (
                    &[Errno::EACCES, Errno::EPERM, Errno::ENOTDIR, Errno::EISDIR, Errno::EINVAL, Errno::ENOTEMPTY][..],
                    &[Errno::ENOENT, Errno::EINVAL, Errno::ENOTEMPTY][..],
                )
            } else {
                (&[Errno::EACCES, Errno::EPERM, Errno::ENOTDIR, Errno::ENAMETOOLONG][..], &[Errno::ENOENT][..])
            };
            let any = |outcome, errnos: &[Errno]| errnos.iter().any(|errno| failed(outcome, *errno));
            let first = any(volume, earlier) && any(local, first);
            through_handle && removed && first
        }),
    },
    Allowed {
        name: "a hard link to an open file by a stranger",
        reason: "whether fs.protected_hardlinks allows it the kernel judges by the mode that it saw last, without asking",
        handling: Handling::Ends(|before, step, volume, local| {
            let links = matches!(step.call, Call::LinkHandle { .. });
            let refused = |outcome: &Outcome| *outcome == Outcome::Failed(Errno::EPERM);
            let changes = |call: &Call| {
                matches!(call, Call::Chmod { .. } | Call::Fchmod { .. } | Call::Chown { .. } | Call::Fchown { .. })
                    || matches!(call, Call::SetAcl { .. } | Call::RemoveAcl { .. })
            };
            links && refused(volume) != refused(local) && elsewhere(before, step, changes)
        }),
    },
    Allowed {
        name: "capabilities of a file whose new size is too large",
        reason: "the kernel takes them away before it asks for the new size, which is refused; ext4's largest it knows itself",
        handling: Handling::Ends(|before, step, volume, local| {
            let name = match &step.call {
                Call::GetXattr { name, .. } | Call::FgetXattr { name, .. } => Some(name),
                Call::SetXattr { name, .. } | Call::FsetXattr { name, .. } => Some(name),
                Call::RemoveXattr { name, .. } | Call::FremoveXattr { name, .. } => Some(name),
                _ => None,
            };
            let of_it = name.is_some_and(|name| name.to_string() == CAPABILITY);
            let lists = matches!(step.call, Call::ListXattr { .. } | Call::FlistXattr { .. });
            let gone = *volume == Outcome::Failed(Errno::ENODATA) || volume.is_done();
            let there = *local == Outcome::Failed(Errno::EEXIST) || local.is_done();
            (of_it || lists) && gone && there && asks_too_much(before)
        }),
    },
    Allowed {
        name: "capabilities of a file whose new size is too large, at the end",
        reason: "the same, in the comparison of the trees",
        handling: Handling::Tree(|steps, place, between_mounts| {
            let gone = format!("xattr: volume nothing, ext4 {CAPABILITY}=");
            place.text.contains(&gone) && !between_mounts && asks_too_much(steps)
        }),
    },
    Allowed {
        name: LATE_LOCK,
        reason: "close(2) does not wait for what the kernel's FUSE sends behind it, so locks of an open file go a moment later",
        handling: Handling::NotAsked,
    },
    Allowed {
        name: "a file that another host made shorter",
        reason: "the kernel takes a smaller size up only with an answer to its own next request; mappings, sendfile, copies within the file and the place of a handle that appends go by the old one until then",
        handling: Handling::Ends(|before, step, volume, local| {
            let larger = |name| match (volume.fact(name), local.fact(name)) {
                (Some(Value::Number(volume)), Some(Value::Number(local))) => volume > local,
                _ => false,
            };
            let further = || larger("position");
            let more = || larger("count");
            // The kernel lets go of no page that a program has made its own.
            let longer = || match (volume.fact("bytes"), local.fact("bytes")) {
                (Some(Value::Bytes(volume)), Some(Value::Bytes(local))) => volume.starts_with(local),
                _ => false,
            };
            let by_old_end = match &step.call {
                Call::MapRead { .. } | Call::MapWrite { .. } => {
                    let behind = *local == Outcome::Failed(Errno::EFAULT) || longer() || more();
                    volume.is_done() && (behind || local.is_done() && has_own_pages(before, step))
                }
                Call::CopyRange { .. } => *volume == Outcome::Failed(Errno::EINVAL) && local.is_done(),
                Call::Sendfile { .. } => volume.is_done() && local.is_done() && (longer() || more()),
                Call::Lseek { whence: Whence::Current, .. } => further() && appended(before, step),
                Call::Read { .. } => volume.is_done() && local.is_done() && appended(before, step),
                _ => false,
            };
            by_old_end && elsewhere(before, step, shortens)
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
        handling: Handling::Tree(|_, place, _| place.fact == "atime" && place.text.ends_with("ext4 now")),
    },
    Allowed {
        name: "access times that a mapping moves late",
        reason: "ext4 moves them at mmap(2), of which the kernel tells no FUSE file system; here the page that is \
                 touched first moves them, as any read does",
        handling: Handling::Ends(|before, _, volume, local| {
            let (Outcome::Done(volume), Outcome::Done(local)) = (volume, local) else { return false };
            let late =
                |(left, right): (&Fact, &Fact)| left.0 == "atime" && right.0 == "atime" && left.1 == Value::text("now");
            let same = |pair: (&Fact, &Fact)| pair.0 == pair.1 || late(pair);
            touched_mappings(before) && volume.len() == local.len() && volume.iter().zip(local).all(same)
        }),
    },
    Allowed {
        name: "access times that a mapping moves late, at the end",
        reason: "the same, in the comparison of the trees",
        handling: Handling::Tree(|steps, place, between_mounts| {
            let late = place.fact == "atime" && place.text.contains("atime: volume now, ext4 ");
            late && !between_mounts && touched_mappings(steps)
        }),
    },
    Allowed {
        name: "times of a directory from which a rename with a whiteout fails",
        reason: "ext4 puts the whiteout there before it sees that it may not rename, and moves the times with it",
        handling: Handling::Tree(|steps, place, between_mounts| {
            let whiteout = |step: &Step| matches!(step.call, Call::Rename { mode: Rename::Whiteout, .. });
            let moved = ["mtime", "ctime"].contains(&place.fact) && place.text.ends_with("ext4 now");
            moved && !between_mounts && steps.iter().any(whiteout)
        }),
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
            let no_driver = *local == Outcome::Failed(Errno::ENXIO);
            let with = |flag| matches!(step.call, Call::Open { flags, .. } if flags.0 & flag != 0);
            let not_directly = *local == Outcome::Failed(Errno::EINVAL) && with(libc::O_DIRECT);
            let not_quietly = *local == Outcome::Failed(Errno::EPERM) && with(libc::O_NOATIME);
            step.call.kind() == "open"
                && *volume == Outcome::Failed(Errno::EACCES)
                && (is_device || no_driver || not_directly || not_quietly)
        }),
    },
];

const CAPABILITY: &str = "security.capability";

/// More bytes than a file of ext4 or of a volume can have.
const TOO_LARGE: i64 = i64::MAX - 4095;

/// Whether a file was to be made larger than it can be.
fn asks_too_much(steps: &[Step]) -> bool {
    steps.iter().any(|step| match step.call {
        Call::Truncate { len, .. } | Call::Ftruncate { len, .. } => len > TOO_LARGE,
        _ => false,
    })
}

/// As what a lock is counted that is free a moment after the last descriptor of its holder is closed.
pub(crate) const LATE_LOCK: &str = "locks of a file that was closed a moment ago on another host";

/// Whether a lock is in the way that may be gone in a moment: one was let go by a close elsewhere.
pub(crate) fn may_come_late(before: &[Step], step: &Step, volume: &Outcome, local: &Outcome) -> bool {
    let asks = matches!(step.call, Call::Flock { .. } | Call::SetLock { .. });
    let closes = |call: &Call| matches!(call, Call::Close { .. } | Call::Open { .. } | Call::Dup { .. });
    let refused = asks && *volume == Outcome::Failed(Errno::EAGAIN) && local.is_done();
    let held = matches!(step.call, Call::GetLock { .. }) && volume.is_done() && local.is_done() && volume != local;
    (refused || held) && elsewhere(before, step, closes)
}

/// Whether the other mount did such a thing before.
fn elsewhere(before: &[Step], step: &Step, what: impl Fn(&Call) -> bool) -> bool {
    before.iter().any(|earlier| earlier.actor.mount != step.actor.mount && what(&earlier.call))
}

/// Whether the caller has written to a private mapping that it asks for now, so that pages are its own.
fn has_own_pages(before: &[Step], step: &Step) -> bool {
    let Call::MapRead { map: asked, .. } = &step.call else { return false };
    let own = |earlier: &&Step| (earlier.actor.mount, earlier.actor.process) == (step.actor.mount, step.actor.process);
    let mut calls = before.iter().filter(own).map(|earlier| &earlier.call);
    let private = calls.any(|call| matches!(call, Call::Map { map, kind: MapKind::Private, .. } if map.0 == asked.0));
    private && calls.any(|call| matches!(call, Call::MapWrite { map, .. } if map.0 == asked.0))
}

/// Whether the caller has appended to a file since the other mount made one shorter.
fn appended(before: &[Step], step: &Step) -> bool {
    let shorter = before.iter().position(|earlier| earlier.actor.mount != step.actor.mount && shortens(&earlier.call));
    let own = |earlier: &&Step| (earlier.actor.mount, earlier.actor.process) == (step.actor.mount, step.actor.process);
    let writes = |call: &Call| matches!(call, Call::Write { .. } | Call::Sendfile { .. });
    let appends = |call: &Call| match call {
        Call::Open { flags, .. } => flags.0 & libc::O_APPEND != 0,
        Call::SetFl { .. } => true,
        _ => false,
    };
    before.iter().filter(own).any(|earlier| appends(&earlier.call))
        && shorter.is_some_and(|at| before[at..].iter().filter(own).any(|earlier| writes(&earlier.call)))
}

fn shortens(call: &Call) -> bool {
    match call {
        Call::Truncate { .. } | Call::Ftruncate { .. } => true,
        Call::Open { flags, .. } => flags.0 & libc::O_TRUNC != 0,
        _ => false,
    }
}

/// The intended difference that ends a sequence here, if these answers are one.
pub(crate) fn end(before: &[Step], step: &Step, volume: &Outcome, local: &Outcome) -> Option<&'static Allowed> {
    ALL.iter().find(|allowed| match allowed.handling {
        Handling::Ends(applies) => applies(before, step, volume, local),
        Handling::NotAsked | Handling::Result(_) | Handling::Tree(_) => false,
    })
}

/// Whether a page of a mapping was read or written.
fn touched_mappings(steps: &[Step]) -> bool {
    steps.iter().any(|step| matches!(step.call, Call::MapRead { .. } | Call::MapWrite { .. }))
}

/// The intended difference that these answers are, if they are one.
pub(crate) fn result(step: &Step, volume: &Outcome, local: &Outcome) -> Option<&'static Allowed> {
    ALL.iter().find(|allowed| match allowed.handling {
        Handling::Result(applies) => applies(step, volume, local),
        Handling::NotAsked | Handling::Tree(_) | Handling::Ends(_) => false,
    })
}

/// The intended difference that this one of trees is, if it is one.
pub(crate) fn tree(steps: &[Step], place: &Place, between_mounts: bool) -> Option<&'static Allowed> {
    ALL.iter().find(|allowed| match allowed.handling {
        Handling::Tree(applies) => applies(steps, place, between_mounts),
        Handling::NotAsked | Handling::Result(_) | Handling::Ends(_) => false,
    })
}
