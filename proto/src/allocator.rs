//! What the allocator has to know of this protocol: messages are up to 1 MiB long, and each is
//! allocated and freed.
//!
//! By default glibc gives such blocks back to the kernel at once and asks for them again, which costs a
//! page fault for each 4 KiB: a third of what it takes to move the bytes. It does so for what is larger
//! than a message from now on.

/// Blocks from this size on come from the kernel and go back to it: longer than any message.
const KERNEL_BYTES_FROM: libc::c_int = 4 << 20;
/// Free memory at the end of a heap that is not given back.
const FREE_BYTES_KEPT: libc::c_int = 16 << 20;
/// Heaps, each of which keeps memory of its own, that nobody else can use: as many as processors, within
/// these; by default there are eight for each processor.
const HEAPS: std::ops::RangeInclusive<usize> = 2..=4;

/// Sets the allocator up for messages. To be called once, when a program starts. Elsewhere than with
/// glibc it does nothing.
#[cfg_attr(target_env = "gnu", expect(unsafe_code, reason = "mallopt(3) has no safe wrapper"))]
pub fn expect_messages() {
    #[cfg(target_env = "gnu")]
    {
        let processors = std::thread::available_parallelism().map_or(*HEAPS.start(), std::num::NonZero::get);
        let heaps = libc::c_int::try_from(processors.clamp(*HEAPS.start(), *HEAPS.end())).unwrap_or(2);
        // SAFETY: mallopt(3) takes two numbers and only changes parameters of the allocator, under its own
        // lock. A value that is refused changes nothing.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, KERNEL_BYTES_FROM);
            libc::mallopt(libc::M_TRIM_THRESHOLD, FREE_BYTES_KEPT);
            libc::mallopt(libc::M_ARENA_MAX, heaps);
        }
    }
}
