//! Volumes and the server: the calls of people and orchestrators. Each has a deadline.

use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::volume::{Quota, VolumeInfo, VolumeSpec};
use holdfast_proto::volume::{ServerInfo, VolumeRef};

use crate::endpoint::Endpoint;

/// A connection to a server, for volumes and the server itself. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {}

fn pending<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Internal, "this call is being written"))
}

impl Client {
    /// Connects to a server.
    ///
    /// # Errors
    /// `Invalid` when a file of the endpoint is wrong, `Unavailable` when nobody answers there,
    /// `Version` when it speaks another protocol, `Unauthenticated` when it does not accept us.
    pub async fn connect(_endpoint: &Endpoint) -> Result<Self> {
        pending()
    }

    /// Makes a volume; `true`: it was not there. The same name and spec again is no error.
    ///
    /// # Errors
    /// `Invalid`; `AlreadyExists` with another spec.
    pub async fn create_volume(&self, _spec: &VolumeSpec) -> Result<(VolumeInfo, bool)> {
        pending()
    }

    /// A volume.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn get_volume(&self, _volume: &VolumeRef) -> Result<VolumeInfo> {
        pending()
    }

    /// All volumes, in order of names.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn list_volumes(&self) -> Result<Vec<VolumeInfo>> {
        pending()
    }

    /// Deletes a volume and all it holds; `force`: also while it is mounted.
    ///
    /// # Errors
    /// `NotFound` by name; `InUse` while sessions are open on it.
    pub async fn delete_volume(&self, _volume: &VolumeRef, _force: bool) -> Result<()> {
        pending()
    }

    /// Raises limits; `None` in a field leaves it.
    ///
    /// # Errors
    /// `NotFound`; `InUse` when a limit would be lowered.
    pub async fn expand_volume(&self, _volume: &VolumeRef, _quota: Quota) -> Result<VolumeInfo> {
        pending()
    }

    /// The server, as it tells of itself.
    ///
    /// # Errors
    /// Those of every call.
    pub async fn server(&self) -> Result<ServerInfo> {
        pending()
    }
}
