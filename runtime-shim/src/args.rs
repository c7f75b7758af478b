//! The command line of an OCI runtime, as runc and crun have it, read without changing it.
//!
//! The OCI specification names no command line, so what engines call is runc's. Only what we need
//! is picked out; all arguments go to the delegate as they came. A flag that is not known here is
//! skipped: with its value when that is attached by `=`, or when the next word is no command.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Flags before the command that take a value as the next word, of runc and of crun.
const GLOBAL_WITH_VALUE: [&str; 8] =
    ["log", "log-format", "log-level", "root", "criu", "rootless", "cgroup-manager", "systemd-cgroup-slice"];
/// Flags of `create` and `run` that take a value as the next word. Those of `delete` never do.
const CREATION_WITH_VALUE: [&str; 8] =
    ["bundle", "b", "console-socket", "pidfd-socket", "pid-file", "preserve-fds", "config", "f"];
/// Every command of runc or crun, to tell one from the value of an unknown flag.
const COMMANDS: [&str; 19] = [
    "checkpoint",
    "create",
    "delete",
    "events",
    "exec",
    "features",
    "init",
    "kill",
    "list",
    "mounts",
    "pause",
    "ps",
    "restore",
    "resume",
    "run",
    "spec",
    "start",
    "state",
    "update",
];

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `time="..." level=error msg="..."`
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What the caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `create`
    Create(Creation),
    /// `run`
    Run(Creation),
    /// `delete`
    Delete {
        /// The container; with `--regex`, a pattern.
        id: Option<OsString>,
        /// crun's `--regex`: the id is a pattern, several containers may go.
        regex: bool,
    },
    /// `--version` without a command.
    Version,
    /// Everything else.
    Other,
}

/// What `create` and `run` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Creation {
    /// The container.
    pub id: Option<OsString>,
    /// The bundle directory; `None` is the working directory.
    pub bundle: Option<PathBuf>,
    /// crun's `--config`: another file than the bundle's `config.json`.
    pub config: Option<PathBuf>,
    /// `run --detach`: the call returns when the container has started.
    pub detach: bool,
}

impl Creation {
    /// The file that holds the container's specification.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        let bundle = self.bundle.as_deref().unwrap_or(Path::new("."));
        match &self.config {
            Some(config) => config.clone(),
            None => bundle.join("config.json"),
        }
    }
}

/// A command line of an OCI runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// `--root`: where the delegate keeps the state of its containers.
    pub root: Option<PathBuf>,
    /// `--log`: where errors go besides standard error.
    pub log: Option<PathBuf>,
    /// `--log-format`
    pub log_format: LogFormat,
    /// How many words stand before the command; all of them when there is none.
    pub global_words: usize,
    /// The command.
    pub verb: Verb,
}

/// One word, looked at as a flag.
struct Flag<'a> {
    name: &'a str,
    attached: Option<&'a OsStr>,
}

impl<'a> Flag<'a> {
    /// `-x`, `--x`, `-x=v` or `--x=v`, as Go programs take them; not `-`, `--` or an operand.
    fn parse(word: &'a OsStr) -> Option<Self> {
        let bytes = word.as_bytes();
        let body = bytes.strip_prefix(b"--").or_else(|| bytes.strip_prefix(b"-")).filter(|body| !body.is_empty())?;
        let (name, attached) = match body.iter().position(|byte| *byte == b'=') {
            Some(at) => (&body[..at], Some(OsStr::from_bytes(&body[at + 1..]))),
            None => (body, None),
        };
        // A name that is no text is no flag that we know.
        Some(Self { name: std::str::from_utf8(name).unwrap_or(""), attached })
    }

    /// A flag without a value, or with one that means yes.
    fn is_on(&self) -> bool {
        self.attached.is_none_or(|value| matches!(value.as_bytes(), b"true" | b"1" | b"t" | b"T" | b"TRUE" | b"True"))
    }
}

impl Invocation {
    /// Reads the words that follow the program's name.
    #[must_use]
    pub fn parse(words: &[OsString]) -> Self {
        let mut call =
            Self { root: None, log: None, log_format: LogFormat::Text, global_words: words.len(), verb: Verb::Other };
        let mut version = false;
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let Some(flag) = Flag::parse(word).filter(|_| word != "--") else {
                call.global_words = at;
                call.verb = if version { Verb::Version } else { parse_verb(word, &words[at + 1..]) };
                return call;
            };
            at += 1;
            let next_is_value = match words.get(at) {
                _ if flag.attached.is_some() => false,
                Some(_) if GLOBAL_WITH_VALUE.contains(&flag.name) => true,
                Some(next) => !is_known_switch(flag.name) && !next.as_bytes().starts_with(b"-") && !is_command(next),
                None => false,
            };
            let value = flag.attached.or_else(|| words.get(at).filter(|_| next_is_value).map(OsString::as_os_str));
            match (flag.name, value) {
                ("root", Some(value)) => call.root = Some(value.into()),
                ("log", Some(value)) => call.log = Some(value.into()).filter(|log: &PathBuf| log != Path::new("")),
                ("log-format", Some(value)) if value == "json" => call.log_format = LogFormat::Json,
                ("log-format", Some(_)) => call.log_format = LogFormat::Text,
                ("version" | "v" | "V", _) => version = true,
                _ => {}
            }
            at += usize::from(next_is_value);
        }
        if version {
            call.verb = Verb::Version;
        }
        call
    }
}

/// Flags before the command that never take the next word.
fn is_known_switch(name: &str) -> bool {
    matches!(name, "debug" | "systemd-cgroup" | "help" | "h" | "version" | "v" | "V" | "usage")
}

fn is_command(word: &OsStr) -> bool {
    COMMANDS.iter().any(|command| word == *command)
}

fn parse_verb(verb: &OsStr, words: &[OsString]) -> Verb {
    match verb.as_bytes() {
        b"create" => Verb::Create(parse_creation(words)),
        b"run" => Verb::Run(parse_creation(words)),
        b"delete" => {
            let mut regex = false;
            let id = parse_command(words, &[], |flag, _| regex |= matches!(flag.name, "regex" | "r") && flag.is_on());
            Verb::Delete { id, regex }
        }
        _ => Verb::Other,
    }
}

fn parse_creation(words: &[OsString]) -> Creation {
    let mut creation = Creation::default();
    creation.id = parse_command(words, &CREATION_WITH_VALUE, |flag, value| match (flag.name, value) {
        ("bundle" | "b", Some(value)) => creation.bundle = Some(value.into()),
        ("config" | "f", Some(value)) => creation.config = Some(value.into()),
        ("detach" | "d", _) => creation.detach = flag.is_on(),
        _ => {}
    });
    creation
}

/// Shows each flag to `see`, and returns the first operand.
fn parse_command(
    words: &[OsString],
    with_value: &[&str],
    mut see: impl FnMut(&Flag<'_>, Option<&OsStr>),
) -> Option<OsString> {
    let mut operand = None;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if word == "--" {
            return operand.or_else(|| words.get(at).cloned());
        }
        let Some(flag) = Flag::parse(word) else {
            operand.get_or_insert_with(|| word.clone());
            continue;
        };
        let next_is_value = flag.attached.is_none() && with_value.contains(&flag.name);
        let value = flag.attached.or_else(|| words.get(at).filter(|_| next_is_value).map(OsString::as_os_str));
        see(&flag, value);
        at += usize::from(next_is_value);
    }
    operand
}

#[cfg(test)]
mod tests;
