//! What a command says when it does not succeed: what happened, to which thing, what to do next.
//!
//! A failure ends the process with 1, or with 2 when the command line itself was wrong. It is
//! printed once, by [`crate::output::Output`], as text or JSON.

use std::error::Error as StdError;

use holdfast_core::error::{Error, ErrorKind};

/// Shorthand for what a command returns.
pub type Result<T> = std::result::Result<T, Failure>;

/// Why a command did not succeed.
#[derive(Debug)]
pub struct Failure {
    kind: &'static str,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    usage: bool,
}

impl Failure {
    /// The command was right and could not be done.
    pub fn new(message: impl Into<String>) -> Self {
        Self { kind: "failed", message: message.into(), causes: Vec::new(), hint: None, usage: false }
    }

    /// The command line is wrong; nothing was tried.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: "usage", usage: true, ..Self::new(message) }
    }

    /// Somebody ended it before it was done.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { kind: "interrupted", ..Self::new(message) }
    }

    /// The same, with the error that it came from and that error's own sources.
    #[must_use]
    pub fn because(mut self, error: &(dyn StdError + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            if !self.message.contains(&text) && self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            cause = error.source();
        }
        self
    }

    /// What the person can do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failure of a server or client, told in the words of what was being done.
    pub fn of(doing: &str, error: &Error) -> Self {
        let failure = Self { kind: kind_name(error.kind()), ..Self::new(format!("{doing}: {}", error.message())) };
        let failure = match error.source() {
            Some(source) => failure.because(source),
            None => failure,
        };
        match kind_hint(error.kind()) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// A word for machines: an error kind of the system, `usage`, `interrupted` or `failed`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What led to it, outermost first.
    #[must_use]
    pub fn causes(&self) -> &[String] {
        &self.causes
    }

    /// What to do next, where we know.
    #[must_use]
    pub fn next_step(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether the command line was at fault.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        self.usage
    }

    /// What the process ends with.
    #[must_use]
    pub const fn exit_status(&self) -> u8 {
        if self.usage { 2 } else { 1 }
    }
}

/// Adds to a foreign error what was being done.
pub trait During<T> {
    /// Fails with "`doing`", caused by the error.
    ///
    /// # Errors
    /// As the result that it is called on.
    fn during(self, doing: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: StdError + 'static> During<T> for std::result::Result<T, E> {
    fn during(self, doing: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Failure::new(format!("cannot {}", doing())).because(&error))
    }
}

/// The word for an error kind in `--json` output. Part of the interface: never changed.
const fn kind_name(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid",
        ErrorKind::NotFound => "not_found",
        ErrorKind::AlreadyExists => "already_exists",
        ErrorKind::InUse => "in_use",
        ErrorKind::NoSpace => "no_space",
        ErrorKind::Unauthenticated => "unauthenticated",
        ErrorKind::Denied => "denied",
        ErrorKind::SessionLost => "session_lost",
        ErrorKind::Version => "version",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Timeout => "timeout",
        ErrorKind::Damaged => "damaged",
        ErrorKind::Posix(_) => "posix",
        ErrorKind::Internal => "internal",
    }
}

/// What helps against most failures of a kind.
const fn kind_hint(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::Unavailable | ErrorKind::Timeout => {
            Some("is holdfastd running there? set its address with --server or HOLDFAST_SERVER, as in 10.0.0.5:7440")
        }
        ErrorKind::Unauthenticated => Some(
            "give the files that the server expects: --tls-ca, --tls-cert and --tls-key (see `holdfast tls client`), or --token-file",
        ),
        ErrorKind::Version => Some("install the same version of holdfast and holdfastd; `holdfast version` shows both"),
        ErrorKind::Damaged => Some("the server's log names the block; restore it from a copy of the data directory"),
        ErrorKind::Internal => Some("this is a defect of Holdfast; please report it with the server's log"),
        // The messages of these name the next step themselves, where there is one.
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::AlreadyExists
        | ErrorKind::InUse
        | ErrorKind::NoSpace
        | ErrorKind::Denied
        | ErrorKind::SessionLost
        | ErrorKind::Posix(_) => None,
    }
}
