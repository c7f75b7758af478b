//! `holdfast volume check`: whether a volume's metadata agrees with itself, and its repair.

use clap::Args;
use holdfast_client::{CheckEvent, Client, VolumeRef};
use holdfast_core::integrity::{CheckPhase, CheckProgress, CheckReport, Finding, Mending, Subject};
use holdfast_core::name::VolumeName;
use serde::Serialize;

use crate::args::GlobalArgs;
use crate::connect;
use crate::failure::{Failure, Result};
use crate::output::bar::Bar;
use crate::output::figures;
use crate::output::table::{Align, Table};
use crate::output::{Output, Report};

use super::view::path_text;

/// `holdfast volume check`
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Name of the volume
    name: VolumeName,
    /// Mend what is safe to mend, while the volume is in use; tell the rest
    #[arg(long)]
    repair: bool,
}

/// What a check came to.
#[derive(Debug, Serialize)]
struct CheckView {
    volume: String,
    inodes: u64,
    names: u64,
    extents: u64,
    /// Findings that are there now.
    left: u64,
    /// Findings that were mended.
    mended: u64,
    /// There are more than are listed.
    cut: bool,
    findings: Vec<FindingView>,
}

/// Something that differs.
#[derive(Debug, Serialize)]
struct FindingView {
    kind: &'static str,
    /// What it is about, in words.
    about: String,
    inode: Option<u64>,
    segment: Option<u64>,
    path: Option<String>,
    stored: Option<u64>,
    #[serde(rename = "true")]
    truth: Option<u64>,
    message: String,
    mending: &'static str,
}

/// Runs the command.
///
/// # Errors
/// When the volume cannot be checked, and when anything is left that is wrong.
pub fn run(args: &CheckArgs, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    let name = &args.name;
    let doing = format!("check volume {name}");
    let interrupted = if args.repair {
        "interrupted; what was mended by then stays mended, and the command can be repeated"
    } else {
        "interrupted; nothing was changed"
    };
    let volume = VolumeRef::Name(name.clone());
    let repair = args.repair;
    let (findings, report) =
        connect::until_interrupted(global, &doing, interrupted, async |client| check(client, &volume, repair).await)?;
    let view = CheckView::new(name, findings, report);
    output.report(&view)?;
    if view.left == 0 {
        return Ok(());
    }
    let (left, safe) = (view.left, view.findings.iter().filter(|found| found.mending == Mending::Safe.word()).count());
    let failure = Failure::new(format!("volume {name} has {left} {} in its metadata", plural(left, "finding")));
    Err(match (safe, args.repair) {
        (0, false) => failure.hint("none of it is safe to mend by itself; docs/OPERATIONS.md says what to do"),
        (safe, false) => failure.hint(format!("`holdfast volume check {name} --repair` mends {safe} of them")),
        (_, true) => {
            failure.hint("what is left is not safe to mend by itself, or in use; docs/OPERATIONS.md says what to do")
        }
    })
}

async fn check(
    client: &Client,
    volume: &VolumeRef,
    repair: bool,
) -> std::result::Result<(Vec<Finding>, CheckReport), holdfast_core::error::Error> {
    let mut bar = Bar::start();
    let mut findings = Vec::new();
    let mut telling = client.check_volume(volume, repair).await?;
    loop {
        match telling.next().await? {
            CheckEvent::Progress(progress) => {
                let words = format!("{}  {}", progress.phase.word(), figures::count(progress.done));
                bar.stands(share(progress), &words);
            }
            CheckEvent::Found(finding) => findings.push(*finding),
            CheckEvent::Done(report) => return Ok((findings, report)),
        }
    }
}

/// How much of a check is done, from 0 to 1: each of its parts a third.
fn share(progress: CheckProgress) -> f64 {
    let part = progress.done as f64 / progress.total.max(1) as f64;
    let before = match progress.phase {
        CheckPhase::Names => 0.0,
        CheckPhase::Inodes => 1.0,
        CheckPhase::Extents => 2.0,
        CheckPhase::Mending => return part.min(1.0),
    };
    (before + part.min(1.0)) / 3.0
}

pub(super) fn plural(count: u64, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

impl CheckView {
    fn new(name: &VolumeName, findings: Vec<Finding>, report: CheckReport) -> Self {
        Self {
            volume: name.to_string(),
            inodes: report.counted.inodes,
            names: report.counted.names,
            extents: report.counted.extents,
            left: report.left,
            mended: report.mended,
            cut: report.cut,
            findings: findings.into_iter().map(FindingView::from).collect(),
        }
    }
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        let (inode, segment) = match &finding.subject {
            Subject::Inode(ino) | Subject::Content { ino, .. } => (Some(ino.0), None),
            Subject::Segment(segment) => (None, Some(segment.0)),
            Subject::Volume | Subject::Name { .. } | Subject::Place { .. } | Subject::Data(_) | Subject::Record(_) => {
                (None, None)
            }
        };
        Self {
            kind: finding.kind.word(),
            about: finding.subject.to_string(),
            inode,
            segment,
            path: finding.path.as_deref().map(path_text),
            stored: finding.figures.map(|figures| figures.stored),
            truth: finding.figures.map(|figures| figures.truth),
            message: finding.to_string(),
            mending: finding.mending.word(),
        }
    }
}

impl FindingView {
    fn what(&self) -> String {
        let message = self.message.strip_prefix(&self.about).unwrap_or(&self.message);
        message.trim_start().to_owned()
    }

    fn where_it_is(&self) -> String {
        match &self.path {
            Some(path) => format!("{path} ({})", self.about),
            None => self.about.clone(),
        }
    }
}

impl Report for CheckView {
    fn text(&self) -> String {
        let count = |count: u64, word: &str| format!("{} {}", figures::count(count), plural(count, word));
        let (inodes, names) = (count(self.inodes, "inode"), count(self.names, "name"));
        let looked = format!("volume {}: {inodes}, {names}, {} checked", self.volume, count(self.extents, "extent"));
        if self.findings.is_empty() {
            return format!("{looked}: all of it agrees\n");
        }
        let mut table = Table::new(&[
            ("KIND", Align::Left),
            ("MENDING", Align::Left),
            ("WHERE", Align::Left),
            ("WHAT", Align::Left),
        ]);
        for finding in &self.findings {
            table.row([finding.kind.to_owned(), finding.mending.to_owned(), finding.where_it_is(), finding.what()]);
        }
        let more = if self.cut { "there are more than these\n" } else { "" };
        format!("{looked}: {} mended, {} left\n{}{more}", self.mended, self.left, table.text(2))
    }
}

#[cfg(test)]
mod tests;
