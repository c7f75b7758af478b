#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn parsed(arguments: &[&str]) -> Result<Call> {
    parse(arguments.iter().map(OsString::from))
}

#[test]
fn as_mount_calls_it() {
    let call = parsed(&["s:/data", "/mnt/data", "-o", "rw,nosuid,tls_ca=/etc/ca.pem"]).unwrap();
    let expected = Call {
        source: "s:/data".into(),
        directory: "/mnt/data".into(),
        options: vec!["rw".into(), "nosuid".into(), "tls_ca=/etc/ca.pem".into()],
        ..Call::default()
    };
    assert_eq!(call, expected);
}

#[test]
fn letters_together_and_apart() {
    let call = parsed(&["-vn", "s:/v", "-fs", "/m", "-t", "holdfast", "-N", "/proc/1/ns/mnt", "-oro", "-o", "a,,b"]);
    let call = call.unwrap();
    assert!(call.fake && call.verbose && call.sloppy);
    assert_eq!(call.options, ["ro", "a", "b"]);
}

#[test]
fn other_calls_are_refused() {
    for arguments in [&[][..], &["s:/v"], &["a", "b", "c"], &["s:/v", "/m", "-o"], &["s:/v", "/m", "-x"]] {
        let failure = parsed(arguments).unwrap_err();
        assert!(failure.is_usage() && failure.next_step().is_some(), "{arguments:?}");
    }
}

#[test]
fn the_name_decides() {
    assert!(is_called(Path::new("/sbin/mount.holdfast")));
    assert!(is_called(Path::new("/sbin/mount.fuse.holdfast")));
    assert!(!is_called(Path::new("/usr/bin/holdfast")));
}
