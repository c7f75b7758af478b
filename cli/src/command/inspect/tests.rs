#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
use holdfast_client::HandleView;
use holdfast_core::time::Timestamp;

use super::*;

fn client(host: &str, answered: bool) -> ClientView {
    ClientView { host: host.into(), pid: 7, program: "holdfast 0.1.0".into(), answered }
}

const SINCE: Timestamp = Timestamp { secs: 0, nanos: 0 };

#[test]
fn a_table_of_locks() {
    let process = Process { pid: 4711, name: "postgres".into(), container: Some("ab".repeat(32)), gone: false };
    let held = LockView {
        client: client("host-a", true),
        process,
        ino: InodeId(12),
        path: b"/db/a\nb".to_vec(),
        space: LockSpace::Record,
        mode: LockMode::Exclusive,
        range: LockRange::new(0, 99).unwrap(),
        waits: false,
        since: SINCE,
    };
    let waiting = LockView {
        client: client("host-b", false),
        process: Process { pid: 12, ..Process::default() },
        path: Vec::new(),
        space: LockSpace::Flock,
        mode: LockMode::Shared,
        range: LockRange::WHOLE,
        waits: true,
        ..held.clone()
    };
    let locks = Locks::from(Listed { rows: vec![held, waiting], cut: true });
    let expected = "\
HOST    PROCESS          CONTAINER     KIND    MODE       BYTES  STATE  SINCE                 FILE
host-a  postgres (4711)  abababababab  record  exclusive  0-99   held   1970-01-01T00:00:00Z  /db/a\\nb
host-b  12               -             flock   shared     all    waits  1970-01-01T00:00:00Z  inode 12
no answer, so its processes are not known: holdfast 0.1.0 on host-b (process 7)
there are more than these
";
    assert_eq!(locks.text(), expected);
    let json = serde_json::to_value(&locks).unwrap();
    assert_eq!(json["locks"][0]["process"], "postgres");
    assert_eq!(json["locks"][0]["end"], 99);
    assert_eq!(json["locks"][1]["end"], serde_json::Value::Null);
    assert_eq!(json["cut"], true);
    assert_eq!(Locks::from(Listed { rows: Vec::new(), cut: false }).text(), "no locks\n");
}

#[test]
fn a_table_of_open_files() {
    let access = Access { read: true, write: true, append: true };
    let process = Process { pid: 5, gone: true, ..Process::default() };
    let open = OpenView {
        client: client("host-a", true),
        ino: InodeId(3),
        path: b"/log".to_vec(),
        handle: Some(HandleView { process, access, since: SINCE }),
    };
    let kept = OpenView { handle: None, ..open.clone() };
    let opens = Opens::from(Listed { rows: vec![open, kept], cut: false });
    let expected = "\
HOST    PROCESS           CONTAINER  MODE          SINCE                 FILE
host-a  5, gone           -          read, append  1970-01-01T00:00:00Z  /log
host-a  the mount itself  -          ?             ?                     /log
";
    assert_eq!(opens.text(), expected);
}
