//! What goes into `send` comes out of `recv`, byte for byte.

mod common;

use common::{Place, Running, SCHEMES, assert_status, binary, lines, run, run_with};

/// Sends with `framing` through a ring at every kind of address, and gives back what came out.
fn through(scheme: &str, framing: &str, input: &[u8]) -> Vec<u8> {
    let place = Place::new(scheme);
    let address = place.address.as_str();
    let send = Running::feed(
        [
            "send",
            address,
            "--create",
            "--capacity",
            "64K",
            "--unlink",
            framing,
        ],
        input,
    );
    let recv = run(["recv", address, "--wait", "60s", "--unlink", framing]);
    assert_status(&recv, 0);
    assert_status(&send.finish(), 0);
    assert!(!place.exists(), "--unlink leaves {address}");
    recv.stdout
}

#[test]
fn lines_arrive_as_they_were() {
    let many = lines(0, 20_000);
    for scheme in SCHEMES {
        for input in [
            b"".as_slice(),
            b"\n",
            b"\n\none\n\n\0\xff\xfe\r\n\nlast\n",
            &many,
        ] {
            assert_eq!(through(scheme, "--lines", input), input, "{scheme}");
        }
    }
}

#[test]
fn a_last_line_without_a_newline_is_a_line() {
    assert_eq!(through("shm", "--lines", b"one\ntwo"), b"one\ntwo\n");
}

#[test]
fn raw_bytes_arrive_as_they_were() {
    let large = binary(3_000_000);
    for scheme in SCHEMES {
        for input in [b"".as_slice(), b"\n", &large] {
            assert!(
                through(scheme, "--raw", input) == input,
                "{scheme} {} bytes",
                input.len()
            );
        }
    }
}

#[test]
fn frames_arrive_as_they_were() {
    let mut input = Vec::new();
    for len in [0, 1, 7, 8, 0, 0, 9, 4096, 20_000, 3] {
        input.extend_from_slice(&(len as u32).to_le_bytes());
        input.extend(binary(len));
    }
    for scheme in SCHEMES {
        assert!(through(scheme, "--frames", &input) == input, "{scheme}");
    }
}

#[test]
fn the_framings_agree_on_what_is_a_message() {
    let place = Place::new("shm");
    assert_status(
        &run_with(["send", &place.address, "--create"], b"ab\n\nc"),
        0,
    );
    let recv = run(["recv", &place.address, "--frames"]);
    assert_status(&recv, 0);
    assert_eq!(recv.stdout, b"\x02\0\0\0ab\0\0\0\0\x01\0\0\0c");
}

#[test]
fn several_files_are_one_input() {
    let place = Place::new("file");
    let (first, second) = (place.directory().join("1"), place.directory().join("2"));
    std::fs::write(&first, "one\nbeg").unwrap();
    std::fs::write(&second, "un\n").unwrap();
    let files = [first.to_str().unwrap(), "-", second.to_str().unwrap()];
    let send = ["send", &place.address, "--create"]
        .into_iter()
        .chain(files);
    assert_status(&run_with(send, b"un\nin-"), 0);
    assert_eq!(run(["recv", &place.address]).stdout, b"one\nbegun\nin-un\n");
}

#[test]
fn a_typed_line_is_sent_before_the_next_is_typed() {
    use std::io::{BufRead, BufReader};

    let place = Place::new("shm");
    let mut send = Running::open(["send", &place.address, "--create"], b"");
    let mut recv = Running::start(["recv", &place.address, "--wait", "60s"]);
    let mut stdout = BufReader::new(recv.child().stdout.take().unwrap());
    for line in ["first\n", "\n", "third\n"] {
        send.write(line.as_bytes());
        let mut shown = String::new();
        stdout.read_line(&mut shown).unwrap();
        assert_eq!(shown, line);
    }
    send.close();
    assert_status(&send.finish(), 0);
    assert_status(&recv.finish(), 0);
}

#[test]
fn either_side_may_start_first() {
    for scheme in SCHEMES {
        let place = Place::new(scheme);
        let recv = Running::start(["recv", &place.address, "--wait", "60s", "--unlink"]);
        assert_status(
            &run_with(["send", &place.address, "--create"], b"hello\n"),
            0,
        );
        let recv = recv.finish();
        assert_status(&recv, 0);
        assert_eq!(recv.stdout, b"hello\n", "{scheme}");

        let send = Running::feed(["send", &place.address, "--wait", "60s"], b"hello again\n");
        let recv = run(["recv", &place.address, "--create", "--unlink"]);
        assert_status(&recv, 0);
        assert_status(&send.finish(), 0);
        assert_eq!(recv.stdout, b"hello again\n", "{scheme}");
    }
}
