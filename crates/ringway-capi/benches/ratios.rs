//! What a call from C costs beside one from Rust, as ratios in one run: `cargo bench -p ringway-capi`.
//!
//! One way: 64 bytes a message, from process to process, flat out; both languages take turns, and the median round is shown, with those between which half of
//! all lie. In instructions: what one send and one receive execute, counted by single steps of the processor.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::ptrace;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use ringway_testing::place::{Backing, Place};
use ringway_testing::programs::built;

const LEN: usize = 64;
const MESSAGES: u64 = 3_000_000;
const ROUNDS: usize = 11;

/// What `one_way.c` does, here.
fn work(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let mut bytes = [7; LEN];
    let count: u64 = arguments.last().ok_or("a count")?.parse()?;
    if arguments[0] == "turns" {
        let ring = ringway::at("memfd:")?.create()?;
        let (mut sender, mut receiver) = (ring.sender()?, ring.receiver()?);
        for _ in 0..count {
            sender.send(&bytes)?;
            receiver.recv_into(&mut bytes)?;
        }
        return Ok(());
    }
    let ring = ringway::at(&arguments[1])?.open()?;
    if arguments[0] == "send" {
        let mut sender = ring.sender()?;
        for _ in 0..count {
            sender.send(&bytes)?;
        }
        return Ok(());
    }
    let mut receiver = ring.receiver()?;
    receiver.recv_into(&mut bytes)?;
    let begun = Instant::now();
    for _ in 1..count {
        receiver.recv_into(&mut bytes)?;
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
fn one_way(program: &[&Path]) -> f64 {
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
fn steps(program: &[&Path], turns: u64) -> u64 {
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

fn instructions(program: &[&Path]) -> f64 {
    const TURNS: u64 = 1000;
    // What both have beside their turns is the same.
    let (few, many) = (steps(program, 100), steps(program, 100 + TURNS));
    (many - few) as f64 / TURNS as f64
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let roles = ["send", "recv", "turns"];
    if arguments
        .first()
        .is_some_and(|role| roles.contains(&role.as_str()))
    {
        return work(&arguments);
    }
    let folder = tempfile::tempdir()?;
    let c = compiled(folder.path());
    let rust = std::env::current_exe()?;
    let (c, rust) = ([c.as_path()], [rust.as_path()]);
    let mut ratios = Vec::new();
    let (mut of_c, mut of_rust) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        of_c.push(one_way(&c));
        of_rust.push(one_way(&rust));
        ratios.push(of_c[of_c.len() - 1] / of_rust[of_rust.len() - 1]);
    }
    for all in [&mut ratios, &mut of_c, &mut of_rust] {
        all.sort_by(f64::total_cmp);
    }
    let (low, middle, high) = (ROUNDS / 4, ROUNDS / 2, ROUNDS - 1 - ROUNDS / 4);
    println!(
        "one way: time of C to Rust {:.2} ({:.2} to {:.2}); {:.1} and {:.1} ns a message",
        ratios[middle], ratios[low], ratios[high], of_c[middle], of_rust[middle]
    );
    let (of_c, of_rust) = (instructions(&c), instructions(&rust));
    println!(
        "a send and a receive, in instructions: C {of_c:.0}, Rust {of_rust:.0}, ratio {:.2}",
        of_c / of_rust
    );
    Ok(())
}
