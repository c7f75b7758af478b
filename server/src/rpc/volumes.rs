//! The `Volumes` service.

use holdfast_core::volume::Quota;
use holdfast_proto::v1::volumes_server::Volumes;
use holdfast_proto::v1::{
    CreateVolumeRequest, CreateVolumeResponse, DeleteVolumeRequest, DeleteVolumeResponse, ExpandVolumeRequest,
    ExpandVolumeResponse, GetServerRequest, GetServerResponse, GetVolumeRequest, GetVolumeResponse, ListVolumesRequest,
    ListVolumesResponse,
};
use holdfast_proto::version::{PROTOCOL_NEWEST, PROTOCOL_OLDEST};
use holdfast_proto::volume::{ServerInfo, required, volume_name};
use tonic::{Request, Response, Status};

use super::{Service, status};
use crate::config::invalid;
use crate::data_dir::cannot;
use crate::offload::blocking;

#[tonic::async_trait]
impl Volumes for Service {
    async fn create_volume(
        &self,
        request: Request<CreateVolumeRequest>,
    ) -> Result<Response<CreateVolumeResponse>, Status> {
        let spec = request.into_inner().spec.ok_or_else(|| status(invalid("the request describes no volume")))?;
        let (info, created) = self.registry.create(spec.try_into().map_err(status)?).await.map_err(status)?;
        Ok(Response::new(CreateVolumeResponse { volume: Some((&info).into()), created }))
    }

    async fn get_volume(&self, request: Request<GetVolumeRequest>) -> Result<Response<GetVolumeResponse>, Status> {
        let volume = required(request.into_inner().volume).map_err(status)?;
        let info = self.registry.get(&volume).map_err(status)?;
        Ok(Response::new(GetVolumeResponse { volume: Some((&info).into()) }))
    }

    async fn list_volumes(
        &self,
        request: Request<ListVolumesRequest>,
    ) -> Result<Response<ListVolumesResponse>, Status> {
        let ListVolumesRequest { page_size, page_token } = request.into_inner();
        let after = match page_token.as_str() {
            "" => None,
            token => Some(volume_name(token).map_err(|_| status(invalid("the page token is none of this server's")))?),
        };
        let page_size = usize::try_from(page_size).unwrap_or(usize::MAX);
        let (infos, next) = self.registry.list(page_size, after.as_ref());
        let next_page_token = next.map(|name| name.to_string()).unwrap_or_default();
        Ok(Response::new(ListVolumesResponse { volumes: infos.iter().map(Into::into).collect(), next_page_token }))
    }

    async fn delete_volume(
        &self,
        request: Request<DeleteVolumeRequest>,
    ) -> Result<Response<DeleteVolumeResponse>, Status> {
        let DeleteVolumeRequest { volume, force } = request.into_inner();
        let volume = required(volume).map_err(status)?;
        self.registry.delete(&volume, force).await.map_err(status)?;
        Ok(Response::new(DeleteVolumeResponse {}))
    }

    async fn expand_volume(
        &self,
        request: Request<ExpandVolumeRequest>,
    ) -> Result<Response<ExpandVolumeResponse>, Status> {
        let ExpandVolumeRequest { volume, quota } = request.into_inner();
        let volume = required(volume).map_err(status)?;
        let quota = Quota::try_from(quota.unwrap_or_default()).map_err(status)?;
        let info = self.registry.expand(&volume, quota).await.map_err(status)?;
        Ok(Response::new(ExpandVolumeResponse { volume: Some((&info).into()) }))
    }

    async fn get_server(&self, _request: Request<GetServerRequest>) -> Result<Response<GetServerResponse>, Status> {
        let data = self.registry.data().to_owned();
        let disk = blocking(move || {
            nix::sys::statvfs::statvfs(&data).map_err(|error| cannot("look at the disk of", &data, error.into()))
        });
        let disk = disk.await.map_err(status)?;
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let info = ServerInfo {
            version: crate::VERSION.to_owned(),
            protocol: PROTOCOL_NEWEST,
            protocol_oldest: PROTOCOL_OLDEST,
            started: self.info.started,
            disk_bytes_total: disk.blocks().saturating_mul(disk.fragment_size()),
            disk_bytes_free: disk.blocks_available().saturating_mul(disk.fragment_size()),
            volumes: count(self.registry.len()),
            sessions: count(self.registry.shared().directory.len()),
            tls: self.info.tls,
        };
        Ok(Response::new((&info).into()))
    }
}
