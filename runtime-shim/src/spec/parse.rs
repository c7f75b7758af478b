//! From the texts in annotations and mounts to checked values.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use holdfast_client::ServerAddress;
use holdfast_core::error::{Error, Result};
use holdfast_plugin::agent::{RemoteVolume, VolumePath, parse_server};
use serde_json::{Map, Value};

use super::{
    ANNOTATION_PREFIX, ANNOTATION_SERVER, ANNOTATION_VOLUME, MOUNT_TYPE, Place, Wanted, invalid, mounts, object, shown,
};

/// Longest path in a container, in bytes (Linux `PATH_MAX` without the NUL).
const PATH_BYTES_MAX: usize = 4095;
/// Longest annotation of ours, in bytes: a server, two paths and what stands between them.
const ANNOTATION_BYTES_MAX: usize = 2 * PATH_BYTES_MAX + 1024;
/// Mount options that are handed on to the bind mount. `suid` and `dev` are the volume's decision.
const OPTIONS: [&str; 24] = [
    "bind",
    "rbind",
    "private",
    "rprivate",
    "slave",
    "rslave",
    "shared",
    "rshared",
    "unbindable",
    "runbindable",
    "nosuid",
    "nodev",
    "noexec",
    "exec",
    "sync",
    "async",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
];

/// Where a volume appears in a container: an absolute path without `.`, `..` and empty names, and not `/`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination(String);

impl Destination {
    /// The path as text, without a trailing `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Destination {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| Err(invalid(format!("the path {} in the container {why}", shown(text))));
        let Some(names) = text.strip_prefix('/') else {
            return wrong("is not absolute; begin it with '/'");
        };
        let names = names.trim_end_matches('/');
        if names.is_empty() {
            return wrong("is the container's root; choose a directory below it");
        }
        if text.len() > PATH_BYTES_MAX {
            return wrong("is too long");
        }
        if text.chars().any(char::is_control) {
            return wrong("contains a control character");
        }
        if names.split('/').any(|name| matches!(name, "" | "." | "..")) {
            return wrong("contains '.', '..' or an empty name; write it without");
        }
        Ok(Self(format!("/{names}")))
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A volume and its place, as people write them: `[SERVER/]VOLUME[/DIRECTORY]:/PATH[:ro]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeArgument {
    /// The volume, with the server where one is named.
    pub volume: VolumePath,
    /// Where in the container.
    pub destination: Destination,
    /// `:ro` was added.
    pub read_only: bool,
}

impl FromStr for VolumeArgument {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            invalid(format!("{} {why}; write VOLUME[/DIRECTORY]:/PATH or VOLUME[/DIRECTORY]:/PATH:ro", shown(text)))
        };
        if text.len() > ANNOTATION_BYTES_MAX {
            return Err(wrong("is too long"));
        }
        let Some(at) = text.find(":/") else {
            return Err(wrong("has no path in the container"));
        };
        let (volume, path) = (&text[..at], &text[at + 1..]);
        let (path, read_only) = match path.rsplit_once(':') {
            None => (path, false),
            Some((path, "ro")) => (path, true),
            Some((path, "rw")) => (path, false),
            Some(_) => return Err(wrong("has something else than 'ro' or 'rw' after the path")),
        };
        if path.contains(':') {
            return Err(wrong("has a ':' in the path; such a path needs a mount of type holdfast"));
        }
        let volume = volume.parse().map_err(|error| wrong(&format!("names no volume ({error})")))?;
        Ok(Self { volume, destination: path.parse()?, read_only })
    }
}

/// Every volume that a specification asks for.
pub(super) fn wanted(spec: &Map<String, Value>, fallback: Option<&str>) -> Result<Vec<Wanted>> {
    let mut annotated = Vec::new();
    let mut server = None;
    for (name, value) in object(spec, "annotations")?.into_iter().flatten() {
        let Some(ours) = name.strip_prefix(ANNOTATION_PREFIX) else { continue };
        let Value::String(text) = value else {
            return Err(invalid(format!("annotation {} is no text", shown(name))));
        };
        if name == ANNOTATION_SERVER {
            server = Some(text.as_str());
            continue;
        }
        let number = name.strip_prefix(ANNOTATION_VOLUME).and_then(|number| number.parse::<u32>().ok());
        let Some(number) = number else {
            return Err(invalid(format!(
                "annotation {} is not known; there are {ANNOTATION_VOLUME}N with a number N, and {ANNOTATION_SERVER}",
                shown(&format!("{ANNOTATION_PREFIX}{ours}"))
            )));
        };
        let argument = text.parse::<VolumeArgument>();
        let argument = argument.map_err(|error| invalid(format!("annotation {}: {error}", shown(name))))?;
        annotated.push((number, argument));
    }
    annotated.sort_by_key(|(number, _)| *number);
    let servers = Servers { annotation: server, fallback };

    let mut wanted = Vec::new();
    for (_, VolumeArgument { volume, destination, read_only }) in annotated {
        let (volume, subdir) = servers.locate(volume, None)?;
        wanted.push(Wanted { volume, subdir, destination, read_only, options: Vec::new(), place: Place::Annotation });
    }
    for (index, mount) in mounts(spec)?.iter().enumerate() {
        if mount.get("type").and_then(Value::as_str) == Some(MOUNT_TYPE) {
            wanted.push(mounted(mount, index, &servers)?);
        }
    }
    Ok(wanted)
}

/// A mount of type `holdfast`.
fn mounted(mount: &Value, index: usize, servers: &Servers<'_>) -> Result<Wanted> {
    let wrong = |why: String| invalid(format!("mount {index} of type {MOUNT_TYPE}: {why}"));
    let text = |name: &str| match mount.get(name) {
        Some(Value::String(text)) => Ok(text),
        _ => Err(wrong(format!("'{name}' is missing or no text"))),
    };
    let destination: Destination = text("destination")?.parse().map_err(|error| wrong(format!("{error}")))?;
    let source = text("source")?;
    let volume: VolumePath =
        source.parse().map_err(|error| wrong(format!("source {} names no volume: {error}", shown(source))))?;
    let (mut read_only, mut server, mut options) = (false, None, Vec::new());
    let list = match mount.get("options") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong("'options' is no list".into())),
    };
    for option in list {
        match option.as_str() {
            Some("ro") => read_only = true,
            Some("rw") => read_only = false,
            Some("defaults") => {}
            Some(option) if OPTIONS.contains(&option) => options.push(option.to_owned()),
            Some(option) => match option.strip_prefix("server=") {
                Some(text) => server = Some(text),
                None => {
                    let known = OPTIONS.join(", ");
                    return Err(wrong(format!(
                        "option {} is not known; there are ro, rw, server=, {known}",
                        shown(option)
                    )));
                }
            },
            None => return Err(wrong("an option is no text".into())),
        }
    }
    let (volume, subdir) = servers.locate(volume, server).map_err(|error| wrong(error.message().to_owned()))?;
    Ok(Wanted { volume, subdir, destination, read_only, options, place: Place::Mount(index) })
}

/// Where servers are named besides with the volume itself.
struct Servers<'a> {
    annotation: Option<&'a str>,
    fallback: Option<&'a str>,
}

impl Servers<'_> {
    /// The server of a volume: its own, else the option's, the annotation's, the environment's.
    fn locate(
        &self,
        path: VolumePath,
        option: Option<&str>,
    ) -> Result<(RemoteVolume, Option<holdfast_plugin::agent::Subdir>)> {
        let parse = |text: &str, whose: &str| -> Result<ServerAddress> {
            parse_server(text).map_err(|error| invalid(format!("{whose}: {error}")))
        };
        let option = option.map(|text| parse(text, "option server=")).transpose()?;
        let server = match (path.server, option) {
            (Some(own), Some(option)) if own != option => {
                return Err(invalid(format!("the source names server {own} and the option names {option}; name one")));
            }
            (Some(server), _) | (None, Some(server)) => server,
            (None, None) => match (self.annotation, self.fallback) {
                (Some(text), _) => parse(text, ANNOTATION_SERVER)?,
                (None, Some(text)) => parse(text, "HOLDFAST_SERVER")?,
                (None, None) => {
                    return Err(invalid(format!(
                        "no server is named for volume {}; set HOLDFAST_SERVER, annotation {ANNOTATION_SERVER} or mount option server=",
                        path.volume
                    )));
                }
            },
        };
        Ok((RemoteVolume { server, volume: path.volume }, path.subdir))
    }
}

/// No two mounts at one place, of which one is ours.
pub(super) fn check_destinations(spec: &Map<String, Value>, wanted: &[Wanted]) -> Result<()> {
    let mut taken: HashMap<String, &RemoteVolume> = HashMap::new();
    for one in wanted {
        if let Some(other) = taken.insert(one.destination.0.clone(), &one.volume) {
            return Err(invalid(format!(
                "volumes {other} and {} have the same path {} in the container; give each its own",
                one.volume,
                shown(one.destination.as_str())
            )));
        }
    }
    for mount in mounts(spec)? {
        let destination = mount.get("destination").and_then(Value::as_str).unwrap_or_default();
        if mount.get("type").and_then(Value::as_str) != Some(MOUNT_TYPE)
            && let Some(volume) = taken.get(&plain(destination))
        {
            return Err(invalid(format!(
                "volume {volume} and another mount have the same path {} in the container; remove one of them",
                shown(destination)
            )));
        }
    }
    Ok(())
}

/// A path as the kernel would walk it, by its text alone; relative ones begin at the root, as runc has it.
pub(super) fn plain(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}
