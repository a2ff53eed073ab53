//! No counter of a segment does harm when it begins anew: each is set to just before that, as LAYOUT.md says where
//! it lies, and then the ring does what rings do.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

use ringway::inspect::stat;
use ringway::peer::Role;
use ringway::{Kind, Receiver, RecvError, Ring, Sender, SyncKind};
use ringway_testing::messages::{number, number_in};
use ringway_testing::place::{Backing, Place};
use ringway_testing::table::{Row, for_each};

/// The segment of a ring that nobody is attached to.
struct Segment(File);

impl Segment {
    fn of(place: &Place) -> Self {
        let file = OpenOptions::new().read(true).write(true).open(place.path());
        Self(file.unwrap())
    }

    fn load64(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn load32(&self, at: u64) -> u64 {
        self.load64(at) & u64::from(u32::MAX)
    }

    fn store64(&self, at: u64, word: u64) {
        self.0.write_all_at(&word.to_le_bytes(), at).unwrap();
    }

    fn store32(&self, at: u64, word: u32) {
        self.0.write_all_at(&word.to_le_bytes(), at).unwrap();
    }

    /// As if the cells had been used up so often.
    fn use_up_cells(&self, laps: u64) {
        let (start, capacity, len) = (self.load64(88), self.load64(96), self.load32(104));
        let cells = capacity / len;
        let key = self.load64(32) ^ self.load64(40);
        let free = laps << (3 + cells.ilog2() - 1) ^ key;
        (0..cells).for_each(|cell| self.store64(start + cell * len, free));
        // The hints and the head.
        for at in [256, 768, 384] {
            self.store64(at, laps * cells);
        }
    }

    /// As if so many messages of so many bytes altogether had gone through a stream.
    fn use_up_stream(&self, bytes: u64, messages: u64) {
        for (position, count) in [(256, 264), (384, 392)] {
            self.store64(position, bytes);
            self.store64(count, messages);
        }
    }

    /// All that counts something else is about to begin anew.
    fn use_up_counters(&self) {
        let has_cells = self.load32(104) != 0;
        // Wake-ups; in rings of cells also comings and goings.
        let with_changes = [512, 640, 516, 644];
        for word in &with_changes[..if has_cells { 4 } else { 2 }] {
            self.store32(*word, u32::MAX - 3);
        }
        // Those who come and leave.
        self.store32(1016, u32::MAX - 1);
        for slot in (0..self.load32(72)).map(|slot| 1024 + 128 * slot) {
            // The epoch, of which words tell 10 bits and slabs 24.
            self.store64(slot + 8, (1 << 24) - 2);
        }
        // Generations.
        let (words, slabs) = (self.load64(184), self.load32(156));
        for slab in 0..slabs {
            self.store64(words + 8 * slab, u64::from(u32::MAX - 1));
        }
    }
}

fn rows() -> Vec<Row> {
    let mut rows = Row::supported();
    rows.retain(|row| matches!(row.backing, Backing::Shm | Backing::File));
    rows
}

/// Where counters of cells come round: the laps of owned words, and as far as positions go.
const LAPS: [u64; 4] = [(1 << 20) - 2, (1 << 32) - 2, (1 << 40) - 2, (1 << 51) - 200];
/// Where those of streams do: the numbers in records, and as far as positions go.
const STREAMS: [(u64, u64); 3] = [
    ((1 << 32) - 64, (1 << 30) - 5),
    ((1 << 48) - 64, (1 << 32) - 5),
    ((1 << 62) - (1 << 20), (1 << 62) - 10_000),
];

/// A ring whose counters have come so far.
fn aged(row: Row, nth: usize, slabs: bool) -> Option<(Ring, Place)> {
    let (ring, place) = row.ring_with(|builder| match slabs {
        true => builder.slabs(4096, 2),
        false => builder,
    });
    let segment = Segment::of(&place);
    segment.use_up_counters();
    if row.has_cells() {
        segment.use_up_cells(*LAPS.get(nth)?);
    } else {
        let (bytes, messages) = STREAMS.get(nth)?;
        segment.use_up_stream(*bytes, *messages);
    }
    Some((ring, place))
}

#[test]
fn messages_arrive_while_counters_begin_anew() {
    for_each(rows(), |row| {
        for nth in 0..LAPS.len() {
            let Some((ring, place)) = aged(row, nth, false) else {
                break;
            };
            let before = stat(&place.address).unwrap();
            assert_eq!(before.used_bytes, 0, "{row} {nth}");
            let mut next = (0, 0);
            // Handles come and go, so that epochs go on.
            for _ in 0..4 {
                let (sender, receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
                let handles = exchange(sender, receiver, &mut next);
                handles.0.leave();
            }
            let after = stat(&place.address).unwrap();
            assert_eq!(after.used_bytes, 0, "{row} {nth}");
            assert_eq!(after.received - before.received, next.1, "{row} {nth}");
            assert_eq!(after.sent - before.sent, next.0, "{row} {nth}");
        }
    });
}

/// Sends and receives messages of all sorts; returns the handles.
fn exchange(
    mut sender: Sender,
    mut receiver: Receiver,
    (sent, received): &mut (u64, u64),
) -> (Sender, Receiver) {
    let mut check = |message: &[u8]| {
        assert_eq!(number_in(&message[..8]), *received);
        *received += 1;
    };
    for round in 0..40 {
        match round % 3 {
            0 => {
                while sender.try_send(&number(*sent)).is_ok() {
                    *sent += 1;
                }
            }
            1 => {
                let mut batch = sender.batch();
                while batch.push(&number(*sent)).is_ok() {
                    *sent += 1;
                }
                batch.commit();
            }
            _ => {
                let long = number(*sent).repeat(100);
                sender.try_send(&long).unwrap();
                *sent += 1;
            }
        }
        match round % 4 {
            0 => {
                while let Ok(message) = receiver.try_recv() {
                    check(&message);
                }
            }
            1 => {
                while receiver
                    .drain(3, |message| check(&message.to_vec()))
                    .is_ok()
                {}
            }
            _ => {
                while let Ok(message) = receiver.try_recv_in_place() {
                    check(&message.to_vec());
                    message.release();
                }
            }
        }
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
    }
    (sender, receiver)
}

#[test]
fn slabs_are_lent_while_generations_begin_anew() {
    for_each(rows(), |row| {
        let (ring, place) = aged(row, 0, true).unwrap();
        for _ in 0..3 {
            let mut sender = ring.sender().unwrap().with_copy_limit(64);
            let mut receiver = ring.receiver().unwrap();
            for round in 0..8 {
                let message = [round; 1000];
                sender.try_send(&message).unwrap();
                sender.try_send(&message).unwrap();
                let kept = receiver.try_recv_in_place().unwrap().detach().unwrap();
                assert_eq!(receiver.try_recv().unwrap(), message, "{row}");
                assert_eq!(kept.to_vec(), message, "{row}");
            }
            sender.leave();
        }
        let stat = stat(&place.address).unwrap();
        assert!(
            stat.slabs.iter().all(|slabs| slabs.free == slabs.count),
            "{row}: {stat:?}"
        );
    });
}

/// What a sender saw before so many laps is not taken for what is there after them.
#[test]
fn a_sender_that_was_idle_sends_where_others_do() {
    let mut rows = rows();
    rows.retain(|row| row.has_cells() && row.has_many(Role::Producer));
    for_each(rows, |row| {
        for laps in [1, 1 << 20, 1 << 24, 1 << 32, 1 << 40, 1 << 50] {
            let (ring, place) = row.ring();
            let mut idle = ring.sender().unwrap();
            // Its place is the second cell. The others come round to the first.
            idle.try_send(&number(0)).unwrap();
            assert_eq!(ring.receiver().unwrap().try_recv().unwrap(), number(0));
            Segment::of(&place).use_up_cells(laps);
            let mut other = ring.sender().unwrap();
            let mut receiver = ring.receiver().unwrap();
            idle.try_send(&number(1)).unwrap();
            let long = number(2).repeat(30);
            other.try_send(&long).unwrap();
            assert_eq!(
                receiver.try_recv().unwrap(),
                number(1),
                "{row}, {laps} laps"
            );
            assert_eq!(receiver.try_recv().unwrap(), long, "{row}, {laps} laps");
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        }
    });
}

/// The same of 2^20 laps that really were. (In four cells they take less than a second.)
#[test]
#[cfg_attr(debug_assertions, ignore = "takes long without optimisation")]
fn a_sender_that_was_idle_for_a_million_laps_sends_where_others_do() {
    let row = Row {
        kind: Kind::Mpsc,
        sync: SyncKind::Futex,
        backing: Backing::Shm,
    };
    let (ring, _place) = row.ring_with(|builder| builder.cell_len(1024));
    let (mut idle, mut busy) = (ring.sender().unwrap(), ring.sender().unwrap());
    let mut receiver = ring.receiver().unwrap();
    let mut buffer = [0; 2048];
    let mut pass = |sender: &mut Sender| {
        sender.try_send(&[0; 8]).unwrap();
        receiver.try_recv_into(&mut buffer).unwrap();
    };
    // Its place is the second cell. The others come round to the first.
    pass(&mut idle);
    (0..(4 << 20) - 1).for_each(|_| pass(&mut busy));
    idle.try_send(b"from the idle one").unwrap();
    busy.try_send(&[1; 1500]).unwrap();
    assert_eq!(receiver.try_recv().unwrap(), b"from the idle one");
    assert_eq!(receiver.try_recv().unwrap(), [1; 1500]);
    assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
}
