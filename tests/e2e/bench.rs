//! `holdfast bench`: every row on one and on two mounts, and nothing left behind.

use std::fs;
use std::path::Path;
use std::time::Duration;

use holdfast_tests::cluster::Cluster;
use holdfast_tests::process::Process;
use holdfast_tests::scratch::Scratch;
use holdfast_tests::wait::{self, Watchdog};
use nix::sys::signal::Signal;
use serde_json::Value;

fn one_host(name: &str) -> (Watchdog, Cluster) {
    let watchdog = Watchdog::start(name, Duration::from_secs(240));
    let cluster = Cluster::one_host();
    cluster.volume("v");
    (watchdog, cluster)
}

fn bench(cluster: &Cluster, words: &[&str]) -> Value {
    let fixed = ["bench", "--quick", "--seconds", "0.2", "--json"];
    let text = cluster.holdfast(&[&fixed[..], words].concat()).ok();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn names(json: &Value) -> Vec<&str> {
    json["rows"].as_array().unwrap().iter().map(|row| row["row"].as_str().unwrap()).collect()
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

#[test]
fn one_mount_is_measured_beside_a_local_disk() {
    let (_watchdog, cluster) = one_host("bench one");
    let mount = cluster.mount(0, "v");
    let local = cluster.host(0).dir("local");
    let json = bench(&cluster, &["--beside", &local.to_string_lossy(), &mount.inside.to_string_lossy()]);
    assert_eq!(json["measured"]["file_system"], "fuse.holdfast", "{json:#}");
    let rows = json["rows"].as_array().unwrap();
    assert!(rows.len() > 15 && !names(&json).contains(&"counter"), "{json:#}");
    for row in rows {
        for figures in [row, &row["beside"]] {
            assert!(figures["count"].as_u64() > Some(0) && figures["per_second"].as_f64() > Some(0.0), "{row:#}");
            let [p50, p99, max] = ["p50_us", "p99_us", "max_us"].map(|name| figures[name].as_f64().unwrap());
            assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{row:#}");
        }
        assert!(row["ratio"].as_f64() > Some(0.0), "{row:#}");
    }
    assert!(is_empty(&mount.path) && is_empty(&cluster.host(0).see(&local)));
}

#[test]
fn two_mounts_see_each_other_and_lose_nothing() {
    let (_watchdog, cluster) = one_host("bench two");
    let (a, b) = (cluster.mount(0, "v"), cluster.mount(0, "v"));
    let (a_dir, b_dir) = (a.inside.to_string_lossy(), b.inside.to_string_lossy());
    let json = bench(&cluster, &["--only", "pair,seq_read,list", &a_dir, &b_dir]);
    let expected = ["seq_read", "list", "see_write", "see_create", "see_rename", "see_unlink", "counter"];
    assert_eq!(names(&json), expected);
    for row in json["rows"].as_array().unwrap() {
        assert!(row["count"].as_u64() > Some(0) && row["p99_us"].as_f64() > Some(0.0), "{row:#}");
        assert!(row["unseen"].as_u64().unwrap_or(0) == 0 && row["lost"].as_u64().unwrap_or(0) == 0, "{row:#}");
    }
    assert!(is_empty(&a.path) && is_empty(&b.path));
    let text = cluster.holdfast(&["bench", "--quick", "--seconds", "0.1", "--only", "sync", &a_dir]).ok();
    assert!(text.contains("append_fsync") && text.contains("P99") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn an_interrupted_bench_leaves_nothing() {
    let (_watchdog, cluster) = one_host("bench interrupted");
    let mount = cluster.mount(0, "v");
    let scratch = Scratch::new("bench");
    let mut command = cluster.command(0, "holdfast");
    command.args(["bench", "--seconds", "60", "--only", "create"]).arg(&mount.inside);
    let mut process = Process::start("bench", command, &scratch.path().join("out"));
    let busy = || fs::read_dir(&mount.path).unwrap().flatten().any(|dir| dir.path().join("small-1/d0/f0-0").exists());
    wait::until_true("the bench to work", wait::SOON, || {
        assert!(process.ended().is_none(), "{}", process.output());
        busy()
    });
    process.signal(Signal::SIGINT);
    let status = process.wait(wait::SOON);
    assert_eq!(status.code(), Some(1), "{}", process.output());
    assert!(process.output().contains("interrupted"), "{}", process.output());
    assert!(is_empty(&mount.path));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let (_watchdog, cluster) = one_host("bench refused");
    let writer = cluster.mount(0, "v");
    fs::write(writer.at("file"), b"x").unwrap();
    let reader = cluster.mount_with(0, "v", "ro");
    let other = cluster.host(0).dir("other");
    let (dir, other) = (writer.inside.to_string_lossy(), other.to_string_lossy());
    let file = writer.inside.join("file");
    cluster.holdfast(&["bench", &file.to_string_lossy()]).refused(&["file", "not a directory"]);
    cluster.holdfast(&["bench", "/nothing/here"]).refused(&["/nothing/here", "no such file"]);
    cluster.holdfast(&["bench", &reader.inside.to_string_lossy()]).refused(&["cannot be written", "read-only"]);
    cluster.holdfast(&["bench", "--quick", &dir, &other]).refused(&["does not show", "same volume"]);
    cluster.holdfast(&["bench", "--only", "counter", &dir]).refused(&["needs two directories"]);
    cluster.holdfast(&["bench", "--only", "nonsense", &dir]).refused(&["nonsense", "seq_write"]);
    assert_eq!(fs::read_dir(&writer.path).unwrap().count(), 1);
}
