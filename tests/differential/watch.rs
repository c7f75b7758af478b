//! Which files a call may touch: those whose times a watched step looks at before and after.

use crate::call::Call;
use crate::run::Watched;
use crate::word::{At, Slot, Text};

/// The files that a call names, and the directories that their names are in.
pub(crate) fn of(call: &Call) -> Vec<(String, Watched)> {
    let mut watched = Vec::new();
    match call {
        Call::Open { at, .. }
        | Call::Mkdir { at, .. }
        | Call::Rmdir { at }
        | Call::Unlink { at }
        | Call::Symlink { at, .. }
        | Call::Readlink { at }
        | Call::Mknod { at, .. }
        | Call::Chmod { at, .. }
        | Call::Chown { at, .. }
        | Call::Utimens { at, .. }
        | Call::List { at } => at_path(at, &mut watched),
        Call::Link { from, to, .. } | Call::Rename { from, to, .. } => {
            at_path(from, &mut watched);
            at_path(to, &mut watched);
        }
        Call::LinkHandle { slot, to } => {
            handle(*slot, &mut watched);
            at_path(to, &mut watched);
        }
        Call::Truncate { path, .. }
        | Call::SetXattr { path, .. }
        | Call::GetXattr { path, .. }
        | Call::RemoveXattr { path, .. }
        | Call::SetAcl { path, .. }
        | Call::RemoveAcl { path, .. } => file(path, &mut watched),
        Call::Read { slot, .. }
        | Call::Pread { slot, .. }
        | Call::Write { slot, .. }
        | Call::Pwrite { slot, .. }
        | Call::Ftruncate { slot, .. }
        | Call::Fallocate { slot, .. }
        | Call::Fchmod { slot, .. }
        | Call::Fchown { slot, .. }
        | Call::Futimens { slot, .. }
        | Call::Getdents { slot }
        | Call::FsetXattr { slot, .. }
        | Call::FremoveXattr { slot, .. } => handle(*slot, &mut watched),
        Call::CopyRange { from, to, .. } | Call::Sendfile { from, to, .. } => {
            handle(*from, &mut watched);
            handle(*to, &mut watched);
        }
        Call::Close { .. }
        | Call::Dup { .. }
        | Call::SetFl { .. }
        | Call::Lseek { .. }
        | Call::Fsync { .. }
        | Call::Fdatasync { .. }
        | Call::Syncfs { .. }
        | Call::Stat { .. }
        | Call::Fstat { .. }
        | Call::Access { .. }
        | Call::Statfs { .. }
        | Call::FgetXattr { .. }
        | Call::ListXattr { .. }
        | Call::FlistXattr { .. }
        | Call::GetAcl { .. }
        | Call::Flock { .. }
        | Call::SetLock { .. }
        | Call::GetLock { .. }
        | Call::Map { .. }
        | Call::MapRead { .. }
        | Call::MapWrite { .. }
        | Call::Unmap { .. }
        | Call::Umask { .. } => {}
    }
    watched
}

fn handle(slot: Slot, watched: &mut Vec<(String, Watched)>) {
    watched.push((slot.to_string(), Watched::Handle(slot)));
}

fn file(path: &Text, watched: &mut Vec<(String, Watched)>) {
    watched.push((path.to_string(), Watched::Path(path.bytes())));
}

fn at_path(at: &At, watched: &mut Vec<(String, Watched)>) {
    if let Some(base) = at.base {
        return handle(base, watched);
    }
    file(&at.path, watched);
    let bare = at.path.0.trim_end_matches('/');
    let parent = bare.rsplit_once('/').map_or(".", |(parent, _)| parent);
    file(&Text::from(if parent.is_empty() { "/" } else { parent }), watched);
}
