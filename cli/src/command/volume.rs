//! `holdfast volume`: make, list, show, remove, expand, check and scrub volumes; write one into an archive,
//! and back.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use holdfast_client::VolumeRef;
use holdfast_core::name::VolumeName;
use holdfast_core::size::ByteSize;
use holdfast_core::volume::{MountPolicy, Quota, VolumeInfo, VolumeSpec};
use serde::Serialize;

use crate::args::GlobalArgs;
use crate::connect;
use crate::failure::{During, Failure, Result};
use crate::output::{Output, Report};

pub mod check;
mod export;
mod import;
pub mod scrub;
mod segments;
mod transfer;
pub mod view;

use export::ExportArgs;
use import::ImportArgs;
use scrub::view::StatusView;
use segments::{CompactionShown, DataShown};
use view::{Shown, VolumeList, VolumeView};

/// `holdfast volume`
#[derive(Debug, Args)]
pub struct VolumeArgs {
    #[command(subcommand)]
    command: VolumeCommand,
}

#[derive(Debug, Subcommand)]
enum VolumeCommand {
    /// Make a volume; the same command twice is no error
    Create(CreateArgs),
    /// List the volumes of the server
    #[command(visible_alias = "list")]
    Ls,
    /// Show one volume
    Show {
        /// Name of the volume
        name: VolumeName,
    },
    /// Remove a volume and everything in it, for good
    #[command(visible_alias = "remove")]
    Rm(RemoveArgs),
    /// Raise the limits of a volume, while it is in use
    Expand(ExpandArgs),
    /// Prove that a volume's metadata agrees with itself, while it is in use; mend what is safe
    Check(check::CheckArgs),
    /// Read all of a volume's data from the disk and verify it, while it is in use
    Scrub(scrub::ScrubArgs),
    /// Write all files of a volume into a tar archive
    Export(ExportArgs),
    /// Read the files of a tar archive into a new or empty volume
    Import(ImportArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Name: letters, digits, '.', '_' and '-'
    name: VolumeName,
    #[command(flatten)]
    asked: SpecArgs,
}

/// What a new volume is to be.
#[derive(Debug, Args)]
struct SpecArgs {
    /// Bytes that it may hold, as in 10GiB; without it the server's disk is the limit
    #[arg(long)]
    size: Option<ByteSize>,
    /// Files and directories that it may hold
    #[arg(long, value_name = "N")]
    inodes: Option<u64>,
    /// A label, as in team=build (repeat for more)
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    labels: Vec<(String, String)>,
    /// Let set-user-id programs in it work (mounts are nosuid without)
    #[arg(long)]
    allow_suid: bool,
    /// Let device files in it work (mounts are nodev without)
    #[arg(long)]
    allow_dev: bool,
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// Name of the volume
    name: VolumeName,
    /// Remove it although it is mounted; its mounts get errors from then on
    #[arg(long)]
    force: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
struct ExpandArgs {
    /// Name of the volume
    name: VolumeName,
    /// New limit in bytes, as in 20GiB
    #[arg(long, required_unless_present = "inodes")]
    size: Option<ByteSize>,
    /// New limit of files and directories
    #[arg(long, value_name = "N")]
    inodes: Option<u64>,
}

fn parse_label(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is KEY=VALUE, such as team=build".into()),
    }
}

/// Runs the command.
///
/// # Errors
/// Bad input, a server that cannot be reached, and what the server answers.
pub fn run(args: VolumeArgs, global: &GlobalArgs, output: &mut Output) -> Result<ExitCode> {
    let done = match args.command {
        VolumeCommand::Create(args) => create(args, global, output),
        VolumeCommand::Ls => {
            let volumes = connect::with(global, "list volumes", async |client| client.list_volumes().await)?;
            output.report(&VolumeList::new(volumes))
        }
        VolumeCommand::Show { name } => show(&name, global, output),
        VolumeCommand::Rm(args) => remove(&args, global, output),
        VolumeCommand::Expand(args) => expand(&args, global, output),
        VolumeCommand::Check(args) => check::run(&args, global, output),
        VolumeCommand::Scrub(args) => scrub::run(&args, global, output),
        VolumeCommand::Export(args) => return export::run(&args, global, output),
        VolumeCommand::Import(args) => return import::run(args, global, output),
    };
    done.map(|()| ExitCode::SUCCESS)
}

impl SpecArgs {
    fn spec(self, name: VolumeName) -> Result<VolumeSpec> {
        let mut labels = BTreeMap::new();
        for (key, value) in self.labels {
            if labels.insert(key.clone(), value).is_some() {
                return Err(Failure::usage(format!("the label {key:?} is given twice")));
            }
        }
        let spec = VolumeSpec {
            name,
            quota: Quota { bytes: self.size.map(ByteSize::bytes), inodes: self.inodes },
            labels,
            policy: MountPolicy { allow_suid: self.allow_suid, allow_dev: self.allow_dev },
        };
        spec.check().map_err(|error| Failure::usage(error.message()))?;
        Ok(spec)
    }

    /// Whether anything is asked for.
    fn is_something(&self) -> bool {
        self.size.is_some() || self.inodes.is_some() || !self.labels.is_empty() || self.allow_suid || self.allow_dev
    }
}

fn create(args: CreateArgs, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let spec = args.asked.spec(args.name)?;
    let doing = format!("create volume {}", spec.name);
    let (volume, created) = connect::with(global, &doing, async |client| client.create_volume(&spec).await)?;
    output.report(&Created { created, volume: VolumeView::from(volume) })
}

fn show(name: &VolumeName, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let (volume, scrubs, segments) = connect::with(global, &format!("show volume {name}"), async |client| {
        let volume = VolumeRef::Name(name.clone());
        let (shown, scrubs) = (client.get_volume(&volume).await?, client.scrub_status(&volume).await?);
        Ok((shown, scrubs, client.segments(&volume).await?))
    })?;
    output.report(&Shown {
        volume: VolumeView::from(volume),
        scrubbed: StatusView::new(name, &scrubs).words(),
        data: segments.as_ref().and_then(|segments| segments.sums).map(DataShown::from),
        compaction: segments.map(|segments| CompactionShown::from(segments.compaction)),
    })
}

fn find(global: &GlobalArgs, name: &VolumeName) -> Result<VolumeInfo> {
    connect::with(global, &format!("show volume {name}"), async |client| {
        client.get_volume(&VolumeRef::Name(name.clone())).await
    })
}

fn remove(args: &RemoveArgs, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let name = &args.name;
    if !args.yes {
        confirm(&find(global, name)?, output)?;
    }
    let doing = format!("remove volume {name}");
    let volume = VolumeRef::Name(name.clone());
    connect::with(global, &doing, async |client| client.delete_volume(&volume, args.force).await)?;
    output.report(&Removed { removed: name.to_string() })
}

/// Asks on a terminal; elsewhere `--yes` has to say it.
fn confirm(volume: &VolumeInfo, output: &mut Output) -> Result<()> {
    let name = &volume.spec.name;
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("removing volume {name} needs --yes, since nobody can be asked"))
            .hint("it deletes everything in the volume, for good"));
    }
    let (size, inodes) = (ByteSize(volume.usage.bytes), volume.usage.inodes);
    output.prompt(&format!("remove volume {name} with {size} in {inodes} files and directories, for good? [y/N] "));
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).during(|| "read the answer".into())?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(format!("volume {name} was not removed"))),
    }
}

fn expand(args: &ExpandArgs, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let quota = Quota { bytes: args.size.map(ByteSize::bytes), inodes: args.inodes };
    quota.check().map_err(|error| Failure::usage(error.message()))?;
    let (name, doing) = (&args.name, format!("expand volume {}", args.name));
    let volume = VolumeRef::Name(name.clone());
    let volume = connect::with(global, &doing, async |client| client.expand_volume(&volume, quota).await)?;
    output.report(&VolumeView::from(volume))
}

#[derive(Debug, Serialize)]
struct Created {
    /// False: it was there, as asked for.
    created: bool,
    volume: VolumeView,
}

#[derive(Debug, Serialize)]
struct Removed {
    removed: String,
}

impl Report for Created {
    fn text(&self) -> String {
        let done = if self.created { "created" } else { "was there, as asked for" };
        let limits = self.volume.limits();
        format!("volume {}: {done} ({limits})\n", self.volume.name)
    }
}

impl Report for Removed {
    fn text(&self) -> String {
        format!("volume {}: removed\n", self.removed)
    }
}

#[cfg(test)]
mod tests;
