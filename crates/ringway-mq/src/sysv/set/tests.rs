//! A real set: what it says, who is known by a place, and counts near the kernel's largest number.

use ringway_core::Address;
use ringway_core::address::QueueKey;

use super::*;

/// A set that goes with the test.
struct Own(Set);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.remove();
    }
}

fn own(number: u32) -> Own {
    let key = std::process::id() << 10 | 0x3f0 | number;
    let address = Address::Sysvmq(QueueKey::Key(key));
    let attempt = Attempt {
        action: "test",
        address: &address,
    };
    Own(Set::of(attempt, key, 7, 0o600, false).unwrap())
}

/// How high a count may be after something that raises it.
fn assert_folded(set: Set, index: u16, deed: impl Fn()) {
    // Before the kernel's largest number, at which every further operation would fail.
    semget::set_value(set.id, index, 32_760).unwrap();
    for _ in 0..20 {
        deed();
    }
    let value = semget::value(set.id, index).unwrap();
    assert!((1..FOLD).contains(&value), "semaphore {index} is {value}");
}

#[test]
fn counts_do_not_reach_the_largest_number() {
    let own = own(0);
    let set = own.0;
    let attend = |how| {
        let sender = set.enter_sender().unwrap();
        set.leave_sender(sender, how).unwrap();
    };
    assert_folded(set, NEWS, || attend(Departure::Close));
    assert_folded(set, ROOM, || {
        assert!(set.enter_receiver().unwrap());
        set.leave_receiver(Departure::Leave).unwrap();
    });
    assert!(set.enter_receiver().unwrap());
    assert_folded(set, NEWS, || {
        set.begin_wait().unwrap();
        set.end_wait();
    });
    set.begin_wait().unwrap();
    assert_folded(set, ROOM, || assert!(set.ring_room().unwrap()));
    set.end_wait();
    set.leave_receiver(Departure::Close).unwrap();
}

#[test]
fn a_sender_is_known_by_its_place() {
    let own = own(1);
    let set = own.0;
    let one = set.enter_sender().unwrap();
    let other = set.enter_sender().unwrap();
    assert_ne!(one.place(), other.place());
    assert_eq!(set.is_attached(one), Some(true));
    set.leave_sender(one, Departure::Abandon).unwrap();
    assert_eq!(set.is_attached(one), Some(false));
    assert_eq!(set.is_attached(other), Some(true));
    // The next one in that place is another one.
    let next = set.enter_sender().unwrap();
    assert_eq!(next.place(), one.place());
    assert_eq!(set.is_attached(one), Some(false));
    assert_eq!(set.is_attached(next), Some(true));
    // Of those beyond the places nothing is known.
    let many: Vec<_> = (0..SENDER_PLACES)
        .map(|_| set.enter_sender().unwrap())
        .collect();
    let without: Vec<_> = many
        .iter()
        .filter(|sender| set.is_attached(**sender).is_none())
        .collect();
    assert_eq!(without.len(), 2);
    for sender in many.into_iter().chain([other, next]) {
        set.leave_sender(sender, Departure::Close).unwrap();
    }
    assert_eq!(set.values().unwrap().senders(), 0);
}

/// What a set must say, step by step.
#[derive(Default)]
struct Model {
    alive: Vec<SenderNumber>,
    dead: usize,
    has_closed: bool,
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 64,
        failure_persistence: None,
        ..Default::default()
    })]
    #[test]
    fn a_set_says_what_became_of_the_senders(
        steps in proptest::collection::vec(proptest::prelude::any::<[u8; 2]>(), 0..40)
    ) {
        let own = own(3);
        let set = own.0;
        let mut model = Model::default();
        for [what, which] in steps {
            let leaves = |model: &mut Model| {
                let at = usize::from(which) % model.alive.len().max(1);
                (at < model.alive.len()).then(|| model.alive.swap_remove(at))
            };
            match what % 4 {
                0 => {
                    model.alive.push(set.enter_sender().unwrap());
                    // It takes the place of a dead one.
                    model.dead = model.dead.saturating_sub(1);
                }
                how => {
                    let Some(sender) = leaves(&mut model) else { continue };
                    let how = [Departure::Abandon, Departure::Close, Departure::Leave][usize::from(how) - 1];
                    set.leave_sender(sender, how).unwrap();
                    match how {
                        Departure::Abandon => model.dead += 1,
                        how => model.has_closed = how == Departure::Close,
                    }
                    assert_eq!(set.is_attached(sender), Some(false));
                }
            }
            let expected = match (model.alive.len(), model.dead, model.has_closed) {
                (1.., _, _) => Peer::Alive,
                (_, 1.., _) => Peer::Died,
                (_, _, true) => Peer::Closed,
                _ => Peer::Absent,
            };
            let values = set.values().unwrap();
            assert_eq!(values.sending_side(), expected);
            assert_eq!(usize::from(values.senders()), model.alive.len());
            assert_eq!(usize::from(values.dead()), model.dead);
            let all = model.alive.iter();
            assert!(all.copied().all(|sender| set.is_attached(sender) == Some(true)));
        }
        for sender in model.alive {
            set.leave_sender(sender, Departure::Close).unwrap();
        }
    }
}

#[test]
fn the_last_to_leave_says_whether_the_stream_has_ended() {
    let own = own(2);
    let set = own.0;
    let ends = [
        (Departure::Close, Departure::Leave, Peer::Absent),
        (Departure::Leave, Departure::Close, Peer::Closed),
        (Departure::Close, Departure::Close, Peer::Closed),
        (Departure::Leave, Departure::Leave, Peer::Absent),
    ];
    for (first, last, end) in ends {
        let senders = [set.enter_sender().unwrap(), set.enter_sender().unwrap()];
        set.leave_sender(senders[0], first).unwrap();
        assert_eq!(set.values().unwrap().sending_side(), Peer::Alive);
        set.leave_sender(senders[1], last).unwrap();
        assert_eq!(set.values().unwrap().sending_side(), end);
    }
}
