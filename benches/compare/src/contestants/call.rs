//! A call and its answer, both sides spinning.

use std::ops::Range;

use ::ringway::WaitStrategy;
use ::ringway::service::{Client, Server};
use iceoryx2::prelude::*;
use iceoryx2::service::port_factory::request_response;

use super::{Contestant, Roster, iceoryx, limit, plain};
use crate::clock::ticks;
use crate::memory::spin_until;
use crate::message;
use crate::track::{LEAD, RoundTrip, Tape, Track};

impl Roster<'_> {
    pub(super) fn call<const W: usize>(&mut self) -> Vec<Contestant> {
        let mut stream = || self.ringway::<W, false, false>(STREAM);
        let streams = RoundTrip {
            there: stream(),
            back: stream(),
        };
        let service = Service::<W>::new(self.name());
        let other = RequestResponse::<W>::new(self.name());
        vec![
            limit("ringway, two streams", None, streams),
            plain("ringway call", Calls::<_, W>(service)),
            plain("iceoryx2 request-response", Calls::<_, W>(other)),
        ]
    }
}

/// Bytes of the streams beside.
const STREAM: u64 = 64 << 10;

/// One who serves, and one who calls.
trait Serving<const W: usize> {
    fn start_serving(&mut self);
    /// When it has.
    fn start_calling(&mut self);
    fn call(&mut self, request: &[u64; W]) -> [u64; W];
    fn serve(&mut self, answer: impl FnOnce(&[u64; W]) -> [u64; W]);
}

/// The leading process calls the other, which answers each request with the message itself, one number on.
struct Calls<S, const W: usize>(S);

impl<S: Serving<W>, const W: usize> Track for Calls<S, W> {
    fn start(&mut self, member: usize) {
        if member != LEAD {
            self.0.start_serving();
        }
    }

    fn join(&mut self, member: usize) {
        if member == LEAD {
            self.0.start_calling();
        }
    }

    fn unlink(&mut self, _: usize) {}

    fn run(&mut self, member: usize, numbers: Range<u64>, tape: Tape<'_>) {
        if member != LEAD {
            for number in numbers {
                self.0.serve(|request| {
                    message::check(request, number);
                    let mut answer = [0; W];
                    message::fill(&mut answer, number + 1);
                    answer
                });
            }
            return;
        }
        let mut request = [0; W];
        let mut before = ticks();
        for (number, lap) in numbers.zip(tape.laps) {
            message::fill(&mut request, number);
            message::check(&self.0.call(&request), number + 1);
            let now = ticks();
            *lap = u32::try_from(now - before).unwrap_or(u32::MAX);
            before = now;
        }
    }
}

/// ringway's.
struct Service<const W: usize> {
    address: String,
    server: Option<Server>,
    client: Option<Client>,
}

impl<const W: usize> Service<W> {
    fn new(name: String) -> Self {
        Self {
            address: format!("shm:{name}"),
            server: None,
            client: None,
        }
    }
}

impl<const W: usize> Serving<W> for Service<W> {
    fn start_serving(&mut self) {
        let serve = ::ringway::serve(&self.address).expect("the address is well formed");
        let server = serve.with_wait(WaitStrategy::Spin).start();
        self.server = Some(server.expect("a new service"));
    }

    fn start_calling(&mut self) {
        let connect = ::ringway::connect(&self.address).expect("the address is well formed");
        let client = connect.with_wait(WaitStrategy::Spin).open();
        self.client = Some(client.expect("the other process serves"));
    }

    #[inline(always)]
    fn call(&mut self, request: &[u64; W]) -> [u64; W] {
        let client = self.client.as_mut().expect("started");
        let answer = client.call(bytemuck::cast_slice(request));
        words(&answer.expect("a live server"))
    }

    #[inline(always)]
    fn serve(&mut self, answer: impl FnOnce(&[u64; W]) -> [u64; W]) {
        let server = self.server.as_mut().expect("started");
        let request = server.next().expect("an intact service");
        let answer = answer(&words(request.body()));
        let answered = request.answer(bytemuck::cast_slice(&answer));
        answered.expect("a live caller");
    }
}

/// The message in these bytes.
#[inline(always)]
fn words<const W: usize>(bytes: &[u8]) -> [u64; W] {
    let mut words = [0; W];
    bytemuck::cast_slice_mut(&mut words).copy_from_slice(bytes);
    words
}

type Port<const W: usize> = request_response::PortFactory<ipc::Service, [u64; W], (), [u64; W], ()>;

type PortOfServer<const W: usize> =
    iceoryx2::port::server::Server<ipc::Service, [u64; W], (), [u64; W], ()>;
type PortOfClient<const W: usize> =
    iceoryx2::port::client::Client<ipc::Service, [u64; W], (), [u64; W], ()>;

/// iceoryx2's, polled.
struct RequestResponse<const W: usize> {
    name: String,
    port: Option<(Node<ipc::Service>, Port<W>)>,
    server: Option<PortOfServer<W>>,
    client: Option<PortOfClient<W>>,
}

impl<const W: usize> RequestResponse<W> {
    fn new(name: String) -> Self {
        Self {
            name,
            port: None,
            server: None,
            client: None,
        }
    }

    fn join(&mut self) -> &Port<W> {
        let node = iceoryx::node(&self.name);
        let port = node
            .service_builder(&"compare".try_into().expect("a name"))
            .request_response::<[u64; W], [u64; W]>()
            .max_clients(1)
            .max_servers(1)
            .max_nodes(2)
            .open_or_create()
            .expect("the same of both");
        &self.port.insert((node, port)).1
    }
}

impl<const W: usize> Serving<W> for RequestResponse<W> {
    fn start_serving(&mut self) {
        let server = self.join().server_builder().create();
        self.server = Some(server.expect("no other server"));
    }

    fn start_calling(&mut self) {
        let client = self.join().client_builder().create();
        self.client = Some(client.expect("no other client"));
    }

    #[inline(always)]
    fn call(&mut self, request: &[u64; W]) -> [u64; W] {
        let client = self.client.as_ref().expect("started");
        let pending = client.send_copy(*request).expect("a live server");
        let mut answer = None;
        spin_until(|| {
            answer = pending.receive().expect("intact");
            answer.is_some()
        });
        *answer.expect("just received")
    }

    #[inline(always)]
    fn serve(&mut self, answer: impl FnOnce(&[u64; W]) -> [u64; W]) {
        let server = self.server.as_ref().expect("started");
        let mut request = None;
        spin_until(|| {
            request = server.receive().expect("intact");
            request.is_some()
        });
        let request = request.expect("just received");
        let answer = answer(&request);
        request.send_copy(answer).expect("a live client");
    }
}
