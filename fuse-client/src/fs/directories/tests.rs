#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use super::*;

fn page(after: u64, offsets: &[u64], end: bool) -> Arc<Page> {
    let entry = |offset: &u64| ListingEntry {
        name: Bytes::from(offset.to_string()),
        node: Node(*offset),
        kind: FileKind::Regular,
        offset: *offset,
        attr: None,
    };
    Arc::new(Page { after, entries: offsets.iter().map(entry).collect(), end })
}

fn offsets(listing: &Listing) -> Vec<u64> {
    listing.entries().iter().map(|entry| entry.offset).collect()
}

#[test]
fn a_page_serves_from_its_start_and_from_each_of_its_entries() {
    let page = page(2, &[3, 7, 9], false);
    assert_eq!(offsets(&page.behind(2).unwrap()), [3, 7, 9]);
    assert_eq!(offsets(&page.behind(3).unwrap()), [7, 9]);
    assert_eq!(offsets(&page.behind(7).unwrap()), [9]);
}

#[test]
fn what_is_not_on_the_page_is_asked_for() {
    let page = page(2, &[3, 7, 9], false);
    assert!(page.behind(9).is_none());
    assert!(page.behind(5).is_none());
    assert!(page.behind(100).is_none());
}

#[test]
fn the_last_page_knows_the_end() {
    let last = page(2, &[3, 7], true);
    assert!(offsets(&last.behind(7).unwrap()).is_empty());
    let empty = page(9, &[], true);
    assert!(offsets(&empty.behind(9).unwrap()).is_empty());
}
