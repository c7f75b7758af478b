//! A storage server with its hosts: the programs as users run them, in directories, ports and
//! name spaces of their own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::bins;
use crate::clocks::Clocks;
use crate::command::{Outcome, run};
use crate::host::{Host, Lan, STORAGE};
use crate::model::step::Disturb;
use crate::mount::Mount;
use crate::process::{Process, mortal};
use crate::scratch::Scratch;
use crate::wait;

/// The length of a session without renewal that tests use: short, so that they end.
pub const LEASE: Duration = Duration::from_secs(3);
/// The token that every server of the tests asks for.
const TOKEN: &str = "a-token-of-the-tests-0123456789";

/// Where the parts of a cluster are.
#[derive(Debug)]
enum Place {
    /// The server on a loopback port of the machine itself, for clients inside the test program.
    Machine,
    /// Server and mounts on one host of its own, over its loopback.
    OneHost(Box<Host>),
    /// A storage host, and others over a bridge, with TLS.
    Lan(Box<Lan>),
}

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its data directory; a scratch directory unless told otherwise.
    pub data: Option<PathBuf>,
    /// More words for its command line.
    pub words: Vec<String>,
    /// Clocks of its own.
    pub clocks: Option<Clocks>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        let words = vec![format!("--lease={}s", LEASE.as_secs()), "--log=info".into()];
        Self { data: None, words, clocks: None, environment: Vec::new() }
    }
}

/// What a volume holds, and how many mounts it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as `holdfast volume show --json` names them")]
pub struct Shown {
    pub bytes: u64,
    pub inodes: u64,
    pub mounts: u64,
}

/// A server with its hosts. Dropped: all of it goes.
#[derive(Debug)]
pub struct Cluster {
    server: Option<Process>,
    place: Place,
    options: Options,
    port: u16,
    scratch: Scratch,
}

impl Cluster {
    /// A server on the machine's own loopback.
    #[must_use]
    pub fn machine() -> Self {
        Self::new(Place::Machine, Options::default())
    }

    /// The same, started in another way.
    #[must_use]
    pub fn machine_with(options: Options) -> Self {
        Self::new(Place::Machine, options)
    }

    /// A server on a host of its own, where it can also be mounted.
    #[must_use]
    pub fn one_host() -> Self {
        Self::one_host_with(Options::default())
    }

    /// The same, started in another way.
    #[must_use]
    pub fn one_host_with(options: Options) -> Self {
        let lan = Lan::new(&[]);
        Self::new(Place::OneHost(Box::new(lan.storage)), options)
    }

    /// A storage host, and hosts with these names, over TLS.
    #[must_use]
    pub fn lan(names: &[&str]) -> Self {
        Self::lan_with(names, Options::default())
    }

    /// The same, started in another way.
    #[must_use]
    pub fn lan_with(names: &[&str], options: Options) -> Self {
        Self::new(Place::Lan(Box::new(Lan::new(names))), options)
    }

    fn new(place: Place, options: Options) -> Self {
        let scratch = Scratch::new("cluster");
        write(&scratch.path().join("token"), TOKEN);
        let port = if matches!(place, Place::Machine) { 0 } else { 7440 };
        let mut cluster = Self { server: None, place, options, port, scratch };
        if matches!(cluster.place, Place::Lan(_)) {
            let mut command = mortal(bins::ours("holdfast"));
            command.args(["tls", "init", "--server-name", STORAGE, "--dir"]).arg(cluster.scratch.path().join("tls"));
            let _ = run(command).ok();
        }
        cluster.start();
        cluster
    }

    /// `HOST:PORT` of the server.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.listen_host(), self.port)
    }

    fn listen_host(&self) -> &'static str {
        if matches!(self.place, Place::Lan(_)) { STORAGE } else { "127.0.0.1" }
    }

    /// The file with the token.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        self.scratch.path().join("token")
    }

    /// Its directory of certificates.
    #[must_use]
    pub fn tls(&self, file: &str) -> PathBuf {
        self.scratch.path().join("tls").join(file)
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.options.data.clone().unwrap_or_else(|| self.scratch.path().join("data"))
    }

    /// The storage host.
    ///
    /// # Panics
    /// When the server runs on the machine itself.
    #[must_use]
    pub fn storage(&self) -> &Host {
        match &self.place {
            Place::Machine => panic!("this cluster has no hosts"),
            Place::OneHost(host) => host,
            Place::Lan(lan) => &lan.storage,
        }
    }

    /// A host that mounts; with one host it is always that one.
    ///
    /// # Panics
    /// When there is none of this number.
    #[must_use]
    pub fn host(&self, number: usize) -> &Host {
        match &self.place {
            Place::Lan(lan) => &lan.hosts[number],
            Place::Machine | Place::OneHost(_) => self.storage(),
        }
    }

    /// The command that starts the server.
    #[must_use]
    pub fn server_command(&self) -> Command {
        let program = bins::ours("holdfastd");
        let mut command = match &self.place {
            Place::Machine => mortal(program),
            Place::OneHost(host) => host.command(program),
            Place::Lan(lan) => lan.storage.command(program),
        };
        command.arg("--data").arg(self.data()).args(["--listen", &self.address()]);
        command.arg("--port-file").arg(self.scratch.path().join("port"));
        command.arg("--token-file").arg(self.token_file()).args(&self.options.words);
        if matches!(self.place, Place::Lan(_)) {
            command.arg("--tls-ca").arg(self.tls("ca.pem"));
            command.arg("--tls-cert").arg(self.tls("server.pem"));
            command.arg("--tls-key").arg(self.tls("server-key.pem"));
        }
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        if let Some(clocks) = &self.options.clocks {
            clocks.give(&mut command);
        }
        command
    }

    /// Starts the server and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn start(&mut self) {
        let port_file = self.scratch.path().join("port");
        let _ = fs::remove_file(&port_file);
        let log = self.scratch.path().join("holdfastd.log");
        let mut server = Process::start("holdfastd", self.server_command(), &log);
        let port = wait::until("the server to listen", wait::SOON, || {
            assert!(server.ended().is_none(), "the server ended: {}", server.output());
            fs::read_to_string(&port_file).ok()?.trim().rsplit(':').next()?.parse().ok()
        });
        self.port = port;
        self.server = Some(server);
    }

    /// The server's process.
    ///
    /// # Panics
    /// When it does not run.
    pub fn server(&mut self) -> &mut Process {
        self.server.as_mut().unwrap_or_else(|| panic!("the server does not run"))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.server().kill();
        self.server = None;
    }

    /// SIGTERM.
    ///
    /// # Panics
    /// When it does not end well.
    #[track_caller]
    pub fn stop(&mut self) {
        let status = self.server().terminate();
        assert!(status.success(), "the server ended with {status}: {}", self.server().output());
        self.server = None;
    }

    /// Ends the server in one of two ways, and starts it again on the same data and port.
    #[track_caller]
    pub fn disturb(&mut self, how: Disturb) {
        match how {
            Disturb::Kill => self.kill(),
            Disturb::Restart => self.stop(),
        }
        self.start();
    }

    /// A program of ours on one of the hosts (or the machine), told where the server is.
    #[must_use]
    pub fn command(&self, host: usize, program: &str) -> Command {
        let program = bins::ours(program);
        let mut command = match &self.place {
            Place::Machine => mortal(program),
            Place::OneHost(_) | Place::Lan(_) => self.host(host).command(program),
        };
        self.environment(&mut command);
        command
    }

    /// What tells a program where the server is and who we are.
    pub fn environment(&self, command: &mut Command) {
        command.env("HOLDFAST_SERVER", self.address()).env("HOLDFAST_TOKEN_FILE", self.token_file());
        if matches!(self.place, Place::Lan(_)) {
            command.env("HOLDFAST_TLS_CA", self.tls("ca.pem"));
            command.env("HOLDFAST_TLS_CERT", self.tls("client.pem"));
            command.env("HOLDFAST_TLS_KEY", self.tls("client-key.pem"));
        }
    }

    /// Runs `holdfast` with these words, on the first host.
    #[track_caller]
    #[must_use]
    pub fn holdfast(&self, words: &[&str]) -> Outcome {
        let mut command = self.command(0, "holdfast");
        command.args(words);
        run(command)
    }

    /// Makes a volume without limits.
    #[track_caller]
    pub fn volume(&self, name: &str) {
        let _ = self.holdfast(&["volume", "create", name]).ok();
    }

    /// A volume as the server sees it.
    ///
    /// # Panics
    /// When it cannot be shown.
    #[track_caller]
    #[must_use]
    pub fn show(&self, name: &str) -> Shown {
        let text = self.holdfast(&["volume", "show", name, "--json"]).ok();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let number = |field: &str| json[field].as_u64().unwrap_or_else(|| panic!("no {field} in {text}"));
        Shown { bytes: number("used_bytes"), inodes: number("used_inodes"), mounts: number("mounts") }
    }

    /// Mounts a volume (`VOLUME[/SUBDIR]`) on a host.
    #[track_caller]
    #[must_use]
    pub fn mount(&self, host: usize, volume: &str) -> Mount {
        self.mount_with(host, volume, "")
    }

    /// The same, with options as after `-o`.
    #[track_caller]
    #[must_use]
    pub fn mount_with(&self, host: usize, volume: &str, options: &str) -> Mount {
        Mount::new(self, host, volume, options, None)
    }

    /// The same, with clocks of its own.
    #[track_caller]
    #[must_use]
    pub fn mount_under(&self, clocks: &Clocks, host: usize, volume: &str, options: &str) -> Mount {
        Mount::new(self, host, volume, options, Some(clocks))
    }

    /// What the server has logged.
    #[must_use]
    pub fn server_log(&self) -> String {
        fs::read_to_string(self.scratch.path().join("holdfastd.log")).unwrap_or_default()
    }
}

fn write(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let written = fs::write(path, text).and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o600)));
    written.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
