//! The one place that prints.
//!
//! A command makes a value that can be shown both ways, as text for people and as one JSON
//! document for machines, and hands it over. Results go to standard output, failures to standard
//! error. Text from outside (labels, names) cannot move the cursor: control characters are escaped.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};

use serde::Serialize;

use crate::failure::{During, Failure, Result};

pub mod bar;
pub mod figures;
pub mod table;

/// To the first place of the terminal.
const HOME: &str = "\u{1b}[H";
/// Ends a line and takes away what stood behind it.
const LINE_END: &str = "\u{1b}[K\n";
/// Takes away what stands below.
const REST: &str = "\u{1b}[J";

/// A result that a person and a machine can read.
pub trait Report: Serialize {
    /// The text, each line with its line feed.
    fn text(&self) -> String;
}

/// In which form results and failures are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document a result.
    Json,
}

/// Where results and failures go.
pub struct Output {
    format: Format,
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
}

impl Output {
    /// Prints to the standard streams.
    #[must_use]
    pub fn standard(format: Format) -> Self {
        Self::new(format, Box::new(io::stdout()), Box::new(io::stderr()))
    }

    /// Prints to these.
    #[must_use]
    pub fn new(format: Format, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        Self { format, out, err }
    }

    /// The form asked for.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Shows a result.
    ///
    /// # Errors
    /// When standard output cannot be written. A reader that went away (`| head`) is no error.
    pub fn report(&mut self, report: &impl Report) -> Result<()> {
        let text = match self.format {
            Format::Text => report.text(),
            Format::Json => {
                let mut text = serde_json::to_string_pretty(report).during(|| "write JSON".into())?;
                text.push('\n');
                text
            }
        };
        self.write_out(text.as_bytes())
    }

    /// Shows a result that others follow: in place of the last one on a terminal, as one line of JSON.
    ///
    /// # Errors
    /// As [`Output::report`].
    pub fn refresh(&mut self, report: &impl Report) -> Result<()> {
        let text = match self.format {
            Format::Text if io::stdout().is_terminal() => {
                format!("{HOME}{}{REST}", report.text().replace('\n', LINE_END))
            }
            Format::Text => format!("{}\n", report.text()),
            Format::Json => format!("{}\n", serde_json::to_string(report).during(|| "write JSON".into())?),
        };
        self.write_out(text.as_bytes())
    }

    /// Writes bytes that have only one form, such as a completion script.
    ///
    /// # Errors
    /// As [`Output::report`].
    pub fn write_out(&mut self, bytes: &[u8]) -> Result<()> {
        match self.out.write_all(bytes).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.during(|| "write to standard output".into()),
        }
    }

    /// Tells a person something on the way, on standard output; nothing with `--json`.
    pub fn say(&mut self, line: &str) {
        if self.format == Format::Text {
            // Progress: who closed the stream does not want it, and the command goes on.
            let _gone = writeln!(self.out, "{line}").and_then(|()| self.out.flush());
        }
    }

    /// Tells a person something on standard error, in either form.
    pub fn note(&mut self, line: &str) {
        let _gone = writeln!(self.err, "{line}");
    }

    /// Asks a question on standard error; the answer is read elsewhere.
    pub fn prompt(&mut self, question: &str) {
        let _gone = write!(self.err, "{question}").and_then(|()| self.err.flush());
    }

    /// Shows why the command did not succeed.
    pub fn failure(&mut self, failure: &Failure) {
        let text = match self.format {
            Format::Text => failure_text(failure),
            Format::Json => failure_json(failure),
        };
        // There is nowhere left to complain to; the exit status still tells.
        let _gone = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output").field("format", &self.format).finish_non_exhaustive()
    }
}

fn failure_text(failure: &Failure) -> String {
    let mut text = format!("error: {}\n", safe_lines(failure.message()));
    for cause in failure.causes() {
        let _infallible = writeln!(text, "cause: {}", safe_lines(cause));
    }
    if let Some(hint) = failure.next_step() {
        let _infallible = writeln!(text, "hint: {}", safe_lines(hint));
    }
    text
}

fn failure_json(failure: &Failure) -> String {
    let document = serde_json::json!({
        "error": {
            "kind": failure.kind(),
            "message": failure.message(),
            "causes": failure.causes(),
            "hint": failure.next_step(),
        }
    });
    format!("{document}\n")
}

/// The text on one line, its control characters escaped.
#[must_use]
pub fn safe(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut safe, c| {
        if c.is_control() {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
        safe
    })
}

/// The same, with line feeds kept.
fn safe_lines(text: &str) -> String {
    text.split('\n').map(safe).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
