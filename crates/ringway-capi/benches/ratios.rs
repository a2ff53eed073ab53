//! What a call from C costs beside one from Rust, as ratios in one run: `cargo bench -p ringway-capi`.
//!
//! One way: 64 bytes a message, from process to process, flat out; all take turns, and the median round is shown, with those between which half of
//! all lie. In instructions: what one send and one receive execute, counted by single steps of the processor.
//!
//! | row | what it is |
//! |---|---|
//! | C | `one_way.c`, linked to the shared library |
//! | a function of Rust | what the ratio is to: Rust's verbs behind a border as C's functions have one. It is not inlined, is told the length when it is called, and returns numbers |
//! | inlined Rust | what no function can be: the verb is part of the caller's loop, and the length is part of the verb |
//!
//! With `--check` only instructions are counted, and it fails if C executes more than [`MOST`] times those of the function.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use ringway::{Receiver, RecvError, SendError, Sender};
use ringway_testing::place::{Backing, Place};
use ringway_testing::programs::built;

const LEN: usize = 64;
const MESSAGES: u64 = 3_000_000;
const ROUNDS: usize = 11;

/// How many times the instructions of the function in Rust those of C may be: some more than they are, as another compiler chooses other registers.
const MOST: f64 = 1.1;

/// The verbs of Rust in a loop.
trait Verbs {
    fn send(sender: &mut Sender, bytes: &[u8; LEN]);
    fn receive(receiver: &mut Receiver, bytes: &mut [u8; LEN]);
}

/// As part of the loop.
struct Inlined;

impl Verbs for Inlined {
    #[inline(always)]
    fn send(sender: &mut Sender, bytes: &[u8; LEN]) {
        sender.send(bytes).unwrap();
    }

    #[inline(always)]
    fn receive(receiver: &mut Receiver, bytes: &mut [u8; LEN]) {
        receiver.recv_into(bytes).unwrap();
    }
}

/// As functions of their own.
struct Functions;

impl Verbs for Functions {
    #[inline(always)]
    fn send(sender: &mut Sender, bytes: &[u8; LEN]) {
        // SAFETY: so many bytes are there.
        let result = unsafe { function_send(sender, bytes.as_ptr(), LEN) };
        assert!(result >= 0);
    }

    #[inline(always)]
    fn receive(receiver: &mut Receiver, bytes: &mut [u8; LEN]) {
        let mut len = 0;
        // SAFETY: so many bytes are there.
        let result = unsafe { function_receive(receiver, bytes.as_mut_ptr(), LEN, &mut len) };
        assert!(result >= 0);
    }
}

/// Not only not inlined: as its name is seen from outside, the compiler cannot make one of it that is for the callers here alone.
///
/// # Safety
/// `len` bytes are there.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn function_send(sender: &mut Sender, data: *const u8, len: usize) -> i32 {
    // SAFETY: the caller's promise.
    match sender.send(unsafe { std::slice::from_raw_parts(data, len) }) {
        Ok(()) => 0,
        Err(SendError::Closed) => -32,
        Err(_) => -1,
    }
}

/// # Safety
/// `size` bytes are there.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe extern "C" fn function_receive(
    receiver: &mut Receiver,
    buffer: *mut u8,
    size: usize,
    len: &mut usize,
) -> i32 {
    // SAFETY: the caller's promise.
    match receiver.recv_into(unsafe { std::slice::from_raw_parts_mut(buffer, size) }) {
        Ok(received) => {
            *len = received;
            0
        }
        Err(RecvError::Closed) => -32,
        Err(_) => -1,
    }
}

/// What `one_way.c` does, here.
fn work<V: Verbs>(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let mut bytes = [7; LEN];
    let count: u64 = arguments.last().ok_or("a count")?.parse()?;
    if arguments[0] == "turns" {
        let ring = ringway::at("memfd:")?.create()?;
        let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
        for _ in 0..count {
            V::send(&mut sender, &bytes);
            V::receive(&mut receiver, &mut bytes);
        }
        return Ok(());
    }
    let ring = ringway::at(&arguments[1])?.open()?;
    if arguments[0] == "send" {
        let mut sender = ring.sender()?;
        for _ in 0..count {
            V::send(&mut sender, &bytes);
        }
        return Ok(());
    }
    let mut receiver = ring.receiver()?;
    V::receive(&mut receiver, &mut bytes);
    let begun = Instant::now();
    for _ in 1..count {
        V::receive(&mut receiver, &mut bytes);
    }
    println!("{}", begun.elapsed().as_nanos());
    Ok(())
}

fn compiled(folder: &Path) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let libraries = built(&["--lib"]);
    let program = folder.join("one_way");
    let mut compiler = Command::new("gcc");
    compiler.args(["-O2", "-std=c11", "-D_GNU_SOURCE", "-I"]);
    compiler.arg(here.join("include"));
    compiler.arg(here.join("benches/one_way.c"));
    compiler.arg("-o").arg(&program);
    compiler.arg("-L").arg(&libraries).arg("-lringway_c");
    // The soname is what it looks for.
    let name = folder.join("libringway_c.so.0");
    std::os::unix::fs::symlink(libraries.join("libringway_c.so"), name).unwrap();
    compiler.arg("-Wl,-rpath,$ORIGIN");
    assert!(compiler.status().unwrap().success());
    program
}

/// Nanoseconds a message.
fn one_way(program: &[&OsStr]) -> f64 {
    let place = Place::new(Backing::Shm);
    let _ring = place.builder().create().unwrap();
    let start = |role: &str| {
        let mut command = Command::new(program[0]);
        command.args(&program[1..]).arg(role);
        command.arg(place.address.to_string());
        command.arg(MESSAGES.to_string()).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let (receiver, mut sender) = (start("recv"), start("send"));
    let told = receiver.wait_with_output().unwrap();
    assert!(sender.wait().unwrap().success() && told.status.success());
    let nanoseconds: f64 = String::from_utf8(told.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    nanoseconds / (MESSAGES - 1) as f64
}

/// How many instructions its first thread executes for so many turns.
#[expect(clippy::zombie_processes, reason = "it is waited for by its id")]
fn steps(program: &[&OsStr], turns: u64) -> u64 {
    use std::os::unix::process::CommandExt;
    let mut command = Command::new(program[0]);
    command.args(&program[1..]);
    command.arg("turns").arg(turns.to_string());
    // SAFETY: between fork and exec there is one system call.
    unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
    let child = command.spawn().unwrap();
    let pid = Pid::from_raw(child.id() as i32);
    let mut count = 0;
    loop {
        match waitpid(pid, None).unwrap() {
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0);
                return count;
            }
            WaitStatus::Stopped(_, signal) => {
                let signal = (signal != nix::sys::signal::Signal::SIGTRAP).then_some(signal);
                ptrace::step(pid, signal).unwrap();
                count += 1;
            }
            other => panic!("{other:?}"),
        }
    }
}

fn instructions(program: &[&OsStr]) -> f64 {
    const TURNS: u64 = 1000;
    // What both have beside their turns is the same.
    let (few, many) = (steps(program, 100), steps(program, 100 + TURNS));
    (many - few) as f64 / TURNS as f64
}

/// One of those that are compared.
struct Contestant<'a> {
    name: &'static str,
    program: Vec<&'a OsStr>,
    /// Nanoseconds a message, of each round.
    times: Vec<f64>,
}

/// The median, and those between which half of all lie.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let last = values.len() - 1;
    [values[last / 2], values[last / 4], values[last - last / 4]]
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("inlined") => return work::<Inlined>(&arguments[1..]),
        Some("function") => return work::<Functions>(&arguments[1..]),
        _ => {}
    }
    let folder = tempfile::tempdir()?;
    let (c, rust) = (compiled(folder.path()), std::env::current_exe()?);
    let contestant = |name, program| Contestant {
        name,
        program,
        times: Vec::new(),
    };
    // The second is what the others are compared with.
    let mut all = [
        contestant("C", vec![c.as_os_str()]),
        contestant(
            "a function of Rust",
            vec![rust.as_os_str(), "function".as_ref()],
        ),
        contestant("inlined Rust", vec![rust.as_os_str(), "inlined".as_ref()]),
    ];
    let counts: Vec<f64> = all
        .iter()
        .map(|contestant| instructions(&contestant.program))
        .collect();
    println!("a send and a receive, in instructions:");
    for (contestant, count) in all.iter().zip(&counts) {
        let ratio = count / counts[1];
        println!("  {:20} {count:4.0}  {ratio:.2}", contestant.name);
    }
    if arguments.iter().any(|argument| argument == "--check") {
        let (most, found) = (MOST * counts[1], counts[0]);
        return match found <= most {
            true => Ok(()),
            false => Err(format!("C executes {found:.0} instructions, and may {most:.0}").into()),
        };
    }
    for _ in 0..ROUNDS {
        for contestant in &mut all {
            let time = one_way(&contestant.program);
            contestant.times.push(time);
        }
    }
    println!("one way, in nanoseconds a message, and its ratio:");
    for contestant in &all {
        let ratios = contestant.times.iter().zip(&all[1].times);
        let [ratio, low, high] = spread(ratios.map(|(mine, others)| mine / others).collect());
        let [time, ..] = spread(contestant.times.clone());
        let name = contestant.name;
        println!("  {name:20} {time:4.1}  {ratio:.2} ({low:.2} to {high:.2})");
    }
    Ok(())
}
