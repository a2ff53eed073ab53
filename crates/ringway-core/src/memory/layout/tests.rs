//! `LAYOUT.md` says what the code does.

use std::mem::offset_of;

use super::control::{
    CLAIM_HINT, CONSUMER_CLOSED, CONSUMERS_CHANGED, DATA_EVENT, HEAD, LOCK, LOCK_HOLDER, LOCK_LEN,
    MOST_DELIVERIES, MOVEMENTS, PRODUCER_CLOSED, PRODUCERS_CHANGED, RECEIVED, SENT, SHOWN,
    SPACE_EVENT, TAIL, TAKE_HINT,
};
use super::header::{self, HEADER_LEN, HeaderError};
use super::message_type::MESSAGE_TYPE;
use super::participant::{
    ASLEEP, ATTACHED_NS, CLOSED, EPOCH, FENCES, FILLED_FOR, LIVENESS, MESSAGES, NO_ENTRY,
    OVERWRITTEN, PID, PID_NAMESPACE, QUEUE, REPAIRED, ROLE, SEMAPHORE, SEMAPHORE_LEN, SLOT_LEN,
};
use super::pool::{TICKET_LEN, Ticket};
use super::slab_segment::{self, TRAILER_LEN};
use crate::error::Attempt;

/// A row of a table: offset, width, and what the field's text begins with.
type Row = (usize, usize, &'static str);

/// The rows that the table under a heading has, behind the line that begins with `head`. `None` where there is no
/// such file, as in a package.
fn documented(heading: &str, head: &str) -> Option<Vec<(usize, String, String)>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../LAYOUT.md");
    let text = std::fs::read_to_string(path).ok()?;
    let section = text.split("\n## ").find(|part| {
        part.strip_prefix(heading)
            .is_some_and(|rest| rest.starts_with('\n'))
    });
    let section = section.unwrap_or_else(|| panic!("LAYOUT.md has no section {heading}"));
    let mut lines = section.lines().skip_while(|line| !line.starts_with(head));
    assert!(lines.next().is_some(), "{heading} has no table {head}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    let cells = rows.map(|row| {
        let mut cells = row
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().to_owned());
        let mut next = || cells.next().unwrap_or_default();
        (next().parse().unwrap(), next(), next())
    });
    Some(cells.collect())
}

#[track_caller]
fn assert_documented(heading: &str, head: &str, rows: &[Row]) {
    let Some(documented) = documented(heading, head) else {
        return;
    };
    for ((offset, width, text), (has_offset, has_width, begins)) in documented.iter().zip(rows) {
        assert_eq!(offset, has_offset, "{heading}: {text}");
        // As "4 × 8", or "16".
        let bytes: usize = width
            .split('×')
            .map(|factor| factor.trim().parse::<usize>().unwrap())
            .product();
        assert_eq!(bytes, *has_width, "{heading}: {text}");
        assert!(text.starts_with(begins), "{heading}: {text}, not {begins}");
    }
    assert_eq!(documented.len(), rows.len(), "{heading}");
}

/// Whether rows lie one behind the other, from 0 to the end.
#[track_caller]
fn assert_whole(rows: &[Row], end: usize) {
    let reached = rows.iter().fold(0, |at, (offset, width, text)| {
        assert_eq!(at, *offset, "{text}");
        at + width
    });
    assert_eq!(reached, end);
}

#[test]
fn the_header() {
    macro_rules! rows {
        ($($field:ident: $width:literal $text:literal,)*) => {
            [$((offset_of!(header::Raw, $field), $width, $text)),*]
        };
    }
    let rows = rows![
        magic: 8 "magic",
        version: 4 "layout version",
        fence: 4 "fence mode",
        abi: 8 "ABI fingerprint",
        kind: 4 "ring kind",
        sync: 4 "sync kind",
        nonce: 16 "random nonce",
        created_ns: 8 "creation time",
        total_len: 8 "length of the whole segment",
        participants_offset: 8 "offset of the participants",
        participants: 4 "n,",
        slot_len: 4 "length of a slot",
        control_offset: 8 "offset of the control lines",
        data_offset: 8 "D",
        capacity: 8 "capacity",
        cell_len: 4 "length of a cell",
        overwrite: 4 "1 if producers overwrite",
        boot_id: 16 "`file:` only: the boot id",
        creation_lock: 4 "creation lock",
        zero_132: 4 "0",
        semaphores: 4 "sysv-sem",
        zero_140: 4 "0",
        retirement: 8 "retirement",
        classes: 32 "classes of slabs",
        slab_words: 8 "W",
        slabs: 8 "S",
        device: 16 "device and inode",
        companions: 16 "nonce of what lies beside",
        ipc_namespace: 8 "inode of the IPC namespace",
        policies: 8 "what consumers of a broadcast ring may choose",
        persistent: 8 "1 if no collector",
    ];
    assert_whole(&rows, HEADER_LEN);
    assert_documented("Header", "| offset", &rows);
}

#[test]
fn the_control_lines() {
    assert_documented(
        "Control lines of all rings",
        "| offset",
        &[
            (MESSAGE_TYPE, 120, "what the messages are"),
            (MOVEMENTS, 4, "movements"),
        ],
    );
    assert_documented(
        "Control lines of a stream ring",
        "| offset",
        &[
            (TAIL, 8, "tail"),
            (SENT, 8, "sent"),
            (HEAD, 8, "head"),
            (RECEIVED, 8, "received"),
            (DATA_EVENT, 4, "data event"),
            (CONSUMER_CLOSED, 4, "1 if the last consumer closed"),
            (SPACE_EVENT, 4, "space event"),
            (PRODUCER_CLOSED, 4, "the same of the producer"),
            (SHOWN, 8 * MOST_DELIVERIES, "deliveries"),
        ],
    );
    assert_documented(
        "Control lines of a cell ring",
        "| offset",
        &[
            (CLAIM_HINT, 8, "claim hint"),
            (HEAD, 8, "head"),
            (DATA_EVENT, 4, "data event"),
            (CONSUMERS_CHANGED, 4, "raised when a consumer"),
            (SPACE_EVENT, 4, "space event"),
            (PRODUCERS_CHANGED, 4, "raised when a producer"),
            (TAKE_HINT, 8, "take hint"),
            (LOCK, LOCK_LEN, "the lock"),
            (LOCK_HOLDER, 8, "the lock's holder"),
        ],
    );
}

#[test]
fn the_participants() {
    let rows = [
        (LIVENESS, 4, "liveness word"),
        (ROLE, 4, "role"),
        (EPOCH, 8, "epoch"),
        (PID, 4, "process id"),
        (
            FILLED_FOR,
            4,
            "the liveness word that the other fields belong to",
        ),
        (PID_NAMESPACE, 8, "inode of the holder's pid namespace"),
        (ATTACHED_NS, 8, "when it attached"),
        (ASLEEP, 4, "what the holder sleeps for"),
        (CLOSED, 4, "1 if the last holder closed"),
        (MESSAGES, 8, "messages that the slot's holders ever sent"),
        (OVERWRITTEN, 8, "messages that they ever overwrote"),
        (SEMAPHORE, SEMAPHORE_LEN, "posix-sem"),
        (FENCES, 8, "of a stream ring: one more than the epoch"),
        (REPAIRED, 8, "records of the dead"),
        (QUEUE, 8, "mqueue"),
        (NO_ENTRY, 8, "`sysv:`: of which opening"),
    ];
    assert_whole(&rows, SLOT_LEN);
    assert_documented("Participants", "| offset in the slot", &rows);
}

#[test]
fn slabs() {
    macro_rules! rows {
        ($raw:ty: $($field:ident: $width:literal $text:literal,)*) => {
            [$((offset_of!($raw, $field), $width, $text)),*]
        };
    }
    let ticket = rows![Ticket:
        slab: 4 "the slab's number",
        generation: 4 "the slab's generation",
        len: 8 "bytes of the message",
    ];
    assert_whole(&ticket, TICKET_LEN as usize);
    assert_documented("Slabs", "| offset in a ticket", &ticket);
    let trailer = rows![slab_segment::Raw:
        magic: 8 "magic",
        version: 4 "layout version",
        index: 4 "the slab's number",
        nonce: 16 "the ring's nonce",
        len: 8 "bytes of the slab",
        ring: 8 "`sysv:`: id of the ring's segment",
    ];
    let rest = TRAILER_LEN as usize - size_of::<slab_segment::Raw>();
    let trailer = [&trailer[..], &[(48, rest, "0")]].concat();
    assert_whole(&trailer, TRAILER_LEN as usize);
    assert_documented("Slabs", "| offset in the page", &trailer);
}

#[test]
fn a_header_that_is_refused_comes_with_a_remedy_that_works_there() {
    for (address, remedy) in [
        ("memfd:", "create another ring and hand that over"),
        ("shm:orders", "remove it (ringway rm shm:orders)"),
    ] {
        let address = address.parse().unwrap();
        for refused in [
            HeaderError::Version(1),
            HeaderError::Abi(0),
            HeaderError::Field("kind"),
            HeaderError::Geometry,
            HeaderError::Truncated { needed: 1 },
        ] {
            let error = refused.explain(Attempt::to("open", &address), 0);
            assert!(error.next_step().contains(remedy), "{error}");
        }
    }
}
