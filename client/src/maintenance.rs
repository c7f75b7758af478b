//! Checks and scrubs of volumes: calls that may go on for hours, and tell where they are.
//!
//! None hangs: the server says something several times a second, and a silence is an error. Whoever
//! drops a call ends it on the server too.

use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::integrity::{BadFrame, BadSegment, CheckProgress, CheckReport, Finding, ScrubRun, ScrubStatus};
use holdfast_proto::error::from_status;
use holdfast_proto::v1;
use holdfast_proto::volume::VolumeRef;
use tonic::Streaming;

use crate::admin::{Client, distrust};

/// Longest silence. The first word may wait for a volume to be opened, and for its sessions to come back.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// What a check tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckEvent {
    /// Where it stands.
    Progress(CheckProgress),
    /// Something that differs, and what became of it.
    Found(Box<Finding>),
    /// It is over.
    Done(CheckReport),
}

/// What a scrub tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScrubEvent {
    /// Where it stands; what it found comes by itself.
    Progress(ScrubRun),
    /// A frame is bad.
    BadFrame(Box<BadFrame>),
    /// A segment is missing or too short.
    BadSegment(BadSegment),
    /// It is over.
    Done(ScrubRun),
}

/// A call that tells.
#[derive(Debug)]
pub struct Telling<W> {
    stream: Streaming<W>,
}

impl Client {
    /// Compares a volume's metadata with itself; `repair`: mends what is safe.
    ///
    /// # Errors
    /// `NotFound`; `Unavailable` when the volume is being closed.
    pub async fn check_volume(&self, volume: &VolumeRef, repair: bool) -> Result<Telling<v1::CheckEvent>> {
        let request = v1::CheckRequest { volume: Some(volume.into()), repair };
        let mut maintenance = self.maintenance();
        let call = maintenance.check(self.request(request));
        Ok(Telling { stream: in_time(call).await?.map_err(from_status)?.into_inner() })
    }

    /// Verifies a volume's data, from where the last scrub was broken off or with `restart` from the
    /// start; at so many bytes a second, or at the server's rate.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when it is being scrubbed; `Unavailable` when the volume is being closed.
    pub async fn scrub_volume(
        &self,
        volume: &VolumeRef,
        bytes_per_second: Option<u64>,
        restart: bool,
    ) -> Result<Telling<v1::ScrubEvent>> {
        let request =
            v1::ScrubRequest { volume: Some(volume.into()), bytes_per_second: bytes_per_second.unwrap_or(0), restart };
        let mut maintenance = self.maintenance();
        let call = maintenance.scrub(self.request(request));
        Ok(Telling { stream: in_time(call).await?.map_err(from_status)?.into_inner() })
    }

    /// How far the scrub of a volume is, and what the last one found.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn scrub_status(&self, volume: &VolumeRef) -> Result<ScrubStatus> {
        let request = v1::ScrubStatusRequest { volume: Some(volume.into()) };
        let answer = self.maintenance().scrub_status(self.call(request)).await.map_err(from_status)?.into_inner();
        ScrubStatus::try_from(answer).map_err(|error| distrust("word on a scrub", error.message()))
    }
}

impl Telling<v1::CheckEvent> {
    /// What comes next; nothing comes after `Done`.
    ///
    /// # Errors
    /// What the check ended with; `Unavailable` when the connection broke, `Timeout` after a silence.
    pub async fn next(&mut self) -> Result<CheckEvent> {
        use v1::check_event::Event;
        let distrusted = |error: Error| distrust("word on a check", error.message());
        match self.message().await?.event {
            Some(Event::Progress(progress)) => Ok(CheckEvent::Progress(progress.try_into().map_err(distrusted)?)),
            Some(Event::Finding(finding)) => Ok(CheckEvent::Found(Box::new(finding.try_into().map_err(distrusted)?))),
            Some(Event::Report(report)) => Ok(CheckEvent::Done(report.into())),
            None => Err(distrust("word on a check", "it says nothing")),
        }
    }
}

impl Telling<v1::ScrubEvent> {
    /// What comes next; nothing comes after `Done`.
    ///
    /// # Errors
    /// What the scrub ended with; `Unavailable` when the connection broke, `Timeout` after a silence.
    pub async fn next(&mut self) -> Result<ScrubEvent> {
        use v1::scrub_event::Event;
        let distrusted = |error: Error| distrust("word on a scrub", error.message());
        match self.message().await?.event {
            Some(Event::Progress(run)) => Ok(ScrubEvent::Progress(run.try_into().map_err(distrusted)?)),
            Some(Event::BadFrame(bad)) => Ok(ScrubEvent::BadFrame(Box::new(bad.try_into().map_err(distrusted)?))),
            Some(Event::BadSegment(bad)) => Ok(ScrubEvent::BadSegment(bad.into())),
            Some(Event::Done(run)) => Ok(ScrubEvent::Done(run.try_into().map_err(distrusted)?)),
            None => Err(distrust("word on a scrub", "it says nothing")),
        }
    }
}

impl<W> Telling<W> {
    async fn message(&mut self) -> Result<W> {
        let message = in_time(self.stream.message()).await?.map_err(from_status)?;
        message.ok_or_else(|| Error::new(ErrorKind::Unavailable, "the server broke off; the command can be repeated"))
    }
}

async fn in_time<T>(work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(SILENCE_MAX, work).await.map_err(|_| {
        let message = format!("the server said nothing for {} s; look at its log", SILENCE_MAX.as_secs());
        Error::new(ErrorKind::Timeout, message)
    })
}
