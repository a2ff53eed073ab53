//! All routes of a configuration, in one process.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use ringway::Ring;
use tokio::signal::unix::{SignalKind, signal};

use crate::config::Config;
use crate::cursor::Cursor;
use crate::engine::nats::Nats;
use crate::engine::{Engine, Trouble};
use crate::metrics::{self, Counters};
use crate::pace::{Stop, Stopper};
use crate::{inward, outward};

/// Runs all routes until SIGTERM, SIGINT or SIGHUP: then messages that are under way arrive, and no further ones are taken.
///
/// # Errors
/// What does not pass by itself, in words. One route that cannot go on ends all: who started the gateway should know.
pub async fn gateway(config: &Config) -> Result<(), Trouble> {
    let (stopper, stop) = Stopper::new();
    let ending = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ];
    let mut signals = Vec::new();
    for kind in ending {
        signals.push(signal(kind).map_err(Trouble::lasting)?);
    }
    let told = async {
        let mut signals: FuturesUnordered<_> =
            signals.iter_mut().map(|signal| signal.recv()).collect();
        signals.next().await;
        stopper.stop();
        std::future::pending().await
    };
    let engine = Nats::connect(&config.server, true).await?;
    tokio::select! {
        outcome = routes(config, &engine, stop) => outcome.map_err(Trouble::Lasting),
        () = told => Ok(()),
    }
}

/// A route that runs.
type Running<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>;

/// Runs all routes over an engine, until they are told to stop.
///
/// # Errors
/// The first route's that cannot go on, in words.
pub async fn routes<E: Engine>(config: &Config, engine: &E, stop: Stop) -> Result<(), String> {
    let mut running: FuturesUnordered<Running<'_>> = FuturesUnordered::new();
    let mut counted = Vec::new();
    for route in &config.outward {
        let counters = Arc::new(Counters::default());
        counted.push((route.name.clone(), true, Arc::clone(&counters)));
        let ring = open(&route.name, &route.ring)?;
        let mut cursor = notes(config, &format!("out:{}", route.name))?;
        let mut outlet = engine.outlet(&route.stream, &route.subject);
        let mut stop = stop.clone();
        running.push(Box::pin(async move {
            let carried = outward::run(
                &ring,
                &mut outlet,
                &mut cursor,
                route.window,
                &counters,
                &mut stop,
            );
            carried
                .await
                .map_err(|problem| format!("{}: {problem}", route.name))
        }));
    }
    for route in &config.inward {
        let counters = Arc::new(Counters::default());
        counted.push((route.name.clone(), false, Arc::clone(&counters)));
        let ring = open(&route.name, &route.ring)?;
        let mut cursor = notes(config, &format!("in:{}", route.name))?;
        let mut inlet = engine.inlet(
            &route.stream,
            route.subject.as_deref(),
            &route.consumer,
            route.window,
        );
        let mut stop = stop.clone();
        running.push(Box::pin(async move {
            let carried = inward::run(&ring, &mut inlet, &mut cursor, &counters, &mut stop);
            carried
                .await
                .map_err(|problem| format!("{}: {problem}", route.name))
        }));
    }
    let served = async {
        match config.metrics {
            Some(address) => metrics::serve(address, counted).await,
            None => std::future::pending().await,
        }
    };
    let all = async {
        while let Some(outcome) = running.next().await {
            outcome?;
        }
        Ok(())
    };
    tokio::select! {
        outcome = all => outcome,
        outcome = served => outcome,
    }
}

fn open(name: &str, address: &str) -> Result<Ring, String> {
    let ring = ringway::at(address).and_then(ringway::Builder::open_or_create);
    ring.map_err(|error| format!("{name}: {error}"))
}

fn notes(config: &Config, name: &str) -> Result<Cursor, String> {
    Cursor::open(&config.cursors, name).map_err(|error| format!("{name}: {error}"))
}
