#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use super::control::Bound;
use super::figure::{Figure, Samples, Timed, middle, ratio};
use super::plan::{Free, MIB};
use super::progress::line;
use super::*;
use crate::output::Report as _;

fn samples(nanos: impl IntoIterator<Item = u64>) -> Samples {
    let mut samples = Samples::default();
    nanos.into_iter().for_each(|nanos| samples.add(Duration::from_nanos(nanos)));
    samples
}

#[test]
fn percentiles_are_those_of_the_times() {
    assert_eq!(samples([]).percentile(50), None);
    assert_eq!(samples([7]).percentile(99), Some(Duration::from_nanos(7)));
    let hundred = samples((1..=100).rev());
    assert_eq!(hundred.percentile(50), Some(Duration::from_nanos(50)));
    assert_eq!(hundred.percentile(99), Some(Duration::from_nanos(99)));
    assert_eq!(hundred.percentile(100), Some(Duration::from_nanos(100)));
}

#[test]
fn many_times_are_thinned_evenly_and_the_longest_stays() {
    let count = 3 << 20;
    let many = samples(0..count);
    let p50 = u64::try_from(many.percentile(50).unwrap().as_nanos()).unwrap();
    assert!(p50.abs_diff(count / 2) < count / 100, "{p50}");
    let few = Timed { count: 1, samples: samples([u64::MAX]), ..Timed::default() };
    let all = Timed::together([Timed { count, samples: many, ..Timed::default() }, few], Duration::from_secs(2));
    let figure = Figure::from(all);
    assert_eq!((figure.count, figure.max), (count + 1, Some(Duration::from_nanos(u64::MAX))));
    assert!(u64::try_from(figure.p50.unwrap().as_nanos()).unwrap().abs_diff(count / 2) < count / 100);
}

#[test]
fn the_middle_run_counts_and_losses_add_up() {
    let run = |rate: f64, lost| (Row::Counter, Figure { rate, lost, ..Figure::default() });
    let all = [run(30.0, 1), run(10.0, 2), run(20.0, 0), (Row::Stat, Figure::default())];
    let figure = middle(&all, Row::Counter).unwrap();
    assert_eq!((figure.rate, figure.lost), (20.0, 3));
    assert!(middle(&all, Row::Mkdir).is_none());
}

#[test]
fn a_ratio_above_one_is_faster_of_rates_and_of_times() {
    let (fast, slow) = (Some(Duration::from_millis(1)), Some(Duration::from_millis(4)));
    let figure = |rate: f64, p50| Figure { rate, p50, ..Figure::default() };
    assert_eq!(ratio(Row::Stat, &figure(100.0, slow), &figure(50.0, fast)), Some(2.0));
    assert_eq!(ratio(Row::SeeWrite, &figure(1.0, fast), &figure(9.0, slow)), Some(4.0));
    assert_eq!(ratio(Row::Stat, &figure(100.0, None), &figure(0.0, None)), None);
}

#[test]
fn the_bar_shows_rows_and_parts_of_them() {
    assert_eq!(line("stat", 1, 2, 1.0), "[###############...............]  50 %  stat");
    assert_eq!(line("stat", 9, 2, 1.0), format!("[{}] 100 %  stat", "#".repeat(30)));
    assert_eq!(line("", 0, 0, 0.0), format!("[{}]   0 %  ", ".".repeat(30)));
}

#[test]
fn sizes_never_take_more_than_a_quarter_of_what_is_free() {
    let full = Scale::new(false, None);
    let plenty = Sizes::fit(full, Free { bytes: 1 << 50, inodes: Some(1 << 40) }).unwrap();
    assert_eq!((plenty.large, plenty.files, plenty.cut), (1 << 30, 5000, false));
    for free in [64 * MIB, 300 * MIB, 1 << 30, 3 << 30, 10 << 30] {
        let sizes = Sizes::fit(full, Free { bytes: free, inodes: None }).unwrap();
        let most = sizes.large.max(sizes.appends * 4096).max(sizes.files * 8192);
        assert!(most <= free / 4, "{free}: {sizes:?}");
        assert_eq!(sizes.cut, free < 8 << 30, "{free}: {sizes:?}");
    }
    let few = Sizes::fit(full, Free { bytes: 1 << 40, inodes: Some(1000) }).unwrap();
    assert_eq!((few.files, few.cut), (250, true));
    for (bytes, inodes) in [(0, None), (16 * MIB, None), (1 << 40, Some(20))] {
        let failure = Sizes::fit(full, Free { bytes, inodes }).unwrap_err();
        assert!(failure.message().contains("are free") && failure.next_step().is_some(), "{failure:?}");
    }
}

#[test]
fn rows_are_chosen_by_name_or_group() {
    let names = |rows: Vec<Row>| rows.into_iter().map(Row::name).collect::<Vec<_>>();
    let chosen =
        |words: &[&str], two| rows::choose(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), two);
    assert_eq!(names(chosen(&["stat", "sync"], false).unwrap()), ["stat", "append_fsync"]);
    assert_eq!(chosen(&[], true).unwrap().len(), Row::ALL.len());
    assert!(chosen(&[], false).unwrap().iter().all(|row| row.group() != Group::Pair));
    assert!(chosen(&["nothing"], true).unwrap_err().next_step().unwrap().contains("seq_write"));
    for word in ["pair", "counter"] {
        assert!(chosen(&[word], false).unwrap_err().message().contains("two directories"));
    }
}

#[test]
fn seconds_are_bounded() {
    assert_eq!(seconds("0.5"), Ok(0.5));
    for wrong in ["0", "-1", "nan", "inf", "3601", "x"] {
        assert!(seconds(wrong).is_err(), "{wrong}");
    }
}

/// All rows in a directory of the local disk, twice the same one.
#[test]
fn everything_is_measured_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let scale = Scale::new(true, Some(0.1));
    let place = Place::begin(dir.path(), Some(dir.path()), scale).unwrap();
    let control = Control::quiet();
    let figures = measure(&control, &place, Row::ALL, 1, Caches::OfTheFile).unwrap();
    assert_eq!(figures.len(), Row::ALL.len());
    for (row, figure) in &figures {
        assert!(figure.count > 0 && figure.rate > 0.0, "{row:?}: {figure:?}");
        assert!(figure.p50 <= figure.p99 && figure.p99 <= figure.max, "{row:?}: {figure:?}");
        assert_eq!((figure.lost, figure.unseen), (0, 0), "{row:?}");
    }
    let beside = Some((place.description().clone(), figures.clone()));
    let report = Report::new(place.description().clone(), true, Row::ALL, figures, beside);
    assert_eq!(report.lost(), 0);
    let text = report.text();
    assert!(Row::ALL.iter().all(|row| text.contains(row.name())) && text.contains("RATIO"), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["rows"][0]["row"], "seq_write");
    assert_eq!(json["rows"][0]["ratio"], 1.0);
    place.remove().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn an_interrupted_run_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::begin(dir.path(), None, Scale::new(true, None)).unwrap();
    let control = Control::quiet();
    control.interrupt();
    let failure = measure(&control, &place, &[Row::SeqWrite], 1, Caches::OfTheFile).unwrap_err();
    assert_eq!(failure.kind(), "interrupted");
    drop(place);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, []).unwrap();
    let scale = Scale::new(true, None);
    let refused = |first: &Path, second| Place::begin(first, second, scale).unwrap_err();
    assert!(refused(&file, None).message().contains("not a directory"));
    assert!(refused(&dir.path().join("nothing"), None).message().contains("nothing"));
    assert!(refused(dir.path(), Some(&file)).message().contains("not a directory"));
    assert!(refused(Path::new("/proc"), None).next_step().is_some());
    let bound = Bound { count: 3, time: Duration::MAX };
    let error = Control::quiet().repeat("do it", bound, |_| Err(std::io::Error::other("broken"))).unwrap_err();
    assert_eq!((error.message(), error.causes()), ("cannot do it", &["broken".to_owned()][..]));
}
