//! Over the engine within the process: a route is stopped at each of its steps, before and after that has had its effect, or the connection
//! is lost there; its successor goes on; each message has arrived once, in order.

use std::time::Duration;

use ringway::{RecvError, Ring};
use ringway_gateway::cursor::{Cursor, Plan};
use ringway_gateway::engine::Engine;
use ringway_gateway::engine::memory::{Fate, Memory};
use ringway_gateway::metrics::{Count, Counters};
use ringway_gateway::{Stopper, inward, outward};
use tempfile::TempDir;

const MESSAGES: u64 = 13;
const WINDOW: usize = 4;
const FATES: [Fate; 4] = [
    Fate::DiesBefore,
    Fate::DiesAfter,
    Fate::FailsBefore,
    Fate::FailsAfter,
];

struct World {
    engine: Memory,
    ring: Ring,
    counters: Counters,
    folder: TempDir,
}

impl World {
    fn new(engine: Memory) -> Self {
        let ring = ringway::at("memfd:")
            .unwrap()
            .capacity(1 << 16)
            .create()
            .unwrap();
        Self {
            engine,
            ring,
            counters: Counters::default(),
            folder: TempDir::with_prefix("ringway-test-").unwrap(),
        }
    }

    fn cursor(&self) -> Cursor {
        let address = format!("file:{}", self.folder.path().join("cursors").display());
        Cursor::open(&address, "route").unwrap()
    }

    fn is_drained(&self) -> bool {
        let stat = self.ring.stat();
        stat.received == stat.sent
    }

    /// One life of an outward route: until it dies, fails for good, or `done`.
    async fn outward(&self, done: impl Fn() -> bool) -> Result<(), String> {
        let (stopper, mut stop) = Stopper::new();
        let mut outlet = self.engine.outlet("S", "s");
        let mut cursor = self.cursor();
        let route = outward::run(
            &self.ring,
            &mut outlet,
            &mut cursor,
            WINDOW,
            &self.counters,
            &mut stop,
        );
        self.live(route, &stopper, done).await
    }

    async fn inward(&self, done: impl Fn() -> bool) -> Result<(), String> {
        let (stopper, mut stop) = Stopper::new();
        let mut inlet = self.engine.inlet("S", None, "c", WINDOW);
        let mut cursor = self.cursor();
        let route = inward::run(
            &self.ring,
            &mut inlet,
            &mut cursor,
            &self.counters,
            &mut stop,
        );
        self.live(route, &stopper, done).await
    }

    async fn live(
        &self,
        route: impl Future<Output = Result<(), String>>,
        stopper: &Stopper,
        done: impl Fn() -> bool,
    ) -> Result<(), String> {
        let finished = async {
            while !done() {
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            stopper.stop();
            std::future::pending().await
        };
        tokio::select! {
            biased;
            // Whatever it was about to do, it does not do it.
            () = self.engine.died() => Ok(()),
            outcome = route => outcome,
            () = finished => Ok(()),
            () = tokio::time::sleep(Duration::from_secs(20)) => panic!("it stands still"),
        }
    }
}

fn payload(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 5)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

/// All that was ever published: what is there, behind what was removed.
fn published(engine: &Memory, removed: &[(u64, String, Vec<u8>)]) -> Vec<(u64, String, Vec<u8>)> {
    let mut all = removed.to_vec();
    let rest = engine.contents("S").into_iter();
    all.extend(rest.map(|(sequence, id, payload)| (sequence, id, payload.to_vec())));
    all
}

/// Whether messages are removed from the stream, so that the newest one is gone when a successor looks for it.
fn an_outward_route_is_stopped(duplicates: usize, room: Option<usize>, removes: bool) {
    let mut stopped = 0;
    for fate in FATES {
        for step in 0.. {
            let engine = Memory::new();
            engine.create("S", room, duplicates, false);
            // Somebody's earlier messages.
            engine.put("S", b"earlier");
            engine.put("S", b"earlier");
            if removes {
                engine.remove_up_to("S", 1);
            }
            let world = World::new(engine.clone());
            let mut sender = world.ring.sender().unwrap();
            for number in 0..MESSAGES {
                sender.send(&payload(number)).unwrap();
            }
            engine.fail_at(step, fate);
            let removed = std::cell::RefCell::new(Vec::new());
            let remove = || {
                let all = published(&engine, &removed.borrow());
                engine.remove_up_to("S", u64::MAX);
                *removed.borrow_mut() = all;
            };
            let done = || {
                if room.is_some_and(|room| engine.contents("S").len() >= room) {
                    remove();
                }
                published(&engine, &removed.borrow()).len() as u64
                    >= MESSAGES + 2 - u64::from(removes)
                    && world.is_drained()
            };
            let mut lives = 0;
            while !done() {
                block_on(world.outward(done)).unwrap();
                lives += 1;
                if removes {
                    remove();
                }
                assert!(lives < 5, "{fate:?} at {step}");
            }
            let all = published(&engine, &removed.borrow());
            let own: Vec<_> = all.iter().filter(|(_, id, _)| !id.is_empty()).collect();
            let found: Vec<_> = own.iter().map(|(_, _, payload)| payload.clone()).collect();
            let expected: Vec<_> = (0..MESSAGES).map(payload).collect();
            assert_eq!(found, expected, "{fate:?} at {step}");
            for (number, (sequence, id, _)) in own.iter().enumerate() {
                assert_eq!(*id, outward::id(world.ring.nonce(), number as u64));
                assert_eq!(*sequence, number as u64 + 3, "{fate:?} at {step}");
            }
            assert_eq!(world.ring.receiver().unwrap().received(), MESSAGES);
            assert!(engine.most_under_way() <= WINDOW, "{fate:?} at {step}");
            if engine.is_armed() {
                // There are not as many steps.
                break;
            }
            stopped += 1;
        }
    }
    // The state, and each publication, at least.
    assert!(stopped as u64 >= 4 * (MESSAGES + 1), "{stopped}");
}

#[test]
fn an_outward_route_is_stopped_at_each_step() {
    an_outward_route_is_stopped(100, None, false);
}

#[test]
fn an_outward_route_is_stopped_at_each_step_and_the_server_knows_no_duplicates() {
    an_outward_route_is_stopped(0, None, false);
}

#[test]
fn an_outward_route_is_stopped_at_each_step_and_all_it_published_is_consumed() {
    an_outward_route_is_stopped(0, None, true);
}

#[test]
fn an_outward_route_is_stopped_at_each_step_and_the_stream_is_full_again_and_again() {
    an_outward_route_is_stopped(0, Some(6), true);
}

/// In a ring of so many bytes; who receives is slow if that is small.
fn an_inward_route_is_stopped(queue: bool, room: u64) {
    let mut stopped = 0;
    for fate in FATES {
        for step in 0.. {
            let engine = Memory::new();
            engine.create("S", None, 0, queue);
            let mut world = World::new(engine.clone());
            world.ring = ringway::at("memfd:")
                .unwrap()
                .capacity(room)
                .create()
                .unwrap();
            for number in 0..MESSAGES {
                engine.put("S", &payload(number).repeat(20));
            }
            engine.fail_at(step, fate);
            let receiver = std::cell::RefCell::new(world.ring.receiver().unwrap());
            let got = std::cell::RefCell::new(Vec::new());
            let take = || loop {
                match receiver.borrow_mut().try_recv() {
                    Ok(message) => got.borrow_mut().push(message),
                    Err(RecvError::Empty) => return,
                    Err(error) => panic!("{fate:?} at {step}: {error}"),
                }
            };
            let acknowledged = || !queue || engine.contents("S").is_empty();
            let done = || {
                take();
                got.borrow().len() as u64 >= MESSAGES && acknowledged()
            };
            let mut lives = 0;
            while !done() {
                block_on(world.inward(done)).unwrap();
                lives += 1;
                assert!(lives < 5, "{fate:?} at {step}");
            }
            let expected: Vec<_> = (0..MESSAGES)
                .map(|number| payload(number).repeat(20))
                .collect();
            assert_eq!(*got.borrow(), expected, "{fate:?} at {step}");
            // And what is sent next is what comes next, from a successor.
            engine.put("S", b"more");
            let more = || {
                take();
                got.borrow().len() as u64 > MESSAGES
            };
            if !engine.is_armed() {
                block_on(world.inward(more)).unwrap();
                assert_eq!(
                    got.borrow()[MESSAGES as usize..],
                    [b"more"],
                    "{fate:?} at {step}"
                );
                stopped += 1;
                continue;
            }
            break;
        }
    }
    // The state, the consumer, each delivery and each acknowledgement, at least.
    assert!(stopped as u64 >= 4 * (2 + 2 * MESSAGES), "{stopped}");
}

#[test]
fn an_inward_route_is_stopped_at_each_step() {
    an_inward_route_is_stopped(false, 1 << 20);
}

#[test]
fn an_inward_route_of_a_work_queue_is_stopped_at_each_step() {
    an_inward_route_is_stopped(true, 1 << 20);
}

#[test]
fn an_inward_route_into_a_ring_that_is_full_is_stopped_at_each_step() {
    an_inward_route_is_stopped(true, 4096);
}

#[test]
fn the_ring_says_how_much_of_a_plan_was_carried_out() {
    for done in 0..=3 {
        let engine = Memory::new();
        engine.create("S", None, 0, false);
        let world = World::new(engine.clone());
        (0..9).for_each(|number| engine.put("S", &payload(number)));
        // One that died when it had noted to send three, and had sent so many of them.
        let plan = Plan {
            nonce: world.ring.nonce(),
            identity: 1,
            sent: 2,
            received: 2,
            next: vec![3, 4, 5],
        };
        let mut sender = world.ring.sender().unwrap();
        (0..2 + done).for_each(|number| sender.send(&payload(number)).unwrap());
        sender.leave();
        world.cursor().note_plan(&plan).unwrap();
        block_on(world.inward(|| world.ring.stat().sent == 9)).unwrap();
        let mut receiver = world.ring.receiver().unwrap();
        let got: Vec<_> = (0..9).map(|_| receiver.try_recv().unwrap()).collect();
        assert_eq!(got, (0..9).map(payload).collect::<Vec<_>>(), "{done}");
    }
}

#[test]
fn somebody_else_who_publishes_is_noticed() {
    let engine = Memory::new();
    engine.create("S", None, 0, false);
    let world = World::new(engine.clone());
    let mut sender = world.ring.sender().unwrap();
    sender.send(b"one").unwrap();
    block_on(world.outward(|| engine.contents("S").len() == 1)).unwrap();
    engine.put("S", b"foreign");
    sender.send(b"two").unwrap();
    let problem = block_on(world.outward(|| false)).unwrap_err();
    assert!(problem.contains("somebody else"), "{problem}");
    // And it stays so for those who try again.
    block_on(world.outward(|| false)).unwrap_err();
    assert_eq!(engine.contents("S").len(), 2);
}

/// Whenever it comes: what lies in front of it is in order, and nothing of the ring comes behind it.
#[test]
fn nothing_is_stored_behind_somebody_elses_message() {
    let mut between = 0;
    for step in 1.. {
        let engine = Memory::new();
        engine.create("S", None, 0, false);
        let world = World::new(engine.clone());
        let mut sender = world.ring.sender().unwrap();
        (0..MESSAGES).for_each(|number| sender.send(&payload(number)).unwrap());
        engine.fail_at(step, Fate::Overtaken);
        let ended = block_on(world.outward(|| world.is_drained()));
        if engine.is_armed() {
            // There are not as many steps.
            break;
        }
        engine.deliver_late();
        let contents = engine.contents("S");
        let foreign = contents
            .iter()
            .position(|(_, id, _)| id.is_empty())
            .unwrap();
        assert_eq!(contents.len(), foreign + 1, "at {step}");
        for (number, (_, _, found)) in contents[..foreign].iter().enumerate() {
            assert_eq!(*found, payload(number as u64), "at {step}");
        }
        if foreign < MESSAGES as usize {
            let problem = ended.unwrap_err();
            assert!(problem.contains("somebody else"), "at {step}: {problem}");
            between += 1;
        }
    }
    // Each publication and each acknowledgement.
    assert_eq!(between, 2 * MESSAGES);
}

#[test]
fn a_ring_that_was_made_anew_goes_on_in_the_same_stream() {
    let engine = Memory::new();
    engine.create("S", None, 100, false);
    let mut world = World::new(engine.clone());
    for round in 1..4 {
        let mut sender = world.ring.sender().unwrap();
        sender.send(b"one").unwrap();
        sender.send(b"two").unwrap();
        block_on(world.outward(|| engine.contents("S").len() == 2 * round)).unwrap();
        drop(sender);
        world.ring = ringway::at("memfd:")
            .unwrap()
            .capacity(1 << 16)
            .create()
            .unwrap();
    }
}

#[test]
fn what_the_server_has_lost_is_counted_and_the_rest_goes_on() {
    let engine = Memory::new();
    engine.create("S", None, 0, false);
    let world = World::new(engine.clone());
    let mut sender = world.ring.sender().unwrap();
    (0..5).for_each(|number| sender.send(&payload(number)).unwrap());
    block_on(world.outward(|| engine.contents("S").len() == 5)).unwrap();
    engine.forget_behind("S", 3);
    (5..9).for_each(|number| sender.send(&payload(number)).unwrap());
    for _ in 0..2 {
        block_on(world.outward(|| engine.contents("S").len() == 7)).unwrap();
    }
    let found: Vec<_> = engine
        .contents("S")
        .into_iter()
        .map(|(_, _, payload)| payload.to_vec())
        .collect();
    let expected: Vec<_> = [0, 1, 2, 5, 6, 7, 8].map(payload).to_vec();
    assert_eq!(found, expected);
    assert_eq!(world.counters.get(Count::Lost), 2);
}

#[test]
fn a_ring_into_which_others_send_is_refused() {
    let engine = Memory::new();
    engine.create("S", None, 0, false);
    let world = World::new(engine.clone());
    let other = |bytes: &[u8]| {
        let mut sender = world.ring.sender().unwrap();
        sender.send(bytes).unwrap();
        sender.leave();
    };
    other(b"before");
    let problem = block_on(world.inward(|| false)).unwrap_err();
    assert!(problem.contains("make the ring anew"), "{problem}");

    let world = World::new(engine.clone());
    engine.put("S", b"one");
    block_on(world.inward(|| world.ring.stat().sent == 1)).unwrap();
    let mut sender = world.ring.sender().unwrap();
    (0..3).for_each(|_| sender.send(b"between").unwrap());
    sender.leave();
    let problem = block_on(world.inward(|| false)).unwrap_err();
    assert!(problem.contains("somebody else sends there"), "{problem}");
}

#[test]
fn a_ring_that_does_not_count_each_message_is_refused() {
    let mut world = World::new(Memory::new());
    world.ring = ringway::at("memfd:")
        .unwrap()
        .kind(ringway::Kind::Mpsc)
        .create()
        .unwrap();
    let outward = block_on(world.outward(|| false)).unwrap_err();
    let inward = block_on(world.inward(|| false)).unwrap_err();
    assert!(
        outward.contains("spsc") && inward.contains("spsc"),
        "{outward} {inward}"
    );
}
