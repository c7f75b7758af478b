//! The command line of `holdfastd`, and the environment variables beside it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::LogFormat;

const AFTER_HELP: &str = "\
The first that says something wins: flag, environment variable, config file, default.

Examples:
  holdfastd --data /var/lib/holdfast
      serves this machine only, on 127.0.0.1:7440
  holdfastd --data /var/lib/holdfast --listen 0.0.0.0:7440 \\
      --tls-ca ca.pem --tls-cert server.pem --tls-key server-key.pem
      serves the network; `holdfast tls init` makes the certificates
  holdfastd dump --data /var/lib/holdfast data -o data.tar
      without a server: gets a volume's files out of its data directory
";

/// The Holdfast storage server: keeps volumes in a directory and serves them over gRPC
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "holdfastd", version = crate::VERSION, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Args {
    /// What to do in place of serving
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Directory of the volumes; made if absent
    #[arg(long, value_name = "DIR", env = "HOLDFAST_DATA", global = true)]
    pub data: Option<PathBuf>,

    /// Address to listen on [default: 127.0.0.1:7440]; port 0 takes any free one. An address that
    /// others can reach needs TLS
    #[arg(long, value_name = "ADDR", env = "HOLDFAST_LISTEN")]
    pub listen: Option<String>,

    /// Config file (TOML): the long names of these flags, as in `commit_interval = "100ms"`
    #[arg(long, value_name = "FILE", env = "HOLDFAST_CONFIG")]
    pub config: Option<PathBuf>,

    /// Certificate of the authority that signs clients' certificates (PEM)
    #[arg(long, value_name = "FILE", env = "HOLDFAST_TLS_CA", help_heading = "Security")]
    pub tls_ca: Option<PathBuf>,

    /// The server's certificate (PEM)
    #[arg(long, value_name = "FILE", env = "HOLDFAST_TLS_CERT", help_heading = "Security")]
    pub tls_cert: Option<PathBuf>,

    /// The server's private key (PEM)
    #[arg(long, value_name = "FILE", env = "HOLDFAST_TLS_KEY", help_heading = "Security")]
    pub tls_key: Option<PathBuf>,

    /// File with a secret of 16 characters or more that every client must know
    #[arg(long, value_name = "FILE", env = "HOLDFAST_TOKEN_FILE", help_heading = "Security")]
    pub token_file: Option<PathBuf>,

    /// How long a client may be silent before its locks and open files go [default: 10s]
    #[arg(long, value_name = "TIME", env = "HOLDFAST_LEASE", help_heading = "Tuning")]
    pub lease: Option<String>,

    /// Changes reach the disk at the latest after this, fsync or not [default: 100ms]
    #[arg(long, value_name = "TIME", env = "HOLDFAST_COMMIT_INTERVAL", help_heading = "Tuning")]
    pub commit_interval: Option<String>,

    /// Memory for metadata, over all volumes [default: 96MiB]
    #[arg(long, value_name = "SIZE", env = "HOLDFAST_CACHE", help_heading = "Tuning")]
    pub cache: Option<String>,

    /// Of it, at most, for metadata on its way to the disk [default: 48MiB, at most half of it]
    #[arg(long, value_name = "SIZE", env = "HOLDFAST_WRITE_BUFFER", help_heading = "Tuning")]
    pub write_buffer: Option<String>,

    /// Each volume's data is read and verified once in this time, as in 7d; or off [default: 30d]
    #[arg(long, value_name = "TIME", env = "HOLDFAST_SCRUB_INTERVAL", help_heading = "Tuning")]
    pub scrub_interval: Option<String>,

    /// How fast, in bytes a second [default: 32MiB]
    #[arg(long, value_name = "SIZE", env = "HOLDFAST_SCRUB_RATE", help_heading = "Tuning")]
    pub scrub_rate: Option<String>,

    /// How often open volumes are looked at for segments of data that are worth compacting; or off
    /// [default: 10s]
    #[arg(long, value_name = "TIME", env = "HOLDFAST_COMPACT_INTERVAL", help_heading = "Tuning")]
    pub compact_interval: Option<String>,

    /// A segment is worth it from so many dead bytes in a hundred on [default: 40]
    #[arg(long, value_name = "PERCENT", env = "HOLDFAST_COMPACT_DEAD", help_heading = "Tuning")]
    pub compact_dead: Option<u64>,

    /// How fast data is moved, in bytes a second [default: 32MiB]
    #[arg(long, value_name = "SIZE", env = "HOLDFAST_COMPACT_RATE", help_heading = "Tuning")]
    pub compact_rate: Option<String>,

    /// Free disk space that is kept back: below it, writes fail with "no space" [default: 256MiB]
    #[arg(long, value_name = "SIZE", env = "HOLDFAST_DISK_RESERVE", help_heading = "Limits")]
    pub disk_reserve: Option<String>,

    /// Most volumes [default: 100000]
    #[arg(long, value_name = "N", env = "HOLDFAST_MAX_VOLUMES", help_heading = "Limits")]
    pub max_volumes: Option<usize>,

    /// Most sessions (mounts) of one volume [default: 10000]
    #[arg(long, value_name = "N", env = "HOLDFAST_MAX_SESSIONS", help_heading = "Limits")]
    pub max_sessions: Option<usize>,

    /// Most connections [default: 16384]
    #[arg(long, value_name = "N", env = "HOLDFAST_MAX_CONNECTIONS", help_heading = "Limits")]
    pub max_connections: Option<usize>,

    /// Form of log lines [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", env = "HOLDFAST_LOG_FORMAT", help_heading = "Output")]
    pub log_format: Option<LogFormat>,

    /// What to log: error, warn, info, debug, trace, or a filter by module [default: info]
    #[arg(long, value_name = "FILTER", env = "HOLDFAST_LOG", help_heading = "Output")]
    pub log: Option<String>,

    /// Write the address that is listened on into this file, once it is
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub port_file: Option<PathBuf>,
}

/// What `holdfastd` does beside serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write a volume's files into a tar archive, straight from the data directory
    Dump(DumpArgs),
}

const DUMP_HELP: &str = "\
No server may run on the directory; nothing is ever written into it, so it may be on a disk that is
mounted read-only. What is damaged is named, left out or written as zeros, and the rest goes on.

Exit status: 0 done, 1 not done, 3 done but something is damaged or missing.";

/// `holdfastd dump`
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = DUMP_HELP)]
pub struct DumpArgs {
    /// Name or id of the volume; without it, the volumes are listed
    pub volume: Option<String>,

    /// File to write; without it, or with `-`, standard output
    #[arg(long, short, value_name = "FILE", requires = "volume")]
    pub output: Option<PathBuf>,

    /// Print what was done as JSON
    #[arg(long)]
    pub json: bool,
}
