//! `holdfastd`: parse, then run.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use holdfast_server::config::{Args, Config, LogFormat, LogSettings};
use holdfast_server::failpoint;
use holdfast_server::run::{Components, run};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// How long a stop may take before the process ends anyway.
const STOP_TIME_MAX: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    holdfast_proto::allocator::expect_messages();
    match start(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
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
