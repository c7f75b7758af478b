#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use holdfast_fuse::stats::Snapshot;

use super::*;

fn calls(count: u64, from_memory: u64, bound: u64) -> CallFigures {
    let times = serde_json::from_value(serde_json::json!({ bound.to_string(): count })).unwrap();
    CallFigures { count, failed: 1, from_memory, total_us: count * 10, max_us: 99, times }
}

fn figures(age_us: u64, lookups: CallFigures) -> MountFigures {
    let requests = Snapshot {
        calls: [("lookup".to_owned(), lookups), ("read".to_owned(), calls(2, 0, 1 << 20))].into(),
        bytes_read: age_us / 1000,
        ..Snapshot::default()
    };
    let session =
        SessionFigures { connected: true, pending_changes: 7, pending_bytes: 2048, ..SessionFigures::default() };
    let memory = MemoryFigures { shared: 1200, exclusive: 3, inodes: 4000 };
    let cache = CacheFigures {
        directory: "/cache".into(),
        bytes_max: 10 << 30,
        bytes_held: 1 << 30,
        hits: age_us / 1000,
        bad: 1,
        ..CacheFigures::default()
    };
    let cache = Some(cache);
    MountFigures { source: "s:/v".into(), point: "/mnt".into(), pid: 7, age_us, requests, memory, cache, session }
}

#[test]
fn a_look_shows_the_whole_life_and_the_next_one_what_came_since() {
    let (first, second) = (figures(2_000_000, calls(100, 90, 1 << 14)), figures(3_000_000, calls(1100, 590, 1 << 14)));
    let whole = Stats::new(&MountFigures::default(), &first, false);
    assert_eq!((whole.requests[0].count, whole.requests[0].per_second), (100, 50.0));
    let text = whole.text();
    for part in
        ["s:/v on /mnt", "1,200 shared, 3 exclusive", "7 changes, 2 KiB", "90 %", "since it was mounted, 2.00 s"]
    {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let later = Stats::new(&first, &second, true);
    assert_eq!(later.requests.len(), 1, "nothing was read meanwhile");
    let lookups = &later.requests[0];
    assert_eq!((lookups.count, lookups.per_second, lookups.from_memory), (1000, 1000.0, 500));
    assert_eq!((lookups.mean_us, lookups.p50_us), (Some(10.0), Some(16.384)));
    assert_eq!((later.bytes_read, later.recalls), (1000, 0));
    let text = later.text();
    let cache =
        "cache:    1,000 blocks found, 0 not, 0 B read, 0 B written, 0 evicted, 0 bad; 1 GiB of 10 GiB in /cache";
    assert!(text.contains(cache), "{text}");
    assert!(text.contains("in the last 1.00 s") && text.contains("50 %"), "{text}");
}

#[test]
fn a_server_that_is_away_is_told() {
    let mut away = figures(1, calls(0, 0, 1 << 14));
    away.session.connected = false;
    assert!(Stats::new(&MountFigures::default(), &away, false).text().contains("server:   cannot be reached"));
}

#[test]
fn intervals_have_units_and_bounds() {
    let parsed = ["1", "1s", "500ms", "1.5s", "2m"].map(|text| interval(text).unwrap().as_millis());
    assert_eq!(parsed, [1000, 1000, 500, 1500, 120_000]);
    for wrong in ["", "s", "0", "1ms", "2h", "-1s", "61m", "nan"] {
        assert!(interval(wrong).is_err(), "{wrong}");
    }
}
