//! Reads a specification that was rewritten before as it was written by its author.

use holdfast_core::error::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::parse::plain;
use super::{ANNOTATION_APPLIED, invalid, mounts, object};

/// The second argument of every hook of ours.
pub(crate) const HOOK_VERB: &str = "holdfast-release";

/// One mount of ours, and what stood in its place.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Replaced {
    destination: String,
    /// Absent when an annotation asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    original: Option<Value>,
}

impl Replaced {
    pub(super) fn new(destination: &str, original: Option<Value>) -> Self {
        Self { destination: destination.to_owned(), original }
    }

    /// The text of the annotation.
    pub(super) fn write(list: Vec<Self>) -> String {
        let list = list.into_iter().map(|one| {
            let mut object = Map::from_iter([("destination".to_owned(), Value::String(one.destination))]);
            object.extend(one.original.map(|original| ("original".to_owned(), original)));
            Value::Object(object)
        });
        Value::Array(list.collect()).to_string()
    }
}

/// Puts the original mounts back, and takes our annotation and hook away.
pub(super) fn undo(spec: &mut Map<String, Value>) -> Result<()> {
    let Some(applied) = object(spec, "annotations")?.and_then(|annotations| annotations.get(ANNOTATION_APPLIED)) else {
        check(spec)?;
        return Ok(());
    };
    let wrong = || invalid(format!("annotation {ANNOTATION_APPLIED} is damaged; make the bundle anew"));
    let list: Vec<Replaced> = applied.as_str().and_then(|text| serde_json::from_str(text).ok()).ok_or_else(wrong)?;
    check(spec)?;

    let mut mounts = match spec.remove("mounts") {
        Some(Value::Array(mounts)) => mounts,
        _ => Vec::new(),
    };
    for Replaced { destination, original } in list {
        let ours = |mount: &Value| {
            let text = |name| mount.get(name).and_then(Value::as_str).unwrap_or_default();
            text("type") == "bind" && plain(text("destination")) == destination
        };
        match (mounts.iter().position(ours), original) {
            (Some(index), Some(original)) => mounts[index] = original,
            (Some(index), None) => drop(mounts.remove(index)),
            (None, Some(original)) => mounts.push(original),
            (None, None) => {}
        }
    }
    spec.insert("mounts".into(), Value::Array(mounts));
    if let Some(Value::Object(annotations)) = spec.get_mut("annotations") {
        annotations.remove(ANNOTATION_APPLIED);
    }
    if let Some(Value::Array(hooks)) = spec.get_mut("hooks").and_then(|hooks| hooks.get_mut("poststop")) {
        hooks.retain(|hook| hook.pointer("/args/1").and_then(Value::as_str) != Some(HOOK_VERB));
    }
    Ok(())
}

/// The shapes that rewriting relies on.
fn check(spec: &Map<String, Value>) -> Result<()> {
    mounts(spec)?;
    match object(spec, "hooks")?.and_then(|hooks| hooks.get("poststop")) {
        None | Some(Value::Null | Value::Array(_)) => Ok(()),
        Some(_) => Err(invalid("'hooks.poststop' in config.json is no list".into())),
    }
}
