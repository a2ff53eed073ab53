//! The scene of a death: victims, and who kills them while a survivor waits.

use std::fmt::Debug;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::{Pid, gettid};
use ringway::Ring;
use ringway_testing::messages::Random;
use ringway_testing::procfs;

use super::INTERRUPTED;
use super::cases::{Case, Fate, SPIN, Waiting};
use super::dying::Script;
use super::zygote::{Dying, Zygote, text};

/// Who waits for so long was not woken.
const HANG: Duration = Duration::from_secs(30);

/// How often the kernel is asked whether a thread sleeps.
const LOOK: Duration = Duration::from_micros(20);

pub(crate) fn deadline() -> Instant {
    Instant::now() + HANG
}

pub(crate) struct Scene<'a> {
    case: Case,
    script: Script,
    zygote: &'a mut Zygote,
    random: Random,
}

/// What a survivor's call gave, and when.
pub(crate) struct Death<T> {
    pub(crate) value: T,
    /// Just before kill(2).
    pub(crate) killed: Instant,
    /// Just after the call returned.
    returned: Instant,
}

impl<T> Death<T> {
    pub(crate) fn time(&self) -> Duration {
        self.returned.saturating_duration_since(self.killed)
    }
}

/// Says which thread is about to wait.
pub(crate) fn enrol(thread: &AtomicI32) {
    thread.store(gettid().as_raw(), Ordering::Relaxed);
}

impl<'a> Scene<'a> {
    pub(crate) fn new(case: Case, ring: &Ring, zygote: &'a mut Zygote) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let script = Script {
            address: ring.address().to_string(),
            victim: case.victim,
            succeeds: !case.has_others(),
            busy_threads: match case.fate {
                Fate::Busy => 2 * processors,
                _ => 0,
            },
            listener: String::new(),
        };
        Self {
            case,
            script,
            zygote,
            random: Random(0),
        }
    }

    /// A process that will be a victim, and has not attached yet.
    pub(crate) fn start(&mut self) -> Result<Dying, String> {
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err("interrupted".to_owned());
        }
        let namespace = self.case.fate == Fate::Namespace;
        self.zygote.fork(self.script.clone(), namespace)
    }

    /// A victim that is about what it has to be.
    pub(crate) fn start_at(&mut self, index: u64) -> Result<Dying, String> {
        let victim = self.start()?;
        victim.say(index)?;
        victim.expect("set")?;
        Ok(victim)
    }

    /// Kills the victim while this thread, and `others`, wait. It is to be [buried](Self::bury).
    pub(crate) fn survive<T: Debug>(
        &mut self,
        victim: &Dying,
        others: &[&AtomicI32],
        call: impl FnOnce(Instant) -> T,
    ) -> Result<Death<T>, String> {
        if self.case.fate != Fate::Zombie {
            self.zygote.begin_reaping()?;
        }
        let own = AtomicI32::new(0);
        let sleepers: Vec<_> = others.iter().copied().chain([&own]).collect();
        let waiting = self.case.waiting;
        // Shorter than the spinning, and longer.
        let moment = SPIN * self.random.below(300) as u32 / 100;
        let deadline = deadline();
        let (value, returned, killed) = std::thread::scope(|scope| {
            let killer = scope.spawn(move || {
                for sleeper in sleepers {
                    await_block(sleeper, waiting)?;
                }
                if waiting == Waiting::Adaptive {
                    let end = Instant::now() + moment;
                    while Instant::now() < end {
                        std::hint::spin_loop();
                    }
                }
                let killed = Instant::now();
                victim.signal(Signal::SIGKILL).map(|()| killed)
            });
            enrol(&own);
            let value = call(deadline);
            (value, Instant::now(), killer.join())
        });
        let killed = killed.map_err(|_| "the killer panicked".to_owned())??;
        // With the last look before a deadline one finds what one was not woken for.
        if returned >= deadline {
            return Err(format!(
                "the survivor was not woken in {:?}: {value:?}",
                returned - killed
            ));
        }
        Ok(Death {
            value,
            killed,
            returned,
        })
    }

    /// Sees to it that the last victim is reaped.
    pub(crate) fn bury(&mut self) -> Result<(), String> {
        if self.case.fate == Fate::Zombie {
            self.zygote.begin_reaping()?;
        }
        self.zygote.end_reaping()
    }

    /// Ends one that nobody waits for.
    pub(crate) fn dismiss(&mut self, victim: &Dying) -> Result<(), String> {
        victim.expect("set")?;
        victim.signal(Signal::SIGKILL)?;
        self.zygote.begin_reaping()?;
        self.zygote.end_reaping()
    }

    /// Stops a victim in the middle of its work, after a random time.
    pub(crate) fn stop_somewhere(&mut self, victim: &Dying) -> Result<(), String> {
        let end = Instant::now() + Duration::from_nanos(self.random.below(20_000));
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        victim.signal(Signal::SIGSTOP)?;
        await_state(victim.pid, victim.pid, 'T')
    }
}

/// Returns when a thread of this process is about to wait; if it does not spin, when it sleeps.
fn await_block(thread: &AtomicI32, waiting: Waiting) -> Result<(), String> {
    let thread = loop {
        match thread.load(Ordering::Relaxed) {
            0 => std::thread::yield_now(),
            thread => break Pid::from_raw(thread),
        }
    };
    match waiting {
        Waiting::Park => await_state(Pid::this(), thread, 'S'),
        Waiting::Adaptive => Ok(()),
    }
}

/// Returns when the kernel says that a thread is in that state.
fn await_state(process: Pid, thread: Pid, state: char) -> Result<(), String> {
    let deadline = deadline();
    while Instant::now() < deadline {
        if procfs::state(process.as_raw() as u32, thread.as_raw()).map_err(text)? == state {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
    Err(format!(
        "thread {thread} of {process} does not come to state {state}"
    ))
}
