//! A stage of a pipeline that is killed, at random moments and at chosen ones: each message that went in comes out
//! exactly once, in order.

mod two_processes;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ringway::stage::{Stage, StageError};
use ringway::{Builder, ErrorKind, Kind, Message, RecvError, Ring, SendError, SyncKind};
use two_processes::messages::{Random, number, number_in};
use two_processes::place::{Backing, Place};
use two_processes::{First, Second, play, watchdog};

#[test]
fn child_role() {
    play(|role, first| match role {
        "run" => run(first),
        "in the work" => in_the_work(first),
        "between sending and releasing" => between(first),
        _ => panic!("{role}"),
    });
}

/// Two rings in one place: the first process knows of the other by its address.
struct Pipeline {
    input: Ring,
    output: Ring,
    _places: [Place; 2],
}

impl Pipeline {
    fn new(backing: Backing, options: impl Fn(Builder) -> Builder) -> Self {
        let mut places = [Place::new(backing), Place::new(backing)];
        let [input, output] = [0, 1].map(|nth: usize| {
            let ring = options(places[nth].builder()).create().unwrap();
            places[nth].address = ring.address().clone();
            ring
        });
        Self {
            input,
            output,
            _places: places,
        }
    }

    /// A process with a stage of this pipeline.
    fn start(&self, role: &str) -> Second {
        let second = Second::start_at(role, self.input.address());
        second.say(self.output.address());
        second
    }
}

fn rings(first: &First) -> (Ring, Ring) {
    let output = first.hear();
    (first.ring(), ringway::at(&output).unwrap().open().unwrap())
}

/// What the stage makes of a message.
fn square(message: &Message<'_>) -> Result<[u8; 8], Infallible> {
    let value = number_in(&message.to_vec());
    Ok(number(value * value))
}

fn run(first: &First) {
    let (input, output) = rings(first);
    let mut stage = Stage::new(&input, &output).unwrap();
    first.say(stage.steps());
    stage.run(square).unwrap();
}

fn in_the_work(first: &First) {
    let (input, output) = rings(first);
    let mut stage = Stage::new(&input, &output).unwrap();
    let done = stage.step(|message| {
        first.say(number_in(&message.to_vec()));
        first.hear();
        square(message)
    });
    done.unwrap();
}

/// What a stage does, with a moment between its two halves.
fn between(first: &First) {
    let (input, output) = rings(first);
    let (mut receiver, mut sender) = (input.receiver().unwrap(), output.sender().unwrap());
    let message = receiver.recv_in_place().unwrap();
    sender.send(&square(&message).unwrap()).unwrap();
    first.say(number_in(&message.to_vec()));
    first.hear();
}

#[test]
fn a_stage_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    for (backing, deaths) in [
        (Backing::Shm, 100),
        (Backing::File, 20),
        (Backing::SysvKey, 20),
    ] {
        let pipeline = Pipeline::new(backing, |builder| builder.capacity(4096));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let mut source = pipeline.input.sender().unwrap();
            let mut sink = pipeline.output.receiver().unwrap();
            let over = &over;
            scope.spawn(move || {
                for value in 0.. {
                    if over.load(Ordering::Relaxed) {
                        source.send(&number(value)).unwrap();
                        return;
                    }
                    loop {
                        match source.send(&number(value)) {
                            Ok(()) => break,
                            Err(SendError::PeerDied) => {
                                source.wait_for_peer_deadline(watchdog()).unwrap()
                            }
                            Err(error) => panic!("{error:?}"),
                        }
                    }
                }
            });
            let killing = scope.spawn(move || {
                let mut random = Random(1);
                for _ in 0..deaths {
                    let stage = pipeline.start("run");
                    let steps: u64 = stage.hear().parse().unwrap();
                    // However the processors are shared out, most come to do something.
                    while random.below(4) > 0 && pipeline.input.stat().received == steps {
                        std::thread::yield_now();
                    }
                    std::thread::sleep(Duration::from_micros(random.below(2000)));
                    stage.kill();
                }
                over.store(true, Ordering::Relaxed);
                // The last one comes to the end of the stream.
                let stage = pipeline.start("run");
                stage.hear();
                stage.last_words();
            });
            let mut expected = 0;
            loop {
                match sink.recv_deadline(watchdog()) {
                    Ok(message) => {
                        assert_eq!(number_in(&message), expected * expected, "{backing:?}");
                        expected += 1;
                    }
                    Err(RecvError::PeerDied) => sink.wait_for_peer_deadline(watchdog()).unwrap(),
                    Err(RecvError::Closed) => break,
                    Err(error) => panic!("{error:?}"),
                }
            }
            killing.join().unwrap();
            println!("{backing:?}: {expected} messages, {deaths} deaths");
        });
    }
}

#[test]
fn a_stage_goes_on_from_either_side_of_its_send() {
    for backing in [
        Backing::Shm,
        Backing::File,
        Backing::SysvKey,
        Backing::SysvPrivate,
    ] {
        let pipeline = Pipeline::new(backing, |builder| builder.capacity(4096).slabs(4096, 4));
        let (mut source, mut sink) = (
            pipeline.input.sender().unwrap(),
            pipeline.output.receiver().unwrap(),
        );
        let mut came = |value: u64| {
            let message = sink.recv_deadline(watchdog()).unwrap();
            assert_eq!(number_in(&message), value * value, "{backing:?}");
            assert!(sink.try_recv().is_err(), "{backing:?}");
        };
        let mut next = 0;
        for _ in 0..3 {
            (0..4).for_each(|nth| source.send(&number(next + nth)).unwrap());
            for (role, came_out) in [("in the work", 0), ("between sending and releasing", 1)] {
                let victim = pipeline.start(role);
                victim.expect(&next.to_string());
                victim.kill();
                let mut stage = Stage::new(&pipeline.input, &pipeline.output).unwrap();
                if came_out == 1 {
                    came(next);
                    next += 1;
                }
                assert_eq!(stage.steps(), next, "{backing:?}");
                let mut deliveries = 0;
                let done = stage.step(|message| {
                    deliveries = message.deliveries();
                    square(message)
                });
                done.unwrap();
                assert_eq!(deliveries, 2 - came_out, "{backing:?}");
                came(next);
                next += 1;
                stage.leave();
            }
            // The last of the four.
            let mut stage = Stage::new(&pipeline.input, &pipeline.output).unwrap();
            stage.step(square).unwrap();
            came(next);
            next += 1;
            stage.leave();
        }
    }
}

#[test]
fn a_step_that_fails_is_made_again() {
    let pipeline = Pipeline::new(Backing::Shm, |builder| builder.capacity(4096));
    let mut stage = Stage::new(&pipeline.input, &pipeline.output).unwrap();
    let mut source = pipeline.input.sender().unwrap();
    source.send(&number(3)).unwrap();
    let failed = stage.step(|_| Err::<[u8; 0], _>("not now"));
    assert_eq!(failed, Err(StageError::Work("not now")));
    // Until there is no room for what is made of the input's last message.
    while stage.try_step(square).is_ok() {
        source.send(&number(3)).unwrap();
    }
    assert_eq!(
        stage.try_step(square),
        Err(StageError::Send(SendError::Full))
    );
    let soon = std::time::Instant::now() + Duration::from_millis(1);
    assert_eq!(
        stage.step_deadline(soon, square),
        Err(StageError::Send(SendError::TimedOut))
    );
    assert_eq!(
        stage.step_timeout(Duration::from_millis(1), square),
        Err(StageError::Send(SendError::TimedOut))
    );
    let mut sink = pipeline.output.receiver().unwrap();
    let before = stage.steps();
    assert_eq!(number_in(&sink.recv().unwrap()), 9);
    stage.try_step(square).unwrap();
    assert_eq!(stage.steps(), before + 1);
    let mut came = 1;
    while sink.try_recv().is_ok() {
        came += 1;
    }
    assert_eq!(came, before + 1);
    while stage.try_step(square).is_ok() {
        sink.recv().unwrap();
    }
    let soon = Duration::from_millis(1);
    assert_eq!(
        stage.step_timeout(soon, square),
        Err(StageError::Receive(RecvError::TimedOut))
    );
    source.leave();
    drop(sink);
    let timed_out = stage.wait_for_producer_timeout(soon);
    assert_eq!(timed_out, Err(RecvError::TimedOut));
    let timed_out = stage.wait_for_consumer_timeout(soon);
    assert_eq!(timed_out, Err(SendError::TimedOut));
}

#[test]
fn rings_that_are_no_ends_of_one_stage_are_refused_and_left_open() {
    let plain = |builder: Builder| builder.capacity(4096);
    let pipeline = Pipeline::new(Backing::Shm, plain);
    let refused = |pipeline: &Pipeline| {
        let error = Stage::new(&pipeline.input, &pipeline.output).unwrap_err();
        assert!(!error.next_step().is_empty(), "{error}");
        error
    };
    let (mut source, mut wrong) = (
        pipeline.input.sender().unwrap(),
        pipeline.output.sender().unwrap(),
    );
    source.send(b"one").unwrap();
    (0..2).for_each(|_| wrong.send(b"two").unwrap());
    wrong.leave();
    for _ in 0..2 {
        let error = refused(&pipeline);
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
        assert!(
            error.to_string().contains("0 messages were received"),
            "{error}"
        );
    }
    pipeline.output.sender().unwrap().send(b"three").unwrap();
    // One more was sent than came.
    let pipeline = Pipeline::new(Backing::Shm, plain);
    let mut wrong = pipeline.output.sender().unwrap();
    wrong.send(b"one").unwrap();
    wrong.leave();
    assert_eq!(refused(&pipeline).kind(), ErrorKind::Corrupt);
    let many = refused(&Pipeline::new(Backing::Shm, |builder| {
        builder.capacity(4096).kind(Kind::Mpsc)
    }));
    assert_eq!(many.kind(), ErrorKind::Unsupported);
    let other_sync = refused(&Pipeline::new(Backing::Shm, |builder| {
        builder.capacity(4096).sync(SyncKind::Mqueue)
    }));
    assert_eq!(other_sync.kind(), ErrorKind::Unsupported);
    let overwriting = refused(&Pipeline::new(Backing::Shm, |builder| {
        builder.capacity(4096).overwrite_oldest(true)
    }));
    assert_eq!(overwriting.kind(), ErrorKind::Unsupported);
}
