//! A scrub as people and scripts see it. The JSON field names are part of the interface.

use holdfast_core::integrity::{BadFrame, BadSegment, ScrubRun, ScrubStatus};
use holdfast_core::name::VolumeName;
use holdfast_core::size::ByteSize;
use serde::Serialize;

use super::super::view::path_text;
use crate::date;
use crate::output::Report;
use crate::output::figures::count;
use crate::output::table::{Align, Table, pairs};

/// One scrub.
#[derive(Clone, Debug, Serialize)]
pub struct RunView {
    volume: String,
    begun: String,
    ended: Option<String>,
    frames: u64,
    bytes: u64,
    bytes_total: u64,
    bad_frames: u64,
    bad: Vec<FrameView>,
    bad_segments: Vec<SegmentView>,
}

#[derive(Clone, Debug, Serialize)]
struct FrameView {
    segment: u64,
    position: u64,
    bytes: u32,
    fault: &'static str,
    #[serde(skip)]
    means: &'static str,
    loses_data: bool,
    files: Vec<FileView>,
}

#[derive(Clone, Debug, Serialize)]
struct FileView {
    inode: u64,
    /// All of them; none: it has no name.
    paths: Vec<String>,
    start: u64,
    length: u64,
}

#[derive(Clone, Debug, Serialize)]
struct SegmentView {
    segment: u64,
    expected_bytes: u64,
    /// Absent: there is no such file.
    found_bytes: Option<u64>,
}

/// What is known of a volume's scrubs.
#[derive(Clone, Debug, Serialize)]
pub struct StatusView {
    volume: String,
    running: bool,
    current: Option<RunView>,
    last: Option<RunView>,
}

impl RunView {
    /// A scrub of this volume.
    #[must_use]
    pub fn new(name: &VolumeName, run: &ScrubRun) -> Self {
        Self {
            volume: name.to_string(),
            begun: date::rfc3339(run.begun),
            ended: run.ended.map(date::rfc3339),
            frames: run.frames,
            bytes: run.bytes,
            bytes_total: run.bytes_total,
            bad_frames: run.bad_frames,
            bad: run.bad.iter().map(FrameView::from).collect(),
            bad_segments: run.segments.iter().map(SegmentView::from).collect(),
        }
    }

    fn found(&self) -> String {
        let segments = match self.bad_segments.len() {
            0 => String::new(),
            count => format!(", {count} bad segments"),
        };
        match self.bad_frames {
            0 if segments.is_empty() => "nothing bad".into(),
            1 => format!("1 bad frame{segments}"),
            bad => format!("{} bad frames{segments}", count(bad)),
        }
    }

    fn tables(&self) -> String {
        let mut text = String::new();
        if !self.bad.is_empty() {
            let mut table = Table::new(&[
                ("FILE", Align::Left),
                ("BYTES", Align::Left),
                ("SEGMENT", Align::Right),
                ("POSITION", Align::Right),
                ("WHAT", Align::Left),
            ]);
            for frame in &self.bad {
                frame.rows(&mut table);
            }
            text.push_str(&table.text(2));
        }
        for SegmentView { segment, expected_bytes, found_bytes } in &self.bad_segments {
            let found = found_bytes.map_or_else(|| "is missing".to_owned(), |found| format!("has only {found} bytes"));
            text.push_str(&format!("  segment {segment} of {expected_bytes} bytes {found}\n"));
        }
        if self.bad_frames > self.bad.len() as u64 {
            text.push_str("  there are more than these; the server's log names them all\n");
        }
        text
    }
}

impl From<&BadFrame> for FrameView {
    fn from(bad: &BadFrame) -> Self {
        let files = bad.files.iter().map(|file| FileView {
            inode: file.ino.0,
            paths: file.paths.iter().map(|path| path_text(path)).collect(),
            start: file.start,
            length: file.len,
        });
        Self {
            segment: bad.segment.0,
            position: bad.position,
            bytes: bad.len,
            fault: bad.fault.word(),
            means: bad.fault.means(),
            loses_data: bad.fault.loses_data(),
            files: files.collect(),
        }
    }
}

impl From<&BadSegment> for SegmentView {
    fn from(bad: &BadSegment) -> Self {
        Self { segment: bad.segment.0, expected_bytes: bad.expected, found_bytes: bad.found }
    }
}

impl FrameView {
    /// A row for each path of each file.
    fn rows(&self, table: &mut Table) {
        for file in &self.files {
            let bytes = format!("{}-{}", file.start, (file.start + file.length).saturating_sub(1));
            let names = match &file.paths[..] {
                [] => vec![format!("inode {}, no name", file.inode)],
                paths => paths.to_vec(),
            };
            for name in names {
                let (segment, position) = (self.segment.to_string(), self.position.to_string());
                table.row([name, bytes.clone(), segment, position, self.means.to_owned()]);
            }
        }
    }
}

impl Report for RunView {
    fn text(&self) -> String {
        let (frames, bytes) = (count(self.frames), ByteSize(self.bytes));
        format!("volume {}: {frames} frames, {bytes} verified: {}\n{}", self.volume, self.found(), self.tables())
    }
}

impl StatusView {
    /// The scrubs of this volume.
    #[must_use]
    pub fn new(name: &VolumeName, status: &ScrubStatus) -> Self {
        let run = |run: &Option<ScrubRun>| run.as_ref().map(|run| RunView::new(name, run));
        let (current, last) = (run(&status.current), run(&status.last));
        Self { volume: name.to_string(), running: status.running, current, last }
    }

    /// In a few words.
    #[must_use]
    pub fn words(&self) -> String {
        let last = match &self.last {
            Some(last) => format!("{}: {}", last.ended.as_deref().unwrap_or("?"), last.found()),
            None => "never to the end".into(),
        };
        match (&self.current, self.running) {
            (Some(current), true) => format!("{last}; running, {}, {}", current.percent(), current.found()),
            (Some(current), false) => format!("{last}; broken off, {}, {}", current.percent(), current.found()),
            (None, true) => format!("{last}; begins"),
            (None, false) => last,
        }
    }
}

impl RunView {
    fn percent(&self) -> String {
        let share = u128::from(self.bytes) * 100 / u128::from(self.bytes_total.max(1));
        format!("{} %", share.min(100))
    }
}

impl Report for StatusView {
    fn text(&self) -> String {
        let run = |run: &RunView| {
            let frames = count(run.frames);
            format!("{frames} frames, {} of {}, {}", ByteSize(run.bytes), ByteSize(run.bytes_total), run.found())
        };
        let mut lines = vec![("volume", self.volume.clone())];
        if let Some(current) = &self.current {
            let state = if self.running { "running" } else { "broken off; it goes on with the next scrub" };
            lines.push(("now", state.to_owned()));
            lines.push(("begun", current.begun.clone()));
            lines.push(("so far", run(current)));
        }
        match &self.last {
            Some(last) => {
                lines.push(("last end", last.ended.clone().unwrap_or_default()));
                lines.push(("last found", run(last)));
            }
            None => lines.push(("last end", "never".to_owned())),
        }
        let shown = self.current.as_ref().filter(|run| run.bad_frames > 0).or(self.last.as_ref());
        format!("{}{}", pairs(&lines), shown.map(RunView::tables).unwrap_or_default())
    }
}
