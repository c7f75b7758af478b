#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

fn shell(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    command
}

#[test]
fn the_end_is_ours() {
    assert_eq!(run(&mut shell("exit 42")).unwrap().code(), Some(42));
    assert_eq!(exit_code(run(&mut shell("exit 42")).unwrap()), ExitCode::from(42));
    assert_eq!(exit_code(run(&mut shell("kill -9 $$")).unwrap()), ExitCode::from(137));
    assert!(run(&mut Command::new("/nonexistent")).is_err());
}

#[test]
fn the_child_blocks_no_signal() {
    let out = tempfile::NamedTempFile::new().unwrap();
    let mut command = shell("grep SigBlk /proc/self/status");
    command.stdout(out.reopen().unwrap());
    assert!(run(&mut command).unwrap().success());
    let text = std::fs::read_to_string(out.path()).unwrap();
    assert_eq!(text.trim(), "SigBlk:\t0000000000000000");
}

#[test]
fn a_limit_ends_a_child() {
    assert!(finishes(&mut shell("exit 3"), Duration::from_secs(20)).is_some_and(|status| status.code() == Some(3)));
    assert_eq!(finishes(&mut shell("sleep 60"), Duration::from_millis(50)), None);
    assert_eq!(finishes(&mut Command::new("/nonexistent"), Duration::from_secs(1)), None);
}
