//! Operations by family, on a volume in memory; every test ends with a check of the whole volume.

mod access;
mod attributes;
mod content;
mod foretold;
mod names;
mod rename;
mod space;
