//! Futures of calling and serving.

use std::future::{Future, poll_fn};

use ringway::service::{Answers, CallError, Client, Request, ServeError, Server};

mod sealed {
    pub trait Sealed {}
    impl Sealed for ringway::service::Server {}
    impl Sealed for ringway::service::Request<'_> {}
    impl Sealed for ringway::service::Client {}
    impl Sealed for ringway::service::Answers<'_> {}
}

/// Futures of a [`Server`]. All are cancel-safe: one that is dropped has taken no request. A task that serves has a handle of its own
/// ([`Server::another`]): while it works for a request, the others serve.
pub trait AsyncServer: sealed::Sealed {
    /// As [`Server::next`]. What ends an answer waits for nobody, so it has no future.
    ///
    /// # Errors
    /// As [`Server::poll_next`].
    ///
    /// ```
    /// use ringway_async::{AsyncClient, AsyncServer};
    /// # let name = format!("shm:ringway-doc-async-serve-{}", std::process::id());
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// # runtime.block_on(async {
    /// let mut server = ringway::serve(&name)?.start()?;
    /// let serving = tokio::spawn(async move {
    ///     let request = server.next_async().await?;
    ///     let answer = request.body().to_ascii_uppercase();
    ///     request.answer(&answer)
    /// });
    /// let mut client = ringway::connect(&name)?.open()?;
    /// assert_eq!(client.call_async(b"hello").await?, b"HELLO");
    /// serving.await??;
    /// # ringway::remove(client.address(), true)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn next_async(&mut self) -> impl Future<Output = Result<Request<'_>, ServeError>> + Send;

    /// As [`Server::finish`]: ready when callers have taken what is on its way to them, have left, or died.
    ///
    /// # Errors
    /// As [`Server::poll_finish`].
    fn finish_async(&mut self) -> impl Future<Output = Result<(), ServeError>> + Send;
}

impl AsyncServer for Server {
    async fn next_async(&mut self) -> Result<Request<'_>, ServeError> {
        let found = poll_fn(|context| self.poll_found(context)).await?;
        Ok(self.take_found(found))
    }

    fn finish_async(&mut self) -> impl Future<Output = Result<(), ServeError>> + Send {
        poll_fn(|context| self.poll_finish(context))
    }
}

/// Futures of a [`Request`] whose answer is sent in parts.
pub trait AsyncRequest: sealed::Sealed {
    /// As [`Request::send`]. One that is dropped before it is ready has sent nothing. Of a part that is longer than the service's `part_len` the rest goes
    /// with the calls that follow, or with [`flush_async`](Self::flush_async).
    ///
    /// # Errors
    /// As [`Request::poll_send`].
    fn send_async(&mut self, part: &[u8]) -> impl Future<Output = Result<(), ServeError>> + Send;

    /// Goes on with the part that was sent last, until all of it is on its way.
    ///
    /// # Errors
    /// As [`Request::poll_flush`].
    fn flush_async(&mut self) -> impl Future<Output = Result<(), ServeError>> + Send;
}

impl AsyncRequest for Request<'_> {
    fn send_async(&mut self, part: &[u8]) -> impl Future<Output = Result<(), ServeError>> + Send {
        poll_fn(|context| self.poll_send(context, part))
    }

    fn flush_async(&mut self) -> impl Future<Output = Result<(), ServeError>> + Send {
        poll_fn(|context| self.poll_flush(context))
    }
}

/// Futures of a [`Client`].
pub trait AsyncClient: sealed::Sealed {
    /// As [`Client::call`]. One that is dropped ends the call, and the server is told that nobody waits.
    ///
    /// # Errors
    /// As [`Answers::poll_whole`].
    fn call_async(
        &mut self,
        request: &[u8],
    ) -> impl Future<Output = Result<Vec<u8>, CallError>> + Send;
}

impl AsyncClient for Client {
    async fn call_async(&mut self, request: &[u8]) -> Result<Vec<u8>, CallError> {
        let mut answers = self.stream(request)?;
        poll_fn(|context| answers.poll_whole(context)).await
    }
}

/// Futures of an answer that is taken part by part ([`Client::stream`]).
pub trait AsyncAnswers: sealed::Sealed {
    /// As [`Answers::next_part`]. One that is dropped has taken nothing, and the call goes on.
    ///
    /// # Errors
    /// As [`Answers::poll_part`].
    fn next_part_async(
        &mut self,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, CallError>> + Send;
}

impl AsyncAnswers for Answers<'_> {
    fn next_part_async(
        &mut self,
    ) -> impl Future<Output = Result<Option<Vec<u8>>, CallError>> + Send {
        poll_fn(|context| self.poll_part(context))
    }
}
