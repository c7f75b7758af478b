//! The composition root: reads the command line and decides who acts.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_plugin::agent::{Release, RunDir};

use crate::args::{Invocation, Verb};
use crate::delegate::Delegate;
use crate::handover::{Handover, Leaves, registry};
use crate::log::{Level, chain, tell};
use crate::settings::Settings;
use crate::spec::HOOK_VERB;
use crate::supervise;

/// Runs the program with these arguments, the first of which is its own name.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let words = arguments.get(1..).unwrap_or_default();
    let call = Invocation::parse(words);
    let done = match words {
        [verb, reference] if verb == HOOK_VERB => Settings::load().and_then(|settings| release(&settings, reference)),
        _ => Settings::load().and_then(|settings| act(&call, words, &settings)),
    };
    done.unwrap_or_else(|error| {
        tell(&call, Level::Error, &chain(&error));
        ExitCode::FAILURE
    })
}

fn act(call: &Invocation, words: &[OsString], settings: &Settings) -> Result<ExitCode> {
    let delegate = Delegate::find(|name| settings.get(name))?;
    let handover = |delegate| Handover { call, words, delegate, settings };
    match &call.verb {
        Verb::Create(creation) => handover(delegate).create(creation, Leaves::Container),
        Verb::Run(creation) if creation.detach => handover(delegate).create(creation, Leaves::Container),
        Verb::Run(creation) => handover(delegate).create(creation, Leaves::Nothing),
        Verb::Delete { id, regex } => handover(delegate).delete(id.as_deref(), *regex),
        Verb::Version => version(&delegate, words),
        Verb::Other => Err(delegate.exec(words)),
    }
}

/// What the delegate says, and a line of ours below it.
fn version(delegate: &Delegate, words: &[OsString]) -> Result<ExitCode> {
    let failed = |error| {
        Error::new(ErrorKind::Internal, format!("cannot ask {} for its version", delegate.program().display()))
            .because(error)
    };
    let status = supervise::run(&mut delegate.command(words)).map_err(failed)?;
    writeln!(std::io::stdout(), "holdfast-runtime version {}", env!("CARGO_PKG_VERSION")).map_err(failed)?;
    Ok(supervise::exit_code(status))
}

/// The hook that the delegate calls after the end of a container. What it is sent on standard
/// input does not matter.
fn release(settings: &Settings, reference: &OsString) -> Result<ExitCode> {
    let reference = reference.to_str().and_then(|text| text.parse().ok());
    let reference =
        reference.ok_or_else(|| Error::new(ErrorKind::Invalid, format!("{HOOK_VERB} needs the id of a reference")))?;
    let run_dir = RunDir::choose(|name| settings.path(name));
    if run_dir.exists() {
        registry(&run_dir, settings)?.release(&Release { reference })?;
    }
    Ok(ExitCode::SUCCESS)
}
