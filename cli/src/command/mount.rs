//! `holdfast mount`: a volume on a directory of this host, also for mount(8).
//!
//! The mount is a process of its own: this program again, told to serve. The command waits until
//! the mount works, or says why it does not.

use std::ffi::OsString;
use std::path::{Path, PathBuf, absolute};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use holdfast_core::error::{Error, ErrorKind};
use holdfast_fuse::mount::record::RUN_DIR_VARIABLE;
use holdfast_fuse::mount::remount::remount;
use holdfast_fuse::mount::{Daemon, MountConfig, MountOptions, MountSource, default_run_dir, run_mount, spawn_daemon};
use serde::Serialize;

use crate::args::GlobalArgs;
use crate::connect;
use crate::failure::{During, Failure, Result};
use crate::mount_helper::Call;
use crate::output::{Output, Report};

/// How long the mount's process may take until the mount works. Shorter than what the host's mount
/// registry waits, so that it hears our reason.
const START_DEADLINE: Duration = Duration::from_secs(50);
/// Where logs of mounts are kept, unless `HOLDFAST_RUN_DIR` gives this host's state another place.
const LOG_DIRECTORY: &str = "/var/log/holdfast";
/// Longest name of a log, without its ending.
const LOG_NAME_BYTES_MAX: usize = 200;

/// `holdfast mount`
#[derive(Debug, Args)]
pub struct MountArgs {
    /// What: SERVER/VOLUME, SERVER:/VOLUME, or VOLUME with --server; /SUBDIR may follow
    source: String,
    /// Where: an existing directory
    dir: PathBuf,
    /// Mount options, as in ro,noexec; docs/OPERATIONS.md lists them
    #[arg(short = 'o', long = "options", value_name = "OPTIONS", value_delimiter = ',')]
    options: Vec<String>,
    /// Stay in the foreground; Ctrl-C unmounts
    #[arg(long, short)]
    foreground: bool,
    /// Serve for the command that started this process
    #[arg(long, hide = true)]
    serve: bool,
}

/// A mount that was checked as far as can be without a server.
#[derive(Debug)]
struct Prepared {
    global: GlobalArgs,
    source: MountSource,
    dir: PathBuf,
    words: Vec<String>,
    options: MountOptions,
}

#[derive(Debug, Serialize)]
struct Mounted {
    source: String,
    directory: PathBuf,
    read_only: bool,
    log: Option<PathBuf>,
    pid: u32,
}

impl Report for Mounted {
    fn text(&self) -> String {
        let read_only = if self.read_only { ", read-only" } else { "" };
        format!("mounted {} on {} (process {}{read_only})\n", self.source, self.directory.display(), self.pid)
    }
}

#[derive(Debug, Serialize)]
struct Changed {
    directory: PathBuf,
    read_only: bool,
}

impl Report for Changed {
    fn text(&self) -> String {
        let how = if self.read_only { "read-only" } else { "for reading and writing" };
        format!("remounted {} {how}\n", self.directory.display())
    }
}

/// Runs the command.
///
/// # Errors
/// Bad input, a directory that cannot be mounted on, a server that refuses or cannot be reached.
pub fn run(args: MountArgs, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    if args.serve {
        // Standard output is the pipe to the parent, which reports; here is nothing to print.
        return serve(args, global);
    }
    if is_remount(&args.options) {
        let remounted = change(&args.dir, &args.options)?;
        return output.report(&remounted);
    }
    let prepared = prepare(&args.source, &args.dir, args.options, global)?;
    if args.foreground || prepared.options.foreground {
        in_foreground(&prepared, output)
    } else {
        let mounted = start(&prepared)?;
        output.report(&mounted)
    }
}

/// Mounts as mount(8) asks.
///
/// # Errors
/// As [`run`].
pub fn run_helper(call: Call, global: &GlobalArgs, output: &mut Output) -> Result<()> {
    if is_remount(&call.options) {
        if call.fake {
            return Ok(());
        }
        let remounted = change(&call.directory, &call.options)?;
        return if call.verbose { output.report(&remounted) } else { Ok(()) };
    }
    let words =
        if call.sloppy { call.options.into_iter().filter(|word| is_known(word)).collect() } else { call.options };
    let prepared = prepare(&call.source, &call.directory, words, global)?;
    if call.fake {
        return Ok(());
    }
    let mounted = start(&prepared)?;
    if call.verbose { output.report(&mounted) } else { Ok(()) }
}

fn is_remount(words: &[String]) -> bool {
    words.iter().any(|word| word.trim() == "remount")
}

/// Changes a mount that is there.
fn change(dir: &Path, words: &[String]) -> Result<Changed> {
    let remounted = remount(dir, words.iter().map(String::as_str));
    let remounted = remounted.map_err(|error| match error.kind() {
        ErrorKind::Invalid => Failure::usage(error.message()),
        _ => Failure::of(&format!("cannot remount {}", dir.display()), &error),
    })?;
    Ok(Changed { directory: dir.to_owned(), read_only: remounted.read_only })
}

/// Some options count only with another one, and some only without.
fn is_known(word: &str) -> bool {
    ["", "soft", "cache=/"].into_iter().any(|other| MountOptions::from_words([other, word]).is_ok())
}

fn prepare(source: &str, dir: &Path, words: Vec<String>, global: &GlobalArgs) -> Result<Prepared> {
    let wrong = |error: Error| Failure::usage(error.message());
    let source = MountSource::parse(source, global.server.as_ref()).map_err(wrong)?;
    let words = words.iter().map(|word| absolute_word(word)).collect::<Result<Vec<_>>>()?;
    let options = MountOptions::from_words(words.iter().map(String::as_str)).map_err(wrong)?;
    let of_host = |path: &Option<PathBuf>| path.as_deref().map(make_absolute).transpose();
    let or = |option: &Option<PathBuf>, path: &Option<PathBuf>| Ok(option.clone().or(of_host(path)?));
    let global = GlobalArgs {
        server: Some(source.server.clone().unwrap_or_else(|| global.server())),
        tls_ca: or(&options.tls_ca, &global.tls_ca)?,
        tls_cert: or(&options.tls_cert, &global.tls_cert)?,
        tls_key: or(&options.tls_key, &global.tls_key)?,
        token_file: or(&options.token_file, &global.token_file)?,
        json: global.json,
    };
    Ok(Prepared { global, source, dir: make_absolute(dir)?, words, options })
}

/// The mount's process works in another directory.
fn make_absolute(path: &Path) -> Result<PathBuf> {
    absolute(path).during(|| format!("use the path {:?}", path.display().to_string()))
}

/// An option that names a file or directory, with its absolute path; any other as it is.
fn absolute_word(word: &str) -> Result<String> {
    match word.trim().split_once('=') {
        Some((name @ ("tls_ca" | "tls_cert" | "tls_key" | "token_file" | "log" | "cache"), file))
            if !file.is_empty() =>
        {
            Ok(format!("{name}={}", make_absolute(Path::new(file))?.display()))
        }
        _ => Ok(word.to_owned()),
    }
}

impl Prepared {
    fn config(&self) -> MountConfig {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        MountConfig {
            source: self.source.clone(),
            point: self.dir.clone(),
            options: self.options.clone(),
            host: host.unwrap_or_default(),
            program: format!("holdfast {}", env!("CARGO_PKG_VERSION")),
            run_dir: Some(default_run_dir()),
        }
    }

    fn shown_source(&self) -> String {
        MountSource { server: self.global.server.clone(), ..self.source.clone() }.to_string()
    }

    fn failure(&self, error: &Error) -> Failure {
        Failure::of(&format!("cannot mount {} on {}", self.shown_source(), self.dir.display()), error)
    }

    fn mounted(&self, pid: u32, log: Option<PathBuf>) -> Mounted {
        Mounted {
            source: self.shown_source(),
            directory: self.dir.clone(),
            read_only: self.options.read_only,
            log,
            pid,
        }
    }

    fn log(&self) -> PathBuf {
        self.options.log.clone().unwrap_or_else(|| log_directory().join(log_name(&self.dir)))
    }
}

fn log_directory() -> PathBuf {
    match std::env::var_os(RUN_DIR_VARIABLE).filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir).join("log"),
        None => LOG_DIRECTORY.into(),
    }
}

/// `/mnt/data` -> `mnt-data.log`; of a long path the end, which tells more.
fn log_name(dir: &Path) -> String {
    let name: String = dir.to_string_lossy().trim_matches('/').chars().map(name_char).collect();
    let long =
        name.char_indices().rev().map(|(at, _)| at).take_while(|at| name.len() - at <= LOG_NAME_BYTES_MAX).last();
    format!("{}.log", &name[long.unwrap_or(0)..])
}

fn name_char(c: char) -> char {
    if c.is_alphanumeric() || matches!(c, '.' | '_') { c } else { '-' }
}

fn in_foreground(prepared: &Prepared, output: &mut Output) -> Result<()> {
    let endpoint = connect::endpoint(&prepared.global)?;
    let mounted = prepared.mounted(std::process::id(), None);
    let mut told = Ok(());
    run_mount(&endpoint, &prepared.config(), |_| told = output.report(&mounted))
        .map_err(|error| prepared.failure(&error))?;
    told
}

/// Starts the process that serves, and waits until it does.
fn start(prepared: &Prepared) -> Result<Mounted> {
    // Mistakes in files are told before a process is started.
    connect::endpoint(&prepared.global)?;
    let program = std::env::current_exe().during(|| "find this program's own file".into())?;
    let mut command = Command::new(program);
    command.args(["mount", "--serve"]).args(global_flags(&prepared.global));
    if !prepared.words.is_empty() {
        command.arg("-o").arg(prepared.words.join(","));
    }
    // The source names its server, so that the child reads it as we did.
    command.arg("--").arg(prepared.shown_source()).arg(&prepared.dir);
    let log = prepared.log();
    let child = spawn_daemon(command, &log, START_DEADLINE).map_err(|error| prepared.failure(&error))?;
    Ok(prepared.mounted(child.id(), Some(log)))
}

/// What the parent knows, whatever the child's environment says.
fn global_flags(global: &GlobalArgs) -> Vec<OsString> {
    let mut flags = vec!["--server".into(), global.server().to_string().into()];
    for (flag, file) in [
        ("--tls-ca", &global.tls_ca),
        ("--tls-cert", &global.tls_cert),
        ("--tls-key", &global.tls_key),
        ("--token-file", &global.token_file),
    ] {
        if let Some(file) = file {
            flags.extend([flag.into(), file.clone().into_os_string()]);
        }
    }
    flags
}

/// The process that serves.
fn serve(args: MountArgs, global: &GlobalArgs) -> Result<()> {
    let daemon = Daemon::begin().during(|| "leave the terminal".into())?;
    let prepared = prepare(&args.source, &args.dir, args.options, global)?;
    let endpoint = connect::endpoint(&prepared.global)?;
    let mut daemon = Some(daemon);
    let ended = run_mount(&endpoint, &prepared.config(), |_| {
        if let Some(daemon) = daemon.take() {
            daemon.ready();
        }
    });
    match (ended, daemon) {
        (Ok(()), _) => Ok(()),
        (Err(error), Some(daemon)) => {
            daemon.failed(&error);
            Err(prepared.failure(&error))
        }
        (Err(error), None) => Err(Failure::of("the mount ended", &error)),
    }
}

#[cfg(test)]
mod tests;
