//! The config file: TOML, with the flags' names.

use std::path::{Path, PathBuf};

use holdfast_core::error::Result;
use serde::Deserialize;

use super::{LogFormat, invalid};

/// What a file may say. An unknown key is an error, so that a typing error is not a silent default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) data: Option<PathBuf>,
    pub(super) listen: Option<String>,
    pub(super) tls_ca: Option<PathBuf>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) lease: Option<String>,
    pub(super) commit_interval: Option<String>,
    pub(super) cache: Option<String>,
    pub(super) write_buffer: Option<String>,
    pub(super) scrub_interval: Option<String>,
    pub(super) scrub_rate: Option<String>,
    pub(super) compact_interval: Option<String>,
    pub(super) compact_dead: Option<u64>,
    pub(super) compact_rate: Option<String>,
    pub(super) disk_reserve: Option<String>,
    pub(super) max_volumes: Option<usize>,
    pub(super) max_sessions: Option<usize>,
    pub(super) max_connections: Option<usize>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) log: Option<String>,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Settings> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| invalid(format!("cannot read the config file {}: {error}", path.display())).because(error))?;
    toml::from_str(&text)
        .map_err(|error| invalid(format!("config file {}: {}", path.display(), error.to_string().trim())))
}
