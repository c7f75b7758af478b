//! `holdfast volume import`: the files of a tar archive into a volume.

mod restore;
mod settle;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use holdfast_archive::progress::{Progress, Shown, say};
use holdfast_archive::{Finish, Reader};
use holdfast_core::error::{Error, Result as CoreResult};
use holdfast_core::name::VolumeName;
use holdfast_core::size::ByteSize;
use serde::Serialize;

use self::restore::{Restore, Restored};
use super::SpecArgs;
use super::transfer::streams::{Incoming, Origin};
use super::transfer::{Access, EXIT_WARNINGS, Remote, failed};
use crate::args::GlobalArgs;
use crate::connect;
use crate::failure::{Failure, Result};
use crate::output::{Output, Report, safe};

const AFTER_HELP: &str = "\
Archives of `holdfast volume export`, `holdfastd dump` and GNU tar are read, and any that is ustar or
pax; uncompress one first, as in `zstd -dc FILE | holdfast volume import NAME`.
The volume must be empty, and nobody else has it meanwhile. With --into the volume may be in use; only
that directory must be new or empty. Nothing outside of the target is touched, whatever is in the archive.

Exit status: 0 done, 1 not done, 3 done, but some attributes could not be kept.";

/// `holdfast volume import`
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ImportArgs {
    /// Name of the volume
    volume: VolumeName,
    /// The archive; without it, or with `-`, standard input
    #[arg(long, short, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Into this directory of the volume, made if it is absent, in place of its root
    #[arg(long, value_name = "/DIR")]
    into: Option<String>,
    /// Make the volume first
    #[arg(long)]
    create: bool,
    #[command(flatten)]
    asked: SpecArgs,
}

/// Runs the command.
///
/// # Errors
/// A volume or directory that is not empty, an archive that is none or was cut, and what the server says.
pub(super) fn run(args: ImportArgs, global: &GlobalArgs, output: &mut Output) -> Result<ExitCode> {
    let ImportArgs { volume: name, input, into, create, asked } = args;
    if !create && asked.is_something() {
        return Err(Failure::usage("limits, labels and permissions are those of a new volume; add --create"));
    }
    let doing = format!("cannot import into volume {name}");
    let into = match into.as_deref() {
        None => None,
        Some(text) => Some(directory(text)?),
    };
    let spec = asked.spec(name.clone())?;
    let endpoint = connect::endpoint(global)?;
    let origin = Origin::open(input.as_deref()).map_err(|error| Failure::usage(error.message()))?;
    let access = Access { read_only: false, exclusive: into.is_none() };
    let remote = Remote::open(&endpoint, &name, access, "import", async |client| {
        if create { client.create_volume(&spec).await.map(drop) } else { Ok(()) }
    });
    let remote = remote.map_err(|error| failed(&doing, &error))?;
    let mut restored = Restored::default();
    let finish = match import(&remote, origin, into.as_deref(), &mut restored) {
        Ok(finish) => finish,
        Err(error) => {
            remote.give_up();
            return Err(after_failure(&name, &doing, &error, &restored));
        }
    };
    remote.close().map_err(|error| after_failure(&name, &doing, &error, &restored))?;
    let imported = Imported::new(&name, &restored, finish);
    output.report(&imported)?;
    Ok(if imported.warnings > 0 { ExitCode::from(EXIT_WARNINGS) } else { ExitCode::SUCCESS })
}

/// The names of the directory to import into.
fn directory(text: &str) -> Result<Vec<u8>> {
    let wrong = |why: &str| Failure::usage(format!("--into {text}: {why}")).hint("give a path from the volume's root");
    let path = text.strip_prefix('/').ok_or_else(|| wrong("it does not begin with /"))?;
    let names = holdfast_archive::path::components(path.trim_start_matches('/').as_bytes());
    let names = names.map_err(|error| wrong(error.message()))?;
    if names.is_empty() {
        return Err(wrong("that is the root; leave --into out"));
    }
    Ok(names.iter().map(|name| name.as_bytes()).collect::<Vec<_>>().join(&b'/'))
}

/// What is in the volume by then is not taken away: a person may want it.
fn after_failure(name: &VolumeName, doing: &str, error: &Error, restored: &Restored) -> Failure {
    let failure = failed(doing, error);
    if restored.members == 0 {
        return failure;
    }
    failure.hint(format!(
        "{} members were restored before, and are in the volume: do not take them for the whole; \
         remove them, or the volume with `holdfast volume rm {name}`, before another try",
        restored.members
    ))
}

fn import(remote: &Remote, origin: Origin, into: Option<&[u8]>, restored: &mut Restored) -> CoreResult<Finish> {
    let progress = Arc::new(Progress::default());
    progress.expect(0, origin.len.unwrap_or(0));
    let shown = Shown::start(&progress);
    let mut warn = |line: &str| say(&format!("warning: {line}"));
    let mut restore = Restore::new(remote, into, restored, &mut warn)?;
    let mut reader = Reader::new(Incoming::new(remote, origin)?);
    let mut told = 0;
    while let Some(member) = reader.next_member()? {
        restore.member(&member, &mut reader)?;
        progress.file();
        progress.bytes(reader.bytes() - told);
        told = reader.bytes();
    }
    restore.finish()?;
    remote.wait(remote.session().sync())?;
    drop(shown);
    Ok(reader.finish())
}

#[derive(Debug, Serialize)]
struct Imported {
    volume: String,
    members: u64,
    files: u64,
    bytes: u64,
    warnings: u64,
    /// The volume that the archive is of, where it is one of ours.
    archive_of: Option<String>,
    made_by: Option<String>,
    /// Counts and checksum of the whole archive were right; false: it has none, another program made it.
    verified: bool,
    /// What the archive's maker was warned of.
    archive_warnings: u64,
}

impl Imported {
    fn new(name: &VolumeName, restored: &Restored, finish: Finish) -> Self {
        let (archive_of, made_by) = match finish.label {
            Some(label) => (Some(label.volume), Some(label.by)),
            None => (None, None),
        };
        Self {
            volume: name.to_string(),
            members: restored.members,
            files: restored.files,
            bytes: restored.bytes,
            warnings: restored.warnings,
            archive_of,
            made_by,
            verified: finish.ending.is_some(),
            archive_warnings: finish.ending.map_or(0, |ending| ending.warnings),
        }
    }
}

impl Report for Imported {
    fn text(&self) -> String {
        let size = ByteSize(self.bytes);
        let mut text =
            format!("volume {}: imported {} members, {} files with {size}", self.volume, self.members, self.files);
        match (&self.archive_of, &self.made_by) {
            (Some(volume), Some(by)) => text.push_str(&format!(", from volume {} by {}\n", safe(volume), safe(by))),
            _ => text.push_str("; the archive has no checksum of its content\n"),
        }
        if self.archive_warnings > 0 {
            text.push_str(&format!("the archive itself was made with {} warnings\n", self.archive_warnings));
        }
        if self.warnings > 0 {
            text.push_str(&format!("{} attributes could not be kept; they are named above\n", self.warnings));
        }
        text
    }
}
