//! Volumes and the server: the calls of people and orchestrators. Each has a deadline, and each
//! answer is checked.

use std::time::Duration;

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::volume::{Quota, VolumeInfo, VolumeSpec};
use holdfast_proto::error::from_status;
use holdfast_proto::inspect::{Listed, LockView, OpenView};
use holdfast_proto::segments::SegmentsView;
use holdfast_proto::v1::{
    self, inspect_client::InspectClient, maintenance_client::MaintenanceClient, volumes_client::VolumesClient,
};
use holdfast_proto::version::{Peer, negotiate};
use holdfast_proto::volume::{ServerInfo, VolumeRef};
use tonic::Request;
use tonic::transport::Channel;

use crate::channel::{Connector, limited};
use crate::endpoint::Endpoint;

/// How long one call may take. Deleting and creating only change the server's records.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Volumes of one page of a list.
const PAGE_SIZE: u32 = 500;
/// Most volumes that a list may bring before the server is taken for broken.
const VOLUMES_MAX: usize = 1_000_000;

/// A connection to a server, for volumes and the server itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    volumes: VolumesClient<Channel>,
    inspect: InspectClient<Channel>,
    maintenance: MaintenanceClient<Channel>,
    connector: Connector,
}

impl Client {
    /// Connects to a server and makes sure that it can be understood.
    ///
    /// # Errors
    /// `Invalid` when a file of the endpoint is wrong, `Unavailable` when nobody answers there,
    /// `Version` when it speaks another protocol, `Unauthenticated` when it does not accept us.
    pub async fn connect(endpoint: &Endpoint) -> Result<Self> {
        let connector = Connector::new(endpoint)?;
        let client = Self::over(connector.connect().await?, connector);
        let server = tokio::time::timeout(endpoint.connect_timeout, client.server()).await.map_err(|_| {
            let message = format!(
                "{} took the connection and then did not answer within {:?}; is it a holdfast server?",
                endpoint.address, endpoint.connect_timeout
            );
            Error::new(ErrorKind::Unavailable, message)
        })?;
        let server = server.map_err(|error| client.connector.explain(error))?;
        negotiate(Peer::Server, server.protocol_oldest, server.protocol)?;
        Ok(client)
    }

    /// Over a connection that there is.
    pub(crate) fn over(channel: Channel, connector: Connector) -> Self {
        let inspect = limited!(InspectClient::new(channel.clone()));
        let maintenance = limited!(MaintenanceClient::new(channel.clone()));
        Self { volumes: limited!(VolumesClient::new(channel)), inspect, maintenance, connector }
    }

    /// Makes a volume; `true`: it was not there. The same name and spec again is no error.
    ///
    /// # Errors
    /// `Invalid`; `AlreadyExists` with another spec.
    pub async fn create_volume(&self, spec: &VolumeSpec) -> Result<(VolumeInfo, bool)> {
        spec.check()?;
        let request = v1::CreateVolumeRequest { spec: Some(spec.into()) };
        let answer = self.volumes.clone().create_volume(self.call(request)).await.map_err(from_status)?.into_inner();
        Ok((volume(answer.volume)?, answer.created))
    }

    /// A volume.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn get_volume(&self, volume_ref: &VolumeRef) -> Result<VolumeInfo> {
        let request = v1::GetVolumeRequest { volume: Some(volume_ref.into()) };
        let answer = self.volumes.clone().get_volume(self.call(request)).await.map_err(from_status)?;
        volume(answer.into_inner().volume)
    }

    /// All volumes, in order of names.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn list_volumes(&self) -> Result<Vec<VolumeInfo>> {
        let mut found = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = v1::ListVolumesRequest { page_size: PAGE_SIZE, page_token: page_token.clone() };
            let answer = self.volumes.clone().list_volumes(self.call(request)).await.map_err(from_status)?.into_inner();
            let empty = answer.volumes.is_empty();
            for wire in answer.volumes {
                found.push(volume(Some(wire))?);
            }
            if answer.next_page_token.is_empty() {
                return Ok(found);
            }
            if empty || answer.next_page_token == page_token || found.len() > VOLUMES_MAX {
                return Err(distrust("list of volumes", "it does not end"));
            }
            page_token = answer.next_page_token;
        }
    }

    /// Deletes a volume and all it holds; `force`: also while it is mounted.
    ///
    /// # Errors
    /// `NotFound` by name; `InUse` while sessions are open on it.
    pub async fn delete_volume(&self, volume_ref: &VolumeRef, force: bool) -> Result<()> {
        let request = v1::DeleteVolumeRequest { volume: Some(volume_ref.into()), force };
        self.volumes.clone().delete_volume(self.call(request)).await.map_err(from_status)?;
        Ok(())
    }

    /// Raises limits; `None` in a field leaves it.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when a limit would be lowered.
    pub async fn expand_volume(&self, volume_ref: &VolumeRef, quota: Quota) -> Result<VolumeInfo> {
        quota.check()?;
        let request = v1::ExpandVolumeRequest { volume: Some(volume_ref.into()), quota: Some(quota.into()) };
        let answer = self.volumes.clone().expand_volume(self.call(request)).await.map_err(from_status)?;
        volume(answer.into_inner().volume)
    }

    /// Who holds and who awaits which lock of a volume.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn list_locks(&self, volume_ref: &VolumeRef) -> Result<Listed<LockView>> {
        let request = v1::ListLocksRequest { volume: Some(volume_ref.into()) };
        let answer = self.inspect.clone().list_locks(self.call(request)).await.map_err(from_status)?.into_inner();
        Ok(Listed { rows: rows("list of locks", answer.locks)?, cut: answer.cut })
    }

    /// Who has which file of a volume open.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn list_opens(&self, volume_ref: &VolumeRef) -> Result<Listed<OpenView>> {
        let request = v1::ListOpensRequest { volume: Some(volume_ref.into()) };
        let answer = self.inspect.clone().list_opens(self.call(request)).await.map_err(from_status)?.into_inner();
        Ok(Listed { rows: rows("list of open files", answer.opens)?, cut: answer.cut })
    }

    /// What a volume's data takes up on the server's disk; `None`: the server is too old to say.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn segments(&self, volume_ref: &VolumeRef) -> Result<Option<SegmentsView>> {
        let request = v1::GetSegmentsRequest { volume: Some(volume_ref.into()) };
        match self.inspect.clone().get_segments(self.call(request)).await.map_err(from_status) {
            Ok(answer) => {
                let view = SegmentsView::try_from(answer.into_inner());
                view.map(Some).map_err(|error| distrust("description of segments", error.message()))
            }
            Err(error) if error.kind() == ErrorKind::Version => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The server, as it tells of itself.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn server(&self) -> Result<ServerInfo> {
        let answer = self.volumes.clone().get_server(self.call(v1::GetServerRequest {})).await.map_err(from_status)?;
        ServerInfo::try_from(answer.into_inner()).map_err(|error| distrust("description of itself", error.message()))
    }

    pub(crate) fn maintenance(&self) -> MaintenanceClient<Channel> {
        self.maintenance.clone()
    }

    /// A call that may go on for long.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        self.connector.request(message)
    }

    pub(crate) fn call<T>(&self, message: T) -> Request<T> {
        let mut request = self.request(message);
        request.set_timeout(CALL_TIMEOUT);
        request
    }
}

fn volume(wire: Option<v1::Volume>) -> Result<VolumeInfo> {
    let wire = wire.ok_or_else(|| distrust("description of a volume", "it is absent"))?;
    VolumeInfo::try_from(wire).map_err(|error| distrust("description of a volume", error.message()))
}

fn rows<W, T: TryFrom<W, Error = Error>>(what: &str, wire: Vec<W>) -> Result<Vec<T>> {
    let rows: Result<Vec<T>> = wire.into_iter().map(TryInto::try_into).collect();
    rows.map_err(|error| distrust(what, error.message()))
}

/// The server sent what cannot be: its defect, or somebody else's server.
pub(crate) fn distrust(what: &str, why: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the server's {what} makes no sense: {why}"))
}

#[cfg(test)]
mod tests;
