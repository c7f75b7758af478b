use super::*;

#[test]
fn the_root_of_a_subdirectory_mount_changes_places_with_the_volumes_root() {
    let root = InodeId(77);
    for ino in [InodeId::ROOT, InodeId(77), InodeId(5)] {
        assert_eq!(swap(root, swap(root, ino)), ino);
    }
    assert_eq!(swap(root, root), InodeId::ROOT);
    assert_eq!(swap(InodeId::ROOT, InodeId::ROOT), InodeId::ROOT);
}

#[test]
fn bad_names_have_the_error_of_the_system_call() {
    assert_eq!(file_name(b""), Err(PosixError::NoEntry));
    assert_eq!(file_name(&[b'x'; 256]), Err(PosixError::NameTooLong));
    assert_eq!(file_name(b"a/b"), Err(PosixError::Invalid));
    assert_eq!(file_name(b".."), Err(PosixError::Invalid));
    assert!(file_name(&[0xff; 255]).is_ok());
}
