//! How fast a volume's store is on this machine: `cargo run --release --example store_bench [DIR]`.
//!
//! Prints one line a figure. `DIR` (default: a temporary directory) should be on the disk in
//! question.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use holdfast_core::attr::Mode;
use holdfast_core::id::{InodeId, Seq, SessionId, StageId, VolumeId};
use holdfast_core::name::FileName;
use holdfast_core::op::{AllocateMode, Caller, LoggedOp, NewNode, Op, OpReply, WriteAt, WriteData};
use holdfast_core::range::ByteRange;
use holdfast_core::time::Timestamp;
use holdfast_core::volume::Quota;
use holdfast_server::meta::check::Bounds;
use holdfast_server::store::{ApplyContext, RootOwner, SessionInfo, SharedMemory, StagedData, Store, StoreOptions};

const NOW: Timestamp = Timestamp { secs: 1_700_000_000, nanos: 0 };
const SESSION: SessionId = SessionId([7; 16]);
const MIB: usize = 1 << 20;

struct Bench {
    store: Store,
    seq: Seq,
}

impl Bench {
    fn apply(&mut self, op: Op, staged: Option<StagedData>) -> Result<OpReply> {
        self.seq = self.seq.next();
        let op = LoggedOp { seq: self.seq, caller: Caller::default(), time: None, replay_of: None, op };
        let context = ApplyContext { now: NOW, quota: Quota::default(), is_open: &|_| false, staged, refused: None };
        let applied = self.store.apply(SESSION, &op, &context)?;
        self.store.confirm(SESSION, applied.seq)?;
        Ok(applied.result?)
    }

    fn create(&mut self, name: &str) -> Result<InodeId> {
        let name = FileName::new(name.to_owned())?;
        let node = NewNode::File { open: false };
        match self.apply(
            Op::Create { parent: InodeId::ROOT, name, node, mode: Mode::from_bits(0o644).into(), ino: None },
            None,
        )? {
            OpReply::Attr(attr) => Ok(attr.ino),
            other => bail!("a create answered {other:?}"),
        }
    }

    fn write(&mut self, ino: InodeId, offset: u64, data: &Bytes) -> Result<()> {
        let data = WriteData::Inline(data.clone());
        self.apply(Op::Write { ino, at: WriteAt::Offset(offset), data, kill_privileges: false }, None).map(drop)
    }

    fn write_staged(&mut self, ino: InodeId, offset: u64, data: &Bytes) -> Result<()> {
        let staged = self.store.stage(data.clone())?;
        let data = WriteData::Staged { stage: StageId(1), len: u32::try_from(data.len())? };
        self.apply(Op::Write { ino, at: WriteAt::Offset(offset), data, kill_privileges: false }, Some(staged)).map(drop)
    }
}

fn figure(what: &str, count: usize, unit: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    work()?;
    let seconds = start.elapsed().as_secs_f64();
    println!("{what:44} {:>12.0} {unit}/s", count as f64 / seconds);
    Ok(())
}

fn noise(len: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

fn run(dir: &Path) -> Result<()> {
    let root = RootOwner { uid: 0, gid: 0, mode: Mode::from_bits(0o755) };
    Store::create(dir, VolumeId([1; 16]), NOW, root)?;
    let options = StoreOptions {
        memory: SharedMemory::new(256 * MIB, 128 * MIB),
        disk_reserve_bytes: 0,
        segment_bytes_max: 256 << 20,
        engine_files_max: 256,
    };
    let mut bench = Bench { store: Store::open(dir, &options)?, seq: Seq(0) };
    let session = SessionInfo {
        id: SESSION,
        host: "bench".into(),
        pid: 1,
        program: "bench".into(),
        read_only: false,
        started: NOW,
    };
    bench.store.begin_session(session)?;

    let small = noise(4096);
    figure("create, commit every 1,000", 50_000, "op", || {
        for number in 0..50_000 {
            bench.create(&format!("file-{number}"))?;
            if number % 1000 == 999 {
                bench.store.commit()?;
            }
        }
        Ok(())
    })?;
    figure("lookup", 50_000, "op", || {
        (0..50_000).try_for_each(|number| {
            bench.store.lookup(InodeId::ROOT, &FileName::new(format!("file-{number}"))?)?;
            Ok(())
        })
    })?;
    let file = bench.create("small-writes")?;
    figure("4 KiB write at random, commit every 1,000", 20_000, "op", || {
        for number in 0..20_000_u64 {
            bench.write(file, number * 7919 % 20_000 * 4096, &small)?;
            if number % 1000 == 999 {
                bench.store.commit()?;
            }
        }
        Ok(())
    })?;
    figure("4 KiB read at random", 20_000, "op", || {
        for number in 0..20_000_u64 {
            let read = bench.store.read(file, number * 104_729 % 20_000 * 4096, 4096)?;
            if read.pieces.iter().map(|piece| piece.data.len()).sum::<usize>() != 4096 {
                bail!("a read came back short");
            }
        }
        Ok(())
    })?;
    figure("append 100 bytes, no commit", 20_000, "op", || {
        let log = bench.create("log")?;
        (0..20_000).try_for_each(|number| bench.write(log, number * 100, &small.slice(..100)))
    })?;
    figure("create, write 4 KiB, commit", 2_000, "commit", || {
        for number in 0..2_000 {
            let ino = bench.create(&format!("synced-{number}"))?;
            bench.write(ino, 0, &small)?;
            bench.store.commit()?;
        }
        Ok(())
    })?;

    let large = noise(MIB);
    figure("stage 1 MiB, page cache only, unused", 256, "MiB", || {
        (0..256).try_for_each(|_| bench.store.stage(large.clone()).map(drop))?;
        Ok(())
    })?;
    let big = bench.create("big")?;
    const BIG_MIB: usize = 1024;
    figure("stage and write 1 MiB, one commit at the end", BIG_MIB, "MiB", || {
        for block in 0..BIG_MIB as u64 {
            bench.write_staged(big, block << 20, &large)?;
        }
        bench.store.commit()?;
        Ok(())
    })?;
    figure("read 1 MiB in order", BIG_MIB, "MiB", || {
        for block in 0..BIG_MIB as u64 {
            let read = bench.store.read(big, block << 20, 1 << 20)?;
            if read.len as usize != MIB || read.pieces.len() != 16 {
                bail!("a read came back with {} bytes in {} pieces", read.len, read.pieces.len());
            }
        }
        Ok(())
    })?;
    let range = ByteRange::new(0, 1 << 40).context("a range")?;
    figure("reserve 1 TiB over it, then punch it out", 2, "op", || {
        bench.apply(Op::Allocate { ino: big, range, mode: AllocateMode::Reserve { keep_size: true } }, None)?;
        bench.apply(Op::Allocate { ino: big, range, mode: AllocateMode::PunchHole }, None)?;
        Ok(())
    })?;
    figure("check everything", 1, "volume", || {
        bench.store.commit()?;
        let findings = bench.store.check(Bounds::default(), &mut |_| Ok(()))?.findings;
        if findings.is_empty() { Ok(()) } else { bail!("the volume is damaged: {findings:?}") }
    })?;
    bench.store.close()?;
    figure("open again", 1, "op", || Store::open(dir, &options).map(drop).map_err(Into::into))
}

fn main() -> Result<()> {
    match std::env::args_os().nth(1) {
        Some(dir) => run(&Path::new(&dir).join("store-bench")),
        None => run(&tempfile::tempdir()?.path().join("store-bench")),
    }
}
