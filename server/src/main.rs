//! `holdfastd`: parse, then run; or dump.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use holdfast_archive::file::Target;
use holdfast_server::config::{Args, Command, Config, DumpArgs, LogFormat, LogSettings};
use holdfast_server::dump::{self, Report};
use holdfast_server::failpoint;
use holdfast_server::run::{Components, run};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// Exit status of a dump that is whole and has zeros for what is damaged.
const EXIT_DAMAGED: u8 = 3;
/// How long a dump that is interrupted may take to notice.
const STOP_DUMP_TIME: Duration = Duration::from_secs(2);
/// How long a stop may take before the process ends anyway.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    holdfast_proto::allocator::expect_messages();
    let mut args = Args::parse();
    let done = match args.command.take() {
        Some(Command::Dump(what)) => start_dump(args, &what),
        None => start(args).map(|()| ExitCode::SUCCESS),
    };
    match done {
        Ok(status) => status,
        Err(error) => {
            eprintln!("holdfastd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> anyhow::Result<()> {
    let config = Config::read(args)?;
    init_log(&config.log)?;
    if let Some(list) = std::env::var_os(failpoint::VARIABLE) {
        failpoint::arm(&list.to_string_lossy())?;
    }
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads((2 * cores).max(4))
        .thread_name("serve")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let stopped = runtime.block_on(serve(config));
    // What still hangs on a thread must not keep the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    stopped
}

/// Dumps a volume, or lists what there is.
fn start_dump(args: Args, what: &DumpArgs) -> anyhow::Result<ExitCode> {
    let data = Config::data_of(args)?;
    let Some(volume) = &what.volume else {
        print(&dump::list(&data)?, what.json, true)?;
        return Ok(ExitCode::SUCCESS);
    };
    let target = Target::open(what.output.as_deref())?;
    let stop = stop_by_signal(target.temporary())?;
    let to_stdout = matches!(target, Target::Stream(_));
    let dumped = dump::dump(&data, volume, target, &stop)?;
    print(&dumped, what.json, !to_stdout)?;
    Ok(if dumped.is_sound() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DAMAGED) })
}

fn print(report: &impl Report, json: bool, to_stdout: bool) -> std::io::Result<()> {
    let text = if json { report.json() + "\n" } else { report.text() };
    if to_stdout { std::io::stdout().write_all(text.as_bytes()) } else { std::io::stderr().write_all(text.as_bytes()) }
}

/// A flag that SIGINT and SIGTERM set. A dump that does not look at it, since nobody takes its output,
/// is ended a moment later, without a file left behind.
fn stop_by_signal(temporary: Option<&Path>) -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, temporary) = (Arc::clone(&stop), temporary.map(Path::to_owned));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut terminate, mut interrupt) = {
        let _within = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(either(&mut terminate, &mut interrupt));
        flag.store(true, Ordering::Relaxed);
        std::thread::sleep(STOP_DUMP_TIME);
        if let Some(path) = temporary {
            let _absent = std::fs::remove_file(path);
        }
        // Not `exit`: its destructors would run under the feet of the thread that reads.
        let _itself = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    })?;
    Ok(stop)
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let server = run(config, Components::default()).await?;
    let mut stdout = std::io::stdout();
    // Nobody may be reading; that is no reason not to serve.
    let _ = writeln!(stdout, "listening on {}", server.address()).and_then(|()| stdout.flush());
    let name = either(&mut terminate, &mut interrupt).await;
    info!(signal = name, "stopping: making everything durable");
    tokio::select! {
        stopped = tokio::time::timeout(STOP_TIME_MAX, server.stop()) => {
            stopped.context("stopping took too long; what was not synced by its clients comes back with them")??;
            info!("stopped");
            Ok(())
        }
        again = either(&mut terminate, &mut interrupt) => {
            warn!(signal = again, "stopping at once");
            // Not `exit`: its destructors would wait for, or break, the threads that still write.
            nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL)?;
            anyhow::bail!("stopped at once");
        }
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

fn init_log(settings: &LogSettings) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(settings.filter.as_deref().unwrap_or("info")).context("the log filter is wrong")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
    std::panic::set_hook(Box::new(|panic| error!(%panic, "a defect was met")));
    Ok(())
}
