use super::*;
use crate::acl::tests::named;

const ALICE: Caller = Caller { uid: 1000, gid: 1000 };

fn mode(bits: u32) -> Mode {
    Mode::from_bits(bits)
}

fn asked(bits: u32) -> AskedMode {
    AskedMode { mode: mode(bits), umask: mode(0o027) }
}

#[test]
fn the_umask_counts_where_there_is_no_default_list() {
    let parent = Parent { mode: mode(0o755), gid: 7, default: None };
    let given = new_inode(FileKind::Regular, asked(0o4666), ALICE, parent);
    assert_eq!(given, Given { gid: 1000, mode: mode(0o4640), access: None, default: None });
}

#[test]
fn a_default_list_takes_the_place_of_the_umask() {
    let acl = named();
    let parent = Parent { mode: mode(0o755), gid: 7, default: Some(&acl) };
    let file = new_inode(FileKind::Regular, asked(0o666), ALICE, parent);
    assert_eq!((file.mode, file.default), (mode(0o660), None));
    assert!(file.access.is_some());
    let directory = new_inode(FileKind::Directory, asked(0o777), ALICE, parent);
    assert_eq!((directory.mode, directory.default), (mode(0o660), Some(acl.clone())));
    let link = new_inode(FileKind::Symlink, asked(0o777), ALICE, parent);
    assert_eq!((link.mode, link.access, link.default), (mode(0o777), None, None));
}

#[test]
fn a_set_group_id_directory_passes_its_group_on() {
    let parent = Parent { mode: mode(0o2755), gid: 7, default: None };
    let file = new_inode(FileKind::Regular, asked(0o666), ALICE, parent);
    assert_eq!((file.gid, file.mode), (7, mode(0o640)));
    let directory = new_inode(FileKind::Directory, asked(0o777), ALICE, parent);
    assert_eq!((directory.gid, directory.mode), (7, mode(0o2750)));
}

#[test]
fn a_change_of_owner_takes_privileges_except_from_directories() {
    assert_eq!(after_chown(FileKind::Regular, mode(0o6777), true), mode(0o777));
    assert_eq!(after_chown(FileKind::Regular, mode(0o6766), true), mode(0o2766));
    assert_eq!(after_chown(FileKind::Regular, mode(0o6766), false), mode(0o766));
    assert_eq!(after_chown(FileKind::Directory, mode(0o6777), false), mode(0o6777));
}

#[test]
fn a_list_set_from_outside_of_the_group_takes_set_group_id() {
    assert_eq!(after_access_list(Some(named()), mode(0o2755), true).mode, mode(0o660));
    assert_eq!(after_access_list(Some(named()), mode(0o2755), false).mode, mode(0o2660));
    assert_eq!(after_access_list(None, mode(0o2755), true), Access { mode: mode(0o2755), acl: None });
}
