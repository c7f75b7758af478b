//! The storage server of the demo: a `holdfastd` with certificates, on a host of its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::host::{Host, Member};
use super::needs::Tools;
use crate::failure::{During, Failure, Result};

/// Time to start, and to end in order.
const PATIENCE: Duration = Duration::from_secs(60);
/// The port, on an address that no other demo can see.
pub(super) const PORT: u16 = 7440;

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    member: Member,
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub(super) struct ServerFiles {
    /// Data directory.
    pub(super) data: PathBuf,
    /// Its log; a restart adds to it.
    pub(super) log: PathBuf,
    /// Certificates of `holdfast tls init`.
    pub(super) tls: PathBuf,
}

impl ServerFiles {
    /// Below the scratch directory.
    pub(super) fn below(scratch: &Path) -> Self {
        Self { data: scratch.join("data"), log: scratch.join("holdfastd.log"), tls: scratch.join("tls") }
    }
}

impl Server {
    /// Starts a server and waits until it listens.
    ///
    /// # Errors
    /// It ends, or does not listen in time; the log tells why.
    pub(super) async fn start(host: &Host, tools: &Tools, files: &ServerFiles) -> Result<Self> {
        let log = File::options().create(true).append(true).open(&files.log);
        let log = log.during(|| format!("open {}", files.log.display()))?;
        let errors = log.try_clone().during(|| format!("open {}", files.log.display()))?;
        let port_file = files.data.with_extension("port");
        if port_file.exists() {
            fs::remove_file(&port_file).during(|| format!("remove {}", port_file.display()))?;
        }
        let mut command = host.program(&tools.holdfastd);
        // What the person's shell sets for their own server is not meant for this one.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("HOLDFAST_") {
                command.env_remove(&name);
            }
        }
        command.arg("--data").arg(&files.data).args(["--listen", &format!("{}:{PORT}", host.address())]);
        command.arg("--tls-ca").arg(files.tls.join("ca.pem"));
        command.arg("--tls-cert").arg(files.tls.join("server.pem"));
        command.arg("--tls-key").arg(files.tls.join("server-key.pem"));
        command.arg("--port-file").arg(&port_file);
        command.stdout(Stdio::from(log)).stderr(Stdio::from(errors));
        let (member, _) = Member::start(command, "holdfastd").await?;
        let mut server = Self { member };
        server.wait_until_it_listens(&port_file).await?;
        Ok(server)
    }

    async fn wait_until_it_listens(&mut self, port_file: &Path) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if fs::metadata(port_file).is_ok_and(|file| file.len() > 0) {
                return Ok(());
            }
            if let Some(how) = self.member.ended() {
                return Err(Failure::new(format!("holdfastd {how} before it listened")));
            }
            sleep(Duration::from_millis(20)).await;
        }
        Err(Failure::new(format!("holdfastd does not listen after {} s", PATIENCE.as_secs())))
    }

    /// Ends it as a power failure would: at once, without a word.
    ///
    /// # Errors
    /// It does not even end then.
    pub(super) async fn kill(mut self) -> Result<()> {
        self.member.signal(Signal::SIGKILL);
        self.member.wait(PATIENCE).await.map(drop)
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It does not end in time, or says that something was wrong.
    pub(super) async fn stop(mut self) -> Result<()> {
        self.member.signal(Signal::SIGTERM);
        let status = self.member.wait(PATIENCE).await?;
        if !status.success() {
            return Err(Failure::new(format!("holdfastd {}", super::program::how(status))));
        }
        Ok(())
    }
}
