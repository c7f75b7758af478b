//! `holdfast-runtime` as a program: what engines see of it, with a delegate that tells what it was
//! called with, and with runc. Real volumes are the end-to-end tests' affair.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A place for one test: programs, a bundle, a run directory.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.at("bundle")).unwrap();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a program. Another process does: a descriptor of ours that a child in another thread
    /// inherits would make it busy.
    fn program(&self, name: &str, script: &str) {
        let write = Command::new("/bin/sh")
            .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", script])
            .arg(self.at(name))
            .status();
        assert!(write.unwrap().success());
    }

    fn config(&self, spec: &Value) {
        fs::write(self.at("bundle/config.json"), spec.to_string()).unwrap();
    }

    fn runtime(&self, delegate: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-runtime"));
        command
            .current_dir(self.at("bundle"))
            .env("HOLDFAST_OCI_RUNTIME", delegate)
            .env("HOLDFAST_RUN_DIR", self.at("run"))
            .env("HOLDFAST_BIN", self.at("holdfast"))
            .env("HOLDFAST_RUNTIME_ENV", "/dev/null")
            .env_remove("HOLDFAST_SERVER")
            .stdin(Stdio::null());
        command
    }

    /// Runs it with a delegate that writes down its arguments, one a line, and ends with 0.
    fn call(&self, words: &[&str]) -> Output {
        self.program("delegate", &format!("printf '%s\\n' \"$@\" >> {}", self.at("called").display()));
        self.runtime(&self.at("delegate")).args(words).output().unwrap()
    }

    fn called(&self) -> Option<String> {
        fs::read_to_string(self.at("called")).ok()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn wanting(annotation: &str) -> Value {
    json!({ "ociVersion": "1.0.2", "annotations": { "dev.holdfast.volume.0": annotation, "dev.holdfast.server": "127.0.0.1:9" } })
}

#[test]
fn what_is_not_ours_passes_unchanged() {
    let place = Place::new();
    place.config(&json!({ "ociVersion": "1.0.2", "x": [1] }));
    for words in [
        &["--root", "/r", "state", "c 1"][..],
        &["--new-flag=x", "create", "--bundle", ".", "--new", "c"],
        &["run", "c"],
        &["delete", "--force", "c"],
        &["exec", "-t", "c", "sh", "-c", "echo ''"],
        &["kill", "c", ""],
        &[],
    ] {
        fs::remove_file(place.at("called")).ok();
        let output = place.call(words);
        assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
        assert_eq!(place.called().unwrap(), words.join("\n") + "\n");
    }
    assert_eq!(fs::read_to_string(place.at("bundle/config.json")).unwrap(), r#"{"ociVersion":"1.0.2","x":[1]}"#);
    assert!(!place.at("run").exists(), "nothing is made for containers without volumes");
}

#[test]
fn it_fails_closed_and_says_why_where_engines_look() {
    let place = Place::new();
    place.program("holdfast", "echo 'error: no volume of that name' >&2; exit 1");
    let log = place.at("log");
    let log = log.to_str().unwrap();
    for (config, reason) in [
        (wanting("v:/d").to_string(), "cannot mount volume 127.0.0.1:9/v: no volume of that name"),
        (wanting("v/..:/d").to_string(), "names no volume"),
        (wanting("v:d").to_string(), "has no path in the container"),
        (wanting("v:/..").to_string(), "contains '.', '..'"),
        (wanting(&"x".repeat(10 << 20)).to_string(), "too long"),
        (json!({ "annotations": { "dev.holdfast.volume.0": "v:/d" } }).to_string(), "no server is named"),
        ("{".into(), "not valid JSON"),
    ] {
        for (format, verb) in [("json", "create"), ("text", "run")] {
            fs::write(place.at("bundle/config.json"), &config).unwrap();
            fs::remove_file(log).ok();
            let output = place.call(&["--log", log, "--log-format", format, verb, "c"]);
            assert_eq!(output.status.code(), Some(1));
            assert_eq!(place.called(), None, "the delegate was called");
            let stderr = text(&output.stderr);
            assert!(stderr.contains(reason) && stderr.len() < 3000, "{stderr}");
            let line = fs::read_to_string(log).unwrap();
            assert_eq!(line.lines().count(), 1);
            if format == "json" {
                let line: Value = serde_json::from_str(&line).unwrap();
                assert!(line["msg"].as_str().unwrap().contains(reason) && line["level"] == "error", "{line}");
            } else {
                assert!(line.starts_with("time=\"2") && line.contains("level=error msg=\"holdfast: "), "{line}");
            }
            assert_eq!(fs::read_to_string(place.at("bundle/config.json")).unwrap(), config);
        }
    }
    let agent: Vec<PathBuf> = fs::read_dir(place.at("run/agent")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(agent.len(), 1, "one mount namespace");
    for part in ["mounts", "state", "binds"] {
        assert_eq!(fs::read_dir(agent[0].join(part)).unwrap().count(), 0, "{part}");
    }
    fs::remove_file(place.at("bundle/config.json")).unwrap();
    assert_eq!(place.call(&["create", "c"]).status.code(), Some(1));
    assert_eq!(place.called(), None);
}

#[test]
fn a_container_can_be_deleted_whatever_is_wrong_with_us() {
    let place = Place::new();
    fs::write(place.at("run"), "no directory").unwrap();
    let output = place.call(&["delete", "c"]);
    assert!(output.status.success());
    assert_eq!(place.called().unwrap(), "delete\nc\n");
    assert!(text(&output.stderr).contains("volumes were not released"));
}

#[test]
fn the_delegate() {
    let place = Place::new();
    let missing = place.runtime(&place.at("nowhere")).arg("list").output().unwrap();
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("HOLDFAST_OCI_RUNTIME"));
    // Never itself, under whatever name.
    let own = Path::new(env!("CARGO_BIN_EXE_holdfast-runtime"));
    std::os::unix::fs::symlink(own, place.at("runc")).unwrap();
    place.program("crun", "echo crun \"$@\"");
    let output = place.runtime(Path::new("")).env("PATH", place.0.path()).arg("list").output().unwrap();
    assert_eq!(text(&output.stdout), "crun list\n");
}

/// podman starts runtimes with an empty environment.
#[test]
fn settings_come_from_a_file_too() {
    let place = Place::new();
    place.program("holdfast", "echo \"error: token in $HOLDFAST_TOKEN_FILE\" >&2; exit 1");
    place.program("delegate", "echo called");
    place.config(&json!({ "annotations": { "dev.holdfast.volume.0": "v:/d" } }));
    let at = |name| place.at(name).display().to_string();
    let settings = format!(
        "HOLDFAST_SERVER=h:5\nHOLDFAST_TOKEN_FILE=/t\nHOLDFAST_RUN_DIR={}\nHOLDFAST_BIN={}\nHOLDFAST_OCI_RUNTIME={}\n",
        at("run"),
        at("holdfast"),
        at("delegate")
    );
    let call = |settings: &str, verb| {
        fs::write(place.at("runtime.env"), settings).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast-runtime"));
        command.current_dir(place.at("bundle")).env_clear().env("HOLDFAST_RUNTIME_ENV", place.at("runtime.env"));
        command.args([verb, "c"]).output().unwrap()
    };
    let stderr = text(&call(&settings, "create").stderr);
    assert_eq!(stderr, "holdfast: cannot mount volume h:5/v: token in /t\n");
    assert_eq!(text(&call(&settings, "state").stdout), "called\n");
    let output = call(&format!("{settings}nonsense\n"), "state");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("runtime.env line 6"), "{}", text(&output.stderr));
}

#[test]
fn versions_of_both() {
    let place = Place::new();
    place.program("delegate", "echo runc version 1.2.3");
    let output = place.runtime(&place.at("delegate")).arg("--version").output().unwrap();
    let expected = format!("runc version 1.2.3\nholdfast-runtime version {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(text(&output.stdout), expected);
}

/// `--version` waits for its delegate as `run` does.
#[test]
fn signals_and_ends_pass_through() {
    let place = Place::new();
    let ready = place.at("ready");
    let script = format!("trap 'exit 7' TERM; touch {}; while :; do sleep 0.01; done", ready.display());
    place.program("delegate", &script);
    let mut child = place.runtime(&place.at("delegate")).arg("--version").stdout(Stdio::null()).spawn().unwrap();
    let end = Instant::now() + Duration::from_secs(20);
    while !ready.exists() && Instant::now() < end {
        thread::sleep(Duration::from_millis(2));
    }
    assert!(ready.exists(), "the delegate did not start");
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

fn busybox_rootfs(place: &Place) -> PathBuf {
    let root = place.at("rootfs");
    for dir in ["bin", "proc", "dev", "data"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
    fs::copy(busybox.expect("apt-get install busybox-static"), root.join("bin/busybox")).unwrap();
    std::os::unix::fs::symlink("busybox", root.join("bin/sh")).unwrap();
    root
}

/// A bundle that was rewritten, with a plain directory where the volume would be, is one that runc
/// and crun take.
#[test]
fn runtimes_take_what_we_write() {
    use holdfast_runtime::spec::{Plan, Source};
    // crun refuses hosts that mix both versions of cgroups, so it does not get to see the second.
    let hidden = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
    for (runtime, before) in [("runc", &[][..]), ("crun", &["unshare", "--mount", "sh", "-c", hidden, "sh"])] {
        let place = Place::new();
        let root = busybox_rootfs(&place);
        let volume = place.at("volume");
        fs::create_dir(&volume).unwrap();
        let spec = json!({
            "ociVersion": "1.0.2",
            "process": { "args": ["/bin/sh", "-c", "echo hi > /data/x; echo no > /ro/x; exit 42"], "env": ["PATH=/bin"],
                "cwd": "/", "user": { "uid": 0, "gid": 0 } },
            "root": { "path": root },
            "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/ro", "type": "holdfast", "source": "v", "options": ["ro"] }],
            "annotations": { "dev.holdfast.volume.0": "v:/data" },
            "linux": { "namespaces": [{ "type": "pid" }, { "type": "mount" }] },
        });
        let plan = Plan::read(spec, Some("h")).unwrap();
        let source = |name: &Path| Source { path: name.to_str().unwrap().into(), nosuid: true, nodev: true };
        place.config(&plan.apply(&[source(&volume), source(&volume)], None));
        let state = place.at("state");
        let id = format!("holdfast-test-{}", fs::metadata(place.0.path()).unwrap().ino());
        let words = [before, &[runtime, "--root", state.to_str().unwrap(), "run", &id]].concat();
        let mut command = Command::new(words[0]);
        command.current_dir(place.at("bundle")).args(&words[1..]);
        let output = command.output();
        let output = output.unwrap_or_else(|error| panic!("apt-get install {runtime}: {error}"));
        assert_eq!(output.status.code(), Some(42), "{runtime}: {}", text(&output.stderr));
        assert_eq!(fs::read_to_string(volume.join("x")).unwrap(), "hi\n");
        assert!(text(&output.stderr).contains("Read-only"), "{runtime}: {}", text(&output.stderr));
    }
}
