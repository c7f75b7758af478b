//! The OCI runtime that does the work: runc, or crun, or what `HOLDFAST_OCI_RUNTIME` names.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::unistd::Uid;

use crate::supervise;

/// The environment variable that names the delegate: a program in `PATH`, or a path.
pub const RUNTIME_VARIABLE: &str = "HOLDFAST_OCI_RUNTIME";
/// Who is asked otherwise, first found first.
const CANDIDATES: [&str; 2] = ["runc", "crun"];
/// Where to look when `PATH` is not set.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How long the delegate may take to say whether a container exists.
const STATE_TIMEOUT: Duration = Duration::from_secs(10);

/// A runtime that was found.
#[derive(Clone, Debug)]
pub struct Delegate {
    program: PathBuf,
}

impl Delegate {
    /// Looks for the delegate. This program itself, under whatever name, is never one.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], saying what was looked for.
    pub fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let path = variable("PATH").unwrap_or_else(|| PATH_DEFAULT.into());
        let own = fs::metadata("/proc/self/exe").ok().map(|meta| (meta.dev(), meta.ino()));
        let usable = |program: &PathBuf| {
            fs::metadata(program).is_ok_and(|meta| {
                meta.is_file() && meta.permissions().mode() & 0o111 != 0 && Some((meta.dev(), meta.ino())) != own
            })
        };
        let search = |name: &OsStr| {
            let dirs = std::env::split_paths(&path).filter(|dir| dir.is_absolute());
            dirs.map(|dir| dir.join(name)).find(&usable)
        };
        let set = variable(RUNTIME_VARIABLE).filter(|set| !set.is_empty());
        let found = match &set {
            Some(set) if set.as_encoded_bytes().contains(&b'/') => Some(PathBuf::from(set)).filter(usable),
            Some(set) => search(set),
            None => CANDIDATES.iter().find_map(|name| search(name.as_ref())),
        };
        found.map(|program| Self { program }).ok_or_else(|| {
            let message = match set {
                Some(set) => format!("{RUNTIME_VARIABLE} names {}, which is no other runtime's program", set.display()),
                None => format!(
                    "there is no {} in PATH; install one, or set {RUNTIME_VARIABLE} to another OCI runtime",
                    CANDIDATES.join(" and no ")
                ),
            };
            Error::new(ErrorKind::NotFound, message)
        })
    }

    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// A call of it.
    #[must_use]
    pub fn command(&self, words: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words);
        command
    }

    /// Becomes the delegate. Returns only when that failed.
    #[must_use]
    pub fn exec(&self, words: &[OsString]) -> Error {
        let error = self.command(words).exec();
        Error::new(ErrorKind::Internal, format!("cannot run {}", self.program.display())).because(error)
    }

    /// Where it keeps the state of containers, when it is not told.
    #[must_use]
    pub fn default_root(&self, variable: impl Fn(&str) -> Option<OsString>) -> PathBuf {
        let name = self.program.file_name().unwrap_or(OsStr::new("runc"));
        match variable("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty()) {
            Some(dir) if !Uid::effective().is_root() => PathBuf::from(dir).join(name),
            _ => Path::new("/run").join(name),
        }
    }

    /// Whether it knows a container. When it does not answer in time, the container may exist.
    #[must_use]
    pub fn knows(&self, root: Option<&Path>, id: &OsStr) -> bool {
        let mut command = Command::new(&self.program);
        if let Some(root) = root {
            command.arg("--root").arg(root);
        }
        command.arg("state").arg(id).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        supervise::finishes(&mut command, STATE_TIMEOUT).is_none_or(|status| status.success())
    }
}
