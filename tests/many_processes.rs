//! Several processes send to one ring and several receive from it: every message arrives once, whole, at
//! one of them, and those of each producer in order, in every sort of ring.

mod two_processes;

use ringway::peer::Role;
use two_processes::crowd::{self, Crowd, Task};
use two_processes::play;
use two_processes::table::{Row, for_each};

#[test]
fn child_role() {
    play(crowd::take_part);
}

#[test]
fn every_message_arrives_once_and_whole_when_all_sleep() {
    for_each(Row::supported(), |row| exchange(row, ["park"; 2]));
}

#[test]
fn every_message_arrives_once_and_whole_when_all_spin_a_while() {
    for_each(Row::supported(), |row| exchange(row, ["adaptive"; 2]));
}

fn exchange(row: Row, waits: [&'static str; 2]) {
    let (ring, _place) = row.ring();
    let (producers, consumers) = (row.up_to(2, Role::Producer), row.up_to(2, Role::Consumer));
    let task = Task {
        producers,
        consumers,
        count: 2000 / producers as u64,
        first_name: 0,
        copies: true,
        waits,
    };
    let crowd = Crowd::start(&ring, task);
    crowd.go();
    crowd.finish(None);
}
