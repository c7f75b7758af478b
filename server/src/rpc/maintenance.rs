//! The `Maintenance` service: checks and scrubs of whole volumes.

use std::sync::Arc;

use holdfast_core::error;
use holdfast_core::integrity::{ScrubRun, ScrubStatus};
use holdfast_proto::v1::maintenance_server::Maintenance;
use holdfast_proto::v1::{
    CheckEvent, CheckRequest, ScrubEvent, ScrubRequest, ScrubStatusRequest, ScrubStatusResponse, check_event,
    scrub_event,
};
use holdfast_proto::volume::required;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Request, Response, Status};
use tracing::{error, info, warn};

use super::{Service, status};
use crate::config::{SCRUB_RATE_MIN, invalid};
use crate::integrity::desk::By;
use crate::integrity::{check, scrub};
use crate::offload::blocking;

/// Messages that wait for a slow reader.
const EVENTS_MAX: usize = 64;
/// Bytes of the bad frames in one answer, about: under the largest message, whatever the paths.
const BYTES_MAX: usize = 768 << 10;
/// Bytes of a frame or file beside its paths, at most.
const ROW_BYTES: usize = 64;

type Events<T> = std::pin::Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Maintenance for Service {
    type CheckStream = Events<CheckEvent>;
    type ScrubStream = Events<ScrubEvent>;

    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<Self::CheckStream>, Status> {
        let CheckRequest { volume, repair } = request.into_inner();
        let visit = self.registry.visit(&required(volume).map_err(status)?).await.map_err(status)?;
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let (clock, end) = (Arc::clone(&self.registry.shared().clock), events.clone());
        // It ends when this stream does.
        tokio::spawn(async move {
            let volume = visit.name().to_owned();
            match check::run(visit, clock, repair, events).await {
                Ok(report) if report.left + report.mended > 0 => {
                    error!(volume, left = report.left, mended = report.mended, "a check found damage");
                }
                Ok(report) => info!(volume, inodes = report.counted.inodes, "a check found nothing"),
                Err(error) => {
                    info!(volume, %error, "a check was broken off");
                    // Who has gone away hears nothing.
                    let _ = end.send(Err(error)).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(told).map(check_event))))
    }

    async fn scrub(&self, request: Request<ScrubRequest>) -> Result<Response<Self::ScrubStream>, Status> {
        let ScrubRequest { volume, bytes_per_second, restart } = request.into_inner();
        let rate = match bytes_per_second {
            0 => self.info.scrub_rate,
            rate if rate >= SCRUB_RATE_MIN => rate,
            rate => {
                let message = format!("a scrub of {rate} bytes a second would never end; at least {SCRUB_RATE_MIN}");
                return Err(status(invalid(message)));
            }
        };
        let volume = required(volume).map_err(status)?;
        let (dir, desk) = self.registry.scrub_desk(&volume).map_err(status)?;
        let turn = desk.begin(By::Person).await.map_err(status)?;
        let visit = self.registry.visit(&volume).await.map_err(status)?;
        let (events, told) = mpsc::channel(EVENTS_MAX);
        let (clock, end) = (Arc::clone(&self.registry.shared().clock), events.clone());
        let job = scrub::Job { visit, turn, dir, rate, events: Some(events) };
        // It ends when this stream does.
        tokio::spawn(async move {
            let volume = job.visit.name().to_owned();
            match scrub::run(job, clock, restart).await {
                Ok(run) if run.is_clean() => info!(volume, frames = run.frames, "a scrub found nothing"),
                Ok(run) => error!(volume, frames = run.frames, bad = run.bad_frames, "a scrub found bad frames"),
                Err(error) => {
                    warn!(volume, %error, "a scrub was broken off; the next one goes on there");
                    // Who has gone away hears nothing.
                    let _ = end.send(Err(error)).await;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(told).map(scrub_event))))
    }

    async fn scrub_status(
        &self,
        request: Request<ScrubStatusRequest>,
    ) -> Result<Response<ScrubStatusResponse>, Status> {
        let volume = required(request.into_inner().volume).map_err(status)?;
        let (dir, desk) = self.registry.scrub_desk(&volume).map_err(status)?;
        let record = blocking(move || crate::integrity::read_record(&dir)).await.map_err(status)?;
        let mut known = ScrubStatus { running: false, current: record.current, last: record.last };
        if let Some(running) = desk.running() {
            known.running = true;
            // What runs is further than what was kept; what it found is kept with it.
            if let Some(kept) = known.current.as_mut().filter(|kept| kept.begun == running.begun) {
                let (bad, segments) = (std::mem::take(&mut kept.bad), std::mem::take(&mut kept.segments));
                *kept = ScrubRun { bad, segments, ..running };
            }
        }
        let mut left = BYTES_MAX;
        known.current.iter_mut().chain(known.last.iter_mut()).for_each(|run| cut(run, &mut left));
        Ok(Response::new((&known).into()))
    }
}

/// Leaves out what does not fit into an answer; the count of bad frames stays.
fn cut(run: &mut ScrubRun, left: &mut usize) {
    let fit = run.bad.iter().take_while(|bad| {
        let of_files = bad.files.iter().map(|file| ROW_BYTES + file.paths.iter().map(Vec::len).sum::<usize>());
        let bytes = ROW_BYTES + of_files.sum::<usize>();
        let fits = bytes <= *left;
        *left = left.saturating_sub(bytes);
        fits
    });
    let fit = fit.count();
    run.bad.truncate(fit);
    let segments = *left / ROW_BYTES;
    *left -= run.segments.len().min(segments) * ROW_BYTES;
    run.segments.truncate(segments);
}

fn check_event(event: error::Result<check::Event>) -> Result<CheckEvent, Status> {
    let event = match event.map_err(status)? {
        check::Event::Progress(progress) => check_event::Event::Progress(progress.into()),
        check::Event::Found(finding) => check_event::Event::Finding((&*finding).into()),
        check::Event::Done(report) => check_event::Event::Report(report.into()),
    };
    Ok(CheckEvent { event: Some(event) })
}

fn scrub_event(event: error::Result<scrub::Event>) -> Result<ScrubEvent, Status> {
    let event = match event.map_err(status)? {
        scrub::Event::Progress(run) => scrub_event::Event::Progress((&run).into()),
        scrub::Event::BadFrame(bad) => scrub_event::Event::BadFrame((&*bad).into()),
        scrub::Event::BadSegment(bad) => scrub_event::Event::BadSegment(bad.into()),
        scrub::Event::Done(run) => scrub_event::Event::Done((&run).into()),
    };
    Ok(ScrubEvent { event: Some(event) })
}
