//! How mount(8) calls us: `mount.holdfast SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]`.
//!
//! `mount -t holdfast ...` and a line of fstab(5) end here. The exit codes are mount(8)'s.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

/// The name under which this program is the helper.
pub const NAME: &str = "mount.holdfast";
/// The same for a mount that is there already, which the kernel lists as `fuse.holdfast`: remounts.
const NAME_OF_MOUNTED: &str = "mount.fuse.holdfast";

/// mount(8): "incorrect invocation or permissions".
pub const EXIT_USAGE: u8 = 1;
/// mount(8): "mount failure".
pub const EXIT_FAILURE: u8 = 32;

/// What mount(8) asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// What to mount: `SERVER:/VOLUME[/SUBDIR]`.
    pub source: String,
    /// Where.
    pub directory: PathBuf,
    /// Mount options, in the order given.
    pub options: Vec<String>,
    /// `-s`: options that are not known are no mistake.
    pub sloppy: bool,
    /// `-f`: do everything but mount.
    pub fake: bool,
    /// `-v`
    pub verbose: bool,
}

/// Whether the program was called as the helper.
#[must_use]
pub fn is_called(program: &Path) -> bool {
    program.file_name().is_some_and(|name| name == NAME || name == NAME_OF_MOUNTED)
}

/// Reads the arguments that follow the program's name.
///
/// # Errors
/// What mount(8) never sends.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Call> {
    let usage = |what: String| {
        Failure::usage(format!("{NAME}: {what}")).hint(format!("usage: {NAME} SERVER:/VOLUME DIR [-sfnv] [-o OPTIONS]"))
    };
    let (mut call, mut operands) = (Call::default(), Vec::new());
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            operands.push(argument);
            continue;
        };
        for (at, letter) in letters.char_indices() {
            match letter {
                'f' => call.fake = true,
                'v' => call.verbose = true,
                's' => call.sloppy = true,
                'n' => {}
                'o' | 't' | 'N' => {
                    let attached = &letters[at + 1..];
                    let value = if attached.is_empty() { arguments.next() } else { Some(attached.into()) };
                    let value = value.ok_or_else(|| usage(format!("-{letter} needs a value")))?;
                    if letter == 'o' {
                        call.options.extend(split_options(&value.to_string_lossy()));
                    }
                    break;
                }
                _ => return Err(usage(format!("-{letter} is not known"))),
            }
        }
    }
    let [source, directory] = <[OsString; 2]>::try_from(operands)
        .map_err(|operands| usage(format!("expected a source and a directory, got {} words", operands.len())))?;
    call.source = source.into_string().map_err(|source| usage(format!("the source {source:?} is not text")))?;
    call.directory = directory.into();
    Ok(call)
}

/// Options at commas, without empty ones.
pub fn split_options(options: &str) -> impl Iterator<Item = String> {
    options.split(',').map(str::trim).filter(|option| !option.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests;
