//! A gateway between the rings of one machine and [NATS JetStream](https://docs.nats.io/nats-concepts/jetstream).
//!
//! An [outward] route publishes what comes through a ring into a stream; an [inward] one sends what comes out of a stream into a
//! ring. Each message arrives once and in order, whoever is killed or stopped, and when: the pages of the two say by which steps, and what each death
//! leaves. In short:
//!
//! - a message leaves the ring when the server has acknowledged it, and the stream when it is in the ring;
//! - what is where is found out from the stream and the ring themselves, and from notes beside the ring ([`cursor`]) that a death leaves whole;
//! - where it cannot be found out, the gateway says so and ends, in place of losing or repeating something;
//! - where one side is full or away, the other waits: a full stream means a full ring, and senders that wait.
//!
//! | who dies, is stopped or goes away | what becomes of the messages |
//! |---|---|
//! | a gateway | they stay where they are, ring or stream, until its successor goes on |
//! | the program that sends into the ring, or receives from it | as without a gateway: the route waits for the next one |
//! | the server | outward, they stay in the ring; inward, in the stream, as long as the server's disk keeps them (below) |
//! | the network | the same; what was under way is sorted out by what the stream holds |
//! | the machine of an outward route | a ring in `shm:` is gone, with what was not published. [`ringway::log`] is for what shall outlast that |
//!
//! A server acknowledges when it has *written* a message, and syncs its files later (every two minutes, unless told otherwise; `sync_interval`). So a
//! message that is acknowledged outlasts the death of the server, and a loss of power only if the stream has replicas. When a gateway finds that a
//! server has lost what it had acknowledged, it counts that (`lost_by_server`), says it, and goes on.
//!
//! Rings are of kind `spsc` with sync `futex`, and do not overwrite. They count each message, whoever dies; routes go by that. What comes from many producers goes through one such ring first (`ringway join`).
//!
//! [`Engine`](engine::Engine) is what a route needs of NATS. [`engine::memory`] is another one, within the process.
#![deny(missing_docs, unsafe_code)]
// Routes are polled in place and never sent to other threads.
#![allow(async_fn_in_trait)]

pub mod check;
pub mod config;
pub mod cursor;
pub mod engine;
pub mod inward;
pub mod metrics;
pub mod outward;
mod pace;
mod rings;
pub mod run;

pub use pace::{Stop, Stopper};
