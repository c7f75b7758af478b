//! `holdfast stats`: what a mount says of itself, also while its server is away.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::time::{Duration, Instant};

use holdfast_tests::cluster::Cluster;
use holdfast_tests::command::run;
use holdfast_tests::mount::Mount;
use holdfast_tests::process::Process;
use holdfast_tests::scratch::Scratch;
use holdfast_tests::wait::{self, Watchdog};
use nix::sys::signal::Signal;
use serde_json::Value;

fn one_host(name: &str) -> (Watchdog, Cluster) {
    let watchdog = Watchdog::start(name, Duration::from_secs(120));
    let cluster = Cluster::one_host();
    cluster.volume("v");
    (watchdog, cluster)
}

fn stats(cluster: &Cluster, mount: &Mount) -> Value {
    stats_on(cluster, 0, mount)
}

pub(crate) fn stats_on(cluster: &Cluster, host: usize, mount: &Mount) -> Value {
    let mut command = cluster.command(host, "holdfast");
    command.args(["stats", "--json"]).arg(&mount.inside);
    let text = run(command).ok();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn of<'a>(json: &'a Value, kind: &str) -> &'a Value {
    let requests = json["requests"].as_array().unwrap();
    requests.iter().find(|request| request["kind"] == kind).unwrap_or(&Value::Null)
}

pub(crate) fn count(json: &Value, kind: &str, what: &str) -> u64 {
    of(json, kind)[what].as_u64().unwrap_or(0)
}

#[test]
fn requests_leases_recalls_and_bytes_are_counted() {
    let (_watchdog, cluster) = one_host("stats");
    let (a, b) = (cluster.mount(0, "v"), cluster.mount(0, "v"));
    let before = stats(&cluster, &a);
    for number in 0..20 {
        fs::write(a.at(&format!("f{number}")), [7; 5000]).unwrap();
    }
    let mut content = Vec::new();
    for number in 0..20 {
        fs::File::open(b.at(&format!("f{number}"))).unwrap().read_to_end(&mut content).unwrap();
    }
    assert_eq!(content.len(), 100_000);
    let (wrote, read) = (stats(&cluster, &a), stats(&cluster, &b));
    assert_eq!(count(&wrote, "create", "count") - count(&before, "create", "count"), 20, "{wrote:#}");
    assert_eq!(wrote["bytes_written"].as_u64().unwrap() - before["bytes_written"].as_u64().unwrap(), 100_000);
    assert!(count(&wrote, "create", "from_memory") > 0, "{wrote:#}");
    assert!(count(&read, "read", "count") >= 20 && read["bytes_read"].as_u64() >= Some(100_000), "{read:#}");
    assert!(wrote["session"]["recalls"].as_u64() > Some(0), "the other mount wanted what was lent: {wrote:#}");
    assert!(read["memory"]["shared"].as_u64() > Some(0), "{read:#}");
    let create = of(&wrote, "create");
    let [p50, p99] = ["p50_us", "p99_us"].map(|name| create[name].as_f64().unwrap());
    assert!(0.0 < p50 && p50 <= p99, "{create:#}");
    let text = cluster.holdfast(&["stats", &a.inside.to_string_lossy()]).ok();
    assert!(text.contains("create") && text.contains("leases:") && text.contains("P99"), "{text}");
}

#[test]
fn it_is_told_while_the_server_stands_still() {
    let (_watchdog, mut cluster) = one_host("stats without a server");
    let mount = cluster.mount(0, "v");
    fs::create_dir(mount.at("own")).unwrap();
    for number in 0..3 {
        fs::write(mount.at(&format!("own/first{number}")), b"x").unwrap();
    }
    cluster.server().signal(Signal::SIGSTOP);
    // Answered under leases, and not durable before the server goes on.
    fs::write(mount.at("own/f"), b"x").unwrap();
    let began = Instant::now();
    let json = stats(&cluster, &mount);
    assert!(json["session"]["pending_changes"].as_u64() > Some(0), "{json:#}");
    cluster.server().signal(Signal::SIGCONT);
    wait::until_true("the changes to be durable", wait::SOON, || {
        stats(&cluster, &mount)["session"]["pending_changes"] == 0
    });
    cluster.kill();
    wait::until_true("the mount to notice", wait::SOON, || {
        !stats(&cluster, &mount)["session"]["connected"].as_bool().unwrap()
    });
    assert!(began.elapsed() < wait::SOON * 4);
    cluster.start();
}

#[test]
fn a_watch_goes_on_until_it_is_interrupted() {
    let (_watchdog, cluster) = one_host("stats watch");
    let mount = cluster.mount(0, "v");
    let scratch = Scratch::new("stats");
    let mut command = cluster.command(0, "holdfast");
    command.args(["stats", "--watch", "--interval", "100ms", "--json"]).arg(&mount.inside);
    let mut process = Process::start("stats", command, &scratch.path().join("out"));
    let lines = |process: &Process| -> Vec<Value> {
        let text = process.output();
        text.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let mut number = 0;
    wait::until_true("new files to be seen", wait::SOON, || {
        assert!(process.ended().is_none(), "{}", process.output());
        number += 1;
        fs::write(mount.at(&format!("f{number}")), b"x").unwrap();
        let looks = lines(&process);
        looks.len() > 2 && looks.iter().skip(1).any(|look| count(look, "create", "count") > 0)
    });
    let looks = lines(&process);
    assert!(looks.iter().skip(1).all(|look| look["watched"] == true && look["seconds"].as_f64() < Some(60.0)));
    process.signal(Signal::SIGINT);
    assert!(process.wait(wait::SOON).success(), "{}", process.output());
}

#[test]
fn who_may_not_ask_or_asks_what_is_not_there_is_told() {
    let (_watchdog, cluster) = one_host("stats refused");
    let mut mount = cluster.mount(0, "v");
    let host = cluster.host(0);
    let at = mount.inside.to_string_lossy().into_owned();
    cluster.holdfast(&["stats", "/proc"]).refused(&["/proc", "not a holdfast mount"]);
    cluster.holdfast(&["stats", "/"]).refused(&["holdfast"]);
    cluster.holdfast(&["stats", "--interval", "0", &at]).refused(&["100ms"]);
    let sockets = host.see(std::path::Path::new("/run/holdfast/figures"));
    assert_eq!(fs::metadata(sockets).unwrap().permissions().mode() & 0o777, 0o700);
    let mut command = host.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(holdfast_tests::bins::ours("holdfast")).args(["stats", &at]);
    run(command).refused(&["only to root"]);
    mount.process.signal(Signal::SIGSTOP);
    let began = Instant::now();
    cluster.holdfast(&["stats", &at]).refused(&["does not answer within 2 s"]);
    assert!(began.elapsed() < wait::SOON);
    mount.process.signal(Signal::SIGCONT);
}

#[test]
fn a_name_that_was_looked_up_is_believed_for_a_moment_and_no_longer_than_it_is_true() {
    let (_watchdog, cluster) = one_host("names");
    let (a, b) = (cluster.mount(0, "v"), cluster.mount(0, "v"));
    let lookups = |mount: &Mount| count(&stats(&cluster, mount), "lookup", "count");
    let exists = |path: &std::path::Path| fs::symlink_metadata(path).is_ok();
    const ROUNDS: usize = 6;
    for dir in (0..ROUNDS).map(|round| format!("d{round}")) {
        fs::create_dir(a.at(&dir)).unwrap();
        for file in ["gone", "moved", "given"] {
            fs::write(a.at(&format!("{dir}/{file}")), file).unwrap();
        }
    }
    // Each directory is one that nobody has contended for yet.
    for round in 0..ROUNDS {
        let dir = format!("d{round}");
        let [gone, moved, to, given, new] =
            ["gone", "moved", "to", "given", "new"].map(|name| b.at(&format!("{dir}/{name}")));
        let before = lookups(&b);
        let start = Instant::now();
        for _ in 0..100 {
            assert!(exists(&gone) && exists(&moved) && exists(&given) && !exists(&to) && !exists(&new));
        }
        // Five names, each asked for once in 100 ms, and the directories above.
        let periods = u64::try_from(start.elapsed().as_millis()).unwrap() / 100 + 1;
        let asked = lookups(&b) - before;
        assert!(asked <= 10 + 20 * periods, "{asked} lookups in {periods} periods: nothing was believed");
        match round % 3 {
            0 => {
                fs::remove_file(a.at(&format!("{dir}/gone"))).unwrap();
                assert!(!exists(&gone));
            }
            1 => {
                fs::rename(a.at(&format!("{dir}/moved")), a.at(&format!("{dir}/to"))).unwrap();
                assert!(!exists(&moved) && exists(&to));
            }
            _ => {
                fs::write(a.at(&format!("{dir}/new")), "new").unwrap();
                assert_eq!(fs::read(&new).unwrap(), b"new");
            }
        }
        // By name the kernel of B must not judge by the owner and the mode of before.
        std::os::unix::fs::chown(a.at(&format!("{dir}/given")), Some(1000), Some(1000)).unwrap();
        fs::set_permissions(a.at(&format!("{dir}/given")), fs::Permissions::from_mode(0o600)).unwrap();
        let changed = fs::metadata(&given).unwrap();
        assert_eq!((changed.uid(), changed.mode() & 0o7777), (1000, 0o600));
    }
}
