#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
use super::*;

#[test]
fn the_processor_is_found_behind_any_name() {
    let rest: String = (3..=52).map(|field| format!(" {field}")).collect();
    for name in ["a", "a) b (c", ") 1 2 3"] {
        assert_eq!(processor_in(format!("7 ({name}){rest}").as_bytes()), Some(39));
    }
    assert_eq!(processor_in(b"7 (a) 1 2"), None);
    assert_eq!(processor_in(b""), None);
}

#[test]
fn this_thread_runs_where_it_is_put() {
    let thread = nix::unistd::gettid();
    let all = Processors::mine().unwrap();
    let here = WhereRuns::of(thread.as_raw().try_into().unwrap()).unwrap();
    let processor = here.processor().unwrap();
    all.only(processor).unwrap().give(thread).unwrap();
    assert_eq!(here.processor(), Some(processor));
    assert!(Processors::mine().unwrap().only(processor).is_some());
    all.give(thread).unwrap();
    let times = TimesOf::of(thread).unwrap();
    let before = times.read().unwrap();
    while times.read().unwrap().ran == before.ran {
        std::hint::spin_loop();
    }
}
