//! The configuration: a TOML file.
//!
//! ```toml
//! cursors = "shm:gateway-cursors"        # a board for the notes of all routes; made if it is not there
//! metrics = "127.0.0.1:9464"             # optional: OpenMetrics text over HTTP
//!
//! [server]
//! urls = ["nats://127.0.0.1:4222"]
//! credentials = "/etc/ringway/gateway.creds"   # optional, as all that follows: a file of NATS credentials
//! nkey = "/etc/ringway/gateway.nk"             # a file with an nkey's seed
//! token_variable = "NATS_TOKEN"                # the environment variable that has a token
//! user_variable = "NATS_USER"                  # those that have a user and a password
//! password_variable = "NATS_PASSWORD"
//! tls = true                                   # refuse to speak without TLS
//! ca = "/etc/ringway/ca.pem"
//! certificate = "/etc/ringway/gateway.pem"
//! key = "/etc/ringway/gateway.key"
//!
//! [[outward]]
//! name = "orders"                        # of its notes and metrics
//! ring = "shm:orders"
//! stream = "ORDERS"
//! subject = "orders"
//! window = 256                           # messages that are published and not acknowledged
//!
//! [outward.create]                       # what `ringway-gateway create` makes, if there is no such stream
//! retention = "limits"                   # or "work-queue"
//! max_messages = 1000000
//! max_bytes = 1073741824
//!
//! [[inward]]
//! name = "orders-in"
//! ring = "shm:orders-in"
//! stream = "ORDERS"
//! subject = "orders"                     # optional: of a stream with several subjects only this one
//! consumer = "host-b"                    # the durable consumer's name
//! window = 256                           # messages that are delivered and not acknowledged
//! ```
//!
//! Secrets stand in files and in the environment: a URL with a password is refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::engine::Trouble;

/// All of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address of the board that has the routes' notes.
    pub cursors: String,
    /// Where metrics are served.
    pub metrics: Option<std::net::SocketAddr>,
    /// The server.
    pub server: Server,
    /// From rings into streams.
    #[serde(default)]
    pub outward: Vec<Outward>,
    /// From streams into rings.
    #[serde(default)]
    pub inward: Vec<Inward>,
}

/// Where the server is, and how one makes oneself known to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Servers of one cluster.
    pub urls: Vec<String>,
    /// A file of NATS credentials.
    pub credentials: Option<PathBuf>,
    /// A file with an nkey's seed.
    pub nkey: Option<PathBuf>,
    /// The environment variable that has a token.
    pub token_variable: Option<String>,
    /// The one that has a user's name.
    pub user_variable: Option<String>,
    /// The one that has the password.
    pub password_variable: Option<String>,
    /// Whether to refuse to speak without TLS.
    #[serde(default)]
    pub tls: bool,
    /// A file with certificates that are trusted.
    pub ca: Option<PathBuf>,
    /// A file with this side's certificate.
    pub certificate: Option<PathBuf>,
    /// A file with its key.
    pub key: Option<PathBuf>,
}

/// From a ring into a stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outward {
    /// Of its notes and metrics.
    pub name: String,
    /// The ring's address.
    pub ring: String,
    /// The stream, which is this route's alone to publish to.
    pub stream: String,
    /// The subject.
    pub subject: String,
    /// Messages that are published and not acknowledged.
    #[serde(default = "window")]
    pub window: usize,
    /// What stream is made by `create`.
    #[serde(default)]
    pub create: Create,
}

/// What stream is made where there is none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// What keeps messages.
    #[serde(default)]
    pub retention: Retention,
    /// The most messages; unlimited unless told.
    pub max_messages: Option<i64>,
    /// The most bytes; unlimited unless told.
    pub max_bytes: Option<i64>,
}

/// What keeps messages in a stream.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Retention {
    /// They stay until somebody removes them.
    #[default]
    Limits,
    /// They go when they are acknowledged.
    WorkQueue,
}

/// From a stream into a ring.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inward {
    /// Of its notes and metrics.
    pub name: String,
    /// The ring's address. The ring is this route's alone to send to.
    pub ring: String,
    /// The stream.
    pub stream: String,
    /// Of a stream with several subjects only this one.
    pub subject: Option<String>,
    /// The durable consumer's name. The consumer is this route's alone.
    pub consumer: String,
    /// Messages that are delivered and not acknowledged.
    #[serde(default = "window")]
    pub window: usize,
}

fn window() -> usize {
    256
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn load(path: &Path) -> Result<Self, Trouble> {
        let text = read(path)?;
        Self::parse(&text)
            .map_err(|problem| Trouble::Lasting(format!("{}: {problem}", path.display())))
    }

    /// The same of a text.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.problem().map_or(Ok(config), Err)
    }

    fn problem(&self) -> Option<String> {
        let server = &self.server;
        if server.urls.is_empty() {
            return Some("server.urls is empty".to_owned());
        }
        // What follows the scheme, up to the path.
        let has_secret = |url: &String| {
            url.split("//")
                .last()
                .is_some_and(|rest| rest.contains('@'))
        };
        if server.urls.iter().any(has_secret) {
            return Some(
                "a URL has a user or a password in it: they belong in a file or in the environment (credentials, nkey, token_variable, user_variable)"
                    .to_owned(),
            );
        }
        if server.user_variable.is_some() != server.password_variable.is_some() {
            return Some("user_variable and password_variable go together".to_owned());
        }
        if server.certificate.is_some() != server.key.is_some() {
            return Some("certificate and key go together".to_owned());
        }
        if self.outward.is_empty() && self.inward.is_empty() {
            return Some("there is no route: no [[outward]] and no [[inward]]".to_owned());
        }
        let mut names = BTreeSet::new();
        let mut streams = BTreeSet::new();
        for (name, window) in self.names().zip(self.windows()) {
            if !(1..=100).contains(&name.len()) || !names.insert(name) {
                return Some(format!(
                    "the name {name:?} is used twice, is empty, or has more than 100 bytes"
                ));
            }
            if !(1..=65536).contains(&window) {
                return Some(format!("{name}: a window is from 1 to 65536"));
            }
        }
        for route in &self.outward {
            if !streams.insert(&route.stream) {
                return Some(format!(
                    "two routes lead out into {}: a stream is one route's alone",
                    route.stream
                ));
            }
        }
        None
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let outward = self.outward.iter().map(|route| route.name.as_str());
        outward.chain(self.inward.iter().map(|route| route.name.as_str()))
    }

    fn windows(&self) -> impl Iterator<Item = usize> {
        let outward = self.outward.iter().map(|route| route.window);
        outward.chain(self.inward.iter().map(|route| route.window))
    }
}

/// What a file says.
pub(crate) fn read(path: &Path) -> Result<String, Trouble> {
    std::fs::read_to_string(path)
        .map_err(|error| Trouble::Lasting(format!("cannot read {}: {error}", path.display())))
}

/// What an environment variable says.
pub(crate) fn variable(name: &str) -> Result<String, Trouble> {
    std::env::var(name)
        .map_err(|error| Trouble::Lasting(format!("the environment variable {name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"
        cursors = "shm:cursors"
        [server]
        urls = ["nats://127.0.0.1"]
        [[outward]]
        name = "a"
        ring = "shm:a"
        stream = "A"
        subject = "a"
    "#;

    #[test]
    fn what_is_not_said_has_a_value() {
        let config = Config::parse(LEAST).unwrap();
        assert_eq!(config.outward[0].window, 256);
        assert_eq!(config.outward[0].create.retention, Retention::Limits);
    }

    #[test]
    fn secrets_unknown_words_and_contradictions_are_refused() {
        for (old, new, word) in [
            (
                "nats://127.0.0.1",
                "nats://me:secret@127.0.0.1",
                "environment",
            ),
            ("urls", "url", "url"),
            ("[\"nats://127.0.0.1\"]", "[]", "empty"),
            ("[server]", "[server]\nuser_variable = \"U\"", "go together"),
            ("[server]", "[server]\nkey = \"/k\"", "go together"),
            ("subject = \"a\"", "subject = \"a\"\nwindow = 0", "window"),
            (
                "[[outward]]",
                "[[outward]]\nname = \"b\"\nring = \"shm:b\"\nstream = \"A\"\nsubject = \"b\"\n[[outward]]",
                "alone",
            ),
            ("name = \"a\"", "name = \"\"", "name"),
        ] {
            let problem = Config::parse(&LEAST.replacen(old, new, 1)).unwrap_err();
            assert!(problem.contains(word), "{problem}");
            assert!(!problem.contains("secret"), "{problem}");
        }
    }

    #[test]
    fn the_examples_of_the_documentation_are_configurations() {
        let pages = [
            include_str!("config.rs")
                .replace("\n//! ", "\n")
                .replace("\n//!\n", "\n\n"),
            include_str!("../README.md").to_owned(),
            include_str!("../../../docs/gateway.md").to_owned(),
        ];
        let mut routes = Vec::new();
        for page in &pages {
            for block in page.split("\n```toml\n").skip(1) {
                let example = block.split("\n```").next().unwrap();
                let config = Config::parse(example).unwrap_or_else(|problem| panic!("{problem}"));
                routes.push((config.outward.len(), config.inward.len()));
            }
        }
        assert_eq!(routes, [(1, 1), (1, 1), (1, 0), (0, 1)]);
    }
}
