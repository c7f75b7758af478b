//! Tells the engine what went wrong, where it looks for that: standard error, and the `--log` file
//! in the delegate's own format.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::args::{Invocation, LogFormat};

/// How bad it is, in the delegate's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// It was not done. Engines show the last one of these.
    Error,
    /// It was done, and something is left behind.
    Warning,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// An error with everything that led to it, on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

/// Writes a message to standard error and to the log that the invocation names.
pub fn tell(call: &Invocation, level: Level, message: &str) {
    let message = format!("holdfast: {message}");
    eprintln!("{message}");
    if let Some(path) = &call.log
        && let Err(error) = append(path, &line(call.log_format, level, &message, SystemTime::now()))
    {
        eprintln!("holdfast: cannot write to the log {}: {error}", path.display());
    }
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o644).open(path)?;
    file.write_all(line.as_bytes())
}

/// One line of the log, with its line feed.
fn line(format: LogFormat, level: Level, message: &str, now: SystemTime) -> String {
    let level = level.word();
    let time = rfc3339(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    match format {
        LogFormat::Json => format!("{}\n", json!({ "level": level, "msg": message, "time": time })),
        LogFormat::Text => format!("time=\"{time}\" level={level} msg={}\n", json!(message)),
    }
}

/// A time since 1970 as UTC, in seconds. Days become a date by counting in years that begin in March.
fn rfc3339(since_1970: Duration) -> String {
    let secs = since_1970.as_secs();
    let (days, second) = (secs / 86_400, secs % 86_400);
    let days = days + 719_468; // from 0000-03-01
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next_year;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests;
