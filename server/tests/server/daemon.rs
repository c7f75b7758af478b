//! The binary: its output, its signals, its environment.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

struct Daemon {
    child: Child,
    address: String,
}

fn command(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfastd"));
    command.env_clear().arg("--data").arg(data).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(mut command: Command) -> Daemon {
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").expect(&line).to_owned();
    Daemon { child, address }
}

impl Daemon {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Exit code and what it logged.
    fn end(mut self) -> (Option<i32>, String) {
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap().code(), log)
    }
}

fn fails(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn it_tells_where_it_listens_and_stops_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let mut command = command(dir.path());
        command.args(["--listen", "127.0.0.1:0", "--log-format", "json"]);
        let daemon = start(command);
        assert!(daemon.address.starts_with("127.0.0.1:"));
        std::net::TcpStream::connect(&daemon.address).unwrap();
        daemon.signal(signal);
        let (code, log) = daemon.end();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
        assert!(log.contains("\"stopped\""), "{log}");
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("holdfastd.toml");
    std::fs::write(&file, "listen = \"127.0.0.1:0\"\nlog_format = \"json\"\nlog = \"info\"\n").unwrap();
    let data = dir.path().join("data");
    let mut from_file = command(&data);
    from_file.env("HOLDFAST_CONFIG", &file).env("HOLDFAST_LEASE", "7s");
    let daemon = start(from_file);
    daemon.signal(Signal::SIGTERM);
    let (code, log) = daemon.end();
    assert!(code == Some(0) && log.contains("\"lease\":\"7s\""), "{log}");

    let mut flagged = command(&data);
    flagged.env("HOLDFAST_LEASE", "7s").env("HOLDFAST_LISTEN", "192.0.2.1:7440").arg("--lease=9s");
    let message = fails(flagged);
    assert!(message.contains("192.0.2.1:7440") && message.contains("holdfast tls init"), "{message}");

    let mut flagged = command(&data);
    flagged.env("HOLDFAST_LEASE", "7s").args(["--lease=9s", "--listen=127.0.0.1:0", "--log-format=json"]);
    let daemon = start(flagged);
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.end().1.contains("\"lease\":\"9s\""));
}

#[test]
fn a_killed_server_leaves_nothing_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let port_file = dir.path().join("port");
    let data = dir.path().join("data");
    let mut first = command(&data);
    first.args(["--listen", "127.0.0.1:0", "--port-file"]).arg(&port_file);
    let first = start(first);
    assert_eq!(std::fs::read_to_string(&port_file).unwrap().trim(), first.address);
    let message = fails(command(&data));
    assert!(message.contains(&format!("in use by pid {}", first.child.id())), "{message}");
    first.signal(Signal::SIGKILL);
    assert_eq!(first.end().0, None);
    let mut second = command(&data);
    second.args(["--listen", "127.0.0.1:0"]);
    let second = start(second);
    second.signal(Signal::SIGTERM);
    assert_eq!(second.end().0, Some(0));
}

#[test]
fn version_and_help_need_nothing() {
    for (flag, word) in [("--version", "holdfastd 0."), ("--help", "holdfast tls init")] {
        let output = Command::new(env!("CARGO_BIN_EXE_holdfastd")).arg(flag).env_clear().output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(word), "{text}");
    }
}
