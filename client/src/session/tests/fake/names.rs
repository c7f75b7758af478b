//! What the fake says of names and attributes.

use bytes::Bytes;
use holdfast_proto::error::to_status;
use holdfast_proto::v1;
use holdfast_proto::v1::namespace_server::Namespace;
use tonic::{Request, Response, Status};

use super::{Service, attr};

#[tonic::async_trait]
impl Namespace for Service {
    async fn lookup(&self, request: Request<v1::LookupRequest>) -> Result<Response<v1::LookupResponse>, Status> {
        self.session(&request)?;
        match &request.get_ref().name[..] {
            b"none" => Err(to_status(&holdfast_core::error::PosixError::NoEntry.into())),
            _ => Ok(Response::new(v1::LookupResponse { attr: Some(attr(9)) })),
        }
    }

    async fn get_attr(&self, request: Request<v1::GetAttrRequest>) -> Result<Response<v1::GetAttrResponse>, Status> {
        self.session(&request)?;
        let ino = request.get_ref().ino;
        // Inode 66 is answered with another one's attributes.
        Ok(Response::new(v1::GetAttrResponse { attr: Some(attr(if ino == 66 { 67 } else { ino })) }))
    }

    /// The name of the one entry is what the directory's number, as bytes, says.
    async fn read_dir(&self, request: Request<v1::ReadDirRequest>) -> Result<Response<v1::ReadDirResponse>, Status> {
        self.session(&request)?;
        let name = match request.get_ref().ino {
            2 => Bytes::from_static(b"../../etc/passwd"),
            3 => Bytes::from_static(b".."),
            4 => Bytes::from(vec![b'n'; 256]),
            _ => Bytes::from_static(b"plain"),
        };
        let entry = v1::DirEntry { name, ino: 9, kind: v1::FileKind::Regular.into(), cookie: 1, attr: None };
        Ok(Response::new(v1::ReadDirResponse { entries: vec![entry], end: true, parent: 1 }))
    }

    async fn read_link(&self, request: Request<v1::ReadLinkRequest>) -> Result<Response<v1::ReadLinkResponse>, Status> {
        self.session(&request)?;
        Ok(Response::new(v1::ReadLinkResponse { target: Bytes::from_static(b"target") }))
    }

    async fn get_xattr(&self, request: Request<v1::GetXattrRequest>) -> Result<Response<v1::GetXattrResponse>, Status> {
        self.session(&request)?;
        Ok(Response::new(v1::GetXattrResponse { value: Bytes::from_static(b"value") }))
    }

    async fn list_xattr(
        &self,
        request: Request<v1::ListXattrRequest>,
    ) -> Result<Response<v1::ListXattrResponse>, Status> {
        self.session(&request)?;
        Ok(Response::new(v1::ListXattrResponse { names: vec![Bytes::from_static(b"user.a")] }))
    }

    async fn stat_fs(&self, request: Request<v1::StatFsRequest>) -> Result<Response<v1::StatFsResponse>, Status> {
        self.session(&request)?;
        Ok(Response::new(v1::StatFsResponse { bytes_total: 10, bytes_free: 5, inodes_total: 4, inodes_free: 2 }))
    }
}
