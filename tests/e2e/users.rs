//! `holdfast locks` and `holdfast open`: who uses a volume, on every host.

use std::fs::{self, File, OpenOptions};
use std::time::{Duration, Instant};

use holdfast_tests::wait;
use nix::fcntl::{FcntlArg, Flock, FlockArg, fcntl};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::Pair;
use crate::stuck::{Helper, LOCK};

fn shown(pair: &Pair, what: &str) -> Vec<Value> {
    let text = pair.cluster.holdfast(&[what, "shared", "--json"]).ok();
    let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(json["cut"], false, "{text}");
    json[if what == "open" { "open" } else { "locks" }].as_array().unwrap().clone()
}

fn open(path: &std::path::Path) -> File {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap()
}

#[test]
fn who_holds_and_who_awaits_a_lock_is_shown() {
    let pair = Pair::new("shown locks");
    assert!(shown(&pair, "locks").is_empty());
    assert!(pair.cluster.holdfast(&["locks", "shared"]).ok().contains("no locks"));
    pair.cluster.holdfast(&["locks", "nothing"]).refused(&["nothing"]);
    fs::create_dir(pair.a.at("dir")).unwrap();
    drop(open(&pair.a.at("dir/f")));
    fs::rename(pair.a.at("dir"), pair.a.at("moved")).unwrap();
    let mut holder =
        Helper::start(&pair, "holder", "moved/f", &format!("{LOCK} lock(F, 6, F_WRLCK, 0, 10);"), "sleep 600;");
    holder.until_ready();
    let mut waiter = Helper::start(&pair, "waiter", "moved/f", LOCK, "lock(F, 7, F_RDLCK, 5, 0);");
    waiter.until_ready();
    let other = open(&pair.b.at("moved/f"));
    let there = libc::flock { l_type: 0, l_whence: 0, l_start: 100, l_len: 1, l_pid: 0 };
    fcntl(&other, FcntlArg::F_SETLK(&there)).unwrap();
    let flock = Flock::lock(open(&pair.b.at("whole")), FlockArg::LockExclusiveNonblock).map_err(|(_, e)| e).unwrap();
    let mut waits = waiter.go_and_wait_for(&pair);
    waits.sort_by_key(|lock| (lock["path"].to_string(), lock["state"].to_string(), lock["start"].as_u64()));
    let fields = |lock: &Value| {
        let text = |name: &str| lock[name].as_str().unwrap_or("-").to_owned();
        [text("host"), text("process"), text("path"), text("kind"), text("mode"), text("state")].join(" ")
    };
    let all: Vec<String> = waits.iter().map(fields).collect();
    let own = fs::read_to_string("/proc/self/comm").unwrap();
    let own = own.trim_end();
    let expected = [
        "host-a perl /moved/f record exclusive held".to_owned(),
        format!("host-b {own} /moved/f record shared held"),
        "host-a perl /moved/f record shared waits".to_owned(),
        format!("host-b {own} /whole flock exclusive held"),
    ];
    assert_eq!(all, expected);
    assert_eq!(waits[0]["pid"].as_i64(), Some(holder.process.pid().into()));
    assert_eq!((waits[0]["start"].as_u64(), waits[0]["end"].as_u64()), (Some(0), Some(9)));
    assert_eq!((waits[2]["start"].as_u64(), waits[2]["end"].as_u64()), (Some(5), None), "to the end");
    assert!(waits.iter().all(|lock| lock["since"].as_str().is_some_and(|since| since.starts_with("20"))));
    let text = pair.cluster.holdfast(&["locks", "shared"]).ok();
    assert!(text.contains("perl (") && text.contains("/moved/f") && text.contains("0-9"), "{text}");
    drop(flock);
}

impl Helper {
    /// Lets it ask for its lock, and returns all locks once it waits.
    fn go_and_wait_for(&mut self, pair: &Pair) -> Vec<Value> {
        self.tell_to_go();
        wait::until("a lock to be awaited", wait::SOON, || {
            let locks = shown(pair, "locks");
            locks.iter().any(|lock| lock["state"] == "waits").then_some(locks)
        })
    }
}

#[test]
fn who_has_what_open_is_shown() {
    let mut pair = Pair::new("shown opens");
    assert!(pair.cluster.holdfast(&["open", "shared"]).ok().contains("nothing is open"));
    drop(open(&pair.b.at("f")));
    let mut reader = Helper::start(&pair, "reader", "f", "", "sleep 600;");
    reader.until_ready();
    let log = OpenOptions::new().append(true).create(true).open(pair.b.at("log")).unwrap();
    let gone = open(&pair.b.at("unlinked"));
    fs::remove_file(pair.b.at("unlinked")).unwrap();
    let find = |rows: &[Value], host: &str, path: Option<&str>| {
        let mut found = rows.iter().filter(|row| row["host"] == host && row["path"].as_str() == path);
        let row = found.next().unwrap_or_else(|| panic!("no {path:?} on {host} in {rows:#?}")).clone();
        assert!(found.next().is_none(), "{path:?} twice on {host} in {rows:#?}");
        row
    };
    let rows = shown(&pair, "open");
    assert_eq!(rows.len(), 3, "{rows:#?}");
    let row = find(&rows, "host-a", Some("/f"));
    assert_eq!((row["process"].as_str(), row["pid"].as_i64()), (Some("perl"), Some(reader.process.pid().into())));
    assert_eq!(
        (row["read"].as_bool(), row["write"].as_bool(), row["append"].as_bool()),
        (Some(true), Some(true), Some(false))
    );
    let row = find(&rows, "host-b", Some("/log"));
    assert_eq!(row["pid"].as_u64(), Some(std::process::id().into()));
    assert_eq!(
        (row["read"].as_bool(), row["write"].as_bool(), row["append"].as_bool()),
        (Some(false), Some(true), Some(true))
    );
    find(&rows, "host-b", None);
    let text = pair.cluster.holdfast(&["open", "shared"]).ok();
    assert!(text.contains("append") && text.contains("inode "), "{text}");
    // A mount that does not answer is shown with what the server knows, and holds nobody up.
    pair.a.process.signal(Signal::SIGSTOP);
    let start = Instant::now();
    let rows = shown(&pair, "open");
    assert!(start.elapsed() < Duration::from_secs(8), "it took {:?}", start.elapsed());
    let row = find(&rows, "host-a", Some("/f"));
    assert_eq!((row["answered"].as_bool(), row["pid"].as_i64()), (Some(false), None));
    let text = pair.cluster.holdfast(&["open", "shared"]).ok();
    assert!(text.contains("no answer") && text.contains("host-a"), "{text}");
    pair.a.process.signal(Signal::SIGCONT);
    reader.process.kill();
    drop((log, gone));
    wait::until_true("everything to be closed", wait::SOON, || shown(&pair, "open").is_empty());
}
