//! Mappings: they live on after their handle is closed, and see what others write.

use std::os::fd::AsFd as _;

use super::data::fill;
use super::{Facts, Process, Stop};
use crate::call::Call;
use crate::outcome::Value;
use crate::sys::Mapping;
use crate::word::MapKind;

impl Process {
    pub(super) fn maps(&mut self, call: &Call) -> Facts {
        match call {
            Call::Map { slot, map, kind, offset, len } => {
                let handle = self.handle(*slot)?;
                let (write, shared) = match kind {
                    MapKind::SharedRead => (false, true),
                    MapKind::Shared => (true, true),
                    MapKind::Private => (true, false),
                };
                let mapping = Mapping::new(handle.fd.as_fd(), *offset, *len, write, shared)?;
                self.maps[usize::from(map.0)] = Some(mapping);
                Ok(Vec::new())
            }
            Call::MapRead { map, at, len } => Ok(vec![("bytes", Value::bytes(self.map(*map)?.read(*at, *len)?))]),
            Call::MapWrite { map, at, len, seed } => {
                let mapping = self.map(*map)?;
                let written = mapping.write(*at, &fill(*seed, *len))?;
                mapping.sync()?;
                Ok(vec![("count", Value::number(written))])
            }
            Call::Unmap { map } => {
                self.maps[usize::from(map.0)].take().map(|_| Vec::new()).ok_or(Stop::Skipped("no such mapping"))
            }
            _ => Err(Stop::Skipped("not about mappings")),
        }
    }
}
