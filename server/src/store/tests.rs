//! The store as a whole: order, exactly once, crashes, damage, threads.

mod compact;
mod crash;
mod faults;
mod integrity;
mod random;
mod sessions;
mod threads;
