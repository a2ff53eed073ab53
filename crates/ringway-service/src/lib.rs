//! Call and serve.
//!
//! Programs depend on the crate `ringway`, which has this at its root (`serve`, `connect`) and in its module `service`.
//!
//! A process [`serve`]s at an address, or several do; others [`connect`] and call. Each request goes to one server that is free, and its
//! answer, of one part or many, comes back to the caller.
//!
//! ```
//! # let name = format!("shm:ringway-doc-service-{}", std::process::id());
//! use ringway_service::{Failure, connect, serve};
//!
//! let mut server = serve(&name)?.start()?;
//! std::thread::spawn(move || {
//!     server.run(|request| match request {
//!         b"" => Err(Failure::new("say something")),
//!         _ => Ok(request.to_ascii_uppercase()),
//!     })
//! });
//!
//! let mut client = connect(&name)?.open()?;
//! assert_eq!(client.call(b"hello")?, b"HELLO");
//! assert!(client.call(b"").is_err());
//! # ringway_core::remove(client.address(), true)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a service is
//! It is one [board](ringway_core::board). Each client handle has a *desk*, of which the board has two entries: in one the
//! client says something, in the other whoever serves it. An entry is written by who has its role, and the kernel tells when that one dies. So all that a desk
//! says is whole, whoever was killed while writing, and nobody writes where another one does.
//!
//! There is no queue, in which one that is stopped would hold up what lies behind: a server looks at all desks in turn for one where a
//! request waits, and makes the request its own by taking the role of the desk's answers. Finding a request so costs one load for each desk; the desk
//! where something happened last is looked at four desks in between.
//!
//! # A call
//!
//! | who | at the client's entry | at the servers' entry |
//! |---|---|---|
//! | client | `REQUEST 0`, which wakes servers that sleep | |
//! | server | | takes the role; reads both entries again |
//! | both, of a long request | `REQUEST k` | `WANT k` |
//! | server | | *marks* the call; reads the client's entry once more; works |
//! | both, of a long answer, or one in parts | `NEXT k + 1` | `PART k` |
//! | server | | the last `PART`, or `END`, `FAILED`, `TOO_LONG`; leaves the role |
//! | client | takes it; perhaps `GONE`, if it waits no longer | |
//!
//! Beside what is said, a server's entry has the *mark*: which call was begun last. Nobody reads it in the usual course of a call: who comes after
//! a death does, and a client by it tells the death of its own server from another one's. A request and an answer of up to 64 bytes are short
//! values of the board, so that two lines of memory change hands for each, as in a stream ring.
//!
//! A client asks without a look at the role of its desk, whose line stays with the servers. A server that finds the role with the one of the
//! call before looks for a moment whether that one leaves. One that does not, because it was stopped or works on for a caller that waits no
//! longer, has not marked this call: then the client *moves on* after 5 ms. It takes another desk, says `GONE` at the old one, settles
//! (`membarrier`), and looks at the mark there. A server marks, and then looks whether the request is still there. So either the
//! client sees the mark, and stays, or no server begins with what it has taken back.
//!
//! What is said names the call, by a number that no other call at that desk ever has, and the server's *run*, so whatever is late is
//! known to be late. A call is *settled* when the servers' entry says its end. No server begins with one that is settled, and only who has
//! the role can settle it.
//!
//! # What a death leaves, and a stop
//!
//! | a process | is killed | is stopped |
//! |---|---|---|
//! | client, before `REQUEST` | a desk that the next client takes | the same desk; nobody waits |
//! | client, while it waits | the call; its server sees that the role of the client's entry is nobody's ([`Request::is_cancelled`]), and one that comes later does not begin | its answer waits for it. A server that [sends](Request::send) in parts gives up after its [patience](Serve::patience); what ends an answer keeps no server waiting |
//! | server, before it takes the role | nothing: others have seen the request too | the same |
//! | server, with the role, before its mark | the role. The client is woken by the kernel, and says `REQUEST` again: another server takes the role over | the desk, and its client moves on after 5 ms, if it was the first fragment; else as at work |
//! | server, behind its mark, at work | the same, and the mark: at most once the client, or the next server, ends the call with [`ServerDied`](CallError::ServerDied). At least once the request is said again, as repeated | the desk. Its client waits, to its deadline; others have other desks |
//! | server, behind its mark, with a request that was taken back | the mark, which is taken back before it leaves; at most once it may be told as `ServerDied` | the same |
//! | server, among the parts of an answer | the same; at least once what was gathered is dropped, and a part that was handed on makes it `ServerDied` | the same |
//! | server, after it has settled, before it leaves the role | the answer; the role, which the next server takes over | the answer; the client's next call moves on to another desk |
//! | server, among the words of a short answer | a value that cannot be read, of which only the number before is known. It settled an earlier call; the mark is there | as at work |
//! | client, moving on, before it has taken its request back | two desks, both free with its death | nobody waits for it |
//! | server, about to leave in order | a request that it lets go of is told so (`LET_GO`), and treated as after a death | |
//! | all servers | the client sees within 0.2 s that there is none ([`NoServer`](CallError::NoServer), or `ServerDied`) | they live |
//!
//! A server passes a desk over while another one has its role. Should that one have looked there for nothing, and have died or been stopped before it
//! looks again, then the request has escaped both; the client sees that nobody has the role, and says it again, at last every 0.2 s.
//!
//! # Bounds
//! Up to 2032 client handles ([`Serve::clients`]), in up to 119 processes, as many as a board has places, less the servers' processes, of which there
//! are 31 at most. Each message goes in one piece up to [`Serve::part_len`], and in fragments beyond; each fragment waits until the one before was
//! taken.

mod answers;
mod client;
mod connect;
mod error;
mod place;
mod polling;
mod request;
mod seat;
mod serve;
mod server;
mod stat;
mod waiting;
mod words;

use ringway_core::Error;

pub use answers::Answers;
pub use client::Client;
pub use connect::Connect;
pub use error::{CallError, Failure, ServeError};
pub use request::Request;
pub use serve::Serve;
pub use server::Server;
pub use stat::ServiceStat;

/// Names the address of a service to serve at; see [`Serve`].
///
/// # Errors
/// [`ErrorKind::InvalidAddress`](ringway_core::ErrorKind::InvalidAddress) if the address does not parse.
pub fn serve(address: &str) -> Result<Serve, Error> {
    address.parse().map(Serve::at)
}

/// Names the address of a service to call; see [`Connect`].
///
/// # Errors
/// [`ErrorKind::InvalidAddress`](ringway_core::ErrorKind::InvalidAddress) if the address does not parse.
pub fn connect(address: &str) -> Result<Connect, Error> {
    address.parse().map(Connect::at)
}
