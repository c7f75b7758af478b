//! Paths of what was found, where they are known.

use holdfast_core::id::InodeId;
use holdfast_core::integrity::{Finding, Subject};

use crate::meta::keys;
use crate::meta::query::names::path;
use crate::meta::record::Record as _;
use crate::meta::record::entry::Listed;
use crate::meta::view::View;

/// Adds paths to findings. A path that cannot be found out is no failure: the numbers are there.
pub(super) fn name(view: View<'_>, findings: &mut [Finding]) {
    for finding in findings {
        finding.path = match &finding.subject {
            Subject::Inode(ino) | Subject::Content { ino, .. } => path(view, *ino).ok().flatten(),
            Subject::Name { directory, name } => below(view, *directory, name.as_bytes()),
            Subject::Place { directory, cookie } => view
                .get(&keys::cookie(*directory, *cookie))
                .ok()
                .flatten()
                .and_then(|value| Listed::decode(&value).ok())
                .and_then(|listed| below(view, *directory, listed.name.as_bytes())),
            Subject::Volume | Subject::Data(_) | Subject::Segment(_) | Subject::Record(_) => None,
        };
    }
}

/// The path of a name in a directory.
fn below(view: View<'_>, directory: InodeId, name: &[u8]) -> Option<Vec<u8>> {
    let mut path = path(view, directory).ok().flatten()?;
    if path != b"/" {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    Some(path)
}
