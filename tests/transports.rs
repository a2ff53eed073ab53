//! Rings and queues as transports: all methods of their traits, on the handle itself and on a channel's around it, while
//! the other side lives, is stopped, leaves in order and dies.

mod two_processes;

use std::io::IoSlice;
use std::time::{Duration, Instant};

use ringway::address::{QueueKey, SysvKey};
use ringway::channel::Carrier;
use ringway::chunk::{ChunkReceiver, ChunkRecvError, Lost, Splitter, Why};
use ringway::mq::QueueBuilder;
use ringway::peer::Role;
use ringway::transport::{MessageRoom, MessageSink, MessageSource, ReceivedMessage};
use ringway::{Address, Builder, Channel, Kind, RecvError, SendError, WaitStrategy};
use two_processes::place::{Backing, Place};
use two_processes::procfs::while_blocked;
use two_processes::table::Row;
use two_processes::{First, Second, in_time, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send half" => send_half(first),
        "receive" => receive(first),
        _ => panic!("{role}"),
    });
}

fn opened(first: &First) -> Channel {
    Channel::open(Builder::at(first.address().clone())).unwrap()
}

/// Sends the first half of a message, and waits.
fn send_half(first: &First) {
    let mut sender = opened(first).sender().unwrap();
    let header = Splitter::new(sender.sender_id(), 1, Some(10)).next(b"half ", false);
    let frame = [&header.encode(b"half ")[..], b"half "].concat();
    sender.send(&frame).unwrap();
    first.say(sender.sender_id());
    match first.hear().as_str() {
        "close" => sender.close(),
        "leave" => sender.leave(),
        other => panic!("{other}"),
    }
    first.say("left");
    first.hear();
}

/// Attaches as a receiver, and waits.
fn receive(first: &First) {
    let receiver = opened(first).receiver().unwrap();
    first.say("attached");
    assert_eq!(first.hear(), "close");
    receiver.close();
    first.say("left");
    first.hear();
}

/// A ring or a queue of the test's; it goes with the test.
struct Transport {
    name: String,
    channel: Channel,
    /// Whether the handles are those of the ring or queue itself, not those of a channel.
    is_bare: bool,
    _place: Option<Place>,
    queue: Option<Address>,
}

impl Drop for Transport {
    fn drop(&mut self) {
        if let Some(address) = &self.queue {
            let _ = ringway::mq::remove(address, true);
        }
    }
}

/// Runs a test on a new ring of each kind and sync with one receiver, and on a new queue of each system, with and
/// without priorities; each as it is and as a channel.
fn on_each(test: impl Fn(&Transport)) {
    let mut rows = Row::on_shm();
    rows.retain(|row| matches!(row.kind, Kind::Spsc | Kind::Mpsc));
    for is_bare in [true, false] {
        for row in &rows {
            let (ring, place) = row.ring();
            test(&Transport {
                name: format!("{row}, bare: {is_bare}"),
                channel: Channel::from(ring),
                is_bare,
                _place: Some(place),
                queue: None,
            });
        }
        for priorities in [true, false] {
            // A name and a key that no other test has.
            let key = match Place::new(Backing::SysvKey).address {
                Address::Sysv(SysvKey::Key(key)) => key,
                ref address => panic!("{address}"),
            };
            for address in [
                Address::Mq(format!("ringway-test-transports-{key}")),
                Address::Sysvmq(QueueKey::Key(key)),
            ] {
                let builder = QueueBuilder::at(address.clone()).priorities(priorities);
                builder.messages(4).message_len(112).create().unwrap();
                test(&Transport {
                    name: format!("{address}, bare: {is_bare}, priorities: {priorities}"),
                    channel: Channel::open(Builder::at(address.clone())).unwrap(),
                    is_bare,
                    _place: None,
                    queue: Some(address),
                });
            }
        }
    }
}

impl Transport {
    fn second(&self, role: &str) -> Second {
        Second::start_at(role, self.channel.address())
    }

    fn source(&self) -> Box<dyn AnySource> {
        match self.channel.carrier() {
            _ if !self.is_bare => Box::new(Source(self.channel.receiver().unwrap())),
            Carrier::Ring(ring) => Box::new(Source(ring.receiver().unwrap())),
            Carrier::Queue(queue) => Box::new(Source(queue.receiver().unwrap())),
            carrier => panic!("{carrier:?}"),
        }
    }

    fn sink(&self) -> Box<dyn MessageSink> {
        match self.channel.carrier() {
            _ if !self.is_bare => Box::new(self.channel.sender().unwrap()),
            Carrier::Ring(ring) => Box::new(ring.sender().unwrap()),
            Carrier::Queue(queue) => Box::new(queue.sender().unwrap()),
            carrier => panic!("{carrier:?}"),
        }
    }
}

/// A source of any type, in a form that tests can pass on.
trait AnySource {
    fn try_receive(&mut self) -> Result<Vec<u8>, RecvError>;
    fn receive_deadline(&mut self, deadline: Option<Instant>) -> Result<Vec<u8>, RecvError>;
    fn is_attached(&self, sender: u64) -> Option<bool>;
    fn wait_while_attached_deadline(&mut self, senders: &[u64], deadline: Option<Instant>) -> bool;
    fn is_drained(&mut self) -> bool;
    fn capacity(&self) -> Option<u64>;
    /// A whole message, out of its fragments.
    fn whole(&mut self, deadline: Instant) -> Result<Vec<u8>, ChunkRecvError>;
}

struct Source<S>(S);

fn bytes(message: impl ReceivedMessage) -> Vec<u8> {
    let mut bytes = vec![0; message.len()];
    assert_eq!(message.read_at(0, &mut bytes), bytes.len());
    assert_eq!(message.is_empty(), bytes.is_empty());
    let mut behind = [0; 4];
    assert_eq!(message.read_at(bytes.len(), &mut behind), 0);
    message.release();
    bytes
}

impl<S: MessageSource> AnySource for Source<S> {
    fn try_receive(&mut self) -> Result<Vec<u8>, RecvError> {
        self.0.try_receive().map(bytes)
    }
    fn receive_deadline(&mut self, deadline: Option<Instant>) -> Result<Vec<u8>, RecvError> {
        self.0.receive_deadline(deadline).map(bytes)
    }
    fn is_attached(&self, sender: u64) -> Option<bool> {
        self.0.is_attached(sender)
    }
    fn wait_while_attached_deadline(&mut self, senders: &[u64], deadline: Option<Instant>) -> bool {
        self.0.wait_while_attached_deadline(senders, deadline)
    }
    fn is_drained(&mut self) -> bool {
        self.0.is_drained()
    }
    fn capacity(&self) -> Option<u64> {
        self.0.capacity()
    }
    fn whole(&mut self, deadline: Instant) -> Result<Vec<u8>, ChunkRecvError> {
        ChunkReceiver::new(Borrowed(&mut self.0)).recv_deadline(deadline)
    }
}

/// A source that is lent. Whatever is asked is asked of the source.
struct Borrowed<'s, S>(&'s mut S);

impl<S: MessageSource> MessageSource for Borrowed<'_, S> {
    type Message<'a>
        = S::Message<'a>
    where
        Self: 'a;
    fn try_receive(&mut self) -> Result<S::Message<'_>, RecvError> {
        self.0.try_receive()
    }
    fn receive_deadline(&mut self, deadline: Option<Instant>) -> Result<S::Message<'_>, RecvError> {
        self.0.receive_deadline(deadline)
    }
    fn is_attached(&self, sender: u64) -> Option<bool> {
        self.0.is_attached(sender)
    }
    fn wait_while_attached_deadline(&mut self, senders: &[u64], deadline: Option<Instant>) -> bool {
        self.0.wait_while_attached_deadline(senders, deadline)
    }
    fn is_drained(&mut self) -> bool {
        self.0.is_drained()
    }
    fn capacity(&self) -> Option<u64> {
        self.0.capacity()
    }
}

/// How a process ends its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Killed,
    Close,
    Leave,
}

impl End {
    fn bring_about(self, second: &Second) {
        match self {
            Self::Killed => second.kill(),
            Self::Close => second.say("close"),
            Self::Leave => second.say("leave"),
        }
    }
}

#[test]
fn a_sender_that_ends_in_the_midst_of_a_message_is_noticed_at_once_whoever_else_lives() {
    for end in [End::Killed, End::Close, End::Leave] {
        on_each(|transport| {
            let what = format!("{} {end:?}", transport.name);
            // With another one that lives on, and does nothing.
            let has_many = transport.channel.allows_many(Role::Producer);
            let _other = has_many.then(|| transport.channel.sender().unwrap());
            let mut source = transport.source();
            let second = transport.second("send half");
            let sender: u64 = second.hear().parse().unwrap();
            assert_eq!(source.is_attached(sender), Some(true), "{what}");
            let received = while_blocked(
                WaitStrategy::Park,
                || end.bring_about(&second),
                || in_time(|deadline| source.whole(deadline)),
            );
            let Err(ChunkRecvError::Lost(lost)) = received else {
                panic!("{what}: {received:?}");
            };
            let expected = Lost {
                sender,
                message: 1,
                received: 5,
                why: Why::SenderGone,
            };
            assert_eq!(lost, expected, "{what}");
            if end != End::Killed {
                // It says that it closes before it leaves.
                second.expect("left");
            }
            assert_eq!(source.is_attached(sender), Some(false), "{what}");
            assert!(source.is_drained(), "{what}");
            let gone = [sender];
            assert!(in_time(
                |deadline| source.wait_while_attached_deadline(&gone, Some(deadline))
            ));
        });
    }
}

#[test]
fn a_sender_that_stands_still_in_the_midst_of_a_message_is_alive() {
    on_each(|transport| {
        let what = &transport.name;
        let mut source = transport.source();
        let second = transport.second("send half");
        let sender: u64 = second.hear().parse().unwrap();
        second.stop();
        let soon = || Instant::now() + Duration::from_millis(20);
        let late = source.whole(soon());
        assert!(
            matches!(late, Err(ChunkRecvError::Transport(RecvError::TimedOut))),
            "{what}: {late:?}"
        );
        assert_eq!(source.is_attached(sender), Some(true), "{what}");
        assert!(source.wait_while_attached_deadline(&[sender], Some(soon())));
        assert_eq!(source.is_attached(sender), Some(true), "{what}");
    });
}

#[test]
fn all_ways_to_send_and_to_receive_carry_the_same_and_a_channel_answers_as_the_handle_in_it() {
    on_each(|transport| {
        let name = &transport.name;
        let (mut sink, mut source) = (transport.sink(), transport.source());
        assert_eq!(source.try_receive(), Err(RecvError::Empty), "{name}");
        assert!(source.is_drained(), "{name}");
        assert_eq!(source.is_attached(1 << 40), Some(false), "{name}");
        assert_eq!(source.is_attached(sink.sender_id()), Some(true), "{name}");
        let parts = [IoSlice::new(b"hello "), IoSlice::new(b"world")];
        sink.try_send_parts(&parts).unwrap();
        sink.send_parts(&[]).unwrap();
        let mut write = |room: &mut dyn MessageRoom| {
            room.write_at(0, b"by parts");
        };
        sink.send_with(8, &mut write).unwrap();
        assert_eq!(source.try_receive().unwrap(), b"hello world", "{name}");
        assert_eq!(source.receive_deadline(None).unwrap(), b"", "{name}");
        let last = source.receive_deadline(Some(watchdog())).unwrap();
        assert_eq!(last, b"by parts", "{name}");
        let too_long = sink.max_message_len() + 1;
        let refused = sink.send_with(too_long, &mut |_| panic!());
        assert!(matches!(refused, Err(SendError::TooLarge { .. })), "{name}");
        let channel = &transport.channel;
        assert_eq!(sink.max_message_len() as u64, channel.max_message_len());
        assert!(!sink.is_shared_out(), "{name}");
        // Of a queue with priorities it cannot be known when all that was there has come out.
        let may_be_overtaken = name.ends_with("priorities: true");
        assert_eq!(source.capacity().is_none(), may_be_overtaken, "{name}");
    });
}

#[test]
fn a_receiver_that_ends_or_stands_still_is_told_by_every_way_to_send() {
    for end in [Some(End::Killed), Some(End::Close), None] {
        on_each(|transport| {
            let what = format!("{} {end:?}", transport.name);
            let mut sink = transport.sink();
            let second = transport.second("receive");
            second.expect("attached");
            match end {
                Some(End::Close) => {
                    second.say("close");
                    second.expect("left");
                }
                Some(_) => second.kill(),
                None => second.stop(),
            }
            let message = [IoSlice::new(b"x")];
            let mut tried = Ok(());
            while tried.is_ok() {
                tried = sink.try_send_parts(&message);
            }
            let soon = || Some(Instant::now() + Duration::from_millis(5));
            let waited = [
                sink.send_parts_deadline(&message, soon()),
                sink.send_with_deadline(1, soon(), &mut |room| {
                    room.write_at(0, b"x");
                }),
            ];
            let (at_once, in_the_end) = match end {
                Some(End::Close) => (SendError::Closed, SendError::Closed),
                Some(_) => (SendError::PeerDied, SendError::PeerDied),
                None => (SendError::Full, SendError::TimedOut),
            };
            assert_eq!(tried, Err(at_once), "{what}");
            assert_eq!(waited, [Err(in_the_end); 2], "{what}");
        });
    }
}
