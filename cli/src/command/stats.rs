//! `holdfast stats`: what a live mount does, once or again and again.
//!
//! Asks the mount's process, never the mounted file system or the server: it answers also while the
//! server is away, within two seconds or not at all.

use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use holdfast_core::size::ByteSize;
use holdfast_fuse::mount::{default_run_dir, read_figures};
use holdfast_fuse::stats::{CacheFigures, CallFigures, MemoryFigures, MountFigures, SessionFigures};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;
use serde::Serialize;

use crate::failure::{During, Failure, Result};
use crate::output::figures::{micros, number};
use crate::output::table::{Align, Table};
use crate::output::{Output, Report};

/// `holdfast stats`
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The directory that is mounted on
    dir: PathBuf,
    /// Show it again and again, each time what came since the last; Ctrl-C ends
    #[arg(long, short)]
    watch: bool,
    /// Time between two looks of --watch, as in 1s or 500ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
}

/// What came in a time.
#[derive(Debug, Serialize)]
struct Stats {
    source: String,
    directory: PathBuf,
    pid: u32,
    /// The time that requests and bytes are counted over; without `--watch` the mount's whole life.
    seconds: f64,
    watched: bool,
    requests: Vec<Request>,
    bytes_read: u64,
    bytes_written: u64,
    invalidations: u64,
    recalls: u64,
    memory: MemoryFigures,
    /// Counted as requests are; what it holds, and whether it rests, as of now.
    cache: Option<CacheFigures>,
    session: SessionFigures,
}

/// Requests of one kind.
#[derive(Debug, Serialize)]
struct Request {
    kind: String,
    count: u64,
    per_second: f64,
    failed: u64,
    /// Answered without asking the server.
    from_memory: u64,
    mean_us: Option<f64>,
    p50_us: Option<f64>,
    p99_us: Option<f64>,
    /// Of the mount's whole life.
    max_us: u64,
}

/// Runs the command.
///
/// # Errors
/// Nothing of ours is mounted there, or its process does not answer.
pub fn run(args: &StatsArgs, output: &mut Output) -> Result<()> {
    let run_dir = default_run_dir();
    let ask = || {
        let shown = args.dir.display();
        read_figures(&args.dir, &run_dir).map_err(|error| Failure::of(&format!("cannot ask {shown}"), &error))
    };
    let first = ask()?;
    if !args.watch {
        return output.report(&Stats::new(&MountFigures::default(), &first, false));
    }
    let end = End::watch()?;
    let mut last = first;
    output.refresh(&Stats::new(&MountFigures::default(), &last, false))?;
    while !end.comes_within(args.interval)? {
        let now = ask()?;
        // Another mount may have taken the place.
        let since = if now.pid == last.pid && now.age_us >= last.age_us { last } else { MountFigures::default() };
        output.refresh(&Stats::new(&since, &now, true))?;
        last = now;
    }
    Ok(())
}

/// The wish of a person that it ends.
struct End(SignalFd);

impl End {
    fn watch() -> Result<Self> {
        let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        signals.thread_block().during(|| "block signals".into())?;
        SignalFd::new(&signals).map(Self).during(|| "listen for signals".into())
    }

    /// Waits this long; true: it has come.
    fn comes_within(&self, time: Duration) -> Result<bool> {
        let millis = PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], millis) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(io::Error::from(errno)).during(|| "wait".into()),
        }
    }
}

impl Stats {
    fn new(since: &MountFigures, now: &MountFigures, watched: bool) -> Self {
        let seconds = Duration::from_micros(now.age_us.saturating_sub(since.age_us)).as_secs_f64();
        let none = CallFigures::default();
        let requests = now.requests.calls.iter().filter_map(|(kind, calls)| {
            let calls = calls.since(since.requests.calls.get(kind).unwrap_or(&none));
            (calls.count > 0).then(|| Request::new(kind, &calls, seconds))
        });
        let mut requests: Vec<Request> = requests.collect();
        requests.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.kind.cmp(&b.kind)));
        Self {
            source: now.source.clone(),
            directory: now.point.clone(),
            pid: now.pid,
            seconds,
            watched,
            requests,
            bytes_read: now.requests.bytes_read.saturating_sub(since.requests.bytes_read),
            bytes_written: now.requests.bytes_written.saturating_sub(since.requests.bytes_written),
            invalidations: now.requests.invalidations.saturating_sub(since.requests.invalidations),
            recalls: now.session.recalls.saturating_sub(since.session.recalls),
            memory: now.memory.clone(),
            cache: now.cache.as_ref().map(|cache| cache.since(since.cache.as_ref())),
            session: now.session.clone(),
        }
    }

    fn table(&self) -> String {
        let right = |name| (name, Align::Right);
        let columns = ["COUNT", "PER S", "MEMORY", "FAILED", "MEAN", "P50", "P99", "MAX"].map(right);
        let mut table = Table::new(&[&[("REQUEST", Align::Left)][..], &columns[..]].concat());
        let all = Request::together(&self.requests, self.seconds);
        for request in self.requests.iter().chain([&all]) {
            let time = |time: Option<f64>| time.map_or_else(String::new, micros);
            let max = if request.max_us > 0 { micros(request.max_us as f64) } else { String::new() };
            table.row([
                request.kind.clone(),
                whole(request.count),
                number(request.per_second),
                share(request.from_memory, request.count),
                whole(request.failed),
                time(request.mean_us),
                time(request.p50_us),
                time(request.p99_us),
                max,
            ]);
        }
        table.text(0)
    }
}

impl Request {
    fn new(kind: &str, calls: &CallFigures, seconds: f64) -> Self {
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        Self {
            kind: kind.to_owned(),
            count: calls.count,
            per_second: rate(calls.count, seconds),
            failed: calls.failed,
            from_memory: calls.from_memory,
            mean_us: (calls.count > 0).then(|| calls.total_us as f64 / calls.count as f64),
            p50_us: calls.times.percentile(50).map(micros),
            p99_us: calls.times.percentile(99).map(micros),
            max_us: calls.max_us,
        }
    }

    fn together(requests: &[Self], seconds: f64) -> Self {
        let sum = |of: fn(&Self) -> u64| requests.iter().map(of).sum::<u64>();
        let count = sum(|request| request.count);
        Self {
            kind: "all".to_owned(),
            count,
            per_second: rate(count, seconds),
            failed: sum(|request| request.failed),
            from_memory: sum(|request| request.from_memory),
            mean_us: None,
            p50_us: None,
            p99_us: None,
            max_us: 0,
        }
    }
}

impl Report for Stats {
    fn text(&self) -> String {
        let session = &self.session;
        let server = match (session.connected, session.heartbeat_us) {
            (false, _) => "cannot be reached".to_owned(),
            (true, None) => "connected".to_owned(),
            (true, Some(rtt)) => format!("connected, there and back in {}", micros(rtt as f64)),
        };
        let over = if self.watched { "in the last" } else { "since it was mounted," };
        let mut lines = vec![
            format!("{} on {} (process {})", self.source, self.directory.display(), self.pid),
            format!("server:   {server}; {} reconnects, {} sessions lost", session.reconnects, session.losses),
            format!(
                "leases:   {} shared, {} exclusive; {} inodes remembered",
                whole(self.memory.shared),
                whole(self.memory.exclusive),
                whole(self.memory.inodes)
            ),
            format!(
                "pending:  {} changes, {}, not yet known to be on the server's disk",
                whole(session.pending_changes),
                ByteSize(session.pending_bytes)
            ),
            format!("\n{over} {} s:", number(self.seconds)),
            format!("bytes:    {} read, {} written", ByteSize(self.bytes_read), ByteSize(self.bytes_written)),
            format!("recalls:  {} of leases; {} notices to the kernel", whole(self.recalls), whole(self.invalidations)),
        ];
        if let Some(cache) = &self.cache {
            lines.push(cache_line(cache));
        }
        format!("{}\n\n{}", lines.join("\n"), self.table())
    }
}

fn cache_line(cache: &CacheFigures) -> String {
    let rests = if cache.resting { "; the disk does not work and is left alone for now" } else { "" };
    format!(
        "cache:    {} blocks found, {} not, {} read, {} written, {} evicted, {} bad; {} of {} in {}{rests}",
        whole(cache.hits),
        whole(cache.misses),
        ByteSize(cache.bytes_read),
        ByteSize(cache.bytes_written),
        whole(cache.evictions),
        whole(cache.bad),
        ByteSize(cache.bytes_held),
        ByteSize(cache.bytes_max),
        cache.directory.display()
    )
}

fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

fn share(part: u64, count: u64) -> String {
    if count == 0 { String::new() } else { format!("{:.0} %", 100.0 * part as f64 / count as f64) }
}

/// A number in groups of three digits.
fn whole(count: u64) -> String {
    if count < 100 { count.to_string() } else { number(count as f64) }
}

fn interval(text: &str) -> std::result::Result<Duration, String> {
    let (digits, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let factor = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        _ => f64::NAN,
    };
    let seconds = digits.parse::<f64>().unwrap_or(f64::NAN) * factor;
    if (0.1..=3600.0).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err("write a time from 100ms to 60m, as in 500ms, 1s or 2m".to_owned())
}

#[cfg(test)]
mod tests;
