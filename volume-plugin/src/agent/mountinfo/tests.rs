#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;

#[test]
fn a_line_is_read() {
    let line =
        br"36 35 98:17 /mnt1 /mnt\0402\134x rw,nosuid,noatime shared:1 master:2 - fuse.holdfast h:1/v rw,user_id=0";
    let entry = parse(line).unwrap();
    assert_eq!(entry.device, (98, 17));
    assert_eq!(entry.mount_point, Path::new("/mnt 2\\x"));
    assert!(entry.has("nosuid") && !entry.has("nodev"));
    assert_eq!(entry.fs_type, "fuse.holdfast");
    assert_eq!(entry.source, "h:1/v");
}

#[test]
fn odd_lines_are_skipped() {
    for line in [&b""[..], b"1 2 3:4 / /x rw", b"1 2 x:4 / /x rw - a b c", b"- - - - - - -"] {
        assert_eq!(parse(line), None);
    }
    assert_eq!(unescape(br"a\04"), r"a\04");
    assert_eq!(unescape(br"\777\101"), r"\777A");
}

#[test]
fn proc_is_mounted() {
    assert_eq!(at(Path::new("/proc")).unwrap().unwrap().fs_type, "proc");
    assert_eq!(at(Path::new("/nowhere at all")).unwrap(), None);
}
