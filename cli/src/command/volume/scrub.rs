//! `holdfast volume scrub`: whether a volume's data is what was written.

use std::collections::BTreeSet;

use clap::Args;
use holdfast_client::{Client, ScrubEvent, VolumeRef};
use holdfast_core::error::Error;
use holdfast_core::integrity::{ScrubRun, ScrubStatus};
use holdfast_core::name::VolumeName;
use holdfast_core::size::ByteSize;

use self::view::{RunView, StatusView};
use super::check::plural;
use crate::args::GlobalArgs;
use crate::connect;
use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::output::bar::Bar;
use crate::output::figures::count;

pub mod view;

/// `holdfast volume scrub`
#[derive(Debug, Args)]
pub struct ScrubArgs {
    /// Name of the volume
    name: VolumeName,
    /// Bytes a second to read at most, as in 50MiB; without it the server's setting
    #[arg(long, value_name = "SIZE", conflicts_with = "status")]
    rate: Option<ByteSize>,
    /// Begin anew, though a scrub was broken off
    #[arg(long, conflicts_with = "status")]
    restart: bool,
    /// Only show how far it is, and what the last one found
    #[arg(long)]
    status: bool,
}

/// Runs the command.
///
/// # Errors
/// When the volume cannot be scrubbed, and when anything bad was found.
pub fn run(args: &ScrubArgs, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let (name, volume) = (&args.name, VolumeRef::Name(args.name.clone()));
    if args.status {
        let doing = format!("ask for the scrubs of volume {name}");
        let status = connect::with(global, &doing, async |client| client.scrub_status(&volume).await)?;
        output.report(&StatusView::new(name, &status))?;
        return match newest(&status) {
            Some(run) => verdict(name, run),
            None => Ok(()),
        };
    }
    let doing = format!("scrub volume {name}");
    let interrupted = "interrupted; what is verified is kept, and the same command goes on there";
    let (rate, restart) = (args.rate.map(ByteSize::bytes), args.restart);
    let run = connect::until_interrupted(global, &doing, interrupted, async |client| {
        scrub(client, &volume, rate, restart).await
    })?;
    output.report(&RunView::new(name, &run))?;
    verdict(name, &run)
}

/// What is known best: of a scrub that has found something, that; else of the last one that has ended.
fn newest(status: &ScrubStatus) -> Option<&ScrubRun> {
    status.current.as_ref().filter(|run| !run.is_clean()).or(status.last.as_ref())
}

fn verdict(name: &VolumeName, run: &ScrubRun) -> Result<()> {
    if run.is_clean() {
        return Ok(());
    }
    let files = run.bad.iter().flat_map(|bad| &bad.files).map(|file| file.ino).collect::<BTreeSet<_>>().len() as u64;
    let (frames, segments) = (run.bad_frames, run.segments.len() as u64);
    let segments = match segments {
        0 => String::new(),
        count => format!(", and {count} {} missing or too short", plural(count, "segment")),
    };
    let frame = plural(frames, "frame");
    let file = plural(files, "file");
    Err(Failure::new(format!("volume {name} has {frames} bad {frame} in {files} {file}{segments}"))
        .hint("reads of these bytes fail; restore the files from a copy, then scrub again (docs/OPERATIONS.md)"))
}

async fn scrub(
    client: &Client,
    volume: &VolumeRef,
    rate: Option<u64>,
    restart: bool,
) -> std::result::Result<ScrubRun, Error> {
    let mut bar = Bar::start();
    let (mut bad, mut segments) = (Vec::new(), Vec::new());
    let mut telling = client.scrub_volume(volume, rate, restart).await?;
    loop {
        match telling.next().await? {
            ScrubEvent::Progress(run) => bar.stands(share(&run), &words(&run, bad.len())),
            ScrubEvent::BadFrame(frame) => bad.push(*frame),
            ScrubEvent::BadSegment(segment) => segments.push(segment),
            ScrubEvent::Done(run) => return Ok(ScrubRun { bad, segments, ..run }),
        }
    }
}

fn share(run: &ScrubRun) -> f64 {
    run.bytes as f64 / run.bytes_total.max(1) as f64
}

fn words(run: &ScrubRun, bad: usize) -> String {
    let frames = count(run.frames);
    let found = if bad > 0 { format!(", {bad} bad") } else { String::new() };
    format!("{} of {}, {frames} frames{found}", ByteSize(run.bytes), ByteSize(run.bytes_total))
}

#[cfg(test)]
mod tests;
