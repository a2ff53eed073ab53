//! Whatever lies at an address and whatever a caller asks for: an error of the right kind that says
//! what to do next, nothing changed, nothing left behind.

mod two_processes;

use std::fmt::Debug;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};
use ringway::inspect::stat;
use ringway::{Address, Builder, Error, ErrorKind, RecvError, Ring, SendError};
use two_processes::messages::message;
use two_processes::place::{Backing, Place};
use two_processes::roles::become_nobody;
use two_processes::{First, Second, bytes, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "be nobody" => be_nobody(first),
        "make as nobody" => make_as_nobody(first),
        "cut it off" => cut_it_off(first),
        _ => panic!("{role}"),
    });
}

/// Asserts an error of that kind, whose text ends with what to do next.
#[track_caller]
fn assert_fails<T: Debug>(result: Result<T, Error>, kind: ErrorKind) -> Error {
    let error = result.expect_err("what is wrong is refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(!error.next_step().is_empty(), "{error}");
    assert!(error.to_string().ends_with(error.next_step()), "{error}");
    error
}

/// Asserts that nobody takes what is there for a ring, and that it stays as it is.
#[track_caller]
fn assert_refused(place: &Place, kind: ErrorKind) {
    let before = bytes::copy(place);
    assert_fails(place.builder().open(), kind);
    assert_fails(place.builder().capacity(4096).open_or_create(), kind);
    assert_fails(stat(&place.address), kind);
    assert_fails(place.builder().create(), ErrorKind::AlreadyExists);
    assert!(bytes::copy(place) == before, "{}", place.address);
}

#[test]
fn a_header_that_lies_is_refused() {
    use ErrorKind::{Corrupt, Incompatible, NotARing};
    let total = 4096_u64 + 4096;
    let lies: &[(&str, u64, &[u8], ErrorKind)] = &[
        ("magic", 0, b"ringway\n", NotARing),
        ("no magic", 0, &[0; 8], NotARing),
        ("version 0", 8, &0_u32.to_le_bytes(), Incompatible),
        ("a later version", 8, &99_u32.to_le_bytes(), Incompatible),
        ("fence mode", 12, &7_u32.to_le_bytes(), Corrupt),
        ("ABI", 16, &[0x55; 8], Incompatible),
        ("ring kind", 24, &99_u32.to_le_bytes(), Corrupt),
        ("sync kind", 28, &99_u32.to_le_bytes(), Corrupt),
        ("length, more", 56, &(total + 8).to_le_bytes(), Corrupt),
        ("length, less", 56, &(total - 8).to_le_bytes(), Corrupt),
        ("participants table", 64, &8_u64.to_le_bytes(), Corrupt),
        ("no slots", 72, &0_u32.to_le_bytes(), Corrupt),
        ("one slot more", 72, &3_u32.to_le_bytes(), Corrupt),
        ("all slots", 72, &u32::MAX.to_le_bytes(), Corrupt),
        ("length of a slot", 76, &0_u32.to_le_bytes(), Corrupt),
        ("control lines", 80, &u64::MAX.to_le_bytes(), Corrupt),
        ("data region", 88, &u64::MAX.to_le_bytes(), Corrupt),
        ("capacity 0", 96, &0_u64.to_le_bytes(), Corrupt),
        ("capacity 4097", 96, &4097_u64.to_le_bytes(), Corrupt),
        ("capacity doubled", 96, &8192_u64.to_le_bytes(), Corrupt),
        ("capacity 2^63", 96, &(1_u64 << 63).to_le_bytes(), Corrupt),
        ("capacity", 96, &u64::MAX.to_le_bytes(), Corrupt),
    ];
    for backing in Backing::FOUND {
        for &(what, at, forged, kind) in lies {
            println!("{backing:?}: {what}");
            let (ring, place) = backing.ring(4096);
            drop(ring);
            bytes::forge(&place, at, forged);
            // A private segment has no address to create it at again.
            if backing == Backing::SysvPrivate {
                assert_fails(place.builder().open(), kind);
                assert_fails(stat(&place.address), kind);
            } else {
                assert_refused(&place, kind);
            }
        }
    }
}

/// A header that tells the truth of a larger ring than the segment has room for.
#[test]
fn a_larger_rings_header_is_truncated() {
    for backing in Backing::NAMED {
        let (ring, large) = backing.ring(8192);
        drop(ring);
        let header = bytes::copy(&large)[..256].to_vec();
        let (ring, place) = backing.ring(4096);
        drop(ring);
        bytes::forge(&place, bytes::MAGIC, &header);
        assert_refused(&place, ErrorKind::Truncated);
    }
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    for backing in [Backing::Shm, Backing::File] {
        for (len, kind) in [
            (0, ErrorKind::NotARing),
            (7, ErrorKind::NotARing),
            (256, ErrorKind::Truncated),
            (4096, ErrorKind::Truncated),
            (8191, ErrorKind::Truncated),
        ] {
            let (ring, place) = backing.ring(4096);
            drop(ring);
            let file = OpenOptions::new().write(true).open(place.path()).unwrap();
            file.set_len(len).unwrap();
            assert_refused(&place, kind);
        }
    }
}

#[test]
fn what_is_no_ring_is_refused_and_never_removed() {
    for backing in [Backing::Shm, Backing::File] {
        let place = Place::new(backing);
        for contents in [&b""[..], b"a text\n", &[0; 10_000], &[0xff; 10_000]] {
            std::fs::write(place.path(), contents).unwrap();
            assert_refused(&place, ErrorKind::NotARing);
            for force in [false, true] {
                let removed = ringway::remove(&place.address, force);
                assert_fails(removed, ErrorKind::NotARing);
            }
            assert!(!ringway::inspect::list().contains(&place.address));
            std::fs::remove_file(place.path()).unwrap();
        }
    }
}

#[test]
fn links_directories_and_pipes_are_refused() {
    let makers: [fn(&Place); 3] = [
        |place| symlink("/etc/hostname", place.path()).unwrap(),
        |place| std::fs::create_dir(place.path()).unwrap(),
        |place| mkfifo(&place.path(), Mode::S_IRWXU).unwrap(),
    ];
    for make in makers {
        let place = Place::new(Backing::File);
        make(&place);
        assert_fails(place.builder().open(), ErrorKind::NotARing);
        assert_fails(place.builder().open_or_create(), ErrorKind::NotARing);
        assert_fails(place.builder().create(), ErrorKind::AlreadyExists);
        assert_fails(stat(&place.address), ErrorKind::NotARing);
        assert_fails(ringway::remove(&place.address, true), ErrorKind::NotARing);
        assert!(place.is_taken());
    }
}

#[test]
fn addresses_that_say_nothing_are_refused_with_the_forms() {
    for address in ["", "orders", "shm:a/b", "sysv:/x#256", "tcp:1"] {
        let error = assert_fails(Builder::new(address), ErrorKind::InvalidAddress);
        assert!(error.next_step().contains("shm:NAME"), "{error}");
    }
}

#[test]
fn addresses_that_lead_nowhere_are_refused() {
    use ErrorKind::{InvalidAddress, NotFound, Unsupported};
    let create: fn(Builder) -> Result<Ring, Error> = |builder| builder.capacity(4096).create();
    let rows = [
        (
            "shm:ringway-test-not-there",
            Builder::open as fn(_) -> _,
            NotFound,
        ),
        ("file:/ringway-test-not-there", Builder::open, NotFound),
        ("file:/ringway-test-not-there/x", create, NotFound),
        (
            "file:/ringway-test-not-there/x",
            Builder::open_or_create,
            NotFound,
        ),
        ("file:/etc/hostname/x", create, NotFound),
        ("file:/tmp/..", create, InvalidAddress),
        ("sysv:0x7fabcdef", Builder::open, NotFound),
        (
            "sysv:/ringway-test-not-there#7",
            Builder::open,
            InvalidAddress,
        ),
        ("sysv:/ringway-test-not-there#7", create, InvalidAddress),
        ("sysv:id=2147483647", Builder::open, NotFound),
        ("sysv:id=2147483647", create, Unsupported),
        ("sysv:private", Builder::open, Unsupported),
        ("memfd:", Builder::open, Unsupported),
    ];
    for (address, make, kind) in rows {
        assert_fails(make(Builder::new(address).unwrap()), kind);
    }
    for (address, kind) in [
        ("shm:ringway-test-not-there", NotFound),
        ("file:/ringway-test-not-there", NotFound),
        ("sysv:0x7fabcdef", NotFound),
        ("sysv:private", Unsupported),
        ("memfd:", Unsupported),
    ] {
        let address: Address = address.parse().unwrap();
        assert_fails(stat(&address), kind);
        assert_fails(ringway::remove(&address, false), kind);
        assert_fails(ringway::remove(&address, true), kind);
    }
}

#[test]
fn capacities_that_cannot_be_are_refused_and_nothing_is_made() {
    for backing in Backing::ALL {
        // Nothing, no power of two that 64 bits can hold, more than a layout can say, more than any
        // machine has.
        for capacity in [0, u64::MAX, (1 << 63) + 1, 1 << 47, 1 << 46] {
            let place = Place::new(backing);
            for make in [Builder::create, Builder::open_or_create] {
                let made = make(place.builder().capacity(capacity));
                assert_fails(made, ErrorKind::InvalidCapacity);
            }
            if Backing::NAMED.contains(&backing) {
                assert!(!place.is_taken(), "{}", place.address);
            }
        }
    }
}

#[test]
fn small_capacities_become_a_page_and_others_powers_of_two() {
    for (asked, given) in [(1, 4096), (4096, 4096), (4097, 8192), (100_000, 131_072)] {
        let (ring, _place) = Backing::Shm.ring(asked);
        assert_eq!(ring.capacity(), given);
    }
}

#[test]
fn a_name_that_is_taken_is_not_created_again() {
    for backing in Backing::NAMED {
        let (ring, place) = backing.ring(4096);
        let error = assert_fails(place.builder().create(), ErrorKind::AlreadyExists);
        let text = error.to_string();
        assert!(text.contains(&place.address.to_string()), "{text}");
        let again = place.builder().open_or_create().unwrap();
        assert_eq!(again.nonce(), ring.nonce());
        assert_eq!(again.capacity(), 4096);
    }
}

#[test]
fn what_belongs_to_root_is_refused_to_others() {
    if !geteuid().is_root() {
        return println!("skipped: only root can become somebody else");
    }
    for backing in Backing::NAMED {
        let (ring, place) = backing.ring(4096);
        let nobody = Second::start_at("be nobody", &place.address);
        nobody.expect("refused");
        nobody.finish();
        assert!(place.is_taken());
        drop(ring);
    }
}

fn be_nobody(first: &First) {
    become_nobody();
    let builder = || Builder::at(first.address().clone());
    let denied = ErrorKind::PermissionDenied;
    assert_fails(builder().open(), denied);
    assert_fails(builder().open_or_create(), denied);
    assert_fails(stat(first.address()), denied);
    assert_fails(ringway::remove(first.address(), true), denied);
    let file = Builder::new("file:/etc/ringway-test").unwrap();
    assert_fails(file.capacity(4096).create(), denied);
    assert!(!ringway::inspect::list().contains(first.address()));
    first.say("refused");
}

#[test]
fn what_belongs_to_another_user_is_opened_only_if_that_is_allowed() {
    if !geteuid().is_root() {
        return println!("skipped: only root can become somebody else");
    }
    for backing in Backing::NAMED {
        let place = Place::new(backing);
        place.open_to_others(0o777);
        let nobody = Second::start_at("make as nobody", &place.address);
        nobody.expect("made");
        let error = assert_fails(place.builder().open(), ErrorKind::ForeignOwner);
        assert!(error.to_string().contains("65534"), "{error}");
        assert_fails(place.builder().open_or_create(), ErrorKind::ForeignOwner);
        let ring = place.builder().any_owner(true).open().unwrap();
        ring.sender().unwrap().send(b"trusted").unwrap();
        nobody.expect("trusted");
    }
}

fn make_as_nobody(first: &First) {
    become_nobody();
    let builder = Builder::at(first.address().clone());
    let ring = builder.capacity(4096).mode(0o666).create().unwrap();
    first.say("made");
    let message = ring.receiver().unwrap().recv().unwrap();
    first.say(String::from_utf8(message).unwrap());
}

#[test]
fn control_words_that_no_peer_writes_are_refused() {
    for backing in Backing::FOUND {
        for head in [1, 7, u64::MAX, u64::MAX - 7] {
            let (ring, place) = backing.ring(4096);
            bytes::forge(&place, bytes::HEAD, &head.to_le_bytes());
            assert_fails(ring.sender(), ErrorKind::Corrupt);
            assert_fails(ring.receiver(), ErrorKind::Corrupt);
        }
        // While both are attached: garbage where the next record is.
        let (ring, place) = backing.ring(4096);
        let mut receiver = ring.receiver().unwrap();
        bytes::forge(&place, bytes::DATA, &u64::MAX.to_le_bytes());
        assert_eq!(receiver.try_recv(), Err(RecvError::Corrupt));
        bytes::forge(&place, bytes::DATA, &[0; 8]);
        assert_eq!(receiver.try_recv(), Err(RecvError::Corrupt), "for good");
        // And where the consumer says it is.
        let (ring, place) = backing.ring(4096);
        let mut sender = ring.sender().unwrap();
        bytes::forge(&place, bytes::HEAD, &(1_u64 << 40).to_le_bytes());
        let full = std::iter::repeat_with(|| sender.try_send(&[0; 64])).find_map(Result::err);
        assert_eq!(full, Some(SendError::Corrupt));
        assert_eq!(sender.try_send(b"x"), Err(SendError::Corrupt), "for good");
    }
}

#[test]
fn messages_from_nothing_to_the_longest_fit_and_one_byte_more_does_not() {
    for backing in Backing::ALL {
        for capacity in [4096, 1 << 16] {
            let (ring, _place) = backing.ring(capacity);
            let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
            let max = ring.max_message_len() as usize;
            let longest = vec![7; max];
            for _ in 0..5 {
                for message in [&[][..], &longest] {
                    sender.try_send(message).unwrap();
                    assert_eq!(receiver.try_recv().unwrap(), message);
                }
            }
            for len in [max + 1, max * 3, usize::MAX] {
                let too_large = SendError::TooLarge { len, max };
                assert!(too_large.to_string().contains(&max.to_string()));
                assert_eq!(sender.try_claim(len).unwrap_err(), too_large);
                assert_eq!(sender.claim(len).unwrap_err(), too_large);
                if len < usize::MAX {
                    let message = vec![0; len];
                    assert_eq!(sender.try_send(&message), Err(too_large));
                    assert_eq!(sender.send(&message), Err(too_large));
                    assert_eq!(sender.batch().push(&message), Err(too_large));
                }
            }
            assert_eq!(receiver.try_recv(), Err(RecvError::Empty));
        }
    }
}

#[test]
fn a_message_longer_than_the_buffer_stays() {
    for backing in Backing::ALL {
        let (ring, _place) = backing.ring(4096);
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        let sent = message(11, 100);
        sender.try_send(&sent).unwrap();
        let too_small = RecvError::BufferTooSmall { len: sent.len() };
        for len in [0, 1, sent.len() - 1] {
            assert_eq!(receiver.try_recv_into(&mut vec![0; len]), Err(too_small));
            assert_eq!(receiver.recv_into(&mut vec![0; len]), Err(too_small));
        }
        let mut buffer = vec![0; sent.len()];
        assert_eq!(receiver.try_recv_into(&mut buffer), Ok(sent.len()));
        assert_eq!(buffer, sent);
    }
}

#[test]
fn a_socket_that_brings_no_ring_is_refused() {
    let take_over = |send: fn(&mut UnixStream)| {
        let (mut one, other) = UnixStream::pair().unwrap();
        send(&mut one);
        drop(one);
        Ring::take_over(&other)
    };
    assert_fails(take_over(|_| {}), ErrorKind::NotFound);
    assert_fails(
        take_over(|socket| socket.write_all(b"RINGWAY\n").unwrap()),
        ErrorKind::NotARing,
    );
    assert_fails(
        take_over(|socket| socket.write_all(&[0; 100]).unwrap()),
        ErrorKind::NotARing,
    );
    let (one, other) = UnixStream::pair().unwrap();
    for backing in Backing::FOUND {
        let (ring, _place) = backing.ring(4096);
        assert_fails(ring.hand_over(&one), ErrorKind::Unsupported);
    }
    drop(other);
    let (ring, _place) = Backing::Memfd.ring(4096);
    assert_fails(ring.hand_over(&one), ErrorKind::NotFound);
}

/// Who has taken over a ring cannot cut it off under the others.
#[test]
fn a_memfd_cannot_be_cut_off() {
    let (ring, _place) = Backing::Memfd.ring(4096);
    Second::start("cut it off", &ring).finish();
    let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
    sender.try_send(b"whole").unwrap();
    assert_eq!(receiver.try_recv().unwrap(), b"whole");
}

fn cut_it_off(first: &First) {
    let _ring = first.ring();
    let mut tried = 0;
    for fd in std::fs::read_dir("/proc/self/fd").unwrap() {
        let fd = fd.unwrap().path();
        let is_memfd = |to: PathBuf| to.to_string_lossy().contains("memfd:");
        if std::fs::read_link(&fd).is_ok_and(is_memfd) {
            let file = OpenOptions::new().write(true).open(fd).unwrap();
            assert!(file.set_len(0).is_err());
            assert!(file.set_len(1 << 30).is_err());
            tried += 1;
        }
    }
    assert_eq!(tried, 1);
}
