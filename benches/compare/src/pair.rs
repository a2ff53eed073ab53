//! Two processes on two processors, and the bursts that they run together.
//!
//! The leading process forks the following one before either has a second thread. They meet on a
//! control page, outside of what is timed: the leader names a contestant and a range of numbers, the
//! follower answers that it is ready, both run the burst, the follower says when it had the last
//! message.
//!
//! Neither can hang on the other's death, wherever it is spinning: the kernel kills the follower with
//! its leader (PR_SET_PDEATHSIG), and tells the leader of the follower's end (SIGCHLD). An alarm ends
//! a burst that a lost message has stopped.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock;
use crate::contestants::Contestant;
use crate::memory::Shared;
use crate::track::Side;

/// Seconds that a burst may take, set-up and all.
const BURST_ALARM: u32 = 60;
/// In place of a contestant's index: no further burst.
const QUIT: u64 = u64::MAX;

/// What a burst took.
#[derive(Clone, Copy, Debug)]
pub struct Burst {
    pub messages: u64,
    /// From before the first message was sent until the last was received, in nanoseconds.
    pub nanoseconds: u64,
}

/// Words of the control page, each in a line of its own.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Word {
    /// Bursts begun by the leader.
    Begun = 0,
    /// Bursts that the follower is ready for, and has finished.
    Ready = 128,
    Done = 256,
    /// Barriers passed, by side.
    Lead = 384,
    Follow = 512,
    Contestant = 640,
    First = 768,
    End = 896,
    Finished = 1024,
}

/// Where the two meet.
struct Control(Shared);

impl Control {
    fn word(&self, word: Word) -> &AtomicU64 {
        self.0.word(word as u64)
    }

    fn get(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Acquire)
    }

    fn set(&self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::Release);
    }

    fn wait_for(&self, word: Word, value: u64) {
        while self.get(word) < value {
            std::hint::spin_loop();
        }
    }

    /// Goes on when the other side is here too.
    fn barrier(&self, side: Side, number: u64) {
        let (own, other) = match side {
            Side::Lead => (Word::Lead, Word::Follow),
            Side::Follow => (Word::Follow, Word::Lead),
        };
        self.set(own, number);
        self.wait_for(other, number);
    }
}

/// The leader's view of the pair, with every contestant open in both processes.
pub struct Pair {
    control: Control,
    contestants: Vec<Contestant>,
    bursts: u64,
    follower: libc::pid_t,
}

impl Pair {
    /// Forks the follower, which does not return, and opens every contestant. Must be called by a
    /// process with one thread.
    pub fn start(contestants: Vec<Contestant>, cpus: Option<(usize, usize)>) -> Self {
        let control = Control(Shared::new(4096));
        control.0.populate();
        end_with_follower();
        let leader = std::process::id() as libc::pid_t;
        // SAFETY: one thread, so the child may go on as if it had been started anew.
        let follower = unsafe { libc::fork() };
        assert_ne!(follower, -1, "fork: {}", std::io::Error::last_os_error());
        let mut pair = Self {
            control,
            contestants,
            bursts: 0,
            follower,
        };
        if follower == 0 {
            die_with(leader);
            pin(cpus.map(|cpus| cpus.1));
            pair.open(Side::Follow);
            pair.follow();
            // Not through destructors: they belong to the leader as well.
            std::process::exit(0);
        }
        pin(cpus.map(|cpus| cpus.0));
        alarm(BURST_ALARM);
        pair.open(Side::Lead);
        pair
    }

    fn open(&mut self, side: Side) {
        for contestant in &mut self.contestants {
            contestant.track.start(side);
        }
        self.control.barrier(side, 1);
        for contestant in &mut self.contestants {
            contestant.track.join(side);
        }
        self.control.barrier(side, 2);
        for contestant in &mut self.contestants {
            contestant.track.unlink(side);
        }
        self.control.barrier(side, 3);
    }

    /// Runs one burst; `laps` is filled if the work is measured message by message.
    pub fn burst(&mut self, contestant: usize, numbers: Range<u64>, laps: &mut [u32]) -> Burst {
        alarm(BURST_ALARM);
        let control = &self.control;
        self.bursts += 1;
        control.set(Word::Contestant, contestant as u64);
        control.set(Word::First, numbers.start);
        control.set(Word::End, numbers.end);
        control.set(Word::Begun, self.bursts);
        control.wait_for(Word::Ready, self.bursts);
        let started = clock::now();
        self.contestants[contestant]
            .track
            .lead(numbers.clone(), laps);
        control.wait_for(Word::Done, self.bursts);
        let finished = control.get(Word::Finished);
        Burst {
            messages: numbers.end - numbers.start,
            nanoseconds: finished - started,
        }
    }

    fn follow(&mut self) {
        let control = &self.control;
        for burst in 1.. {
            control.wait_for(Word::Begun, burst);
            let contestant = control.get(Word::Contestant);
            if contestant == QUIT {
                return;
            }
            let numbers = control.get(Word::First)..control.get(Word::End);
            control.set(Word::Ready, burst);
            self.contestants[contestant as usize].track.follow(numbers);
            control.set(Word::Finished, clock::now());
            control.set(Word::Done, burst);
        }
    }

    pub fn contestants(&self) -> &[Contestant] {
        &self.contestants
    }

    /// Ends the follower in peace.
    pub fn finish(mut self) {
        self.bursts += 1;
        self.control.set(Word::Contestant, QUIT);
        // SAFETY: only resets what `end_with_follower` has set.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        self.control.set(Word::Begun, self.bursts);
        // SAFETY: waits for our own child; the status is not asked for.
        unsafe { libc::waitpid(self.follower, std::ptr::null_mut(), 0) };
        alarm(0);
    }
}

/// Restricts this process to one processor.
fn pin(cpu: Option<usize>) {
    let Some(cpu) = cpu else { return };
    // SAFETY: cpu_set_t is plain bits, for which zero is a value; `cpu` came from such a set or is
    // checked against its size by CPU_SET.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set)
    };
    assert_eq!(
        result,
        0,
        "processor {cpu}: {}",
        std::io::Error::last_os_error()
    );
}

/// The first two processors that this process may use.
pub fn two_processors() -> Option<(usize, usize)> {
    // SAFETY: as in `pin`; the kernel fills the set.
    let mut allowed = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        (0..libc::CPU_SETSIZE as usize).filter(move |cpu| libc::CPU_ISSET(*cpu, &set))
    };
    Some((allowed.next()?, allowed.next()?))
}

fn alarm(seconds: u32) {
    // SAFETY: no memory is involved.
    unsafe { libc::alarm(seconds) };
}

/// In a forked child: the kernel ends it when its parent ends.
pub fn die_with(parent: libc::pid_t) {
    // SAFETY: no memory is involved. The parent is looked at afterwards: it may be gone already.
    let orphaned = unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::getppid() != parent
    };
    if orphaned {
        std::process::exit(1);
    }
}

/// The leader goes, with an error, when its follower goes or a burst gets stuck.
fn end_with_follower() {
    // SAFETY: the handlers call only what is allowed in one.
    unsafe {
        libc::signal(
            libc::SIGCHLD,
            follower_ended as *const () as libc::sighandler_t,
        );
        libc::signal(
            libc::SIGALRM,
            burst_stuck as *const () as libc::sighandler_t,
        );
    }
}

extern "C" fn follower_ended(_: libc::c_int) {
    give_up(b"compare: the following process has died\n");
}

extern "C" fn burst_stuck(_: libc::c_int) {
    give_up(b"compare: a burst is stuck\n");
}

/// Async-signal-safe.
fn give_up(message: &[u8]) -> ! {
    // SAFETY: write(2) and _exit(2) are async-signal-safe; the buffer is a live slice.
    unsafe {
        libc::write(2, message.as_ptr().cast(), message.len());
        libc::_exit(1)
    }
}
