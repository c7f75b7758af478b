//! The runtime's settings: the environment, and behind it a file.
//!
//! Some engines start runtimes with an empty environment (podman does), so what every other
//! command takes from `HOLDFAST_...` variables can stand in `/etc/holdfast/runtime.env`, one
//! `NAME=value` a line. The environment wins.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use holdfast_core::error::{Error, ErrorKind, Result};

/// The file when nothing else is said; it may be missing.
pub const FILE_DEFAULT: &str = "/etc/holdfast/runtime.env";
/// The environment variable that names another file, which must be there.
pub const FILE_VARIABLE: &str = "HOLDFAST_RUNTIME_ENV";
/// What every name begins with.
const PREFIX: &str = "HOLDFAST_";

/// Variables, from the environment or the file.
#[derive(Debug, Default)]
pub struct Settings {
    file: BTreeMap<String, String>,
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`], naming the file, and the line that is wrong.
    pub fn load() -> Result<Self> {
        match std::env::var_os(FILE_VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => Self::read(Path::new(&path), true),
            None => Self::read(Path::new(FILE_DEFAULT), false),
        }
    }

    fn read(path: &Path, required: bool) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => Ok(Self::default()),
            Err(error) => {
                let message = format!("cannot read the settings in {}", path.display());
                Err(Error::new(ErrorKind::Invalid, message).because(error))
            }
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self> {
        let mut file = BTreeMap::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let pair = line.split_once('=').map(|(name, value)| (name.trim(), unquoted(value.trim())));
            match pair {
                Some((name, value)) if is_name(name) && !value.contains('\0') => {
                    file.insert(name.to_owned(), value.to_owned());
                }
                _ => {
                    let message = format!(
                        "{} line {}: write {PREFIX}NAME=value, or begin the line with '#'",
                        path.display(),
                        index + 1
                    );
                    return Err(Error::new(ErrorKind::Invalid, message));
                }
            }
        }
        Ok(Self { file })
    }

    /// A variable: the environment's, else the file's. Those not of ours are the environment's alone.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name).filter(|value| !value.is_empty()).or_else(|| self.file.get(name).map(OsString::from))
    }

    /// The same as a path.
    #[must_use]
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// What a program of ours must be told in its environment, since it does not read the file.
    #[must_use]
    pub fn for_programs(&self) -> Vec<(OsString, OsString)> {
        let names = self.file.keys().filter(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()));
        names.map(|name| (name.into(), self.file[name].clone().into())).collect()
    }
}

fn is_name(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX).unwrap_or_default();
    !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_')
}

/// A value without the quotes around it, which shells and systemd allow in such files.
fn unquoted(value: &str) -> &str {
    let within = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests;
