#![expect(clippy::unwrap_used, reason = "a test may stop")]

use holdfast_core::time::Timestamp;

use super::*;

#[test]
fn findings_come_back() {
    let name = FileName::new(&b"a\xff"[..]).unwrap();
    let subjects = [
        Subject::Volume,
        Subject::Inode(InodeId(0)),
        Subject::Name { directory: InodeId(1), name },
        Subject::Place { directory: InodeId(1), cookie: DirCookie(5) },
        Subject::Content { ino: InodeId(2), data: 3 },
        Subject::Data(4),
        Subject::Segment(SegmentId(5)),
        Subject::Record("I 7".into()),
    ];
    for (subject, kind) in subjects.into_iter().zip(FindingKind::ALL) {
        for mending in Mending::ALL {
            let plain = Finding { mending, ..Finding::new(*kind, subject.clone()) };
            assert_eq!(Finding::try_from(v1::Finding::from(&plain)).unwrap(), plain);
            let full = Finding { path: Some(b"/x".to_vec()), ..plain.figures(0, 9).detail("more") };
            assert_eq!(Finding::try_from(v1::Finding::from(&full)).unwrap(), full);
        }
    }
    let unknown = v1::Finding { kind: 9999, ..v1::Finding::default() };
    assert!(Finding::try_from(unknown).is_err());
    let about = Some(About::Name(v1::EntryName { directory: 1, name: b"a/b".to_vec().into() }));
    assert!(Subject::try_from(v1::FindingSubject { about }).is_err());
}

#[test]
fn where_a_check_stands_comes_back() {
    for phase in CheckPhase::ALL {
        let progress = CheckProgress { phase, done: 1, total: 2 };
        assert_eq!(CheckProgress::try_from(v1::CheckProgress::from(progress)).unwrap(), progress);
    }
    assert!(CheckProgress::try_from(v1::CheckProgress::default()).is_err());
    let report = CheckReport { counted: Counted { inodes: 1, names: 2, extents: 3 }, left: 4, mended: 5, cut: true };
    assert_eq!(CheckReport::from(v1::CheckReport::from(report)), report);
}

#[test]
fn scrubs_come_back() {
    let files = vec![BadRange { ino: InodeId(3), paths: vec![b"/a".to_vec(), b"/\xff".to_vec()], start: 5, len: 6 }];
    let bad = Fault::ALL.iter().map(|&fault| BadFrame {
        segment: SegmentId(1),
        position: 64,
        len: 10,
        fault,
        files: files.clone(),
    });
    let segments = [None, Some(7)].map(|found| BadSegment { segment: SegmentId(2), expected: 8, found });
    let run = ScrubRun {
        begun: Timestamp { secs: 1, nanos: 2 },
        ended: None,
        place: ScrubPlace { segment: SegmentId(1), position: 9 },
        until: SegmentId(4),
        frames: 1,
        bytes: 2,
        bytes_total: 3,
        bad_frames: 5,
        bad: bad.collect(),
        segments: segments.to_vec(),
    };
    let last = ScrubRun { ended: Some(Timestamp { secs: 3, nanos: 0 }), ..run.clone() };
    let status = ScrubStatus { running: true, current: Some(run), last: Some(last) };
    assert_eq!(ScrubStatus::try_from(v1::ScrubStatusResponse::from(&status)).unwrap(), status);
    assert!(BadFrame::try_from(v1::BadFrame::default()).is_err());
}
