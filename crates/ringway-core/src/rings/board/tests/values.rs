//! What one thread writes and reads.

use crate::memory::layout::{Geometry, Kind, Shape};
use crate::memory::region::memory::Heap;
use crate::presence::Outlook;
use crate::rings::board::reader::Reader;
use crate::rings::board::writer::Writer;
use crate::rings::board::{Slate, directory};

/// Each buffer has had longer and shorter ones before.
#[test]
fn each_value_has_its_own_length() {
    let geometry = Geometry::new(Kind::Board, Shape::Board(1), 2, 4096).unwrap();
    let (heap, slate) = (Heap::new(geometry).unwrap(), Slate::of(&geometry).unwrap());
    let entry = directory::find_or_add(&heap.region(), &slate, b"key").unwrap();
    let mut reader = Reader::new(heap.region(), slate, b"key");
    let mut writer = Writer::take(heap.region(), entry, 1 << 8, Outlook::new(2, 0)).unwrap();
    let mut read = Vec::new();
    for len in [900, 900, 17, 17, 0, 1, 900, 8, 300, 1024] {
        let value = vec![len as u8; len];
        writer.set(&value).unwrap();
        reader.get(&mut read).unwrap();
        assert!(read == value, "{len} bytes: {}", read.len());
    }
}
