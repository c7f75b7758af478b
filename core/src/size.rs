//! Sizes as people write and read them.
