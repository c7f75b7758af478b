//! Puts the bind mounts into a specification.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::parse::plain;
use super::undo::Replaced;
use super::{ANNOTATION_APPLIED, Place, Plan, Wanted};

/// Where an acquired volume is on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The path to bind. Text, since JSON has nothing else.
    pub path: String,
    /// The mount there ignores set-user-id bits: the bind mount must do so too.
    pub nosuid: bool,
    /// Device inodes do not work on the mount there: the bind mount must refuse them too.
    pub nodev: bool,
}

/// What the delegate calls after the container has ended: a second way to release its volumes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// The program.
    pub path: PathBuf,
    /// Its arguments; the first is its own name, the second tells our hooks from others.
    pub arguments: Vec<String>,
    /// Its environment, as `NAME=value`.
    pub environment: Vec<String>,
    /// How long it may take, in seconds.
    pub timeout_secs: u32,
}

impl Plan {
    /// The specification with a bind mount in place of each volume: `sources` as [`Plan::wanted`] has them.
    #[must_use]
    pub fn apply(mut self, sources: &[Source], hook: Option<&Hook>) -> Value {
        debug_assert_eq!(self.wanted.len(), sources.len(), "one source for each volume");
        let mut mounts = match self.spec.remove("mounts") {
            Some(Value::Array(mounts)) => mounts,
            _ => Vec::new(),
        };
        let mut replaced = Vec::new();
        let mut added = Vec::new();
        for (wanted, source) in self.wanted.iter().zip(sources) {
            match wanted.place {
                Place::Mount(index) => {
                    let bind = bind(wanted, source, mounts[index].as_object().cloned().unwrap_or_default());
                    let original = std::mem::replace(&mut mounts[index], Value::Object(bind));
                    replaced.push(Replaced::new(wanted.destination.as_str(), Some(original)));
                }
                Place::Annotation => {
                    replaced.push(Replaced::new(wanted.destination.as_str(), None));
                    added.push((wanted.destination.as_str(), bind(wanted, source, Map::new())));
                }
            }
        }
        for (destination, bind) in added {
            mounts.insert(place(&mounts, destination), Value::Object(bind));
        }
        self.spec.insert("mounts".into(), Value::Array(mounts));
        member(&mut self.spec, "annotations").insert(ANNOTATION_APPLIED.into(), Replaced::write(replaced).into());
        if let Some(hook) = hook {
            add_hook(&mut self.spec, hook);
        }
        Value::Object(self.spec)
    }
}

/// The bind mount; fields of the original that are not ours stay.
fn bind(wanted: &Wanted, source: &Source, mut mount: Map<String, Value>) -> Map<String, Value> {
    let mut options = wanted.options.clone();
    let mut add = |option: &str| {
        if !options.iter().any(|own| own == option) {
            options.push(option.to_owned());
        }
    };
    if !wanted.options.iter().any(|own| own == "rbind") {
        add("bind");
    }
    let private = ["private", "slave", "shared", "unbindable"];
    if !wanted.options.iter().any(|own| private.contains(&own.strip_prefix('r').unwrap_or(own))) {
        add("rprivate");
    }
    // A bind mount with flags of its own loses those of its source, so they are repeated.
    if source.nosuid {
        add("nosuid");
    }
    if source.nodev {
        add("nodev");
    }
    add(if wanted.read_only { "ro" } else { "rw" });
    mount.insert("destination".into(), wanted.destination.as_str().into());
    mount.insert("type".into(), "bind".into());
    mount.insert("source".into(), source.path.as_str().into());
    mount.insert("options".into(), options.into());
    mount
}

/// Where in the list a mount belongs: before the first that lies below it, else at the end.
fn place(mounts: &[Value], destination: &str) -> usize {
    let below = |mount: &Value| {
        let other = plain(mount.get("destination").and_then(Value::as_str).unwrap_or_default());
        other.strip_prefix(destination).is_some_and(|rest| rest.starts_with('/'))
    };
    mounts.iter().position(below).unwrap_or(mounts.len())
}

fn add_hook(spec: &mut Map<String, Value>, hook: &Hook) {
    let hooks = member(spec, "hooks");
    let entry = json!({
        "path": hook.path.to_string_lossy(),
        "args": hook.arguments,
        "env": hook.environment,
        "timeout": hook.timeout_secs,
    });
    match hooks.get_mut("poststop") {
        Some(Value::Array(list)) => list.push(entry),
        _ => drop(hooks.insert("poststop".into(), Value::Array(vec![entry]))),
    }
}

/// A member that is an object, made where it is absent or null. Reading has refused everything else.
fn member<'a>(spec: &'a mut Map<String, Value>, name: &str) -> &'a mut Map<String, Value> {
    let value = spec.entry(name).or_insert(Value::Null);
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(object) => object,
        _ => unreachable!("it was made an object"),
    }
}
