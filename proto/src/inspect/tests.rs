#![expect(clippy::unwrap_used, reason = "a test may stop")]

use super::*;

fn process() -> Process {
    Process { pid: 7, name: "postgres".into(), container: Some("ab12".into()), gone: true }
}

fn client() -> ClientView {
    ClientView { host: "host-a".into(), pid: 5, program: "holdfast".into(), answered: true }
}

const ACCESS: Access = Access { read: true, write: false, append: true };
const SINCE: Timestamp = Timestamp { secs: 4, nanos: 2 };

#[test]
fn descriptions_come_back() {
    let open = OpenFile { ino: InodeId(3), pid: 7, access: ACCESS, open_for: Duration::from_millis(1500) };
    let mut description = Description { opens: vec![open], processes: vec![process()], cut: true };
    assert_eq!(Description::try_from(description.to_wire(1)).unwrap(), description);
    description.opens = vec![open; DESCRIPTION_ITEMS_MAX + 1];
    assert!(Description::try_from(description.to_wire(1)).is_err());
    let long = Process { name: "x".repeat(PROCESS_TEXT_BYTES_MAX + 1), ..process() };
    assert!(Process::try_from(v1::Process::from(&long)).is_err());
}

#[test]
fn rows_come_back() {
    let lock = LockView {
        client: client(),
        process: process(),
        ino: InodeId(3),
        path: b"/a/\xff".to_vec(),
        space: LockSpace::Record,
        mode: LockMode::Exclusive,
        range: LockRange::new(4, 9).unwrap(),
        waits: true,
        since: SINCE,
    };
    assert_eq!(LockView::try_from(v1::LockEntry::from(&lock)).unwrap(), lock);
    assert!(LockView::try_from(v1::LockEntry { client: None, ..(&lock).into() }).is_err());
    let handle = Some(HandleView { process: process(), access: ACCESS, since: SINCE });
    let open = OpenView { client: client(), ino: InodeId(3), path: Vec::new(), handle };
    assert_eq!(OpenView::try_from(v1::OpenEntry::from(&open)).unwrap(), open);
    let silent = OpenView { handle: None, ..open };
    assert_eq!(OpenView::try_from(v1::OpenEntry::from(&silent)).unwrap(), silent);
}
