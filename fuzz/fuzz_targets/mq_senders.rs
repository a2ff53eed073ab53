//! Senders of a POSIX queue that come, send by priorities, leave in order and die, against what the receiver knows of
//! them; and semaphores of a System V queue with any values.

#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use ringway_mq::verify;

#[derive(Arbitrary, Debug)]
enum Input {
    Senders(Vec<[u8; 2]>),
    Semaphores(Vec<u16>),
}

fuzz_target!(|input: Input| match input {
    Input::Senders(steps) => verify::senders(&steps),
    Input::Semaphores(values) => verify::semaphores(&values),
});
