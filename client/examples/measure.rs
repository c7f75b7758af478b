//! Figures of a server as this client sees it: `measure HOST:PORT [MIB]`.
//!
//! Makes a volume, times single operations, reads, syncs and large data, checks what it reads, and
//! deletes the volume again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use holdfast_client::{
    Client, Endpoint, InvalidateDone, Invalidation, Session, SessionEvents, SessionOptions, VolumeRef,
};
use holdfast_core::attr::Mode;
use holdfast_core::error::Result;
use holdfast_core::id::{DirCookie, InodeId};
use holdfast_core::name::FileName;
use holdfast_core::op::{Caller, NewNode, Op, OpReply, WriteAt};
use holdfast_core::volume::{MountPolicy, Quota, VolumeSpec};

struct Quiet;

impl SessionEvents for Quiet {
    fn invalidate(&self, _: Invalidation, done: InvalidateDone) {
        done.confirm();
    }

    fn session_lost(&self, lost: &[InodeId]) {
        println!("session lost, {} inodes", lost.len());
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let endpoint = Endpoint::plain(args.next().unwrap_or_else(|| "127.0.0.1".to_owned()).parse()?);
    let mib: usize = args.next().and_then(|mib| mib.parse().ok()).unwrap_or(256);
    let client = Client::connect(&endpoint).await?;
    println!("{:?}", client.server().await?);
    let name = format!("measure-{}", std::process::id());
    let spec = VolumeSpec {
        name: name.parse().map_err(|error| {
            holdfast_core::error::Error::new(holdfast_core::error::ErrorKind::Invalid, format!("{error}"))
        })?,
        quota: Quota::default(),
        labels: std::collections::BTreeMap::new(),
        policy: MountPolicy::default(),
    };
    let (info, _) = client.create_volume(&spec).await?;
    let volume = VolumeRef::Id(info.id);
    let session = Session::open(&endpoint, &volume, SessionOptions::default(), Arc::new(Quiet)).await?;
    println!("{:?}", session.info());
    single(&session).await?;
    large(&session, mib).await?;
    println!("{:?}", session.stats());
    session.close().await?;
    client.delete_volume(&volume, false).await
}

fn create(name: String) -> Op {
    let name = FileName::new(name).expect("a good name");
    Op::Create {
        parent: InodeId::ROOT,
        name,
        node: NewNode::File { open: false },
        mode: Mode::from_bits(0o644).into(),
        ino: None,
    }
}

/// User and system time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    println!("{what:>28}: p50 {:?}, p99 {:?}", times[times.len() / 2], times[times.len() * 99 / 100]);
}

async fn single(session: &Session) -> Result<()> {
    let mut times = Vec::new();
    let mut last = InodeId::ROOT;
    for number in 0..5000 {
        let start = Instant::now();
        if let OpReply::Attr(attr) = session.submit(Caller::default(), create(format!("file{number}"))).await? {
            last = attr.ino;
        }
        times.push(start.elapsed());
    }
    report("create", times);
    let block = Bytes::from(vec![7; 4096]);
    let mut times = Vec::new();
    for number in 0..5000 {
        let start = Instant::now();
        session.write(Caller::default(), last, WriteAt::Offset(number * 4096), block.clone(), false).await?;
        times.push(start.elapsed());
    }
    report("write 4 KiB", times);
    let mut times = Vec::new();
    for _ in 0..5000 {
        let start = Instant::now();
        session.getattr(last).await?;
        times.push(start.elapsed());
    }
    report("getattr", times);
    let mut times = Vec::new();
    for number in 0..2000 {
        let start = Instant::now();
        session.read(last, number * 4096, 4096).await?;
        times.push(start.elapsed());
    }
    report("read 4 KiB", times);
    let mut times = Vec::new();
    for number in 0..200 {
        session.write(Caller::default(), last, WriteAt::Offset(number * 4096), block.clone(), false).await?;
        let start = Instant::now();
        session.sync().await?;
        times.push(start.elapsed());
    }
    report("fsync after 4 KiB", times);
    let start = Instant::now();
    let all: Vec<_> =
        (0..20_000).map(|number| session.submit(Caller::default(), create(format!("many{number}")))).collect();
    for outcome in all {
        outcome.await?;
    }
    println!("{:>28}: {:.0} a second", "creates at once", 20_000.0 / start.elapsed().as_secs_f64());
    let start = Instant::now();
    let (mut after, mut entries) = (DirCookie(0), 0);
    loop {
        let page = session.readdir(InodeId::ROOT, after, 0, true).await?;
        entries += page.entries.len();
        after = page.entries.last().map_or(after, |entry| entry.cookie);
        if page.end {
            break;
        }
    }
    println!(
        "{:>28}: {:.0} entries a second ({entries})",
        "readdir with attributes",
        entries as f64 / start.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn large(session: &Session, mib: usize) -> Result<()> {
    let OpReply::Attr(file) = session.submit(Caller::default(), create("large".to_owned())).await? else {
        return Ok(());
    };
    let block = |number: usize| Bytes::from(vec![u8::try_from(number % 251).unwrap_or(0); 1 << 20]);
    let mut times = Vec::new();
    for number in 0..32 {
        let data = block(number);
        let start = Instant::now();
        session.write(Caller::default(), file.ino, WriteAt::Offset((number as u64) << 20), data, false).await?;
        times.push(start.elapsed());
    }
    report("write 1 MiB, one by one", times);
    for depth in [1, 2, 4, 16] {
        let (start, cpu_before) = (Instant::now(), cpu());
        let mut under_way = std::collections::VecDeque::new();
        for number in 0..mib {
            if under_way.len() == depth {
                under_way.pop_front().expect("not empty").await?;
            }
            under_way.push_back(Box::pin(session.write(
                Caller::default(),
                file.ino,
                WriteAt::Offset((number as u64) << 20),
                block(number),
                false,
            )));
        }
        for outcome in under_way {
            outcome.await?;
        }
        session.sync().await?;
        println!(
            "{:>28}: {:.0} MiB/s, {:?} CPU here",
            format!("write {mib} MiB, {depth} deep, sync"),
            mib as f64 / start.elapsed().as_secs_f64(),
            cpu() - cpu_before
        );
    }
    for depth in [1, 2, 4, 16] {
        let (start, cpu_before) = (Instant::now(), cpu());
        let mut under_way = std::collections::VecDeque::new();
        for number in 0..mib + depth {
            if number < mib {
                let session = session.clone();
                under_way.push_back(tokio::spawn(async move {
                    session.read(file.ino, (number as u64) << 20, 1 << 20).await
                }));
            }
            if number >= depth
                && let Some(read) = under_way.pop_front()
            {
                let bytes = read.await.expect("no panic")?.into_bytes();
                assert_eq!((bytes.len(), bytes[0]), (1 << 20, u8::try_from((number - depth) % 251).unwrap_or(0)));
            }
        }
        println!(
            "{:>28}: {:.0} MiB/s, {:?} CPU here",
            format!("read {mib} MiB, {depth} deep"),
            mib as f64 / start.elapsed().as_secs_f64(),
            cpu() - cpu_before
        );
    }
    Ok(())
}
