//! What the module's documentation shows word by word is what the code does.

use std::sync::atomic::Ordering;

use crate::error::RecvError;
use crate::memory::layout::Kind;
use crate::memory::layout::cell::{Code, State};
use crate::memory::layout::control::HEAD;
use crate::memory::layout::participant::Role;
use crate::memory::region::Load;
use crate::rings::cell::consumer::Consumer;
use crate::testing::cells::{HeapCells, KEY, Setup};

const CELLS: u64 = 4;
const CELL_LEN: u64 = 64;

/// Four cells, two producers P and Q, two consumers C and D.
struct Ring(HeapCells);

impl Ring {
    fn new() -> Self {
        let ring = HeapCells::of(Setup {
            kind: Kind::Mpmc,
            each: 2,
            cells: CELLS,
            cell_len: CELL_LEN as u32,
            lap: 0,
            late: false,
            overwrite: false,
            lock: false,
            bell: false,
            settles: true,
        });
        Self(ring.unwrap())
    }

    /// What the documentation says of a cell that has a word.
    fn cell(&self, cell: u64) -> String {
        let stored = self
            .0
            .region()
            .load_word(cell * CELL_LEN, Ordering::Relaxed);
        let word = Code::new(KEY, CELLS).decode(stored).unwrap();
        let name = match word.state {
            State::Free => "free",
            State::Claimed => "claimed",
            State::Full => "full",
            State::Taken => "taken",
            State::Freeing => "freeing",
            State::Returned => "returned",
            State::Aborted => "aborted",
            State::HeldOver => "held over",
        };
        let owner = [(Role::Producer, ["P", "Q"]), (Role::Consumer, ["C", "D"])]
            .into_iter()
            .flat_map(|(role, names)| (0..).zip(names).map(move |(nth, name)| (role, nth, name)))
            .find(|(role, nth, _)| self.0.slot(*role, *nth) == word.owner.slot())
            .filter(|_| word.state.is_owned())
            .map_or(String::new(), |(_, _, name)| format!(" {name}"));
        let extent = match word.extent {
            1 => String::new(),
            extent => format!(" x{extent}"),
        };
        format!("{name}{owner} {}{extent}", word.lap)
    }

    fn head(&self) -> u64 {
        self.0.region().load64(HEAD, Ordering::Relaxed)
    }

    /// The words of all cells; `payload` where a record's other cells are.
    #[track_caller]
    fn shows(&self, cells: [&str; CELLS as usize], head: u64) {
        for (at, expected) in (0..).zip(cells) {
            if expected != "payload" {
                assert_eq!(self.cell(at), expected, "cell {at}");
            }
        }
        assert_eq!(self.head(), head);
    }
}

fn receive(consumer: &mut Consumer<impl crate::memory::region::Region>) -> usize {
    let len = consumer.take(1, None).unwrap().len;
    assert_eq!(consumer.release(), 1);
    len
}

#[test]
fn once_around_and_one_death() {
    let ring = Ring::new();
    let mut p = ring.0.producer(0).unwrap();
    let mut q = ring.0.producer(1).unwrap();
    let mut c = ring.0.consumer(0).unwrap();
    let mut d = ring.0.consumer(1).unwrap();
    ring.shows(["free 0"; 4], 0);

    p.claim(10, None).unwrap();
    q.claim(48, None).unwrap();
    ring.shows(["claimed P 0", "claimed Q 0", "free 0", "free 0"], 0);
    q.commit(48);
    ring.shows(["claimed P 0", "full 0", "free 0", "free 0"], 0);
    assert_eq!(c.take(1, None).unwrap_err(), RecvError::Empty);
    p.commit(10);
    assert_eq!(c.take(1, None).unwrap().len, 10);
    assert_eq!(d.take(1, None).unwrap().len, 48);
    ring.shows(["taken C 0", "taken D 0", "free 0", "free 0"], 0);
    d.release();
    ring.shows(["taken C 0", "free 1", "free 0", "free 0"], 0);
    c.release();
    ring.shows(["free 1", "free 1", "free 0", "free 0"], 2);

    p.send(&[1; 10], None).unwrap();
    ring.shows(["free 1", "free 1", "full 0", "free 0"], 2);
    p.claim(100, None).unwrap();
    ring.shows(["claimed P 1 x2", "payload", "full 0", "aborted 0"], 2);
    p.commit(100);
    ring.shows(["full 1 x2", "payload", "full 0", "aborted 0"], 2);
    assert_eq!(receive(&mut c), 10);
    ring.shows(["full 1 x2", "payload", "free 1", "aborted 0"], 3);
    assert_eq!(c.take(1, None).unwrap().len, 100);
    ring.shows(["taken C 1 x2", "payload", "free 1", "free 1"], 3);

    ring.0.kill(Role::Consumer, 0);
    assert_eq!(d.take(1, None).unwrap().len, 100);
    ring.shows(["taken D 1 x2", "payload", "free 1", "free 1"], 4);
    d.release();
    ring.shows(["free 2", "free 2", "free 1", "free 1"], 6);
    assert_eq!(d.take(1, None).unwrap_err(), RecvError::Empty);
}
