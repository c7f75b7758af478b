//! A container's specification: which volumes it wants, and how it reads when it has them.
//!
//! Pure: a JSON value in, a JSON value out. Everything that is not ours stays as it is, fields
//! that no version of the OCI specification knows included.
//!
//! A volume is asked for by an annotation `dev.holdfast.volume.N=VOLUME[/DIRECTORY]:/PATH[:ro]` or
//! by a mount of type `holdfast` with source `[SERVER/]VOLUME[/DIRECTORY]`. Both become bind
//! mounts. What was replaced is kept in an annotation of ours, so that a specification that was
//! rewritten before reads as it was: a bundle can be started many times.

mod apply;
mod parse;
mod undo;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_plugin::agent::{RemoteVolume, Subdir};
use serde_json::{Map, Value};

pub use apply::{Hook, Source};
pub use parse::{Destination, VolumeArgument};
pub(crate) use undo::HOOK_VERB;

/// Annotations that begin like this are ours, and each must be understood.
pub const ANNOTATION_PREFIX: &str = "dev.holdfast.";
/// `dev.holdfast.volume.N`
pub const ANNOTATION_VOLUME: &str = "dev.holdfast.volume.";
/// `dev.holdfast.server`
pub const ANNOTATION_SERVER: &str = "dev.holdfast.server";
/// What an earlier rewriting replaced.
const ANNOTATION_APPLIED: &str = "dev.holdfast.applied";
/// The type of a mount that asks for a volume.
pub const MOUNT_TYPE: &str = "holdfast";
/// Volumes of one container.
const VOLUMES_MAX: usize = 128;

/// One volume that a container wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The volume.
    pub volume: RemoteVolume,
    /// A directory inside it instead of its root.
    pub subdir: Option<Subdir>,
    /// Where in the container.
    pub destination: Destination,
    /// The container cannot write to it.
    pub read_only: bool,
    /// Further options for the bind mount.
    options: Vec<String>,
    place: Place,
}

/// What asked for a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Annotation,
    /// The mount with this index.
    Mount(usize),
}

/// A specification that was read.
#[derive(Clone, Debug)]
pub struct Plan {
    spec: Map<String, Value>,
    wanted: Vec<Wanted>,
}

impl Plan {
    /// Reads a specification. `server` is the text of the server where the specification names none.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], naming the annotation or mount and what is wrong with it.
    pub fn read(config: Value, server: Option<&str>) -> Result<Self> {
        let Value::Object(mut spec) = config else {
            return Err(invalid("config.json is no JSON object".into()));
        };
        undo::undo(&mut spec)?;
        let wanted = parse::wanted(&spec, server)?;
        if wanted.len() > VOLUMES_MAX {
            return Err(invalid(format!(
                "{} volumes are too many for one container: at most {VOLUMES_MAX}",
                wanted.len()
            )));
        }
        parse::check_destinations(&spec, &wanted)?;
        Ok(Self { spec, wanted })
    }

    /// The volumes: those of annotations by number, then those of mounts in their order.
    #[must_use]
    pub fn wanted(&self) -> &[Wanted] {
        &self.wanted
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

/// A text as it can stand in a message: quoted, and cut when it is long.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{:?}... ({} bytes)", &text[..end], text.len()),
        None => format!("{text:?}"),
    }
}

/// A member that is an object; absent and null are the same, as they are to Go programs.
fn object<'a>(spec: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>> {
    match spec.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(invalid(format!("'{name}' in config.json is no object"))),
    }
}

/// The mounts; absent and null are none.
fn mounts(spec: &Map<String, Value>) -> Result<&[Value]> {
    match spec.get("mounts") {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(mounts)) => Ok(mounts),
        Some(_) => Err(invalid("'mounts' in config.json is no list".into())),
    }
}

#[cfg(test)]
mod tests;
