//! How many messages a second a gateway publishes, as a ratio to what the client does by itself with the same window, in turns in one run:
//! `cargo bench --manifest-path crates/ringway-gateway/Cargo.toml --target-dir target/gateway`.

#[path = "../tests/common/mod.rs"]
mod common;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use common::{Server, create};
use futures_util::FutureExt;
use ringway_gateway::config::Config;
use ringway_gateway::cursor::Cursor;
use ringway_gateway::engine::Engine;
use ringway_gateway::engine::nats::Nats;
use ringway_gateway::metrics::Counters;
use ringway_gateway::{Stopper, outward};

const MESSAGES: u64 = 40_000;
const LEN: usize = 256;
const WINDOW: usize = 256;
const ROUNDS: usize = 15;

/// What publishes: the client with this many of a gateway's headers, or a gateway.
const CONTESTANTS: [(&str, Option<usize>); 5] = [
    ("the client alone, without headers", Some(0)),
    ("with an id", Some(1)),
    ("with an id and the sequence before", Some(2)),
    ("with a gateway's headers", Some(3)),
    ("a gateway, from a ring", None),
];

fn main() {
    let server = Server::start();
    let config = server.config("config", &server.outward("unused", ""));
    create(&config);
    let config = Config::load(&config).unwrap();
    let cursors = server.ring("rate-cursors");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut times = vec![[Duration::ZERO; CONTESTANTS.len()]; ROUNDS];
    for (round, times) in times.iter_mut().enumerate() {
        // In turn, so that nobody always follows the same.
        for turn in 0..CONTESTANTS.len() {
            let nth = (round + turn) % CONTESTANTS.len();
            times[nth] = runtime.block_on(async {
                let engine = Nats::connect(&config.server, false).await.unwrap();
                let time = match CONTESTANTS[nth].1 {
                    Some(headers) => client(&engine, headers).await,
                    None => gateway(&engine, &cursors, round).await,
                };
                let stream = engine.context().get_stream("S").await.unwrap();
                stream.purge().await.unwrap();
                time
            });
        }
    }
    println!("messages of {LEN} bytes, a window of {WINDOW}, medians of {ROUNDS} rounds:");
    let last = CONTESTANTS.len() - 1;
    for (nth, (name, _)) in CONTESTANTS.iter().enumerate() {
        let rate = median(
            times
                .iter()
                .map(|times| MESSAGES as f64 / times[nth].as_secs_f64()),
        );
        let ratio = median(
            times
                .iter()
                .map(|times| times[nth].as_secs_f64() / times[last].as_secs_f64()),
        );
        println!("{name:40} {rate:8.0} messages/s; a gateway to this: {ratio:.2}");
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The client's own publishing, with up to a window of acknowledgements to come.
async fn client(engine: &Nats, headers: usize) -> Duration {
    let context = engine.context();
    let mut last = context
        .get_stream("S")
        .await
        .unwrap()
        .cached_info()
        .state
        .last_sequence;
    let start = Instant::now();
    let mut under_way = VecDeque::new();
    for number in 0..MESSAGES {
        let mut message = PublishMessage::build().payload(vec![7; LEN].into());
        if headers > 0 {
            let mut map = HeaderMap::new();
            map.insert("Nats-Msg-Id", format!("{:032x}-{last}", 7));
            if headers > 1 {
                map.insert("Nats-Expected-Last-Sequence", last.to_string());
            }
            if headers > 2 && number > 0 {
                let id = format!("{:032x}-{}", 7, last - 1);
                map.insert("Nats-Expected-Last-Msg-Id", id);
            }
            message = message.headers(map);
        }
        last += 1;
        under_way.push_back(
            context
                .send_publish("s", message)
                .await
                .unwrap()
                .into_future(),
        );
        while under_way.len() >= WINDOW {
            under_way.pop_front().unwrap().await.unwrap();
            while let Some(front) = under_way.front_mut()
                && let Some(ack) = front.now_or_never()
            {
                ack.unwrap();
                under_way.pop_front();
            }
        }
    }
    for ack in under_way {
        ack.await.unwrap();
    }
    start.elapsed()
}

/// A route, from a ring that has all of them.
async fn gateway(engine: &Nats, cursors: &str, round: usize) -> Duration {
    let ring = ringway::at("memfd:")
        .unwrap()
        .capacity(32 << 20)
        .create()
        .unwrap();
    let mut sender = ring.sender().unwrap();
    for _ in 0..MESSAGES {
        sender.send(&[7; LEN]).unwrap();
    }
    let mut cursor = Cursor::open(cursors, &format!("round {round}")).unwrap();
    let mut outlet = engine.outlet("S", "s");
    let counters = Counters::default();
    let (stopper, mut stop) = Stopper::new();
    let start = Instant::now();
    let done = async {
        while ring.stat().received < MESSAGES {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stopper.stop();
        start.elapsed()
    };
    let route = outward::run(
        &ring,
        &mut outlet,
        &mut cursor,
        WINDOW,
        &counters,
        &mut stop,
    );
    let (outcome, time) = tokio::join!(route, done);
    outcome.unwrap();
    time
}
