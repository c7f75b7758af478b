//! `holdfast volume export`: all files of a volume into a tar archive.

mod session_source;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use holdfast_archive::file::{Target, written};
use holdfast_archive::progress::{Progress, Shown, say};
use holdfast_archive::walk::{Tally, Warning, walk};
use holdfast_archive::{Ending, Label, Writer};
use holdfast_core::error::Result as CoreResult;
use holdfast_core::name::VolumeName;
use holdfast_core::size::ByteSize;
use holdfast_core::time::Timestamp;
use serde::Serialize;

use self::session_source::SessionSource;
use super::transfer::streams::Outgoing;
use super::transfer::{Access, EXIT_WARNINGS, Remote, failed};
use crate::args::GlobalArgs;
use crate::connect;
use crate::failure::{Failure, Result};
use crate::output::{Format, Output, Report};

const AFTER_HELP: &str = "\
The archive is a POSIX tar; GNU tar unpacks it with --xattrs --xattrs-include='*'.
A volume that is in use is read file by file: each file up to 1 MiB is as it was at one moment, a
longer one that was changed meanwhile is named, and different files are of different moments. With
--exclusive nobody else has the volume meanwhile, and all of it is of one moment.

Exit status: 0 done, 1 not done, 3 done, but something was changed while it was read, or is damaged.";

/// `holdfast volume export`
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub(super) struct ExportArgs {
    /// Name of the volume
    volume: VolumeName,
    /// File to write, in place once it is whole; without it, or with `-`, standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Keep everybody else out of the volume meanwhile; refused while anybody has it
    #[arg(long)]
    exclusive: bool,
}

/// Runs the command.
///
/// # Errors
/// No such volume, in use with `--exclusive`, and what reading or writing fails with.
pub(super) fn run(args: &ExportArgs, global: &GlobalArgs, output: &mut Output) -> Result<ExitCode> {
    let doing = format!("cannot export volume {}", args.volume);
    let endpoint = connect::endpoint(global)?;
    let target = Target::open(args.output.as_deref()).map_err(|error| Failure::usage(error.message()))?;
    let to_stdout = args.output.as_ref().is_none_or(|path| path.as_os_str() == "-");
    let access = Access { read_only: true, exclusive: args.exclusive };
    let remote = Remote::open(&endpoint, &args.volume, access, "export", async |_| Ok(()));
    let remote = remote.map_err(|error| failed(&doing, &error))?;
    let exported = match export(&remote, target) {
        Ok(exported) => exported,
        Err(error) => {
            remote.give_up();
            return Err(failed(&doing, &error));
        }
    };
    // It changed nothing, so how it leaves is of no interest.
    remote.give_up();
    if to_stdout {
        output.note(&told(&exported, output.format())?);
    } else {
        output.report(&exported)?;
    }
    Ok(if exported.has_warnings() { ExitCode::from(EXIT_WARNINGS) } else { ExitCode::SUCCESS })
}

/// Where the archive itself goes to standard output.
fn told(exported: &Exported, format: Format) -> Result<String> {
    match format {
        Format::Text => Ok(exported.text().trim_end().to_owned()),
        Format::Json => {
            serde_json::to_string(exported).map_err(|error| Failure::new("cannot write JSON").because(&error))
        }
    }
}

fn export(remote: &Remote, target: Target) -> CoreResult<Exported> {
    let volume = remote.volume();
    let label = Label {
        volume: volume.spec.name.to_string(),
        id: volume.id,
        by: format!("holdfast export {}", env!("CARGO_PKG_VERSION")),
        made: now(),
        spec: Some(volume.spec.clone()),
    };
    let progress = Arc::new(Progress::default());
    progress.expect(volume.usage.inodes, volume.usage.bytes);
    let shown = Shown::start(&progress);
    let mut writer = Writer::new(Outgoing::new(remote, target)?, &label).map_err(|error| written(&error))?;
    let mut warn = |warning: &Warning| say(&format!("warning: {warning}"));
    let tally = walk(&mut SessionSource::new(remote), &mut writer, &progress, &mut warn)?;
    let (outgoing, ending) = writer.finish(tally.warnings()).map_err(|error| written(&error))?;
    outgoing.finish()?;
    drop(shown);
    Ok(Exported::new(&label, tally, ending))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp { secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), nanos: since.subsec_nanos() }
}

#[derive(Debug, Serialize)]
struct Exported {
    volume: String,
    id: String,
    members: u64,
    files: u64,
    /// Bytes of files, without holes.
    bytes: u64,
    archive_bytes: u64,
    blake3: String,
    changed: u64,
    damaged_ranges: u64,
    lost: u64,
    /// Removed between the listing and the reading: not in the archive, and no fault.
    removed: u64,
}

impl Exported {
    fn new(label: &Label, tally: Tally, ending: Ending) -> Self {
        Self {
            volume: label.volume.clone(),
            id: label.id.to_string(),
            members: tally.members,
            files: tally.files,
            bytes: tally.bytes,
            archive_bytes: ending.bytes,
            blake3: ending.blake3.to_string(),
            changed: tally.changed,
            damaged_ranges: tally.damaged,
            lost: tally.lost,
            removed: tally.removed,
        }
    }

    const fn has_warnings(&self) -> bool {
        self.changed + self.damaged_ranges + self.lost > 0
    }
}

impl Report for Exported {
    fn text(&self) -> String {
        let size = ByteSize(self.bytes);
        let mut text =
            format!("volume {}: exported {} members, {} files with {size}\n", self.volume, self.members, self.files);
        let found = [
            (self.changed, "files were changed while they were read"),
            (self.damaged_ranges, "damaged ranges are zeros"),
            (self.lost, "things are missing or not whole"),
        ];
        for (count, what) in found.iter().filter(|(count, _)| *count > 0) {
            text.push_str(&format!("{count} {what}; they are named above\n"));
        }
        text
    }
}
