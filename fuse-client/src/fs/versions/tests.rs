use super::*;

const FILE: InodeId = InodeId(7);
const EPOCH: Epoch = Epoch(1);

fn v(version: u64) -> DataVersion {
    DataVersion(version)
}

#[test]
fn pages_are_kept_only_over_an_unchanged_version() {
    let table = CachedVersions::default();
    assert!(!table.opened(FILE, v(3), 0, EPOCH));
    assert!(table.opened(FILE, v(3), 0, EPOCH));
    assert!(!table.opened(FILE, v(4), 0, EPOCH));
    assert!(table.opened(FILE, v(4), 0, EPOCH));
}

#[test]
fn own_changes_of_an_open_file_count_in_any_order() {
    let table = CachedVersions::default();
    table.opened(FILE, v(3), 0, EPOCH);
    table.changed(FILE, v(5), 0, true);
    table.changed(FILE, v(4), 0, true);
    assert!(table.opened(FILE, v(5), 0, EPOCH));
}

#[test]
fn a_gap_while_the_file_was_closed_drops_the_pages() {
    let table = CachedVersions::default();
    table.opened(FILE, v(3), 0, EPOCH);
    table.changed(FILE, v(5), 0, false);
    assert!(!table.opened(FILE, v(5), 0, EPOCH));
    table.changed(FILE, v(6), 0, false);
    assert!(table.opened(FILE, v(6), 0, EPOCH));
}

#[test]
fn an_open_that_overtook_a_push_does_not_trust_the_older_version() {
    let table = CachedVersions::default();
    table.opened(FILE, v(3), 0, EPOCH);
    table.invalidated(FILE, v(9), 0);
    assert!(!table.opened(FILE, v(8), 0, EPOCH));
    assert!(table.opened(FILE, v(9), 0, EPOCH));
}

#[test]
fn another_epoch_or_a_lost_session_means_that_nothing_is_known() {
    let table = CachedVersions::default();
    table.opened(FILE, v(3), 0, EPOCH);
    assert!(!table.opened(FILE, v(3), 0, Epoch(2)));
    assert!(table.opened(FILE, v(3), 0, Epoch(2)));
    table.clear();
    assert!(!table.opened(FILE, v(3), 0, Epoch(2)));
}

#[test]
fn the_table_is_bounded() {
    let table = CachedVersions::default();
    for ino in 0..4 * FILES_MAX as u64 {
        table.opened(InodeId(ino), v(1), 0, EPOCH);
    }
    let table = table.0.lock();
    assert!(table.young.len() + table.old.len() <= FILES_MAX);
}

#[test]
fn the_size_is_that_of_the_latest_version() {
    let table = CachedVersions::default();
    assert_eq!(table.size(FILE), None);
    table.opened(FILE, v(3), 30, EPOCH);
    assert!(table.invalidated(FILE, v(9), 90));
    table.changed(FILE, v(8), 1, true);
    assert_eq!(table.size(FILE), Some(90));
    table.changed(FILE, v(10), 10, true);
    assert_eq!(table.size(FILE), Some(10));
    assert!(!table.invalidated(FILE, v(11), 9), "shorter");
    assert_eq!(table.size(FILE), Some(9));
}
