//! The `Data` service: bytes of files. What takes long is done where it keeps no other call waiting.

use bytes::Bytes;
use holdfast_core::error::{Error, ErrorKind};
use holdfast_core::hash::Framed;
use holdfast_core::id::{Epoch, StageId};
use holdfast_core::limits::{BLOCKS_RANGE_MAX, INLINE_BYTES_MAX, IO_BYTES_MAX};
use holdfast_proto::attr::inode;
use holdfast_proto::data::frame_hashes;
use holdfast_proto::metadata::session_of;
use holdfast_proto::v1;
use holdfast_proto::v1::data_server::Data;
use holdfast_proto::v1::{
    BlocksRequest, BlocksResponse, FileBeginning, RangeContent, ReadFilesRequest, ReadFilesResponse, ReadPiece,
    ReadRangesRequest, ReadRangesResponse, ReadRequest, ReadResponse, SeekRequest, SeekResponse, StageRequest,
    StageResponse,
};
use tonic::{Request, Response, Status};

use super::{Service, status};
use crate::config::invalid;
use crate::offload::in_place;
use crate::store::{BlocksResult, ReadResult};
use crate::volume::Thing;

/// Files whose beginnings are read at a time, at most.
const FILES_MAX: usize = 256;
/// Ranges that are read at a time, at most.
const RANGES_MAX: usize = 64;

#[tonic::async_trait]
impl Data for Service {
    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<ReadResponse>, Status> {
        let owner = self.reader(&request).await?;
        let ReadRequest { ino, offset, len } = request.into_inner();
        let ino = inode(ino).map_err(status)?;
        if len as usize > IO_BYTES_MAX {
            return Err(status(invalid(format!("a read of {len} bytes is too long; at most {IO_BYTES_MAX}"))));
        }
        let read = || owner.store().read(ino, offset, len);
        let read = if len as usize > INLINE_BYTES_MAX { in_place(read) } else { read() }.map_err(status)?;
        owner.settled(&[Thing::Inode(ino)]).await?;
        Ok(Response::new(to_wire(owner.store().epoch(), read)))
    }

    async fn read_files(&self, request: Request<ReadFilesRequest>) -> Result<Response<ReadFilesResponse>, Status> {
        let owner = self.reader(&request).await?;
        let ReadFilesRequest { inos, len } = request.into_inner();
        if inos.len() > FILES_MAX || len as usize > IO_BYTES_MAX {
            return Err(status(invalid(format!(
                "{len} bytes of each of {} files are too much; at most {IO_BYTES_MAX} of {FILES_MAX}",
                inos.len()
            ))));
        }
        let inos = inos.into_iter().map(inode).collect::<Result<Vec<_>, _>>().map_err(status)?;
        let files = in_place(|| {
            let mut room = u32::try_from(IO_BYTES_MAX).unwrap_or(u32::MAX);
            let mut files = Vec::with_capacity(inos.len());
            for ino in inos {
                // A file that is gone is left out; so is a damaged one, which the log names.
                let Ok(read) = owner.store().read(ino, 0, len.min(room)) else { continue };
                // Nobody waits for what is read ahead.
                if !owner.may_show(ino) {
                    continue;
                }
                // One that was cut short for want of room would only look like its beginning.
                if read.len < len && u64::from(read.len) < read.size {
                    break;
                }
                room -= read.len;
                files.push(FileBeginning { ino: ino.0, content: Some(to_wire(owner.store().epoch(), read)) });
            }
            files
        });
        Ok(Response::new(ReadFilesResponse { files }))
    }

    async fn read_ranges(&self, request: Request<ReadRangesRequest>) -> Result<Response<ReadRangesResponse>, Status> {
        let owner = self.reader(&request).await?;
        let ReadRangesRequest { ranges } = request.into_inner();
        let bytes: usize = ranges.iter().map(|range| range.len as usize).sum();
        let fits = ranges.iter().all(|range| range.len as usize <= INLINE_BYTES_MAX);
        if ranges.len() > RANGES_MAX || bytes > IO_BYTES_MAX || !fits {
            return Err(status(invalid(format!(
                "{bytes} bytes of {} ranges are too much; at most {RANGES_MAX} of {INLINE_BYTES_MAX}, and \
                 {IO_BYTES_MAX} together",
                ranges.len()
            ))));
        }
        let range = |range: ReadRequest| Ok((inode(range.ino)?, range.offset, range.len));
        let ranges = ranges.into_iter().map(range).collect::<Result<Vec<_>, _>>().map_err(status)?;
        let read = in_place(|| owner.store().read_ranges(&ranges));
        let things: Vec<Thing> = ranges.iter().map(|&(ino, ..)| Thing::Inode(ino)).collect();
        owner.settled(&things).await?;
        let content = |(index, read): (u32, Result<ReadResult, Error>)| {
            read.ok().map(|read| RangeContent { index, content: Some(to_wire(owner.store().epoch(), read)) })
        };
        Ok(Response::new(ReadRangesResponse { contents: (0..).zip(read).filter_map(content).collect() }))
    }

    async fn blocks(&self, request: Request<BlocksRequest>) -> Result<Response<BlocksResponse>, Status> {
        let owner = self.reader(&request).await?;
        let BlocksRequest { ino, offset, len } = request.into_inner();
        let ino = inode(ino).map_err(status)?;
        if len as usize > BLOCKS_RANGE_MAX {
            return Err(status(invalid(format!(
                "the blocks of {len} bytes are too many; ask for those of at most {BLOCKS_RANGE_MAX}"
            ))));
        }
        let BlocksResult { blocks, len, size, data_version } =
            in_place(|| owner.store().blocks(ino, offset, len)).map_err(status)?;
        owner.settled(&[Thing::Inode(ino)]).await?;
        let blocks = blocks.into_iter().map(|block| v1::Block {
            offset: block.offset,
            len: block.len,
            blake3: block.hash.map_or_else(Bytes::new, |hash| Bytes::copy_from_slice(&hash.0)),
        });
        let epoch = owner.store().epoch().0;
        let blocks = blocks.collect();
        Ok(Response::new(BlocksResponse { blocks, len, size, data_version: data_version.0, epoch }))
    }

    async fn stage(&self, request: Request<StageRequest>) -> Result<Response<StageResponse>, Status> {
        // Not `reader`: a session stages again what it had while the volume is still recovering.
        let session = session_of(request.metadata()).map_err(status)?;
        let owner = self.registry.shared().directory.find(session).map_err(status)?;
        let StageRequest { stage_id, data, blake3 } = request.into_inner();
        if stage_id == 0 || !(1..=IO_BYTES_MAX).contains(&data.len()) {
            return Err(status(invalid(format!(
                "stage {stage_id} of {} bytes; a stage has a number from 1 and 1 to {IO_BYTES_MAX} bytes",
                data.len()
            ))));
        }
        let hashes = frame_hashes(&blake3).map_err(status)?;
        // The kernel may make us wait here, when it has too much to write.
        let staged = in_place(|| {
            let framed = Framed::verified(data, hashes).ok_or_else(|| {
                let message = format!("the data of stage {stage_id} does not match its checksums; send it again");
                Error::new(ErrorKind::Damaged, message)
            })?;
            owner.stage(session, StageId(stage_id), framed)
        });
        staged.map_err(status)?;
        Ok(Response::new(StageResponse {}))
    }

    async fn seek(&self, request: Request<SeekRequest>) -> Result<Response<SeekResponse>, Status> {
        let owner = self.reader(&request).await?;
        let SeekRequest { ino, offset, hole } = request.into_inner();
        let ino = inode(ino).map_err(status)?;
        let offset = owner.store().seek(ino, offset, hole).map_err(status)?;
        owner.settled(&[Thing::Inode(ino)]).await?;
        Ok(Response::new(SeekResponse { offset }))
    }
}

fn to_wire(epoch: Epoch, read: ReadResult) -> ReadResponse {
    let pieces = read.pieces.into_iter().map(|piece| ReadPiece {
        offset: piece.offset,
        data: piece.data,
        blake3: Bytes::copy_from_slice(&piece.hash.0),
    });
    ReadResponse {
        pieces: pieces.collect(),
        len: read.len,
        size: read.size,
        data_version: read.data_version.0,
        epoch: epoch.0,
    }
}
