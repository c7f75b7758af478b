//! Reads: names, attributes, bytes. Each is asked again while the server cannot be reached, as
//! long as the session's patience lasts; dropping the future ends it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use holdfast_core::attr::Attr;
use holdfast_core::error::{Error, ErrorKind, Result};
use holdfast_core::id::{DirCookie, InodeId, SessionId};
use holdfast_core::limits::{BLOCKS_RANGE_MAX, DIR_PAGE_ENTRIES_MAX, IO_BYTES_MAX};
use holdfast_core::name::XattrName;
use holdfast_proto::attr::required;
use holdfast_proto::blocks::BlockMap;
use holdfast_proto::data::ReadData;
use holdfast_proto::error::from_status;
use holdfast_proto::namespace::{DirPage, FsStat, symlink_target, xattr_names, xattr_value};
use holdfast_proto::v1::{self, data_client::DataClient, namespace_client::NamespaceClient};
use holdfast_proto::version::PROTOCOL_BLOCKS;
use tokio::sync::oneshot;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::admin::distrust;
use crate::channel::limited;
use crate::session::Session;
use crate::session::backoff::Backoff;
use crate::session::ranges::{SHORT_MAX, ShortReads, Turn};
use crate::session::shared::{Channels, Shared};
use crate::session::stage::session_call;
use crate::session::state::State;

/// How long a session that a read found lost may take to be made anew before it is asked again.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(1);

/// What is read of each of several files.
const BEGINNING_BYTES_MAX: u32 = 64 << 10;

type Answer<T> = std::result::Result<Response<T>, Status>;

impl Shared {
    /// The session and its connections, as soon as the stream stands.
    async fn ready(&self) -> Result<(SessionId, u64, Arc<Channels>)> {
        loop {
            let view = *self.link.borrow();
            if view.over {
                self.look(|state| state.check_open())?;
            }
            if view.up {
                return Ok((view.session, view.generation, self.channels()));
            }
            // The sender lives as long as `self`.
            let _ = self.link.subscribe().wait_for(|view| view.up || view.over).await;
        }
    }

    /// Asks until there is an answer.
    async fn ask<T, M, F>(&self, message: &M, call: impl Fn(&Channels, Request<M>) -> F) -> Result<T>
    where
        M: Clone,
        F: Future<Output = Answer<T>>,
    {
        self.patiently(self.ask_for_ever(message, call)).await
    }

    /// Asks about an inode, beside the order: behind what was answered here of it, and its answer is not shown
    /// before the outcomes have come of what was on its way.
    async fn ask_of<T, M, F>(&self, ino: InodeId, message: &M, call: impl Fn(&Channels, Request<M>) -> F) -> Result<T>
    where
        M: Clone,
        F: Future<Output = Answer<T>>,
    {
        self.settled(ino).await;
        let answer = self.ask(message, call).await?;
        self.heard_of(ino).await;
        Ok(answer)
    }

    async fn ask_for_ever<T, M, F>(&self, message: &M, call: impl Fn(&Channels, Request<M>) -> F) -> Result<T>
    where
        M: Clone,
        F: Future<Output = Answer<T>>,
    {
        let mut backoff = Backoff::new();
        loop {
            let (session, generation, channels) = self.ready().await?;
            let request = session_call(self, session, message.clone());
            let error = tokio::select! {
                biased;
                answer = call(&channels, request) => match answer {
                    Ok(answer) => return Ok(answer.into_inner()),
                    Err(status) => from_status(status),
                },
                // The connections of this stream are not to be trusted any more.
                () = self.moved_on(generation) => continue,
            };
            match error.kind() {
                ErrorKind::SessionLost => self.renew(session).await,
                ErrorKind::Unavailable | ErrorKind::Timeout => {}
                _ => return Err(error),
            }
            tracing::debug!(%error, "reading again");
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Waits until a newer stream stands, or the session is over.
    async fn moved_on(&self, generation: u64) {
        let mut link = self.link.subscribe();
        let _ = link.wait_for(|view| view.over || (view.up && view.generation != generation)).await;
    }

    /// A read was told that this session is over. Asks on the stream, which must know.
    async fn renew(&self, session: SessionId) {
        let mut link = self.link.subscribe();
        let renewed = |view: &crate::session::shared::LinkView| view.over || (view.up && view.session != session);
        if !renewed(&link.borrow()) {
            self.kick.notify_one();
            let _ = tokio::time::timeout(RENEWAL_TIMEOUT, link.wait_for(renewed)).await;
        }
    }

    /// Waits until the server has applied what was answered here about an inode.
    async fn settled(&self, ino: InodeId) {
        if let Some(settled) = self.update(|state| state.settle(ino)) {
            self.until_settled(settled).await;
        }
    }

    /// Waits for the outcomes of this session's own changes of an inode that were on their way when a read was
    /// answered. It may have shown them: if the server then forgets them, and this client has not heard their
    /// place in the order, they get another one.
    async fn heard_of(&self, ino: InodeId) {
        if let Some(settled) = self.update(|state| state.settle_sent(ino)) {
            self.until_settled(settled).await;
        }
    }

    async fn until_settled(&self, settled: oneshot::Receiver<()>) {
        // An error: the session is lost, and with it what was to be waited for; or patience ends, and the
        // question behind this finds so too.
        let _ = self.patiently(async { Ok(settled.await) }).await;
    }

    /// The same for everything that was answered here.
    async fn all_settled(&self) {
        if let Some(settled) = self.update(State::settle_all) {
            self.until_settled(settled).await;
        }
    }

    pub(crate) async fn lookup(&self, parent: InodeId, name: Bytes) -> Result<Attr> {
        let message = v1::LookupRequest { parent: parent.0, name };
        let answer = self.ask_of(parent, &message, |channels, request| {
            let mut names = names(channels);
            async move { names.lookup(request).await }
        });
        required(answer.await?.attr).map_err(|error| doubt("answer to a lookup", &error))
    }

    pub(crate) async fn getattr(&self, ino: InodeId) -> Result<Attr> {
        let message = v1::GetAttrRequest { ino: ino.0 };
        let answer = self.ask_of(ino, &message, |channels, request| {
            let mut names = names(channels);
            async move { names.get_attr(request).await }
        });
        let attr = required(answer.await?.attr).map_err(|error| doubt("attributes", &error))?;
        if attr.ino == ino { Ok(attr) } else { Err(distrust("attributes", "they are of another inode")) }
    }

    pub(crate) async fn readdir(
        &self,
        ino: InodeId,
        after: DirCookie,
        max: u32,
        with_attributes: bool,
    ) -> Result<DirPage> {
        let entries_max = max.min(u32::try_from(DIR_PAGE_ENTRIES_MAX).unwrap_or(u32::MAX));
        let message = v1::ReadDirRequest { ino: ino.0, after: after.0, entries_max, with_attributes };
        let answer = self.ask_of(ino, &message, |channels, request| {
            let mut names = names(channels);
            async move { names.read_dir(request).await }
        });
        let page = DirPage::from_wire(answer.await?, after).map_err(|error| doubt("directory page", &error))?;
        let attributes_lack = with_attributes && page.entries.iter().any(|entry| entry.attr.is_none());
        if attributes_lack || (entries_max != 0 && page.entries.len() > entries_max as usize) {
            return Err(distrust("directory page", "it is not what was asked for"));
        }
        Ok(page)
    }

    pub(crate) async fn readlink(&self, ino: InodeId) -> Result<Bytes> {
        let message = v1::ReadLinkRequest { ino: ino.0 };
        let answer = self.ask_of(ino, &message, |channels, request| {
            let mut names = names(channels);
            async move { names.read_link(request).await }
        });
        symlink_target(answer.await?.target).map_err(|error| doubt("symbolic link", &error))
    }

    pub(crate) async fn getxattr(&self, ino: InodeId, name: &XattrName) -> Result<Bytes> {
        let message = v1::GetXattrRequest { ino: ino.0, name: name.clone().into_bytes() };
        let answer = self.ask_of(ino, &message, |channels, request| {
            let mut names = names(channels);
            async move { names.get_xattr(request).await }
        });
        xattr_value(answer.await?.value).map_err(|error| doubt("xattr", &error))
    }

    pub(crate) async fn listxattr(&self, ino: InodeId) -> Result<Vec<XattrName>> {
        let message = v1::ListXattrRequest { ino: ino.0 };
        let answer = self.ask_of(ino, &message, |channels, request| {
            let mut names = names(channels);
            async move { names.list_xattr(request).await }
        });
        xattr_names(answer.await?).map_err(|error| doubt("list of xattrs", &error))
    }

    pub(crate) async fn statfs(&self) -> Result<FsStat> {
        self.all_settled().await;
        let answer = self.ask(&v1::StatFsRequest {}, |channels, request| {
            let mut names = names(channels);
            async move { names.stat_fs(request).await }
        });
        Ok(answer.await?.into())
    }

    pub(crate) async fn seek(&self, ino: InodeId, offset: u64, hole: bool) -> Result<u64> {
        let message = v1::SeekRequest { ino: ino.0, offset, hole };
        let answer = self.ask_of(ino, &message, |channels, request| {
            let mut data = data(channels);
            async move { data.seek(request).await }
        });
        let found = answer.await?.offset;
        if found >= offset { Ok(found) } else { Err(distrust("answer to a seek", "it lies before the start")) }
    }

    pub(crate) async fn read(self: &Arc<Self>, ino: InodeId, offset: u64, len: u32) -> Result<ReadData> {
        self.settled(ino).await;
        let len = len.min(u32::try_from(IO_BYTES_MAX).unwrap_or(u32::MAX));
        let message = v1::ReadRequest { ino: ino.0, offset, len };
        let mut damaged_before = false;
        loop {
            let answer = self.read_range(&message).await?;
            self.heard_of(ino).await;
            match ReadData::from_wire(answer, offset, len) {
                Ok(read) => return Ok(read),
                // Once may have been the way here; twice is what is stored.
                Err(error) if error.kind() == ErrorKind::Damaged && !damaged_before => {
                    tracing::warn!(ino = ino.0, %error, "reading again, the data came damaged");
                    damaged_before = true;
                }
                Err(error) if error.kind() == ErrorKind::Damaged => {
                    return Err(Error::new(ErrorKind::Damaged, format!("inode {ino}: {}", error.message())));
                }
                Err(error) => return Err(doubt("data", &error)),
            }
        }
    }

    pub(crate) async fn blocks(&self, ino: InodeId, offset: u64, len: u32) -> Result<Option<BlockMap>> {
        if self.look(|state| state.last_terms.protocol) < PROTOCOL_BLOCKS {
            return Ok(None);
        }
        let len = len.min(u32::try_from(BLOCKS_RANGE_MAX).unwrap_or(u32::MAX));
        let message = v1::BlocksRequest { ino: ino.0, offset, len };
        let answer = self.ask_of(ino, &message, |channels, request| {
            let mut data = data(channels);
            async move { data.blocks(request).await }
        });
        let map = BlockMap::from_wire(answer.await?, offset, len).map_err(|error| doubt("names of blocks", &error))?;
        Ok(Some(map))
    }

    /// Short ones together with others, where that is quicker.
    async fn read_range(self: &Arc<Self>, range: &v1::ReadRequest) -> Result<v1::ReadResponse> {
        let _call = match (range.len <= SHORT_MAX).then(|| ShortReads::turn(self, range)) {
            Some(Turn::Together(answer)) => match answer.await {
                Ok(answer) => return Ok(answer),
                Err(_) => None,
            },
            Some(Turn::Alone(call)) => Some(call),
            None => None,
        };
        let answer = self.ask(range, |channels, request| {
            let mut data = data(channels);
            async move { data.read(request).await }
        });
        answer.await
    }

    pub(crate) async fn read_ranges(&self, ranges: Vec<v1::ReadRequest>) -> Result<v1::ReadRangesResponse> {
        let message = v1::ReadRangesRequest { ranges };
        let answer = self.ask(&message, |channels, request| {
            let mut data = data(channels);
            async move { data.read_ranges(request).await }
        });
        answer.await
    }

    pub(crate) async fn read_files(&self, files: &[InodeId]) -> Result<Vec<(InodeId, ReadData)>> {
        let inos = files.iter().map(|ino| ino.0).collect();
        let message = v1::ReadFilesRequest { inos, len: BEGINNING_BYTES_MAX };
        let answer = self.ask(&message, |channels, request| {
            let mut data = data(channels);
            async move { data.read_files(request).await }
        });
        let mut read = Vec::with_capacity(files.len());
        for file in answer.await?.files {
            let (ino, content) = (InodeId(file.ino), file.content.unwrap_or_default());
            if !files.contains(&ino) {
                return Err(distrust("answer to a read of several files", "it has one that was not asked for"));
            }
            match ReadData::from_wire(content, 0, BEGINNING_BYTES_MAX) {
                Ok(data) => read.push((ino, data)),
                // Who really wants it finds out.
                Err(error) => tracing::warn!(%ino, %error, "a file that was read ahead came damaged"),
            }
        }
        Ok(read)
    }
}

impl Session {
    /// Reads the beginnings of several files, at most 256, for who may want them soon; each is verified.
    /// What cannot be read is left out, and what does not fit in one answer. What was submitted before is
    /// not waited for: the versions tell.
    ///
    /// # Errors
    /// Those of every call.
    pub fn read_files(
        &self,
        files: Vec<InodeId>,
    ) -> impl Future<Output = Result<Vec<(InodeId, ReadData)>>> + Send + use<> {
        let shared = Arc::clone(self.shared());
        async move {
            let read = shared.read_files(&files).await?;
            let bytes = read.iter().map(|(_, data)| u64::from(data.len)).sum();
            shared.counters.bytes_read.fetch_add(bytes, Ordering::Relaxed);
            Ok(read)
        }
    }

    /// Names the blocks of at most `BLOCKS_RANGE_MAX` bytes: what [`read`](Self::read) would bring, without the
    /// data. `None`: the server is of a version that does not.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn blocks(&self, ino: InodeId, offset: u64, len: u32) -> Result<Option<BlockMap>> {
        self.shared().blocks(ino, offset, len).await
    }

    /// Runs something where bytes of files travel that nobody waits for. It should not keep the session.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.shared().runtime.spawn(task);
    }
}

fn names(channels: &Channels) -> NamespaceClient<Channel> {
    limited!(NamespaceClient::new(channels.control.clone()))
}

fn data(channels: &Channels) -> DataClient<Channel> {
    limited!(DataClient::new(channels.data()))
}

/// What came is wrong, and it is not the caller's fault.
fn doubt(what: &str, error: &Error) -> Error {
    distrust(what, error.message())
}
