//! Containers on two hosts with one volume, through the runtime shim and runc.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_tests::bins;
use holdfast_tests::cluster::Cluster;
use holdfast_tests::command::{Outcome, run_limited};
use holdfast_tests::host::Host;
use holdfast_tests::process::Process;
use holdfast_tests::wait::{self, Watchdog};

/// A root file system: busybox, and nothing else.
fn rootfs(host: &Host) -> PathBuf {
    let root = host.dir("rootfs");
    let busybox = bins::tool("busybox", "apt-get install busybox-static");
    for dir in ["bin", "data", "tmp", "proc", "sys", "dev", "etc"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    fs::copy(busybox, root.join("bin/busybox")).unwrap();
    for name in ["sh", "cat", "ls", "echo", "sleep", "sha256sum", "flock", "hostname", "touch", "id", "mount", "grep"] {
        let _ = std::os::unix::fs::symlink("busybox", root.join("bin").join(name));
    }
    root
}

fn hosts(name: &str) -> (Watchdog, Cluster) {
    let watchdog = Watchdog::start(name, Duration::from_secs(240));
    let cluster = Cluster::lan(&["host-a", "host-b"]);
    cluster.volume("shared");
    (watchdog, cluster)
}

fn container(cluster: &Cluster, host: usize, options: &[&str], script: &str) -> std::process::Command {
    let mut command = cluster.command(host, "holdfast");
    command.arg("run").arg("--rootfs").arg(rootfs(cluster.host(host)));
    command.args(options).args(["--", "/bin/sh", "-c", script]);
    command
}

fn run_in(cluster: &Cluster, host: usize, options: &[&str], script: &str) -> Outcome {
    run_limited(container(cluster, host, options, script), Duration::from_secs(90))
}

#[test]
fn two_containers_share_one_volume() {
    let (_watchdog, cluster) = hosts("two containers");
    let volume = ["--volume", "shared:/data"];
    let host = cluster.host(0);
    // It waits in its container until the other one has answered.
    let script = "echo from-a > /data/t; mv /data/t /data/a; while [ ! -e /data/b ]; do sleep 0.05; done; cat /data/b";
    let mut a = Process::start("container a", container(&cluster, 0, &volume, script), &host.log("container"));
    let limits = ["--volume", "shared:/data", "--memory", "64m", "--cpus", "1", "--hostname", "inside-b"];
    let b = run_in(
        &cluster,
        1,
        &limits,
        "while [ ! -e /data/a ]; do sleep 0.05; done; cat /data/a; hostname; echo from-b > /data/u; mv /data/u /data/b",
    )
    .ok();
    assert!(b.contains("from-a") && b.contains("inside-b"), "{b}");
    let status = a.wait(Duration::from_secs(60));
    assert!(status.success() && a.output().contains("from-b"), "{status}: {}", a.output());
    wait::until_true("the mounts of ended containers to go", wait::SOON, || cluster.show("shared").mounts == 0);
}

#[test]
fn a_container_can_have_a_volume_read_only_and_a_part_of_it() {
    let (_watchdog, cluster) = hosts("read-only container");
    let _ = run_in(
        &cluster,
        0,
        &["--volume", "shared:/data"],
        "touch /data/f && busybox mkdir -p /data/sub && echo x > /data/sub/g",
    )
    .ok();
    run_in(&cluster, 1, &["--volume", "shared:/data:ro"], "cat /data/sub/g && touch /data/h").refused(&["read-only"]);
    let part = run_in(&cluster, 1, &["--volume", "shared/sub:/data"], "ls /data").ok();
    assert_eq!(part.trim(), "g");
}

#[test]
fn a_container_whose_volume_is_not_there_does_not_start() {
    let (_watchdog, cluster) = hosts("no volume");
    run_in(&cluster, 0, &["--volume", "nowhere:/data"], "echo started").refused(&["nowhere"]);
}

#[test]
fn a_container_that_fails_tells_its_exit_code() {
    let (_watchdog, cluster) = hosts("exit code");
    assert_eq!(run_in(&cluster, 0, &["--volume", "shared:/data"], "exit 42").code, 42);
    assert_eq!(cluster.show("shared").mounts, 0);
}

/// As an engine does it: `create`, `start`, `delete` of a bundle with annotations.
#[test]
fn the_runtime_serves_an_engine() {
    let (_watchdog, cluster) = hosts("runtime");
    let host = cluster.host(0);
    let bundle = host.dir("bundle");
    let root = rootfs(host);
    let config = serde_json::json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/sh", "-c", "echo engine > /data/f"],
            "env": ["PATH=/bin"], "cwd": "/"},
        "root": {"path": root, "readonly": true},
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "annotations": {"dev.holdfast.volume.0": "shared:/data"},
        "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}]},
    });
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    let runtime = |words: &[&str]| {
        let mut command = cluster.command(0, "holdfast-runtime");
        command.arg("--root").arg(host.dir("runc")).args(words);
        run_limited(command, Duration::from_secs(60))
    };
    let at = bundle.to_string_lossy();
    let _ = runtime(&["create", "--bundle", &at, "engine-1"]).ok();
    let _ = runtime(&["start", "engine-1"]).ok();
    let state = || runtime(&["state", "engine-1"]);
    wait::until_true("the container to end", wait::SOON, || state().text.contains("stopped"));
    let _ = runtime(&["delete", "engine-1"]).ok();
    let mount = cluster.mount(1, "shared");
    assert_eq!(fs::read(mount.at("f")).unwrap(), b"engine\n");
    wait::until_eq("sessions after delete", wait::SOON, &1, || cluster.show("shared").mounts);
    assert_ne!(state().code, 0, "the container is gone");
    assert!(Path::new("/usr").exists());
}
