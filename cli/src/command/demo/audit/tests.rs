#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::process::Command;

use super::*;

/// What the script writes on the local disk, by a real shell.
fn written(writer: char, lines: u32) -> String {
    let dir = tempfile::tempdir().unwrap();
    let status = Command::new("sh").arg("-c").arg(append_script(writer, lines, "log")).current_dir(&dir).status();
    assert!(status.unwrap().success());
    std::fs::read_to_string(dir.path().join("log")).unwrap()
}

#[test]
fn what_the_script_writes_is_clean() {
    let (a, b) = (written('a', 3), written('b', 3));
    assert!(a.lines().chain(b.lines()).all(|line| line.len() == LINE_BYTES), "{a}");
    let audit = audit_log(&(a + &b), ['a', 'b'], 3);
    assert_eq!(audit, LogAudit { whole: 6, switches: 1, ..LogAudit::default() });
    assert!(audit.is_clean());
}

#[test]
fn every_kind_of_damage_is_found() {
    let lines: Vec<String> = (written('a', 3) + &written('b', 3)).lines().map(str::to_owned).collect();
    let audit = |change: &dyn Fn(&mut Vec<String>)| {
        let mut lines = lines.clone();
        change(&mut lines);
        audit_log(&(lines.join("\n") + "\n"), ['a', 'b'], 3)
    };
    assert_eq!(audit(&|lines| drop(lines.remove(1))).lost, 1);
    assert_eq!(audit(&|lines| lines.push(lines[0].clone())).doubled, 1);
    assert_eq!(audit(&|lines| lines.swap(0, 1)).disordered, 1);
    let merged = audit(&|lines| {
        let second = lines.remove(1);
        lines[0].push_str(&second);
    });
    assert_eq!((merged.torn, merged.lost), (1, 2));
    let short = audit(&|lines| lines[5].truncate(20));
    assert_eq!((short.torn, short.lost), (1, 1));
    let zeros = audit(&|lines| lines[2] = "\0".repeat(64));
    assert_eq!((zeros.torn, zeros.lost), (1, 1));
    assert_eq!(audit(&|lines| lines.push("c 000001 x".into())).torn, 1);
    assert!(!audit_log("", ['a', 'b'], 3).is_clean());
}

#[test]
fn turns_are_counted_by_a_real_shell_under_a_real_lock() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("counter"), "0\n").unwrap();
    let mut children: Vec<_> = ['a', 'b']
        .map(|writer| {
            let script = turns_script(writer, 20, dir.path().to_str().unwrap());
            Command::new("sh").arg("-c").arg(script).spawn().unwrap()
        })
        .into();
    assert!(children.iter_mut().all(|child| child.wait().unwrap().success()));
    let audit = audit_turns(&std::fs::read_to_string(dir.path().join("turns")).unwrap());
    assert_eq!((audit.in_order, audit.noted), (40, 40));
}

#[test]
fn lost_turns_are_found() {
    assert_eq!(audit_turns("a 1\nb 1\nb 2\n"), TurnsAudit { in_order: 2, noted: 3, switches: 1 });
    assert_eq!(audit_turns("a 1\na 3\n").in_order, 1);
    assert_eq!(audit_turns("a 1\ngarbage\na 2\n"), TurnsAudit { in_order: 2, noted: 3, switches: 0 });
}
