//! The chapters of the demo, in order.

use std::time::Duration;

use holdfast_core::size::ByteSize;
use serde_json::Value;
use tokio::try_join;

use super::account::{Account, seconds};
use super::audit::{append_script, audit_log, audit_turns, turns_script};
use super::container::{Answer, Container, VOLUME_PATH};
use super::input::{self, Input, LISTING};
use super::program::{LONG, SHORT};
use super::world::{VOLUME, World};
use super::{Plan, rootfs};
use crate::failure::{During, Failure, Result};

/// Inodes that the volume may hold beside the input's.
const SPARE_INODES: u64 = 10_000;

/// Values that are written on one host and read on the other.
const EXCHANGES: u32 = 40;

/// What the volume held before the restart.
struct Before {
    log: String,
    turns: String,
    usage: Value,
}

/// Tells it all.
///
/// # Errors
/// Something that had to work did not. Differences are noted in the account, and are no error here.
pub(super) async fn tell(world: &mut World, plan: &Plan, account: &mut Account<'_>) -> Result<()> {
    let input = prepare(world, plan, account).await?;
    build(world, &input, account).await?;
    share(world, &input, account).await?;
    see_at_once(world, account).await?;
    let log = append_together(world, plan, account).await?;
    let turns = take_turns(world, plan, account).await?;
    fill_up(world, &input, account).await?;
    let before = Before { log, turns, usage: usage(world).await? };
    restart(world, account).await?;
    verify_again(world, &input, plan, &before, account).await?;
    account
        .step("Everything is stopped in order.", async {
            world.stop_containers().await?;
            world.stop_server().await?;
            Ok(((), String::new()))
        })
        .await
}

async fn prepare(world: &World, plan: &Plan, account: &mut Account<'_>) -> Result<Input> {
    let verbosity = world.verbosity;
    account
        .step("Real input: a source tree made of what this machine has.", async {
            for index in 0..2 {
                rootfs::make(&world.rootfs(index), &world.tools, verbosity).await?;
            }
            let wanted = u64::from(plan.files);
            let input = input::make(world.scratch.path(), wanted, verbosity).await?;
            for index in 0..2 {
                rootfs::add_input(&world.rootfs(index), &input.manifest)?;
            }
            rootfs::add_input(&world.rootfs(0), &input.archive)?;
            let text = format!(
                "{} files, {}, from {}; the local disk unpacks them in {}",
                input.files,
                ByteSize(input.bytes),
                input.origins.join(" and "),
                seconds(input.local_unpack)
            );
            Ok((input, text))
        })
        .await
}

async fn build(world: &mut World, input: &Input, account: &mut Account<'_>) -> Result<()> {
    account
        .step("Three hosts on a private network, each with its own mounts and processes.", async {
            world.make_hosts().await?;
            Ok(((), world.addresses()))
        })
        .await?;
    account
        .step("A private certificate authority and a storage server that insists on it.", async {
            world.make_certificates().await?;
            world.start_server().await?;
            let status = world.holdfast(Some(0), &["status", "--json"]).await?;
            let status: Value = parse_json(&status)?;
            let server = &status["server"];
            let version = server["version"].as_str().unwrap_or("?");
            Ok((
                (),
                format!("holdfastd {version} at {}, TLS with certificates on both sides", text(&server["address"])),
            ))
        })
        .await?;
    // Twice the input, so that filling it up takes little time.
    let size = (input.bytes * 2 + (64 << 20)).to_string();
    let inodes = (input.files * 2 + SPARE_INODES).to_string();
    account
        .step("A volume with a quota.", async {
            let arguments = ["volume", "create", VOLUME, "--size", &size, "--inodes", &inodes, "--label", "for=demo"];
            let told = world.holdfast(Some(1), &arguments).await?;
            Ok(((), told.trim().to_owned()))
        })
        .await?;
    account
        .step("A container on each host, with the volume in it (holdfast run, holdfast-runtime, runc).", async {
            world.start_containers().await?;
            let (a, b) = world.containers()?;
            let who = format!("echo $(hostname), process $$, {VOLUME_PATH} is $(grep ' {VOLUME_PATH} ' /proc/mounts | cut -d ' ' -f 1,3)");
            let (a, b) = try_join!(a.sh(&who, SHORT), b.sh(&who, SHORT))?;
            Ok(((), format!("{}\n{}", a.output.trim(), b.output.trim())))
        })
        .await
}

async fn share(world: &mut World, input: &Input, account: &mut Account<'_>) -> Result<()> {
    let (a, b) = world.containers()?;
    account
        .step("Container A unpacks the tree into the volume.", async {
            let script = format!("mkdir {VOLUME_PATH}/tree && /bin/tar -xf /input/source.tar -C {VOLUME_PATH}/tree");
            let took = a.sh(&script, LONG).await?.took;
            let text = format!(
                "{} files in {} ({:.0} files/s, {}/s)",
                input.files,
                seconds(took),
                rate(input.files, took),
                per_second(input.bytes, took)
            );
            Ok(((), text))
        })
        .await?;
    let seen = account
        .step("Container B sees it, and compares the content of every file.", async {
            let seen = look(b).await?;
            let text = format!(
                "{} hashes right in {} ({}/s)",
                seen.right,
                seconds(seen.hashing.took),
                per_second(input.bytes, seen.hashing.took)
            );
            Ok((seen, text))
        })
        .await?;
    check_tree(account, "B", input, &seen);
    Ok(())
}

/// What a container sees of the tree.
struct Seen {
    right: u64,
    wrong: u64,
    listing: String,
    hashing: Answer,
}

async fn look(container: &mut Container) -> Result<Seen> {
    // The count of failures comes from sha256sum's own words, so a missing file counts too.
    let script = format!("cd {VOLUME_PATH}/tree && sha256sum -c /input/manifest || true");
    let hashing = container.sh(&script, LONG).await?;
    let right = hashing.output.lines().filter(|line| line.ends_with(": OK")).count() as u64;
    let wrong = hashing.output.lines().filter(|line| line.ends_with(": FAILED")).count() as u64;
    let listing = container.sh(&format!("cd {VOLUME_PATH}/tree && {LISTING}"), LONG).await?.output;
    Ok(Seen { right, wrong, listing, hashing })
}

fn check_tree(account: &mut Account<'_>, who: &str, input: &Input, seen: &Seen) {
    account.check(
        &format!("{who}: files with the right SHA-256, with a wrong one"),
        format!("{} 0", input.files),
        format!("{} {}", seen.right, seen.wrong),
    );
    let expected: Vec<&str> = input.listing.lines().collect();
    let found: Vec<&str> = seen.listing.lines().collect();
    let same = found.iter().filter(|line| expected.binary_search(line).is_ok()).count();
    let what = format!("{who}: lines of find -printf (names, modes, owners, sizes, times, links)");
    let ok = expected == found;
    account.judge(
        &what,
        ok,
        expected.len().to_string(),
        if found.len() == same { same.to_string() } else { format!("{same} of {}", found.len()) },
    );
    let missing = expected.iter().filter(|line| found.binary_search(line).is_err());
    let unexpected = found.iter().filter(|line| expected.binary_search(line).is_err());
    for (word, line) in
        missing.take(3).map(|line| ("missing", line)).chain(unexpected.take(3).map(|line| ("instead", line)))
    {
        account.remark(&format!("{word}: {line}"));
    }
}

async fn see_at_once(world: &mut World, account: &mut Account<'_>) -> Result<()> {
    let (a, b) = world.containers()?;
    let seen = account
        .step("One writes, the other reads at once: a new value each time, back and forth.", async {
            let (mut seen, mut slowest) = (0, Duration::ZERO);
            for round in 0..EXCHANGES {
                let (writer, reader) = if round % 2 == 0 { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
                writer.sh(&format!("echo {round} > {VOLUME_PATH}/value"), SHORT).await?;
                let read = reader.sh(&format!("cat {VOLUME_PATH}/value"), SHORT).await?;
                seen += u32::from(read.output.trim() == round.to_string());
                slowest = slowest.max(read.took);
            }
            Ok((seen, format!("{seen} of {EXCHANGES} seen; the slowest read took {}", seconds(slowest))))
        })
        .await?;
    account.check("values that the other host sees at once", EXCHANGES, seen);
    Ok(())
}

async fn append_together(world: &mut World, plan: &Plan, account: &mut Account<'_>) -> Result<String> {
    let (a, b) = world.containers()?;
    let file = format!("{VOLUME_PATH}/shared.log");
    let go = format!("{VOLUME_PATH}/go");
    let waiting = format!("until [ -e {go} ]; do usleep 1000; done; ");
    let log = account
        .step("Both append to one log at the same time, an open and a write a line.", async {
            let script_a = format!("sleep 0.2; : > {go}; {}", append_script('a', plan.lines, &file));
            let script_b = waiting + &append_script('b', plan.lines, &file);
            let (of_a, of_b) = try_join!(a.sh(&script_a, LONG), b.sh(&script_b, LONG))?;
            let took = of_a.took.max(of_b.took);
            let log = b.sh(&format!("cat {file}"), SHORT).await?.output;
            let audit = audit_log(&log, ['a', 'b'], plan.lines);
            let lines = u64::from(plan.lines) * 2;
            let text = format!(
                "{lines} lines in {} ({:.0} lines/s); the writer changed {} times",
                seconds(took),
                rate(lines, took),
                audit.switches
            );
            Ok((log, text))
        })
        .await?;
    let audit = audit_log(&log, ['a', 'b'], plan.lines);
    let lines = u64::from(plan.lines) * 2;
    account.check("log: whole lines", lines, audit.whole);
    let bad = format!("{} {} {} {}", audit.lost, audit.torn, audit.doubled, audit.disordered);
    account.judge("log: lost, torn, doubled, out of order", audit.is_clean(), "0 0 0 0".into(), bad);
    let seen_by_a = a.sh(&format!("cat {file}"), SHORT).await?.output;
    account.judge("log: A and B read the same bytes", seen_by_a == log, digest(&log), digest(&seen_by_a));
    Ok(log)
}

async fn take_turns(world: &mut World, plan: &Plan, account: &mut Account<'_>) -> Result<String> {
    let (a, b) = world.containers()?;
    let dir = format!("{VOLUME_PATH}/turns");
    let total = u64::from(plan.turns) * 2;
    let (counter, notes) = account
        .step("They take turns under flock(2): read a counter, raise it, write it, note it.", async {
            a.sh(&format!("mkdir {dir} && cd {dir} && echo 0 > counter && : > lock && : > turns"), SHORT).await?;
            let (script_a, script_b) = (turns_script('a', plan.turns, &dir), turns_script('b', plan.turns, &dir));
            let (of_a, of_b) = try_join!(a.sh(&script_a, LONG), b.sh(&script_b, LONG))?;
            let took = of_a.took.max(of_b.took);
            let counter = a.sh(&format!("cat {dir}/counter"), SHORT).await?.output.trim().to_owned();
            let notes = b.sh(&format!("cat {dir}/turns"), SHORT).await?.output;
            let switches = audit_turns(&notes).switches;
            let text = format!("{total} turns in {}; the lock changed hosts {switches} times", seconds(took));
            Ok(((counter, notes), text))
        })
        .await?;
    let audit = audit_turns(&notes);
    account.check("lock: the counter", total.to_string(), counter);
    account.judge(
        "lock: turns noted, and in order",
        audit.noted == total && audit.in_order == total,
        format!("{total} {total}"),
        format!("{} {}", audit.noted, audit.in_order),
    );
    Ok(notes)
}

async fn fill_up(world: &mut World, input: &Input, account: &mut Account<'_>) -> Result<()> {
    let used_before = used_bytes(&usage(world).await?)?;
    let mebibytes = (input.bytes * 2 + (128 << 20)) >> 20;
    let (_, b) = world.containers()?;
    let told = account
        .step("Container B writes more than fits, and deletes it again.", async {
            // Who asks for the room that is left hears of it when the server has the deletion.
            let script = format!(
                "cd {VOLUME_PATH}; dd if=/dev/zero of=too-big bs=1048576 count={mebibytes} 2>&1; \
                stat -c %s too-big; rm too-big; df . > /dev/null"
            );
            let answer = b.sh(&script, LONG).await?;
            let refusal = answer.output.lines().find(|line| line.contains("too-big")).unwrap_or("no error").to_owned();
            let size = answer.output.lines().last().and_then(|line| line.trim().parse::<u64>().ok()).unwrap_or(0);
            let text = format!("refused after {} with: {refusal}", ByteSize(size));
            Ok((refusal, text))
        })
        .await?;
    let refused = told.contains("No space left on device") || told.contains("quota");
    account.judge("quota: more than fits is refused", refused, "no space".into(), short_refusal(&told));
    let used_after = used_bytes(&usage(world).await?)?;
    account.check("quota: bytes used after the deletion", used_before, used_after);
    Ok(())
}

async fn restart(world: &mut World, account: &mut Account<'_>) -> Result<()> {
    let mounts = account
        .step("Both containers are stopped, the server is killed with SIGKILL.", async {
            world.stop_containers().await?;
            let mounts = world.mounts_on(0).await? + world.mounts_on(1).await?;
            world.kill_server().await?;
            Ok((mounts, "containers gone, server gone".into()))
        })
        .await?;
    account.check("mounts left on the hosts without containers", 0, mounts);
    account
        .step("The server is started again, and new containers on both hosts.", async {
            world.start_server().await?;
            world.start_containers().await?;
            Ok(((), world.addresses()))
        })
        .await
}

async fn verify_again(
    world: &mut World,
    input: &Input,
    plan: &Plan,
    before: &Before,
    account: &mut Account<'_>,
) -> Result<()> {
    let usage_after = usage(world).await?;
    let (a, b) = world.containers()?;
    let (seen_a, seen_b, log, turns, counter, entries) = account
        .step("Both read all of it again.", async {
            let (seen_a, seen_b) = try_join!(look(a), look(b))?;
            let log = a.sh(&format!("cat {VOLUME_PATH}/shared.log"), SHORT).await?.output;
            let turns = b.sh(&format!("cat {VOLUME_PATH}/turns/turns"), SHORT).await?.output;
            let counter = b.sh(&format!("cat {VOLUME_PATH}/turns/counter"), SHORT).await?.output;
            let entries =
                a.sh(&format!("find {VOLUME_PATH} -exec stat -c %i {{}} + | sort -u | wc -l"), LONG).await?.output;
            let both = input.files * 2;
            let took = seen_a.hashing.took.max(seen_b.hashing.took);
            let text = format!("{both} hashes right in {} ({:.0} files/s)", seconds(took), rate(both, took));
            Ok(((seen_a, seen_b, log, turns, counter, entries), text))
        })
        .await?;
    check_tree(account, "A again", input, &seen_a);
    check_tree(account, "B again", input, &seen_b);
    account.judge("again: the log", log == before.log, digest(&before.log), digest(&log));
    account.judge("again: the notes of turns", turns == before.turns, digest(&before.turns), digest(&turns));
    account.check("again: the counter", (plan.turns * 2).to_string(), counter.trim().to_owned());
    account.check("again: bytes that the volume counts", used_bytes(&before.usage)?, used_bytes(&usage_after)?);
    let inodes = usage_after["used_inodes"].as_u64().unwrap_or(0);
    let expected = entries.trim().parse::<u64>().unwrap_or(0);
    account.check("again: inodes found, inodes that the volume counts", expected, inodes);
    Ok(())
}

async fn usage(world: &World) -> Result<Value> {
    parse_json(&world.holdfast(Some(0), &["volume", "show", VOLUME, "--json"]).await?)
}

fn used_bytes(volume: &Value) -> Result<u64> {
    volume["used_bytes"].as_u64().ok_or_else(|| Failure::new("`holdfast volume show --json` names no used_bytes"))
}

fn parse_json(json: &str) -> Result<Value> {
    serde_json::from_str(json).during(|| "read what holdfast printed with --json".into())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn short_refusal(line: &str) -> String {
    if line.contains("No space left on device") {
        "no space".into()
    } else {
        line.rsplit(": ").next().unwrap_or(line).into()
    }
}

/// A short name for a text, to tell two apart in the table.
fn digest(text: &str) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("{:08x}", hasher.finish() >> 32)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rate(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-6)
}

fn per_second(bytes: u64, took: Duration) -> ByteSize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure for people")]
    ByteSize(rate(bytes, took) as u64)
}
