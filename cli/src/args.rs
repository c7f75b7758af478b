//! The command line, as types. Parsing only checks form; the commands do the work.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use holdfast_client::ServerAddress;

use crate::command::bench::BenchArgs;
use crate::command::completions::CompletionsArgs;
use crate::command::demo::DemoArgs;
use crate::command::inspect::InspectArgs;
use crate::command::mount::MountArgs;
use crate::command::run::RunArgs;
use crate::command::stats::StatsArgs;
use crate::command::tls::TlsArgs;
use crate::command::umount::UmountArgs;
use crate::command::volume::VolumeArgs;

/// Shared persistent file systems for containers on different hosts
///
/// A server (holdfastd) keeps volumes; this command manages them, mounts them and puts them into
/// containers. Sizes are written as 10GiB, 512M or 4096.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, propagate_version = true, max_term_width = 100, after_help = AFTER_HELP)]
pub struct Cli {
    /// What every command understands.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "Start here: `holdfast demo` shows everything at work on this machine.\n\
    Exit status: 0 done, 1 not done, 2 the command line is wrong, 3 (export, import) done with warnings. HOLDFAST_LOG=debug logs to standard error.";

/// What every command understands.
#[derive(Clone, Debug, Default, Args)]
pub struct GlobalArgs {
    /// Address of the server [default: 127.0.0.1:7440]
    #[arg(long, global = true, env = "HOLDFAST_SERVER", value_name = "HOST:PORT", hide_env_values = true,
        help_heading = HEADING)]
    pub server: Option<ServerAddress>,
    /// File with the token that the server asks for
    #[arg(long, global = true, env = "HOLDFAST_TOKEN_FILE", value_name = "FILE", hide_env_values = true, help_heading = HEADING)]
    pub token_file: Option<PathBuf>,
    /// Certificate of the authority that signed the server's; turns TLS on
    #[arg(long, global = true, env = "HOLDFAST_TLS_CA", value_name = "FILE", hide_env_values = true, help_heading = HEADING)]
    pub tls_ca: Option<PathBuf>,
    /// Certificate of this client
    #[arg(long, global = true, env = "HOLDFAST_TLS_CERT", value_name = "FILE", hide_env_values = true, help_heading = HEADING)]
    pub tls_cert: Option<PathBuf>,
    /// Key of this client's certificate
    #[arg(long, global = true, env = "HOLDFAST_TLS_KEY", value_name = "FILE", hide_env_values = true, help_heading = HEADING)]
    pub tls_key: Option<PathBuf>,
    /// Print results and errors as JSON
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
}

const HEADING: &str = "Global options";

impl GlobalArgs {
    /// The server that was asked for, or this machine's.
    #[must_use]
    pub fn server(&self) -> ServerAddress {
        self.server.clone().unwrap_or_else(ServerAddress::local)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make, list, show, remove, expand, check and scrub volumes
    Volume(VolumeArgs),
    /// Mount a volume on this host
    Mount(MountArgs),
    /// Unmount a volume
    Umount(UmountArgs),
    /// Run a container with volumes in it, without an engine
    Run(RunArgs),
    /// Show the server, its volumes, and this host's mounts
    Status,
    /// Show who holds and who awaits which lock of a volume, on which host
    Locks(InspectArgs),
    /// Show who has which file of a volume open, on which host
    Open(InspectArgs),
    /// Show what a mount does: requests, latencies, leases, changes under way
    Stats(StatsArgs),
    /// Measure a mount, or two of one volume, or any other directory
    Bench(BenchArgs),
    /// Make certificates for servers and clients
    Tls(TlsArgs),
    /// See it work on this machine: a server, two hosts, two containers, one volume
    Demo(DemoArgs),
    /// Show versions of this program and of the server
    Version,
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

#[cfg(test)]
mod tests;
