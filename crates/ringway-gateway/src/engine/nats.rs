//! NATS JetStream, by the crate `async-nats`.

use std::time::Duration;

use async_nats::client::{PublishError, PublishErrorKind};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::context::{Context, ContextBuilder, GetStreamErrorKind};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::{LastRawMessageErrorKind, RetentionPolicy, Stream};
use async_nats::jetstream::{self, ErrorCode};
use async_nats::{Client, ConnectOptions, Event, HeaderMap, Subject};
use futures_util::StreamExt;
use tokio::sync::watch;

use super::answers::{Answer, Answers};
use crate::config::Server;
use crate::engine::{Delivery, Engine, Inlet, Outlet, Publication, State, Trouble};

/// How long an answer is waited for. Then the gateway looks at what the stream holds, and goes on from there.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long without a sign of life a connection counts as lost.
const PING: Duration = Duration::from_secs(5);
/// After so long the server delivers again what was not acknowledged. A gateway that starts, or has lost its connection, makes its consumer anew and
/// need not wait for that.
const ACK_WAIT: Duration = Duration::from_secs(600);

/// A connection to a server.
#[derive(Clone, Debug)]
pub struct Nats {
    context: Context,
    /// How often the connection was lost.
    losses: watch::Receiver<u64>,
}

impl Nats {
    /// Connects. With `patient`, a server that is not there yet is waited for, for as long as it takes.
    ///
    /// # Errors
    /// [`Trouble::Lasting`] if the configuration names what is not there, else [`Trouble::Passing`].
    pub async fn connect(server: &Server, patient: bool) -> Result<Self, Trouble> {
        let (tell, losses) = watch::channel(0);
        let mut options = ConnectOptions::new()
            .name("ringway-gateway")
            .ping_interval(PING)
            .connection_timeout(PATIENCE)
            .request_timeout(Some(PATIENCE))
            .max_reconnects(None)
            .reconnect_delay_callback(|tries| Duration::from_millis((50 << tries.min(5)).min(1000)))
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    tell.send_modify(|losses| *losses += 1);
                }
                async {}
            });
        if let Some(path) = &server.credentials {
            let text = crate::config::read(path)?;
            options = options
                .credentials(&text)
                .map_err(|error| Trouble::Lasting(format!("{}: {error}", path.display())))?;
        }
        if let Some(path) = &server.nkey {
            options = options.nkey(crate::config::read(path)?.trim().to_owned());
        }
        if let Some(name) = &server.token_variable {
            options = options.token(crate::config::variable(name)?);
        }
        if let (Some(user), Some(password)) = (&server.user_variable, &server.password_variable) {
            let user = crate::config::variable(user)?;
            options = options.user_and_password(user, crate::config::variable(password)?);
        }
        if let Some(path) = &server.ca {
            options = options.add_root_certificates(path.clone());
        }
        if let (Some(certificate), Some(key)) = (&server.certificate, &server.key) {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        if server.tls {
            options = options.require_tls(true);
        }
        if patient {
            options = options.retry_on_initial_connect();
        }
        let client = options
            .connect(server.urls.as_slice())
            .await
            .map_err(|error| Trouble::passing(format_args!("cannot connect: {error}")))?;
        let context = ContextBuilder::new().timeout(PATIENCE).build(client);
        Ok(Self { context, losses })
    }

    /// The client.
    pub fn client(&self) -> Client {
        self.context.client()
    }

    /// What speaks of streams.
    pub fn context(&self) -> &Context {
        &self.context
    }
}

impl Engine for Nats {
    type Outlet = NatsOutlet;
    type Inlet = NatsInlet;

    fn outlet(&self, stream: &str, subject: &str) -> NatsOutlet {
        NatsOutlet {
            client: self.client(),
            context: self.context.clone(),
            losses: self.losses.clone(),
            stream: stream.to_owned(),
            subject: subject.into(),
            answers: None,
        }
    }

    fn inlet(
        &self,
        stream: &str,
        subject: Option<&str>,
        consumer: &str,
        window: usize,
    ) -> NatsInlet {
        NatsInlet {
            context: self.context.clone(),
            losses: self.losses.clone(),
            stream: stream.to_owned(),
            subject: subject.unwrap_or_default().to_owned(),
            consumer: consumer.to_owned(),
            window,
            messages: None,
        }
    }
}

async fn stream(context: &Context, name: &str) -> Result<Stream, Trouble> {
    context.get_stream(name).await.map_err(|error| {
        match error.kind() {
            // A server that starts says so of each stream that it has not read yet. So it is waited for; `check` tells.
            GetStreamErrorKind::JetStream(refusal) => {
                Trouble::Passing(format!("stream {name}: {refusal}"))
            }
            GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => {
                Trouble::Lasting(format!("stream {name}: {error}"))
            }
            _ => Trouble::Passing(format!("stream {name}: {error}")),
        }
    })
}

fn identity(stream: &Stream) -> i64 {
    // Until the year 2262.
    stream.cached_info().created.unix_timestamp_nanos() as i64
}

/// A way out.
#[derive(Debug)]
pub struct NatsOutlet {
    context: Context,
    client: Client,
    losses: watch::Receiver<u64>,
    stream: String,
    subject: Subject,
    /// Of those that are published since the state was asked for.
    answers: Option<Answers>,
}

impl Outlet for NatsOutlet {
    type Ack = Answer;

    async fn state(&mut self) -> Result<State, Trouble> {
        // What is lost from now on disturbs.
        self.losses.borrow_and_update();
        // Answers to what was published before are not waited for any more.
        self.answers = None;
        self.answers = Some(Answers::new(&self.client, PATIENCE).await?);
        let stream = stream(&self.context, &self.stream).await?;
        let newest = match stream
            .get_last_raw_message_by_subject(self.subject.as_str())
            .await
        {
            Ok(message) => {
                let id = message.headers.get(async_nats::header::NATS_MESSAGE_ID);
                Some((message.sequence, id.map(|id| id.as_str().to_owned())))
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => None,
            Err(error) => return Err(Trouble::passing(error)),
        };
        // A message that was still under way may have been stored between the two answers.
        let last = stream.cached_info().state.last_sequence;
        let last = last.max(newest.as_ref().map_or(0, |(sequence, _)| *sequence));
        Ok(State {
            identity: identity(&stream),
            last,
            newest,
        })
    }

    async fn publish(&mut self, publication: Publication) -> Result<Answer, Trouble> {
        let answers = self.answers.as_mut();
        let answers = answers.ok_or_else(|| Trouble::passing("the state is not known yet"))?;
        let mut headers = HeaderMap::new();
        headers.insert(async_nats::header::NATS_MESSAGE_ID, publication.id);
        headers.insert(
            async_nats::header::NATS_EXPECTED_LAST_SEQUENCE,
            publication.behind.to_string(),
        );
        if let Some(id) = publication.behind_id {
            headers.insert(async_nats::header::NATS_EXPECTED_LAST_MESSAGE_ID, id);
        }
        let (reply, answer) = answers.ask();
        let (subject, payload) = (self.subject.clone(), publication.payload);
        let sent = self
            .client
            .publish_with_reply_and_headers(subject, reply, headers, payload);
        // Without a connection the client takes only so many.
        let sent = tokio::time::timeout(PATIENCE, sent).await;
        sent.map_err(Trouble::passing)?.map_err(of_publishing)?;
        Ok(answer)
    }

    async fn disturbed(&mut self) {
        if self.losses.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

fn of_publishing(error: PublishError) -> Trouble {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => Trouble::lasting(error),
        _ => Trouble::passing(error),
    }
}

/// What it means that a server does not store a message.
pub(super) fn of_refusal(error: &jetstream::Error) -> Trouble {
    match error.error_code() {
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM => Trouble::lasting(error),
        ErrorCode::STREAM_STORE_FAILED
        | ErrorCode::STORAGE_RESOURCES_EXCEEDED
        | ErrorCode::INSUFFICIENT_RESOURCES => Trouble::Full(error.to_string()),
        _ => Trouble::passing(error),
    }
}

/// A way in.
pub struct NatsInlet {
    context: Context,
    losses: watch::Receiver<u64>,
    stream: String,
    subject: String,
    consumer: String,
    window: usize,
    messages: Option<pull::Stream>,
}

impl Inlet for NatsInlet {
    type Token = Acker;

    async fn state(&mut self) -> Result<(i64, u64), Trouble> {
        self.losses.borrow_and_update();
        let stream = stream(&self.context, &self.stream).await?;
        Ok((identity(&stream), stream.cached_info().state.last_sequence))
    }

    async fn start(&mut self, after: u64) -> Result<(), Trouble> {
        self.messages = None;
        let stream = stream(&self.context, &self.stream).await?;
        // In a work queue what was acknowledged is gone, and consumers have to begin with what is left.
        let queue = stream.cached_info().config.retention == RetentionPolicy::WorkQueue;
        let config = pull::Config {
            durable_name: Some(self.consumer.clone()),
            description: Some("ringway-gateway makes this anew whenever it starts".to_owned()),
            deliver_policy: match (queue, after) {
                (true, _) | (false, 0) => DeliverPolicy::All,
                (false, _) => DeliverPolicy::ByStartSequence {
                    start_sequence: after + 1,
                },
            },
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            max_ack_pending: self.window as i64,
            filter_subject: self.subject.clone(),
            ..pull::Config::default()
        };
        // Who comes from it was never acknowledged, or is passed over.
        match stream.delete_consumer(&self.consumer).await {
            Ok(_) => {}
            Err(error) if error.to_string().contains("not found") => {}
            Err(error) => return Err(Trouble::passing(error)),
        }
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(Trouble::passing)?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(self.window)
            .expires(Duration::from_secs(30))
            .heartbeat(PING)
            .messages();
        self.messages = Some(messages.await.map_err(Trouble::passing)?);
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivery<Acker>, Trouble> {
        let Some(messages) = &mut self.messages else {
            return Err(Trouble::passing("the consumer is not made yet"));
        };
        let message = tokio::select! {
            biased;
            message = messages.next() => message,
            // Deliveries may be lost with it: a consumer that is made anew begins with the first that was not received.
            _ = self.losses.changed() => return Err(Trouble::passing("the connection was lost")),
        };
        let message = message
            .ok_or_else(|| Trouble::passing("the consumer has ended"))?
            .map_err(Trouble::passing)?;
        let (sequence, delivery) = {
            let info = message.info().map_err(Trouble::passing)?;
            (info.stream_sequence, info.consumer_sequence)
        };
        let (message, token) = message.split();
        Ok(Delivery {
            sequence,
            delivery,
            payload: message.payload,
            token,
        })
    }

    async fn acknowledge(&mut self, token: Acker) -> Result<(), Trouble> {
        token.ack().await.map_err(Trouble::passing)
    }
}
