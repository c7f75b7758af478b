//! From the command line to the exit status.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command, GlobalArgs};
use crate::failure::{Failure, Result};
use crate::output::{Format, Output};
use crate::{command, mount_helper};

/// Runs the program with these arguments, the first of which is its own name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let program = arguments.first().map(Path::new).unwrap_or(Path::new("holdfast"));
    log_to_stderr(&arguments);
    if mount_helper::is_called(program) {
        return run_as_mount_helper(arguments.into_iter().skip(1));
    }
    let format = if asks_for_json(&arguments) { Format::Json } else { Format::Text };
    let mut output = Output::standard(format);
    let result = match Cli::try_parse_from(arguments) {
        Ok(cli) => dispatch(cli, &mut output),
        Err(error) => explain(&error, format, &mut output).map(|()| ExitCode::SUCCESS),
    };
    finish(result, &mut output)
}

/// Runs the command. All end with 0 or a failure, but for `run`, which ends as its container does, and copies of
/// volumes, which may be done with warnings.
fn dispatch(cli: Cli, output: &mut Output) -> Result<ExitCode> {
    let Cli { global, command } = cli;
    let done = match command {
        Command::Run(args) => return command::run::run(args, &global),
        Command::Volume(args) => return command::volume::run(args, &global, output),
        Command::Mount(args) => command::mount::run(args, &global, output),
        Command::Umount(args) => command::umount::run(args, output),
        Command::Status => command::status::run(&global, output),
        Command::Locks(args) => command::inspect::locks(&args, &global, output),
        Command::Open(args) => command::inspect::open(&args, &global, output),
        Command::Stats(args) => command::stats::run(&args, output),
        Command::Bench(args) => command::bench::run(&args, output),
        Command::Tls(args) => command::tls::run(args, output),
        Command::Demo(args) => command::demo::run(args, output),
        Command::Version => command::version::run(&global, output),
        Command::Completions(args) => command::completions::run(&args, output),
    };
    done.map(|()| ExitCode::SUCCESS)
}

fn run_as_mount_helper(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let mut output = Output::standard(Format::Text);
    let result = environment()
        .and_then(|global| command::mount::run_helper(mount_helper::parse(arguments)?, &global, &mut output));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            let status = if failure.is_usage() { mount_helper::EXIT_USAGE } else { mount_helper::EXIT_FAILURE };
            ExitCode::from(status)
        }
    }
}

fn finish(result: Result<ExitCode>, output: &mut Output) -> ExitCode {
    match result {
        Ok(status) => status,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit_status())
        }
    }
}

/// Looked up before parsing, since a mistake in the command line is also told as JSON. What
/// follows `--` belongs to a program that we run.
fn asks_for_json(arguments: &[OsString]) -> bool {
    arguments.iter().skip(1).take_while(|argument| *argument != "--").any(|argument| argument == "--json")
}

/// Help and version are results; the rest is a mistake in the command line.
fn explain(error: &clap::Error, format: Format, output: &mut Output) -> Result<()> {
    let styled = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => output.write_out(styled.to_string().as_bytes()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand if format == Format::Text => {
            output.note(styled.to_string().trim_end());
            Err(Failure::usage("a command is missing"))
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Err(Failure::usage("a command is missing").hint("see `holdfast --help`"))
        }
        _ => {
            let text = styled.to_string();
            let text = text.trim_end().strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned();
            let (message, hint) = match (format, text.split_once("\n\n")) {
                (Format::Json, Some((message, _))) => (message.to_owned(), "see `holdfast --help`"),
                _ if text.contains("--help") => return Err(Failure::usage(text)),
                _ => (text, "see `holdfast --help`"),
            };
            Err(Failure::usage(message).hint(hint))
        }
    }
}

/// What the environment says of the server and of us: mount(8) passes no other options.
fn environment() -> Result<GlobalArgs> {
    #[derive(Parser)]
    struct Environment {
        #[command(flatten)]
        global: GlobalArgs,
    }
    let read = Environment::try_parse_from([mount_helper::NAME]);
    read.map(|environment| environment.global).map_err(|error| Failure::usage(error.to_string().trim()))
}

/// Warnings and worse, of a mount's own process also its life; or what `HOLDFAST_LOG` asks for.
fn log_to_stderr(arguments: &[OsString]) {
    let serves = arguments.iter().any(|argument| argument == "--serve");
    let default = if serves { "info" } else { "warn" };
    let filter = EnvFilter::try_from_env("HOLDFAST_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(std::io::stderr().is_terminal());
    // A second call in one process (tests) keeps the first subscriber.
    let _kept = log.with_writer(std::io::stderr).try_init();
}
