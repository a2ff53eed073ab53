//! Whether a configuration and a live server fit each other, and what is missing.

use async_nats::jetstream::stream::{
    Config as StreamConfig, DiscardPolicy, Info, RetentionPolicy, StorageType,
};
use ringway::{ErrorKind, Ring};

use crate::config::{Config, Create, Outward, Retention};
use crate::engine::Trouble;
use crate::engine::nats::Nats;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Good(String),
    /// It works, and one should know.
    Note(String),
    /// It does not work.
    Bad(String),
}

/// Looks at all that the configuration names.
///
/// # Errors
/// If the server cannot be reached, or refuses.
pub async fn check(config: &Config) -> Result<Vec<Finding>, Trouble> {
    let engine = Nats::connect(&config.server, false).await?;
    let server = engine.client().server_info();
    let mut findings = vec![Finding::Good(format!(
        "the server {} has version {}, and takes messages of {} bytes",
        server.server_name, server.version, server.max_payload
    ))];
    if !engine.client().is_server_compatible(2, 10, 0) {
        findings.push(Finding::Note(
            "a server before 2.10 was seen to lose what it had acknowledged when it was killed"
                .to_owned(),
        ));
    }
    match ringway::Board::at(&config.cursors) {
        Ok(_) => {}
        Err(error) => findings.push(Finding::Bad(format!("cursors: {error}"))),
    }
    for route in &config.outward {
        let name = &route.name;
        let longest = ring(name, &route.ring, &mut findings);
        if let Some(longest) = longest
            && longest > server.max_payload as u64
        {
            findings.push(Finding::Note(format!(
                "{name}: the ring carries messages of {longest} bytes and the server of {}: a longer one stops the route",
                server.max_payload
            )));
        }
        let Some(info) = stream(name, &engine, &route.stream, &mut findings).await else {
            continue;
        };
        findings.extend(of_outward(route, &info));
    }
    for route in &config.inward {
        let name = &route.name;
        ring(name, &route.ring, &mut findings);
        let Some(info) = stream(name, &engine, &route.stream, &mut findings).await else {
            continue;
        };
        let is_there = |subject: &String| {
            info.config
                .subjects
                .iter()
                .any(|pattern| covers(pattern, subject))
        };
        if let Some(subject) = &route.subject
            && !is_there(subject)
        {
            findings.push(Finding::Bad(format!(
                "{name}: no subject of stream {} ({}) is {subject}",
                route.stream,
                info.config.subjects.join(", ")
            )));
        }
        if info.config.retention == RetentionPolicy::Interest {
            findings.push(Finding::Bad(format!(
                "{name}: stream {} keeps messages only while a consumer is there, and a gateway makes its consumer anew",
                route.stream
            )));
        }
    }
    Ok(findings)
}

/// What of a stream does not suit an outward route.
fn of_outward(route: &Outward, info: &Info) -> Vec<Finding> {
    let (name, stream, config) = (&route.name, &route.stream, &info.config);
    let mut findings = Vec::new();
    let mut bad = |is: bool, problem: &str| {
        if is {
            findings.push(Finding::Bad(format!("{name}: stream {stream} {problem}")));
        }
    };
    bad(
        config.subjects != [route.subject.clone()],
        &format!(
            "has the subjects {}, and must have {} alone: a stream is one route's",
            config.subjects.join(", "),
            route.subject
        ),
    );
    bad(
        config.discard != DiscardPolicy::New,
        "discards old messages when it is full (discard must be new)",
    );
    bad(config.no_ack, "acknowledges nothing (no_ack)");
    bad(config.sealed, "is sealed");
    bad(
        config.mirror.is_some()
            || config
                .sources
                .as_ref()
                .is_some_and(|sources| !sources.is_empty()),
        "gets messages from other streams (mirror, sources)",
    );
    bad(
        config.retention == RetentionPolicy::Interest,
        "keeps messages only while a consumer is there (retention must be limits or work-queue)",
    );
    let mut note = |is: bool, what: &str| {
        if is {
            findings.push(Finding::Note(format!("{name}: stream {stream} {what}")));
        }
    };
    note(
        !config.max_age.is_zero(),
        "forgets messages after a time (max_age), received or not",
    );
    note(
        config.storage == StorageType::Memory,
        "is in the server's memory: what it acknowledged dies with it",
    );
    note(
        config.max_messages < 0 && config.max_bytes < 0,
        "has no bound: it is full when the server's disk is",
    );
    note(
        config.retention == RetentionPolicy::WorkQueue,
        "is a work queue: see to it by the server's permissions that nobody else publishes there, because the gateway may not notice",
    );
    findings
}

/// The ring's longest message, if the ring is there.
fn ring(name: &str, address: &str, findings: &mut Vec<Finding>) -> Option<u64> {
    let opened = ringway::at(address).and_then(ringway::Builder::open);
    let ring: Ring = match opened {
        Ok(ring) => ring,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            findings.push(Finding::Note(format!(
                "{name}: {address} is not there, and will be made"
            )));
            return None;
        }
        Err(error) => {
            findings.push(Finding::Bad(format!("{name}: {error}")));
            return None;
        }
    };
    match crate::rings::require_stream(&ring) {
        Ok(()) => findings.push(Finding::Good(format!(
            "{name}: {address} is a ring that counts each message"
        ))),
        Err(problem) => findings.push(Finding::Bad(format!("{name}: {problem}"))),
    }
    Some(ring.max_message_len())
}

async fn stream(
    name: &str,
    engine: &Nats,
    stream: &str,
    findings: &mut Vec<Finding>,
) -> Option<Info> {
    match engine.context().get_stream(stream).await {
        Ok(stream) => {
            let info = stream.cached_info().clone();
            findings.push(Finding::Good(format!(
                "{name}: stream {} has {} messages, the last one is {}",
                info.config.name, info.state.messages, info.state.last_sequence
            )));
            Some(info)
        }
        Err(error) => {
            findings.push(Finding::Bad(format!(
                "{name}: stream {stream} is missing: {error} (`ringway-gateway create` makes those of outward routes)"
            )));
            None
        }
    }
}

/// Whether a stream's subject, which may have wildcards, covers that of a route.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in pattern.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Makes the streams of outward routes that are not there, such that they suit.
///
/// # Errors
/// What the server says.
pub async fn create(config: &Config) -> Result<Vec<Finding>, Trouble> {
    let engine = Nats::connect(&config.server, false).await?;
    let mut findings = Vec::new();
    for route in &config.outward {
        let Create {
            retention,
            max_messages,
            max_bytes,
        } = route.create;
        let wanted = StreamConfig {
            name: route.stream.clone(),
            subjects: vec![route.subject.clone()],
            retention: match retention {
                Retention::Limits => RetentionPolicy::Limits,
                Retention::WorkQueue => RetentionPolicy::WorkQueue,
            },
            discard: DiscardPolicy::New,
            max_messages: max_messages.unwrap_or(-1),
            max_bytes: max_bytes.unwrap_or(-1),
            storage: StorageType::File,
            ..StreamConfig::default()
        };
        if engine.context().get_stream(&route.stream).await.is_ok() {
            findings.push(Finding::Note(format!(
                "{}: stream {} is there already",
                route.name, route.stream
            )));
            continue;
        }
        let made = engine.context().create_stream(wanted).await;
        made.map_err(|error| Trouble::Lasting(format!("stream {}: {error}", route.stream)))?;
        findings.push(Finding::Good(format!(
            "{}: stream {} is made",
            route.name, route.stream
        )));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn wildcards_cover_what_the_server_says_they_do() {
        for (pattern, subject, expected) in [
            ("orders", "orders", true),
            ("orders", "orders.new", false),
            ("orders.*", "orders.new", true),
            ("orders.*", "orders", false),
            ("orders.*", "orders.new.big", false),
            ("orders.>", "orders.new.big", true),
            ("orders.>", "orders", false),
            (">", "a", true),
        ] {
            assert_eq!(covers(pattern, subject), expected, "{pattern} {subject}");
        }
    }
}
