//! Bytes of archives to and from files and pipes, by threads of their own: a pipe that nobody reads
//! or fills must not keep a command from ending.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read, Write};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use holdfast_archive::file::{Target, written};
use holdfast_core::error::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot};

use super::Remote;

/// Bytes that are handed over at a time.
const CHUNK_BYTES: usize = 1 << 20;
/// Chunks on their way.
const CHUNKS_MAX: usize = 4;
/// How long the thread that writes may take to end after a failure.
const END_TIME: Duration = Duration::from_secs(2);

/// An archive on its way out.
pub(in super::super) struct Outgoing<'a> {
    remote: &'a Remote,
    chunk: Vec<u8>,
    chunks: Option<mpsc::Sender<Vec<u8>>>,
    done: Option<oneshot::Receiver<Result<Target>>>,
    temporary: Option<PathBuf>,
}

impl<'a> Outgoing<'a> {
    /// Begins to write.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(in super::super) fn new(remote: &'a Remote, mut target: Target) -> Result<Self> {
        let (chunks, mut taken) = mpsc::channel::<Vec<u8>>(CHUNKS_MAX);
        let (tell, done) = oneshot::channel();
        let temporary = target.temporary().map(Path::to_owned);
        let work = move || {
            let mut all = || {
                while let Some(chunk) = taken.blocking_recv() {
                    target.write_all(&chunk).map_err(|error| written(&error))?;
                }
                Ok(())
            };
            let result = all();
            // Nobody may be waiting any more; then the target goes, and a file with it.
            let _unheard = tell.send(result.map(|()| target));
        };
        thread::Builder::new()
            .name("archive".to_owned())
            .spawn(work)
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start a thread").because(error))?;
        let chunk = Vec::with_capacity(CHUNK_BYTES);
        Ok(Self { remote, chunk, chunks: Some(chunks), done: Some(done), temporary })
    }

    /// All was written: makes it durable, and gives the file its name.
    ///
    /// # Errors
    /// What writing failed with.
    pub(in super::super) fn finish(mut self) -> Result<()> {
        self.hand_over()?;
        self.chunks = None;
        self.ended()?.finish()
    }

    /// Why the thread takes nothing any more; or its target, at the end.
    fn ended(&mut self) -> Result<Target> {
        let Some(done) = self.done.take() else { return Err(gone()) };
        self.remote.wait(async { done.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn hand_over(&mut self) -> Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        let Some(chunks) = &self.chunks else { return Err(gone()) };
        let taken = self.remote.wait(async { Ok(chunks.send(chunk).await.is_ok()) })?;
        if taken { Ok(()) } else { Err(self.ended().err().unwrap_or_else(gone)) }
    }
}

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..len]);
        if self.chunk.len() == CHUNK_BYTES {
            self.hand_over().map_err(io::Error::other)?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        self.chunks = None;
        let Some(done) = self.done.take() else { return };
        // Its target goes with the answer, and the file that is not whole.
        let ended = self.remote.handle().block_on(async { tokio::time::timeout(END_TIME, done).await });
        if ended.is_err()
            && let Some(path) = &self.temporary
        {
            let _absent = std::fs::remove_file(path);
        }
    }
}

fn gone() -> Error {
    Error::new(ErrorKind::Internal, "the thread that writes the archive is gone")
}

/// An archive on its way in.
pub(in super::super) struct Incoming<'a> {
    remote: &'a Remote,
    chunks: mpsc::Receiver<io::Result<Vec<u8>>>,
    chunk: Vec<u8>,
    at: usize,
}

/// Where an archive comes from.
pub(in super::super) struct Origin {
    file: File,
    /// Its length, of a file.
    pub(in super::super) len: Option<u64>,
}

impl Origin {
    /// Standard input (`None`, or `-`) or a file.
    ///
    /// # Errors
    /// `Invalid` when standard input is a terminal; the file cannot be opened.
    pub(in super::super) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            let input = io::stdin();
            if input.is_terminal() {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    "an archive does not come from a terminal; give a file with -i FILE, or pipe one in",
                ));
            }
            let own = input.as_fd().try_clone_to_owned();
            let own =
                own.map_err(|error| Error::new(ErrorKind::Internal, "cannot read standard input").because(error))?;
            return Ok(Self::of(own.into()));
        };
        let opened = File::open(path).and_then(|file| {
            let directory = file.metadata()?.is_dir();
            if directory { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
        });
        let cannot =
            |error: io::Error| Error::new(ErrorKind::Invalid, format!("cannot read {}: {error}", path.display()));
        opened.map(Self::of).map_err(cannot)
    }

    fn of(file: File) -> Self {
        let len = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        Self { file, len }
    }
}

impl<'a> Incoming<'a> {
    /// Begins to read.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(in super::super) fn new(remote: &'a Remote, origin: Origin) -> Result<Self> {
        let (give, chunks) = mpsc::channel(CHUNKS_MAX);
        let mut file = origin.file;
        let work = move || {
            loop {
                let mut chunk = vec![0; CHUNK_BYTES];
                let read = match file.read(&mut chunk) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(0) => return,
                    Ok(len) => {
                        chunk.truncate(len);
                        Ok(chunk)
                    }
                    Err(error) => Err(error),
                };
                let last = read.is_err();
                if give.blocking_send(read).is_err() || last {
                    return;
                }
            }
        };
        thread::Builder::new()
            .name("archive".to_owned())
            .spawn(work)
            .map_err(|error| Error::new(ErrorKind::Internal, "cannot start a thread").because(error))?;
        Ok(Self { remote, chunks, chunk: Vec::new(), at: 0 })
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            let chunks = &mut self.chunks;
            let next = self.remote.wait(async { Ok(chunks.recv().await) }).map_err(io::Error::other)?;
            match next {
                None => return Ok(0),
                Some(chunk) => (self.chunk, self.at) = (chunk?, 0),
            }
        }
        let len = into.len().min(self.chunk.len() - self.at);
        into[..len].copy_from_slice(&self.chunk[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}
