//! Processes under ptrace, executed an instruction at a time.
//!
//! All threads of a process are stepped, one at a time: the one that ran last goes on until it sleeps in
//! the kernel, then the next that can. So a run is the same each time, and an instant is a number of steps.

mod code;
mod maps;
mod settle;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use libc::user_regs_struct;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use ringway_testing::procfs;

use code::Code;
use maps::Maps;
pub(crate) use settle::{settle_on, settle_on_any};
pub(crate) use write::Write;

/// What no step comes near to; only a hang does.
const WATCHDOG: Duration = Duration::from_secs(30);

/// Bytes of the instruction `syscall`.
const CALL_LEN: u64 = 2;

/// A process whose threads are stopped, but for those that sleep in the kernel.
pub(crate) struct Tracee {
    pid: Pid,
    threads: BTreeMap<Pid, Thread>,
    current: Pid,
    memory: File,
    code: Code,
    maps: Maps,
    /// The instructions of the system calls that were seen.
    calls: BTreeSet<u64>,
    /// The exit code, or -1 for a signal.
    end: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// Stopped; the signal is to be delivered.
    Stopped(Option<Signal>),
    /// In the kernel, or on its way to a stop.
    Running,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// An instruction that nobody else can see.
    Private,
    /// An instruction that stored to shared memory, and its address.
    Store(u64),
    /// A system call, and the instruction's address.
    Syscall(u64),
    /// Nothing: all threads sleep in the kernel.
    Asleep,
    /// Nothing: the next instruction is the breakpoint.
    Finished,
}

impl Step {
    /// Where the instruction stands, if others can see what it does.
    pub(crate) fn place(&self) -> Option<u64> {
        match *self {
            Self::Store(place) | Self::Syscall(place) => Some(place),
            Self::Private | Self::Asleep | Self::Finished => None,
        }
    }
}

impl Tracee {
    /// Attaches to all threads of a process, which goes on until [`begin`](Self::begin).
    pub(crate) fn seize(pid: u32) -> io::Result<Self> {
        let pid = Pid::from_raw(pid as i32);
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
            let name = entry?.file_name();
            let tid = name.to_str().and_then(|name| name.parse().ok());
            let tid = Pid::from_raw(tid.ok_or(io::ErrorKind::InvalidData)?);
            ptrace::seize(
                tid,
                Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL,
            )?;
            threads.insert(tid, Thread::Running);
        }
        Ok(Self {
            pid,
            threads,
            current: pid,
            memory: File::options()
                .read(true)
                .write(true)
                .open(format!("/proc/{pid}/mem"))?,
            code: Code::new(),
            maps: Maps::of(pid)?,
            calls: BTreeSet::new(),
            end: None,
        })
    }

    /// Waits until the main thread has executed a breakpoint, and stops the others there.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.await_stop(self.pid)?;
        let others: Vec<Pid> = self.threads.keys().copied().collect();
        for tid in others {
            if self.threads.get(&tid) == Some(&Thread::Running) {
                ptrace::interrupt(tid)?;
                self.await_stop(tid)?;
            }
        }
        self.current = self.pid;
        self.maps = Maps::of(self.pid)?;
        // Threads that slept when they were interrupted go back to sleep before anything is counted.
        while let Some(tid) = self.stopped_but(self.pid) {
            self.current = tid;
            self.advance()?;
        }
        self.current = self.pid;
        Ok(())
    }

    fn stopped_but(&self, main: Pid) -> Option<Pid> {
        let stopped = |(tid, thread): (&Pid, &Thread)| {
            (*tid != main && matches!(thread, Thread::Stopped(_))).then_some(*tid)
        };
        self.threads.iter().find_map(stopped)
    }

    /// Executes one instruction of the thread whose turn it is.
    pub(crate) fn step(&mut self) -> io::Result<Step> {
        if !matches!(self.threads.get(&self.current), Some(Thread::Stopped(_))) {
            match self.next_thread()? {
                Some(tid) => self.current = tid,
                None => return Ok(Step::Asleep),
            }
        }
        self.advance()
    }

    /// Executes one instruction of the current thread, which is stopped.
    fn advance(&mut self) -> io::Result<Step> {
        let tid = self.current;
        let signal = match self.threads.get(&tid) {
            Some(Thread::Stopped(signal)) => *signal,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let registers = ptrace::getregs(tid)?;
        let instruction = self.code.at(registers.rip, &self.memory)?;
        if instruction.is_breakpoint && tid == self.pid && !is_interrupted(&registers) {
            return Ok(Step::Finished);
        }
        let call = if is_interrupted(&registers) {
            Some(registers.orig_rax)
        } else {
            instruction.is_syscall.then_some(registers.rax)
        };
        if call.is_some() {
            self.note_call(&registers)?;
        }
        let step = if call.is_some() {
            Step::Syscall(registers.rip)
        } else if instruction.stores(&registers, |address| self.maps.is_shared(address)) {
            Step::Store(registers.rip)
        } else {
            Step::Private
        };
        self.code.uncover(registers.rip, &self.memory)?;
        ptrace::step(tid, signal)?;
        self.threads.insert(tid, Thread::Running);
        if let Some(number) = call {
            if may_sleep(number) {
                self.await_stop_or_sleep(tid)?;
            } else {
                self.await_stop(tid)?;
            }
            if maps::changes(number) {
                self.maps = Maps::of(self.pid)?;
            }
        } else {
            self.await_stop(tid)?;
        }
        if self.end.is_none() {
            self.code.cover(registers.rip, &self.memory)?;
        }
        Ok(step)
    }

    /// Executes the main thread's instructions up to its next breakpoint, and says how many there were. A repeated string
    /// instruction is one.
    pub(crate) fn count_to_breakpoint(&mut self) -> io::Result<u64> {
        let (mut count, mut before) = (0, 0);
        loop {
            let at = ptrace::getregs(self.pid)?.rip;
            if self.code.is_trap(at, &self.memory)? {
                return Ok(count);
            }
            count += u64::from(at != before);
            before = at;
            ptrace::step(self.pid, None)?;
            self.threads.insert(self.pid, Thread::Running);
            self.await_stop(self.pid)?;
        }
    }

    /// Remembers the instruction of a system call.
    fn note_call(&mut self, registers: &user_regs_struct) -> io::Result<()> {
        let address = match is_interrupted(registers) {
            true => registers.rip - CALL_LEN,
            false => registers.rip,
        };
        if !self.calls.contains(&address) && self.code.at(address, &self.memory)?.is_syscall {
            self.calls.insert(address);
        }
        Ok(())
    }

    /// Sets breakpoints at instructions, for [`leap`](Self::leap), and at all system calls that were seen: which thread
    /// is woken first, by whom, differs from run to run, and one that sleeps in a call that was not expected would
    /// never come to a breakpoint.
    pub(crate) fn set_breakpoints(&mut self, at: &BTreeSet<u64>) -> io::Result<()> {
        at.union(&self.calls)
            .try_for_each(|address| self.code.set_breakpoint(*address, &self.memory))
    }

    /// Executes instructions up to the next one that others can see, and that one. It must be among the
    /// breakpoints.
    pub(crate) fn leap(&mut self) -> io::Result<Step> {
        loop {
            match self.step()? {
                Step::Private => {}
                step => return Ok(step),
            }
            let tid = self.current;
            let Some(Thread::Stopped(signal)) = self.threads.get(&tid).copied() else {
                continue;
            };
            if self.code.is_breakpoint(ptrace::getregs(tid)?.rip) {
                continue;
            }
            ptrace::cont(tid, signal)?;
            self.threads.insert(tid, Thread::Running);
            self.await_breakpoint(tid)?;
            // It has executed a breakpoint, this tracer's or its own; it shall stand before it.
            if self.threads.get(&tid) == Some(&Thread::Stopped(None))
                && self.is_behind_breakpoint(tid)?
            {
                let mut registers = ptrace::getregs(tid)?;
                registers.rip -= 1;
                ptrace::setregs(tid, registers)?;
            }
        }
    }

    /// A thread that is stopped, when one is; `None` if all sleep.
    fn next_thread(&mut self) -> io::Result<Option<Pid>> {
        let deadline = Instant::now() + WATCHDOG;
        let mut asleep = 0;
        loop {
            let running: Vec<Pid> = self.threads.keys().copied().collect();
            for tid in running {
                self.look_for_stop(tid)?;
            }
            let stopped = |thread: &Thread| matches!(thread, Thread::Stopped(_));
            if let Some((tid, _)) = self.threads.iter().find(|(_, thread)| stopped(thread)) {
                return Ok(Some(*tid));
            }
            if self.threads.is_empty() {
                return Err(io::Error::other("the process has ended"));
            }
            // Seen asleep more than once: what woke one a moment ago shows by now.
            let all_asleep = self.threads.keys().all(|tid| self.is_asleep(*tid));
            asleep = if all_asleep { asleep + 1 } else { 0 };
            if asleep == 3 {
                return Ok(None);
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn await_stop_or_sleep(&mut self, tid: Pid) -> io::Result<()> {
        let deadline = Instant::now() + WATCHDOG;
        while !self.look_for_stop(tid)? {
            if self.is_asleep(tid) {
                // It may have been woken, and stopped, since.
                self.look_for_stop(tid)?;
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Waits for a thread that runs freely, but not for ever.
    fn await_breakpoint(&mut self, tid: Pid) -> io::Result<()> {
        let deadline = Instant::now() + WATCHDOG;
        while !self.look_for_stop(tid)? {
            if Instant::now() > deadline {
                return Err(io::Error::other("a thread comes to no breakpoint"));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Whether a thread sleeps in a call in which threads sleep for others.
    fn is_asleep(&self, tid: Pid) -> bool {
        let call = format!("/proc/{}/task/{tid}/syscall", self.pid);
        let call = std::fs::read_to_string(call).unwrap_or_default();
        let number = call
            .split(' ')
            .next()
            .and_then(|number| number.parse().ok());
        let process = self.pid.as_raw() as u32;
        number.is_some_and(may_sleep)
            && procfs::state(process, tid.as_raw()).is_ok_and(|state| state == 'S')
    }

    fn await_stop(&mut self, tid: Pid) -> io::Result<()> {
        let status = waitpid(tid, Some(WaitPidFlag::__WALL))?;
        self.note(tid, status)
    }

    fn look_for_stop(&mut self, tid: Pid) -> io::Result<bool> {
        if self.threads.get(&tid) != Some(&Thread::Running) {
            return Ok(true);
        }
        match waitpid(tid, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => Ok(false),
            Ok(status) => self.note(tid, status).map(|()| true),
            // Not there yet: its creator is told of a thread before the thread is.
            Err(Errno::ECHILD) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    fn note(&mut self, tid: Pid, status: WaitStatus) -> io::Result<()> {
        let thread = match status {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => Thread::Stopped(None),
            WaitStatus::Stopped(_, signal) => Thread::Stopped(Some(signal)),
            WaitStatus::PtraceEvent(_, _, event) => {
                if event == libc::PTRACE_EVENT_CLONE {
                    let child = Pid::from_raw(ptrace::getevent(tid)? as i32);
                    self.threads.insert(child, Thread::Running);
                }
                Thread::Stopped(None)
            }
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                self.threads.remove(&tid);
                if tid == self.pid {
                    self.end = Some(match status {
                        WaitStatus::Exited(_, code) => code,
                        _ => -1,
                    });
                }
                return Ok(());
            }
            other => return Err(io::Error::other(format!("unexpected: {other:?}"))),
        };
        self.threads.insert(tid, thread);
        Ok(())
    }

    /// A digest of all the memory that the process shares with others.
    pub(crate) fn digest(&self) -> io::Result<u64> {
        let mut hasher = DefaultHasher::new();
        let mut bytes = Vec::new();
        for range in self.maps.shared() {
            bytes.resize((range.end - range.start) as usize, 0);
            self.read(range.start, &mut bytes)?;
            hasher.write(&bytes);
        }
        Ok(hasher.finish())
    }

    /// Copies memory of the process.
    pub(crate) fn read(&self, address: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.memory.read_exact_at(bytes, address)
    }

    /// Kills the process with all its threads, and returns when they are gone. A zombie is left for its
    /// parent to reap.
    pub(crate) fn kill(mut self) -> io::Result<()> {
        self.end_all()
    }

    fn end_all(&mut self) -> io::Result<()> {
        let mut threads = std::mem::take(&mut self.threads);
        kill(self.pid, Signal::SIGKILL)?;
        // As their tracer, this process has to take note of each thread's end, the main one's last.
        threads.remove(&self.pid);
        for tid in threads.into_keys() {
            reap(tid)?;
        }
        Ok(())
    }

    /// Lets all threads run freely until the main one has executed the next breakpoint; calls `meanwhile` now
    /// and then.
    pub(crate) fn run_to_breakpoint(&mut self, meanwhile: impl FnMut()) -> io::Result<()> {
        self.code.clear(&self.memory)?;
        let is_there = |tracee: &Self| {
            let is_stopped = matches!(tracee.threads.get(&tracee.pid), Some(Thread::Stopped(_)));
            Ok((is_stopped && tracee.is_behind_breakpoint(tracee.pid)?).then_some(()))
        };
        self.run_until(is_there, meanwhile)
    }

    /// Lets the process run to its end; whether that was a good one.
    pub(crate) fn finish(mut self) -> io::Result<bool> {
        // Not detached: a trap of a last step that is still on its way would kill it.
        self.run_until(|tracee| Ok(tracee.end.map(|code| code == 0)), || ())
    }

    /// Lets all threads run freely until `done` says something.
    fn run_until<T>(
        &mut self,
        done: impl Fn(&Self) -> io::Result<Option<T>>,
        mut meanwhile: impl FnMut(),
    ) -> io::Result<T> {
        let deadline = Instant::now() + WATCHDOG;
        loop {
            let all: Vec<Pid> = self.threads.keys().copied().collect();
            for tid in &all {
                if let Some(Thread::Stopped(signal)) = self.threads.get(tid).copied() {
                    match ptrace::cont(*tid, signal) {
                        // Another thread ends the process.
                        Ok(()) | Err(Errno::ESRCH) => {}
                        Err(errno) => return Err(errno.into()),
                    }
                    self.threads.insert(*tid, Thread::Running);
                }
            }
            for tid in all {
                self.look_for_stop(tid)?;
            }
            if let Some(found) = done(self)? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            meanwhile();
            std::thread::sleep(Duration::from_micros(20));
        }
    }

    fn is_behind_breakpoint(&self, tid: Pid) -> io::Result<bool> {
        let registers = ptrace::getregs(tid)?;
        let mut byte = [0];
        self.read(registers.rip - 1, &mut byte)?;
        Ok(byte == [code::BREAKPOINT])
    }
}

impl Drop for Tracee {
    /// Where something has failed before its end: who waits for it would wait for ever while its threads are not reaped.
    fn drop(&mut self) {
        if self.end.is_none() && !self.threads.is_empty() {
            let _ = self.end_all();
        }
    }
}

fn reap(tid: Pid) -> io::Result<()> {
    loop {
        match waitpid(tid, Some(WaitPidFlag::__WALL)) {
            Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) | Err(Errno::ECHILD) => {
                return Ok(());
            }
            // A stop from before the end.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Whether a thread was stopped in a system call, which the kernel begins anew: its error numbers for that
/// are seen by nobody but a tracer.
fn is_interrupted(registers: &user_regs_struct) -> bool {
    (-516..=-512).contains(&(registers.rax as i64)) && registers.orig_rax as i64 >= 0
}

/// Calls in which a thread sleeps until another one does something.
fn may_sleep(number: u64) -> bool {
    const SLEEPING: [libc::c_long; 10] = [
        // One of the others, with a time-out, that was interrupted.
        libc::SYS_restart_syscall,
        libc::SYS_futex,
        libc::SYS_futex_waitv,
        libc::SYS_semop,
        libc::SYS_semtimedop,
        libc::SYS_mq_timedreceive,
        libc::SYS_read,
        libc::SYS_poll,
        libc::SYS_ppoll,
        libc::SYS_clock_nanosleep,
    ];
    SLEEPING.iter().any(|call| *call as u64 == number)
}
