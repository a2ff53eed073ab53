//! The processes of a measurement, and the bursts that they run together.
//!
//! The leading process, member 0, forks the others before any has a second thread. They meet on a
//! control page, outside of what is timed: the leader names a contestant and a range of numbers, the
//! others answer that they are ready, all run the burst, each says when it had its last message.
//!
//! None can hang on another's death, wherever it is spinning: the kernel kills the others with
//! their leader (PR_SET_PDEATHSIG), and tells the leader of another's end (SIGCHLD). An alarm ends
//! a burst that a lost message has stopped.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::clock;
use crate::contestants::Contestant;
use crate::memory::Shared;
use crate::process;
use crate::track::{LEAD, Stamps, Tape};

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
    /// How often the member that did so the least went to sleep.
    pub sleeps: u64,
}

/// Words of the control page, each in a line of its own. All but the description of a burst only grow.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Word {
    /// Bursts announced by the leader, and let loose.
    Announced = 0,
    Begun = 128,
    /// Times that a member other than the leader was ready for a burst, and had finished one.
    Ready = 256,
    Done = 384,
    /// Times that a member came to a barrier.
    Arrived = 512,
    Contestant = 640,
    First = 768,
    End = 896,
    /// When the last one finished.
    Finished = 1024,
    /// How often a member other than the leader went to sleep, at least.
    Sleeps = 1152,
}

/// Where all meet.
struct Control {
    page: Shared,
    /// Whether members share processors. Then nobody polls while another may want to run.
    crowded: bool,
}

/// Polls before a member of a crowded team sleeps.
const CROWDED_POLLS: u32 = 100;

impl Control {
    fn word(&self, word: Word) -> &AtomicU64 {
        self.page.word(word as u64)
    }

    fn get(&self, word: Word) -> u64 {
        self.word(word).load(Ordering::Acquire)
    }

    fn set(&self, word: Word, value: u64) {
        self.word(word).store(value, Ordering::Release);
        self.wake(word);
    }

    fn count(&self, word: Word) {
        self.word(word).fetch_add(1, Ordering::AcqRel);
        self.wake(word);
    }

    fn wake(&self, word: Word) {
        if self.crowded {
            // SAFETY: FUTEX_WAKE uses the word's address only.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.futex(word),
                    libc::FUTEX_WAKE,
                    i32::MAX,
                )
            };
        }
    }

    /// The low half of the word; none grows by 2^32 between two looks.
    fn futex(&self, word: Word) -> *mut u32 {
        self.word(word).as_ptr().cast()
    }

    fn wait_for(&self, word: Word, value: u64) {
        let mut polls = 0;
        loop {
            // SAFETY: an aligned word of the page, which is only ever written as a whole.
            let low = unsafe { AtomicU32::from_ptr(self.futex(word)) }.load(Ordering::Relaxed);
            if self.get(word) >= value {
                return;
            }
            polls += 1;
            if !self.crowded || polls < CROWDED_POLLS {
                std::hint::spin_loop();
                continue;
            }
            let forever = std::ptr::null::<libc::timespec>();
            // SAFETY: the word is mapped; the kernel only reads it.
            unsafe {
                libc::syscall(
                    libc::SYS_futex,
                    self.futex(word),
                    libc::FUTEX_WAIT,
                    low,
                    forever,
                )
            };
        }
    }

    /// The same, awake, so that everybody sets out at once.
    fn await_start(&self, burst: u64) {
        while self.get(Word::Begun) < burst {
            std::hint::spin_loop();
            if self.crowded {
                std::thread::yield_now();
            }
        }
    }
}

/// The leader's view of the team, with every contestant open in all processes.
pub struct Team {
    control: Control,
    contestants: Vec<Contestant>,
    stamps: Stamps,
    bursts: u64,
    barriers: u64,
    members: u64,
    /// Whether they have one processor together.
    takes_turns: bool,
    /// All but the leader.
    others: Vec<libc::pid_t>,
}

impl Team {
    /// Forks all members but the first, which do not return, and opens every contestant. Member `i`
    /// runs on processor `cpus[i]`. Must be called by a process with one thread. `lead` runs in the leader alone, which
    /// may have others from then on.
    pub fn start(
        contestants: Vec<Contestant>,
        cpus: &[usize],
        message_size: u64,
        lead: impl FnOnce(),
    ) -> Self {
        let page = Shared::new(4096);
        page.populate();
        let crowded = (1..cpus.len()).any(|index| cpus[..index].contains(&cpus[index]));
        let takes_turns = cpus.iter().all(|cpu| *cpu == cpus[0]);
        process::end_with_children();
        let mut team = Self {
            control: Control { page, crowded },
            contestants,
            stamps: Stamps::new(message_size),
            bursts: 0,
            barriers: 0,
            members: cpus.len() as u64,
            takes_turns,
            others: Vec::new(),
        };
        let leader = std::process::id() as libc::pid_t;
        if takes_turns {
            process::take_turns();
        }
        for (member, &cpu) in cpus.iter().enumerate().skip(1) {
            // SAFETY: one thread, so the child may go on as if it had been started anew.
            let child = unsafe { libc::fork() };
            assert_ne!(child, -1, "fork: {}", std::io::Error::last_os_error());
            if child == 0 {
                process::die_with(leader);
                process::pin(cpu);
                team.open(member);
                team.follow(member);
                // Not through destructors: they belong to the leader as well.
                std::process::exit(0);
            }
            team.others.push(child);
        }
        lead();
        process::pin(cpus[LEAD]);
        process::blame("set-up");
        process::alarm(BURST_ALARM);
        team.open(LEAD);
        team
    }

    fn open(&mut self, member: usize) {
        for contestant in &mut self.contestants {
            contestant.track.start(member);
        }
        self.barrier();
        for contestant in &mut self.contestants {
            contestant.track.join(member);
        }
        self.barrier();
        for contestant in &mut self.contestants {
            contestant.track.unlink(member);
        }
        self.barrier();
    }

    /// Goes on when everybody is here.
    fn barrier(&mut self) {
        self.barriers += 1;
        self.control.count(Word::Arrived);
        self.control
            .wait_for(Word::Arrived, self.barriers * self.members);
    }

    /// Runs one burst; `laps` is filled if the work is measured message by message.
    pub fn burst(&mut self, contestant: usize, numbers: Range<u64>, laps: &mut [u32]) -> Burst {
        process::alarm(BURST_ALARM);
        process::blame(self.contestants[contestant].name);
        self.contestants[contestant].track.prepare(&numbers);
        let control = &self.control;
        self.bursts += 1;
        let others = self.bursts * (self.members - 1);
        control.set(Word::Contestant, contestant as u64);
        control.set(Word::First, numbers.start);
        control.set(Word::End, numbers.end);
        control
            .word(Word::Sleeps)
            .store(u64::MAX, Ordering::Release);
        control.set(Word::Announced, self.bursts);
        control.wait_for(Word::Ready, others);
        let sleeps = process::sleeps();
        let started = clock::now();
        control.set(Word::Begun, self.bursts);
        let track = &mut self.contestants[contestant].track;
        let stamps = &self.stamps;
        track.run(LEAD, numbers.clone(), Tape { laps, stamps });
        let returned = clock::now();
        let sleeps = process::sleeps() - sleeps;
        control.wait_for(Word::Done, others);
        let finished = match track.ends_with_leader() {
            true => returned,
            false => control.get(Word::Finished),
        };
        track.settle(numbers.clone());
        Burst {
            messages: numbers.end - numbers.start,
            nanoseconds: finished - started,
            sleeps: sleeps.min(control.get(Word::Sleeps)),
        }
    }

    fn follow(&mut self, member: usize) {
        let control = &self.control;
        for burst in 1.. {
            control.wait_for(Word::Announced, burst);
            let contestant = control.get(Word::Contestant);
            if contestant == QUIT {
                return;
            }
            let numbers = control.get(Word::First)..control.get(Word::End);
            control.count(Word::Ready);
            control.await_start(burst);
            let track = &mut self.contestants[contestant as usize].track;
            let (laps, stamps) = (&mut [][..], &self.stamps);
            let sleeps = process::sleeps();
            track.run(member, numbers, Tape { laps, stamps });
            control
                .word(Word::Sleeps)
                .fetch_min(process::sleeps() - sleeps, Ordering::AcqRel);
            control
                .word(Word::Finished)
                .fetch_max(clock::now(), Ordering::AcqRel);
            control.count(Word::Done);
        }
    }

    /// Whether all share one processor, so that nobody can spin.
    pub fn takes_turns(&self) -> bool {
        self.takes_turns
    }

    pub fn contestants(&self) -> &[Contestant] {
        &self.contestants
    }

    /// Ticks that messages of the last burst, of so many, were on their way, if they were stamped.
    pub fn delays(&self, contestant: usize, messages: u64) -> Vec<u64> {
        match self.contestants[contestant].track.is_stamped() {
            true => self.stamps.delays(messages),
            false => Vec::new(),
        }
    }

    /// Ends the others in peace.
    pub fn finish(mut self) {
        self.bursts += 1;
        process::let_children_end();
        self.control.set(Word::Contestant, QUIT);
        self.control.set(Word::Announced, self.bursts);
        process::reap(&self.others);
        process::alarm(0);
    }
}
