//! Clocks and randomness of a thread that simulates.
//!
//! Takes the place of three functions of libc in this program. On a thread that simulates, `getrandom` gives
//! numbers from the seed, so that hash maps have one order, session ids and jitter one value; `clock_gettime`
//! tells the time of the simulation, which stands still while anything is done; and the process has one number.
//! All other threads get what the kernel says.
#![expect(unsafe_code, reason = "libc's functions are C")]

use std::cell::Cell;
use std::thread;

use holdfast_tests::random::Random;
use tokio::runtime::Builder;
use tokio::time::Instant;

/// Memory of a thread that simulates, in bytes: futures of this depth are large without optimizations.
const STACK_BYTES: usize = 8 << 20;
/// What the clocks say when a simulation begins, in seconds.
const BOOT_SECS: i64 = 1_000;
const WALL_SECS: i64 = 1_800_000_000;
/// The number of the process, which sessions tell.
const PID: libc::pid_t = 4_000;

thread_local! {
    static RANDOM: Cell<Option<u64>> = const { Cell::new(None) };
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs a simulation on a thread and a runtime of its own, with randomness from a seed and a time that jumps
/// to the next thing that waits as soon as there is nothing else to do.
///
/// # Panics
/// When the simulation does.
pub(crate) fn simulate<T: Send + 'static, F: Future<Output = T>>(
    seed: u64,
    simulation: impl FnOnce() -> F + Send + 'static,
) -> T {
    let run = move || {
        RANDOM.set(Some(seed));
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let result = runtime.block_on(async {
            BEGUN.set(Some(Instant::now()));
            simulation().await
        });
        BEGUN.set(None);
        drop(runtime);
        RANDOM.set(None);
        result
    };
    let thread = thread::Builder::new().name(format!("seed-{seed}")).stack_size(STACK_BYTES);
    thread.spawn(run).unwrap().join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Fills a buffer from the thread's seed; `None`: it has none.
fn fill(buffer: &mut [u8]) -> Option<()> {
    let mut random = Random::new(RANDOM.try_with(Cell::get).ok().flatten()?);
    for bytes in buffer.chunks_mut(8) {
        let next = random.bits();
        bytes.copy_from_slice(&next.to_le_bytes()[..bytes.len()]);
        RANDOM.set(Some(next));
    }
    Some(())
}

/// The time of the thread's simulation since its beginning; `None`: it has none.
fn simulated() -> Option<std::time::Duration> {
    // While the clock of the runtime is asked, which may ask the machine's, there is none.
    let begun = BEGUN.try_with(Cell::take).ok().flatten()?;
    let now = Instant::now();
    BEGUN.set(Some(begun));
    Some(now.duration_since(begun))
}

/// getrandom(2).
///
/// # Safety
/// `buffer` has room for `len` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut libc::c_void, len: usize, flags: libc::c_uint) -> isize {
    // SAFETY: the caller gives a buffer of this length.
    let bytes = (!buffer.is_null()).then(|| unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len) });
    match bytes.and_then(fill) {
        Some(()) => len.cast_signed(),
        // SAFETY: what was given is passed on.
        None => to_isize(unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) }),
    }
}

/// clock_gettime(2).
///
/// # Safety
/// `time` is a place for a time.
#[unsafe(no_mangle)]
unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    let begins = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => Some(WALL_SECS),
        libc::CLOCK_MONOTONIC | libc::CLOCK_MONOTONIC_COARSE | libc::CLOCK_BOOTTIME => Some(BOOT_SECS),
        _ => None,
    };
    match begins.and_then(|begins| Some((begins, simulated()?))) {
        Some((begins, since)) => {
            let tv_sec = begins + since.as_secs().cast_signed();
            let now = libc::timespec { tv_sec, tv_nsec: i64::from(since.subsec_nanos()) };
            // SAFETY: the caller gives a place for a time.
            unsafe { time.write(now) };
            0
        }
        // SAFETY: what was given is passed on.
        None => to_int(unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) }),
    }
}

/// getpid(2).
#[unsafe(no_mangle)]
extern "C" fn getpid() -> libc::pid_t {
    if RANDOM.try_with(Cell::get).ok().flatten().is_some() {
        return PID;
    }
    // SAFETY: it has no arguments, and always succeeds.
    to_int(unsafe { libc::syscall(libc::SYS_getpid) })
}

/// What a system call gave, which has the size of what its function gives.
fn to_int(given: libc::c_long) -> libc::c_int {
    given.try_into().unwrap_or(-1)
}

fn to_isize(given: libc::c_long) -> isize {
    given.try_into().unwrap_or(-1)
}
