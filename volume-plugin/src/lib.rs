//! The host's side of Holdfast: who uses which volume on this machine.
//!
//! This crate never knows about container runtimes, and never talks to a server: mounting is the
//! work of a process of its own, which outlives whoever asked for it.

pub mod agent;
