//! What the book's figure of a segment is drawn from, `docs/figures/layout.txt`, is what the code says.

use std::fmt::Write;

use super::control::{CONTROL_LEN, CONTROL_OFFSET};
use super::header::HEADER_LEN;
use super::participant::{PARTICIPANTS_OFFSET, slot_offset, table_end};
use super::{Geometry, Kind, LINE, Shape, SyncKind};

/// The parts of a segment in turn: its name, and where each ends. `-` is nothing, up to the next part.
fn parts(name: &str, kind: Kind, each: u32, capacity: u64) -> String {
    let participants = kind.participants(each).unwrap();
    let shape = Shape::of(kind, SyncKind::Futex, false, LINE as u32);
    let geometry = Geometry::new(kind, shape, participants, capacity).unwrap();
    let mut text = format!("segment {name}\n");
    let mut at = 0;
    let mut part = |end: usize, what: &str| {
        writeln!(text, "{at} {end} {what}").unwrap();
        at = end;
    };
    part(HEADER_LEN, "header");
    part(CONTROL_OFFSET, "-");
    part(CONTROL_OFFSET + CONTROL_LEN, "control lines");
    part(PARTICIPANTS_OFFSET, "-");
    part(slot_offset(participants), "participants");
    part(table_end(participants), "sights");
    part(geometry.data_offset() as usize, "-");
    part(geometry.data_end() as usize, "messages");
    text
}

#[test]
fn the_figure_is_drawn_from_the_layout() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/figures/layout.txt");
    // There is no book in a package.
    let Ok(there) = std::fs::read_to_string(path) else {
        return;
    };
    let is = parts("spsc, 8 KiB", Kind::Spsc, 1, 8192)
        + &parts("mpmc, 4 of each, 8 KiB", Kind::Mpmc, 4, 8192);
    assert_eq!(there, is, "{path} has to say:\n{is}");
}
