use super::*;

const FILE: InodeId = InodeId(7);
const EPOCH: Epoch = Epoch(1);

fn v(version: u64) -> DataVersion {
    DataVersion(version)
}

#[test]
fn pages_are_kept_only_over_an_unchanged_version() {
    let table = CachedVersions::default();
    assert!(!table.opened(FILE, v(3), EPOCH));
    assert!(table.opened(FILE, v(3), EPOCH));
    assert!(!table.opened(FILE, v(4), EPOCH));
    assert!(table.opened(FILE, v(4), EPOCH));
}

#[test]
fn own_changes_of_an_open_file_count_in_any_order() {
    let table = CachedVersions::default();
    table.opened(FILE, v(3), EPOCH);
    table.changed(FILE, v(5), true);
    table.changed(FILE, v(4), true);
    assert!(table.opened(FILE, v(5), EPOCH));
}

#[test]
fn a_gap_while_the_file_was_closed_drops_the_pages() {
    let table = CachedVersions::default();
    table.opened(FILE, v(3), EPOCH);
    table.changed(FILE, v(5), false);
    assert!(!table.opened(FILE, v(5), EPOCH));
    table.changed(FILE, v(6), false);
    assert!(table.opened(FILE, v(6), EPOCH));
}

#[test]
fn an_open_that_overtook_a_push_does_not_trust_the_older_version() {
    let table = CachedVersions::default();
    table.opened(FILE, v(3), EPOCH);
    table.invalidated(FILE, v(9));
    assert!(!table.opened(FILE, v(8), EPOCH));
    assert!(table.opened(FILE, v(9), EPOCH));
}

#[test]
fn another_epoch_or_a_lost_session_means_that_nothing_is_known() {
    let table = CachedVersions::default();
    table.opened(FILE, v(3), EPOCH);
    assert!(!table.opened(FILE, v(3), Epoch(2)));
    assert!(table.opened(FILE, v(3), Epoch(2)));
    table.clear();
    assert!(!table.opened(FILE, v(3), Epoch(2)));
}

#[test]
fn the_table_is_bounded() {
    let table = CachedVersions::default();
    for ino in 0..4 * FILES_MAX as u64 {
        table.opened(InodeId(ino), v(1), EPOCH);
    }
    let table = table.0.lock();
    assert!(table.young.len() + table.old.len() <= FILES_MAX);
}
