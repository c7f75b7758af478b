//! The token that every call must bear, where the server wants one.

use holdfast_core::error::{Error, ErrorKind};
use holdfast_proto::error::to_status;
use holdfast_proto::metadata::bearer_of;
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::config::Token;

/// Lets calls through that bear the token; all of them where there is none.
#[derive(Clone, Debug)]
pub(super) struct Auth(Option<Token>);

impl Auth {
    pub(super) const fn new(token: Option<Token>) -> Self {
        Self(token)
    }
}

impl Interceptor for Auth {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(token) = &self.0 else { return Ok(request) };
        let offered = bearer_of(request.metadata()).map_err(|error| to_status(&error))?;
        if token.matches(offered) {
            return Ok(request);
        }
        let error =
            Error::new(ErrorKind::Unauthenticated, "the token is wrong; give the client the server's token file");
        Err(to_status(&error))
    }
}
