//! Reads through the disk cache: what the disk has of a read, and the rest from the server.
//!
//! The server says first what a range consists of, or has said so before and the lease on the file tells that
//! it is still so. Guarantee: what is put together is of that one version of the file; where the rest comes of
//! another one, all of it is read from the server.

use std::ops::Range;
use std::sync::Arc;

use futures::future::try_join_all;
use holdfast_client::{BlockMap, ReadData};
use holdfast_core::error::ErrorKind;
use holdfast_core::id::InodeId;

use super::{Outcome, Shared};
use crate::disk::{Batch, DiskCache};
use crate::errno;
use crate::memory::Blockwise;

mod plan;

use plan::Plan;

impl Shared {
    /// Bytes of a file, if the disk cache is of use for them; `None`: the server has to be asked for all.
    pub(super) async fn read_through_disk(
        &self,
        disk: &Arc<DiskCache>,
        ino: InodeId,
        offset: u64,
        len: u32,
    ) -> Outcome<Option<ReadData>> {
        if !disk.works() {
            return Ok(None);
        }
        let Some(map) = self.blocks(ino, (offset, len)).await? else { return Ok(None) };
        let Some(plan) = Plan::new(&map, offset, len) else { return Ok(None) };
        let found = plan.found(disk.read(plan.wanted()).await);
        let missing = plan.missing(&found);
        let reads = missing.iter().map(|(start, len)| self.session.read(ino, *start, *len));
        let rest = try_join_all(reads).await.map_err(|error| errno::answer(&error))?;
        let same = |(asked, data): (&(u64, u32), &ReadData)| {
            (data.data_version, data.epoch, data.len) == (map.data_version, map.epoch, asked.1)
        };
        if !missing.iter().zip(&rest).all(same) {
            return Ok(None);
        }
        for data in &rest {
            disk.keep(Batch { blocks: plan.whole(&found, data), weight: data.len as usize });
        }
        Ok(Some(plan.together(found, rest)))
    }

    /// What a range consists of, if it is of use to know that.
    async fn blocks(&self, ino: InodeId, range: (u64, u32)) -> Outcome<Option<BlockMap>> {
        let (mut asked, mut waited) = (self.memory.on_blocks_asked(), false);
        loop {
            match self.memory.blocks(ino, range, waited) {
                Blockwise::Known(map) => return Ok(Some(map)),
                Blockwise::Ask(range) => return self.ask_for_blocks(ino, range).await,
                Blockwise::Useless => return Ok(None),
                // The sender lives as long as the memory.
                Blockwise::Coming => _ = asked.changed().await,
            }
            waited = true;
        }
    }

    /// What a range consists of. That this cannot be told is no reason for a read to fail.
    async fn ask_for_blocks(&self, ino: InodeId, range: Range<u64>) -> Outcome<Option<BlockMap>> {
        let len = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
        let asking = self.memory.asking(ino, range.clone());
        let answer = self.session.blocks(ino, range.start, len).await;
        let answer = match answer {
            Ok(map) => {
                if let Some(map) = &map {
                    self.memory.has_heard_blocks(ino, map);
                }
                Ok(map)
            }
            Err(error) => match error.kind() {
                ErrorKind::Posix(_) | ErrorKind::Timeout => Err(errno::answer(&error)),
                _ => {
                    tracing::debug!(%ino, %error, "the blocks of a file cannot be asked for");
                    Ok(None)
                }
            },
        };
        drop(asking);
        answer
    }
}
