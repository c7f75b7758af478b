#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};

use super::super::fixture::{private_mounts, volume};
use super::*;

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(20))
}

/// A program that stands in for `holdfast`. Another process writes it: a descriptor of ours that a
/// test in another thread inherits would make it busy.
fn program(dir: &Path, script: &str) -> CommandMounter {
    let path = dir.join("holdfast");
    let write = Command::new("/bin/sh")
        .args(["-c", "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$2\" && chmod 755 \"$2\"", "sh", script])
        .arg(&path)
        .status();
    assert!(write.unwrap().success());
    CommandMounter::new(path)
}

#[test]
fn the_command_is_called_as_people_call_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let mounter = program(dir.path(), "echo \"$@\"");
    mounter.mount(&volume("v"), true, Path::new("/t"), &log, soon()).unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap(), "mount h:1/v /t -o ro\n");
    mounter.mount(&volume("v"), false, Path::new("/t"), &log, soon()).unwrap();
    assert_eq!(fs::read_to_string(&log).unwrap(), "mount h:1/v /t\n");
    mounter.unmount(&dir.path().join("t"), soon()).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn its_words_are_handed_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let fails = |script: &str, deadline| {
        let error =
            program(dir.path(), script).mount(&volume("v"), false, Path::new("/t"), &log, deadline).unwrap_err();
        (error.kind(), error.message().to_owned())
    };
    assert_eq!(
        fails("echo 'error: no such volume' >&2; echo '  hint: make it' >&2; exit 1", soon()),
        (ErrorKind::Unavailable, "cannot mount volume h:1/v: no such volume; hint: make it".into())
    );
    assert_eq!(fails("echo 'cannot mount it: full' >&2; exit 1", soon()).1, "cannot mount it: full");
    assert!(fails("exit 3", soon()).1.contains("exit status: 3"));
    let long = fails("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", soon()).1;
    assert!(long.len() < 1200, "{}", long.len());

    let start = Instant::now();
    let (kind, message) = fails("echo waiting; sleep 60 & wait", Deadline::after(Duration::from_millis(200)));
    assert_eq!((kind, message.as_str()), (ErrorKind::Timeout, "cannot mount volume h:1/v in time: waiting"));
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn the_program_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let found = |bin: Option<&Path>, path: &Path| {
        CommandMounter::find(|name| match name {
            "HOLDFAST_BIN" => bin.map(Into::into),
            "PATH" => Some(path.into()),
            _ => None,
        })
    };
    let nowhere = Path::new("/nonexistent");
    assert_eq!(found(None, nowhere).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(found(Some(dir.path()), nowhere).unwrap_err().kind(), ErrorKind::NotFound);
    let program = program(dir.path(), "").program;
    assert_eq!(found(None, dir.path()).unwrap().program, program);
    assert_eq!(found(Some(&program), nowhere).unwrap().program, program);
}

/// A FUSE mount whose other end is in our hands, and which nobody serves.
fn fuse(dir: &Path, source: &str) -> File {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
    let data = format!("fd={},rootmode=40000,user_id=0,group_id=0,subtype=holdfast", device.as_raw_fd());
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some(source), dir, Some("fuse"), flags, Some(data.as_str())).unwrap();
    device
}

#[test]
fn what_is_mounted() {
    private_mounts();
    let dir = tempfile::tempdir().unwrap();
    let target = fs::canonicalize(dir.path()).unwrap();
    let mounter = CommandMounter::new("/nonexistent".into());
    let look = |limit| mounter.inspect(&volume("v"), &target, Deadline::after(Duration::from_millis(limit))).unwrap();
    assert_eq!(look(20_000), MountState::Absent);

    mount(Some("h:1/v"), &target, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    assert!(matches!(look(20_000), MountState::Foreign(_)));
    mounter.detach(&target).unwrap();

    // It hangs; so does whoever asks it anything, but not we.
    for source in ["h:1/v", "h:1:/v"] {
        let device = fuse(&target, source);
        let start = Instant::now();
        assert!(matches!(look(100), MountState::Silent(_)));
        assert!(start.elapsed() < Duration::from_secs(10));
        drop(device);
        assert_eq!(look(20_000), MountState::Dead);
        mounter.detach(&target).unwrap();
    }
    for source in ["h:1/w", "h:2/v", "h:1/v/sub", "v", "other"] {
        let _device = fuse(&target, source);
        assert!(matches!(look(100), MountState::Foreign(_)), "{source}");
        mounter.detach(&target).unwrap();
    }
    assert_eq!(look(20_000), MountState::Absent);
}
