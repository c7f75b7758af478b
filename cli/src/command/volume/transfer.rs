//! What copies of whole volumes have in common: a session, a way out by Ctrl-C, and streams that
//! are waited for with it.

pub(super) mod streams;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use holdfast_client::{
    Client, Endpoint, InvalidateDone, Invalidation, Patience, Session, SessionEvents, SessionOptions, VolumeRef,
};
use holdfast_core::error::{Error, ErrorKind, PosixError, Result as CoreResult};
use holdfast_core::id::InodeId;
use holdfast_core::name::VolumeName;
use holdfast_core::volume::VolumeInfo;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use crate::failure::Failure;

/// Exit status of a copy that was made and is not all that it should be.
pub(super) const EXIT_WARNINGS: u8 = 3;
/// How long a copy waits for a server that is away.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long connecting and looking at the volume may take.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long leaving may take after Ctrl-C.
const LEAVE_TIME: Duration = Duration::from_secs(2);

/// How a session is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Access {
    pub(super) read_only: bool,
    pub(super) exclusive: bool,
}

/// A session for a command that works step by step. Each wait ends when the person presses Ctrl-C.
#[derive(Debug)]
pub(super) struct Remote {
    session: Session,
    volume: VolumeInfo,
    stop: watch::Receiver<bool>,
    runtime: Runtime,
}

/// Nothing is cached here, so there is nothing to do.
struct Nothing;

impl SessionEvents for Nothing {
    fn invalidate(&self, _what: Invalidation, done: InvalidateDone) {
        done.confirm();
    }

    fn session_lost(&self, _lost: &[InodeId]) {}
}

impl Remote {
    /// Opens a session on a volume. `make`: makes the volume first.
    ///
    /// # Errors
    /// What connecting, making and opening fail with; in use, for what wants the volume alone.
    pub(super) fn open(
        endpoint: &Endpoint,
        name: &VolumeName,
        access: Access,
        program: &str,
        make: impl AsyncFnOnce(&Client) -> CoreResult<()>,
    ) -> CoreResult<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start the asynchronous runtime").because(error))?;
        let stop = stop_by_signal(runtime.handle())?;
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_default();
        let options = SessionOptions {
            host,
            program: format!("holdfast {program} {}", env!("CARGO_PKG_VERSION")),
            read_only: access.read_only,
            exclusive: access.exclusive,
            patience: Patience::Soft(PATIENCE),
            ..SessionOptions::default()
        };
        let open = async {
            let client = Client::connect(endpoint).await?;
            make(&client).await?;
            let volume = client.get_volume(&VolumeRef::Name(name.clone())).await?;
            let session = Session::open(endpoint, &VolumeRef::Id(volume.id), options, Arc::new(Nothing)).await?;
            Ok((session, volume))
        };
        let limited = async {
            tokio::time::timeout(DEADLINE, open).await.unwrap_or_else(|_| {
                let message = format!("{} gave no answer within {DEADLINE:?}", endpoint.address);
                Err(Error::new(ErrorKind::Timeout, message))
            })
        };
        let (session, volume) = wait(&runtime, &stop, limited)?;
        Ok(Self { session, volume, stop, runtime })
    }

    pub(super) const fn session(&self) -> &Session {
        &self.session
    }

    /// The volume as it was at the beginning.
    pub(super) const fn volume(&self) -> &VolumeInfo {
        &self.volume
    }

    pub(super) fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Waits for something of the session.
    ///
    /// # Errors
    /// Its own; `Posix(Interrupted)` by Ctrl-C; `Timeout`: nothing is heard of the server.
    pub(super) fn wait<T>(&self, future: impl Future<Output = CoreResult<T>>) -> CoreResult<T> {
        let patience = self.session.patience();
        let patient = async move {
            tokio::select! {
                biased;
                result = future => result,
                error = patience => Err(error),
            }
        };
        wait(&self.runtime, &self.stop, patient)
    }

    /// Leaves. All that was done is on the server's disk afterwards.
    ///
    /// # Errors
    /// It may not be.
    pub(super) fn close(self) -> CoreResult<()> {
        let session = self.session.clone();
        self.wait(session.close())
    }

    /// Leaves after a failure: what was done stays, as far as the server has it.
    pub(super) fn give_up(self) {
        let session = self.session.clone();
        let _late = self.runtime.block_on(async { tokio::time::timeout(LEAVE_TIME, session.close()).await });
        self.runtime.shutdown_background();
    }
}

fn wait<T>(
    runtime: &Runtime,
    stop: &watch::Receiver<bool>,
    future: impl Future<Output = CoreResult<T>>,
) -> CoreResult<T> {
    let mut stop = stop.clone();
    runtime.block_on(async {
        tokio::select! {
            biased;
            // An error: nobody is left who could say so, and then nobody does.
            Ok(_) = stop.wait_for(|stop| *stop) => Err(PosixError::Interrupted.into()),
            result = future => result,
        }
    })
}

/// From now on Ctrl-C (and SIGTERM) end what is waited for, and not the process.
fn stop_by_signal(handle: &Handle) -> CoreResult<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let _within = handle.enter();
    let listen = |kind| {
        let failed = |error| Error::new(ErrorKind::Internal, "cannot listen for signals").because(error);
        signal(kind).map_err(failed)
    };
    let (mut interrupt, mut terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
    let (stop, stopped) = watch::channel(false);
    handle.spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stop.send_replace(true);
        // Whoever does not look at it, and is asked again, is ended as by default.
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(1);
    });
    Ok(stopped)
}

/// The error as the command tells it.
pub(super) fn failed(doing: &str, error: &Error) -> Failure {
    match error.kind() {
        ErrorKind::Posix(PosixError::Interrupted) => Failure::interrupted(format!("{doing}: interrupted")),
        _ => Failure::of(doing, error),
    }
}
