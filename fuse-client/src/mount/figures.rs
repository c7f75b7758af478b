//! What a mount tells people of itself: a socket a mount, beside the host's records.
//!
//! Who connects gets one JSON document of [`MountFigures`] and the end. The mount answers from its
//! own memory, so also while its server is away. The directory of the sockets is its owner's (0700),
//! and another user is sent away without an answer: kinds and rates of requests are nobody else's.
//!
//! Why a socket: an xattr or ioctl on the root goes through the very mount that is asked about, is
//! there for whoever may enter it, containers included, and waits where the mount waits.

use std::fs::{DirBuilder, File};
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use nix::unistd::geteuid;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;

use super::record::MountRecord;
use crate::stats::MountFigures;
use crate::unmount;

/// Directory of the sockets, below that of the host's state.
const DIRECTORY: &str = "figures";
/// How long a mount may take to answer, and a person to take the answer up.
pub const DEADLINE: Duration = Duration::from_secs(2);
/// Longest answer that is read, in bytes; a real one has some ten thousand.
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// After a failed accept (too many open files).
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that is being served. Dropped: it is gone.
#[derive(Debug)]
pub(super) struct Served {
    task: JoinHandle<()>,
    path: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
        // What stays behind is nobody's, and replaced by the next mount of this number.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers whoever asks for the figures of a mount, on the current runtime.
///
/// # Errors
/// When the directory or the socket cannot be made.
pub(super) fn serve(
    run_dir: &Path,
    record: &MountRecord,
    figures: impl Fn() -> MountFigures + Send + 'static,
) -> io::Result<Served> {
    let dir = run_dir.join(DIRECTORY);
    DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
    let path = dir.join(name(record));
    let _ = std::fs::remove_file(&path);
    let opened = File::open(&dir)?;
    let listener = UnixListener::bind(short(&opened, record))?;
    let task = tokio::spawn(async move {
        let own = geteuid().as_raw();
        loop {
            match listener.accept().await {
                Ok((mut stream, _)) => {
                    let user = stream.peer_cred().map(|peer| peer.uid());
                    if !user.is_ok_and(|user| user == 0 || user == own) {
                        continue;
                    }
                    let answer = serde_json::to_vec(&figures()).unwrap_or_default();
                    // Who does not take it up is not waited for.
                    let _ = tokio::time::timeout(DEADLINE, stream.write_all(&answer)).await;
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot take up who asks for figures");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    });
    Ok(Served { task, path })
}

/// Asks the mount on a directory. Touches nothing of the mounted file system, and never hangs.
///
/// # Errors
/// `NotFound`, `Invalid`: nothing of ours is mounted there. `Unavailable`: its process is gone, or not
/// one of this host. `Denied`: by somebody else. `Timeout`: it does not answer.
pub fn read_figures(dir: &Path, run_dir: &Path) -> Result<MountFigures> {
    let mount = unmount::find(dir)?;
    let point = mount.point.display();
    let record = MountRecord::read(run_dir, mount.minor).filter(MountRecord::is_alive).ok_or_else(|| {
        let message = format!(
            "no process is known that serves {point}; it is gone, or keeps its records elsewhere than in {} (HOLDFAST_RUN_DIR)",
            run_dir.display()
        );
        Error::new(ErrorKind::Unavailable, message)
    })?;
    let (sender, answered) = mpsc::sync_channel(1);
    let directory = run_dir.join(DIRECTORY);
    let asked = record.clone();
    let ask = move || {
        // Nobody waits any more after the deadline.
        let _ = sender.send(ask(&directory, &asked));
    };
    let started = thread::Builder::new().name("figures".to_owned()).spawn(ask);
    started.map_err(|error| Error::new(ErrorKind::Internal, format!("cannot start a thread: {error}")))?;
    match answered.recv_timeout(DEADLINE) {
        Ok(Ok(figures)) => Ok(figures),
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            let message = format!("the mount on {point} tells its figures only to root and to who mounted it");
            Err(Error::new(ErrorKind::Denied, message).because(error))
        }
        Ok(Err(error)) => {
            let message = format!("the process {} that serves {point} tells no figures: {error}", record.pid);
            Err(Error::new(ErrorKind::Unavailable, message).because(error))
        }
        Err(_) => {
            let (pid, seconds) = (record.pid, DEADLINE.as_secs());
            let message =
                format!("the process {pid} that serves {point} does not answer within {seconds} s; is it stopped?");
            Err(Error::new(ErrorKind::Timeout, message))
        }
    }
}

fn ask(directory: &Path, record: &MountRecord) -> io::Result<MountFigures> {
    let opened = File::open(directory)?;
    let stream = UnixStream::connect(short(&opened, record))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it sends nothing"));
    }
    Ok(serde_json::from_slice(&answer)?)
}

/// Numbers of devices come again while a process that had one makes its last changes durable.
fn name(record: &MountRecord) -> String {
    format!("{}-{}", record.minor, record.pid)
}

/// Names of sockets are short (unix(7)); directories may be anywhere.
fn short(directory: &File, record: &MountRecord) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name(record))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn who_asks_is_answered_until_the_mount_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than the name of a socket may be.
        let run_dir = dir.path().join("x".repeat(120));
        let record = MountRecord::of_this_process(7, Path::new("/mnt"), "s:/v".to_owned());
        let figures = MountFigures { source: "s:/v".to_owned(), age_us: 5, ..MountFigures::default() };
        let told = figures.clone();
        let served = serve(&run_dir, &record, move || told.clone()).unwrap();
        let directory = run_dir.join(DIRECTORY);
        assert_eq!(directory.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        for _ in 0..3 {
            let (directory, record) = (directory.clone(), record.clone());
            let answer = tokio::task::spawn_blocking(move || ask(&directory, &record)).await.unwrap();
            assert_eq!(answer.unwrap(), figures);
        }
        drop(served);
        assert!(ask(&directory, &record).is_err());
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_mount_of_ours_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let error = read_figures(dir.path(), dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(read_figures(Path::new("/proc"), dir.path()).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
