//! Everything that a demo has made and must end: hosts, server, containers, the scratch directory.

use std::path::{Path, PathBuf};

use super::container::{Container, Recipe, last_lines};
use super::host::Host;
use super::needs::Tools;
use super::program::{Verbosity, program, run};
use super::scratch::Scratch;
use super::server::{PORT, Server, ServerFiles};
use super::{Plan, input};
use crate::failure::{During, Failure, Result};
use crate::output::safe;

/// Name of the volume.
pub(super) const VOLUME: &str = "shared";
/// Where each host keeps its mounts and their logs.
const RUN_DIR: &str = "/run/holdfast";
/// Addresses of the private network.
const STORAGE_ADDRESS: &str = "10.219.0.1";
const HOST_ADDRESSES: [(&str, &str); 2] = [("host-a", "10.219.0.11"), ("host-b", "10.219.0.12")];

/// The demo's machines.
#[derive(Debug)]
pub(super) struct World {
    pub(super) tools: Tools,
    pub(super) scratch: Scratch,
    pub(super) verbosity: Verbosity,
    storage: Option<Host>,
    hosts: Vec<Host>,
    server: Option<Server>,
    containers: Vec<Container>,
    /// Every container that was ever started, by its name in the runtime.
    ids: Vec<String>,
}

impl World {
    /// An empty one.
    ///
    /// # Errors
    /// There is no place for its files.
    pub(super) fn new(plan: &Plan, tools: Tools, verbosity: Verbosity) -> Result<Self> {
        input::usual_umask();
        let scratch = Scratch::new(plan.scratch.as_deref())?;
        Ok(Self {
            tools,
            scratch,
            verbosity,
            storage: None,
            hosts: Vec::new(),
            server: None,
            containers: Vec::new(),
            ids: Vec::new(),
        })
    }

    /// Makes the storage host and hosts A and B, on a network of their own.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(super) async fn make_hosts(&mut self) -> Result<()> {
        let start = |name, address| Host::start(name, address, &self.tools.holdfast, self.verbosity);
        let storage = start("storage", STORAGE_ADDRESS).await?;
        storage.become_switch().await?;
        let mut hosts = Vec::new();
        for (index, (name, address)) in HOST_ADDRESSES.into_iter().enumerate() {
            let host = start(name, address).await?;
            storage.plug_in(&host, &format!("port{index}")).await?;
            hosts.push(host);
        }
        (self.storage, self.hosts) = (Some(storage), hosts);
        Ok(())
    }

    fn storage(&self) -> Result<&Host> {
        self.storage.as_ref().ok_or_else(|| Failure::new("there is no storage host yet"))
    }

    fn host(&self, index: usize) -> Result<&Host> {
        self.hosts.get(index).ok_or_else(|| Failure::new(format!("there is no host {index} yet")))
    }

    /// Who is where, in words.
    pub(super) fn addresses(&self) -> String {
        let hosts = self.storage.iter().chain(&self.hosts);
        hosts.map(|host| format!("{} {}", host.name(), host.address())).collect::<Vec<_>>().join(", ")
    }

    /// `holdfast` on one of the hosts, or on this machine before there are any.
    ///
    /// # Errors
    /// As the command.
    pub(super) async fn holdfast(&self, host: Option<usize>, arguments: &[&str]) -> Result<String> {
        let mut command = match host {
            Some(index) => self.host(index)?.program(&self.tools.holdfast),
            None => program(&self.tools.holdfast),
        };
        command.args(arguments).envs(self.environment());
        Ok(run(command, super::program::SHORT, self.verbosity).await?.stdout)
    }

    /// What tells `holdfast` where the server is and who we are.
    fn environment(&self) -> Vec<(String, String)> {
        let tls = |name: &str| self.scratch.path().join("tls").join(name).display().to_string();
        [
            ("HOLDFAST_SERVER", format!("{STORAGE_ADDRESS}:{PORT}")),
            ("HOLDFAST_TLS_CA", tls("ca.pem")),
            ("HOLDFAST_TLS_CERT", tls("client.pem")),
            ("HOLDFAST_TLS_KEY", tls("client-key.pem")),
            // Mounts and their logs, in the host's own /run.
            ("HOLDFAST_RUN_DIR", RUN_DIR.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// The private authority, and certificates for the server's address and for one client.
    ///
    /// # Errors
    /// As `holdfast tls init`.
    pub(super) async fn make_certificates(&self) -> Result<()> {
        let dir = self.scratch.path().join("tls").display().to_string();
        self.holdfast(None, &["tls", "init", "--dir", &dir, "--server-name", STORAGE_ADDRESS]).await.map(drop)
    }

    /// Starts the server, again after [`World::kill_server`].
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(super) async fn start_server(&mut self) -> Result<()> {
        let files = ServerFiles::below(self.scratch.path());
        self.server = Some(Server::start(self.storage()?, &self.tools, &files).await?);
        Ok(())
    }

    /// Ends the server without a warning.
    ///
    /// # Errors
    /// As [`Server::kill`].
    pub(super) async fn kill_server(&mut self) -> Result<()> {
        match self.server.take() {
            Some(server) => server.kill().await,
            None => Err(Failure::new("there is no server to kill")),
        }
    }

    /// Where a host's container has its root file system.
    pub(super) fn rootfs(&self, index: usize) -> PathBuf {
        self.scratch.path().join(format!("rootfs-{}", HOST_ADDRESSES[index].0))
    }

    /// Starts a container on each host, with the volume in both.
    ///
    /// # Errors
    /// As [`Container::start`].
    pub(super) async fn start_containers(&mut self) -> Result<()> {
        let mut environment = self.environment();
        // For the bundles.
        environment.push(("TMPDIR".to_owned(), self.scratch.path().display().to_string()));
        for index in 0..self.hosts.len() {
            let id = self.container_id(index);
            self.ids.push(id.clone());
            let (host, rootfs) = (self.host(index)?, self.rootfs(index));
            let recipe = Recipe {
                holdfast: &self.tools.holdfast,
                rootfs: &rootfs,
                volume: VOLUME,
                id,
                hostname: ["container-a", "container-b"][index],
                environment: &environment,
                logs: self.scratch.path(),
            };
            let container = Container::start(host, &recipe, self.verbosity).await?;
            self.containers.push(container);
        }
        Ok(())
    }

    /// Named after the scratch directory, which no other demo has.
    fn container_id(&self, index: usize) -> String {
        let demo = self.scratch.path().file_name().unwrap_or_default().to_string_lossy();
        format!("{demo}-{}", HOST_ADDRESSES[index].0)
    }

    /// Both containers.
    ///
    /// # Errors
    /// They were not started.
    pub(super) fn containers(&mut self) -> Result<(&mut Container, &mut Container)> {
        match self.containers.as_mut_slice() {
            [a, b] => Ok((a, b)),
            _ => Err(Failure::new("the containers were not started")),
        }
    }

    /// Stops both containers in order.
    ///
    /// # Errors
    /// As [`Container::stop`].
    pub(super) async fn stop_containers(&mut self) -> Result<()> {
        while let Some(container) = self.containers.pop() {
            container.stop().await?;
        }
        Ok(())
    }

    /// Holdfast's mounts on a host, as its kernel lists them.
    ///
    /// # Errors
    /// The host does not answer.
    pub(super) async fn mounts_on(&self, index: usize) -> Result<usize> {
        let status = self.holdfast(Some(index), &["status", "--json"]).await?;
        let status: serde_json::Value = serde_json::from_str(&status).during(|| "read the status of a host".into())?;
        // A host also sees what this machine had mounted when it began.
        let own = |mount: &serde_json::Value| mount["directory"].as_str().is_some_and(|dir| dir.starts_with(RUN_DIR));
        Ok(status["mounts"].as_array().map_or(0, |mounts| mounts.iter().filter(|mount| own(mount)).count()))
    }

    /// Ends the server in order; the last chapter of the story.
    ///
    /// # Errors
    /// As [`Server::stop`].
    pub(super) async fn stop_server(&mut self) -> Result<()> {
        match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    /// What the logs say, for when something went wrong.
    pub(super) async fn evidence(&self) -> String {
        let mut told = Vec::new();
        let mut tell = |name: String, lines: &str| {
            if !lines.trim().is_empty() {
                let lines: Vec<String> = lines.trim_end().lines().map(safe).collect();
                told.push(format!("--- the end of {name}\n{}", lines.join("\n")));
            }
        };
        for name in ["holdfastd.log", "container-a.log", "container-b.log"] {
            tell(name.to_owned(), &last_lines(&self.scratch.path().join(name), 20));
        }
        for host in &self.hosts {
            let mut command = host.program("sh".as_ref());
            command.args(["-c", "find \"$1\" -xdev -maxdepth 4 -name '*.log' -exec tail -n 20 {} +", "sh", RUN_DIR]);
            // A host that does not answer has nothing to say.
            let logs =
                run(command, super::program::SHORT, self.verbosity).await.map(|ran| ran.stdout).unwrap_or_default();
            tell(format!("the mounts' logs on {}", host.name()), &logs);
        }
        told.join("\n")
    }

    /// Ends everything, in whatever state it is, and removes the files unless they are to be kept.
    ///
    /// # Errors
    /// Files cannot be removed.
    pub(super) async fn close(mut self, keep: bool) -> Result<Option<PathBuf>> {
        for (index, container) in std::mem::take(&mut self.containers).into_iter().enumerate() {
            let mut kill = self.host(index)?.program(&self.tools.holdfast.with_file_name("holdfast-runtime"));
            kill.args(["kill", &self.container_id(index), "KILL"]);
            container.abandon(kill).await;
        }
        // The hosts take the rest with them, the server included.
        for host in self.hosts.drain(..).chain(self.storage.take()) {
            host.stop().await;
        }
        self.ids.iter().for_each(|id| remove_control_groups(id));
        self.scratch.close(keep)
    }
}

/// Removes what a container that was not ended by its runtime leaves in the control groups. They are
/// empty: its processes are gone.
fn remove_control_groups(container: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path());
    for hierarchy in hierarchies.chain([root.to_owned()]) {
        // It is there only if something went wrong.
        let _none = std::fs::remove_dir(hierarchy.join("holdfast").join(container));
    }
}
