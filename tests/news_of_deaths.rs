//! News of a death reach everybody whom it concerns, whoever else is stopped, frozen or dying, whatever became of other
//! rings' files, and however fast the kernel takes the memory of the dead.

mod two_processes;

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, gettid};
use ringway::peer::{Peer, Role};
use ringway::{Builder, ErrorKind, Kind, Receiver, RecvError, Ring, SyncKind, WaitStrategy};
use two_processes::place::{Backing, Place};
use two_processes::procfs::{until_asleep, while_blocked};
use two_processes::table::{Row, for_each};
use two_processes::{First, Second, in_time, play};

#[test]
fn child_role() {
    play(|role, first| match role {
        "send nothing" => send_nothing(first),
        "receive nothing" => receive_nothing(first),
        "cut another ring off" => cut_another_ring_off(first),
        "attach in a constructor" => attach_in_a_constructor(first),
        "be another process by a bare clone" => be_cloned(first),
        "fork into another pid namespace" => fork_into_another_namespace(first),
        _ => panic!("{role}"),
    });
}

/// A control group whose members the kernel freezes where they are: in their sleep, in whatever queue.
struct Freezer(PathBuf);

impl Freezer {
    fn new() -> io::Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("ringway-test-{}-{next}", std::process::id());
        let path = PathBuf::from("/sys/fs/cgroup/freezer").join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn write(&self, file: &str, text: impl ToString) -> io::Result<()> {
        fs::write(self.0.join(file), text.to_string())
    }

    fn freeze(&self) {
        self.write("freezer.state", "FROZEN").unwrap();
        while fs::read_to_string(self.0.join("freezer.state"))
            .unwrap()
            .trim()
            != "FROZEN"
        {
            std::thread::yield_now();
        }
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = self.write("freezer.state", "THAWED");
        // Whoever is left goes back where it came from.
        for _ in 0..1000 {
            let tasks = fs::read_to_string(self.0.join("tasks")).unwrap_or_default();
            for task in tasks.lines() {
                let _ = fs::write("/sys/fs/cgroup/freezer/tasks", task);
            }
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

/// A receiver that sleeps while it waits.
fn sleeper(ring: &Ring) -> Receiver {
    ring.receiver().unwrap().with_wait(WaitStrategy::Park)
}

/// A producer that is attached and sends nothing.
fn producer(ring: &Ring) -> Second {
    let producer = Second::start("send nothing", ring);
    producer.expect("attached");
    producer
}

/// Waits until a process that receives nothing is asleep over that, and returns the thread.
fn until_it_sleeps(consumer: &Second) -> i32 {
    let thread = consumer.hear().parse().unwrap();
    until_asleep(consumer.pid(), thread);
    thread
}

/// The rows on shm of which there is one for each sync.
fn rows_of(kind: Kind) -> Vec<Row> {
    let mut rows = Row::on_shm();
    rows.retain(|row| row.kind == kind);
    rows
}

/// The receiver is asleep, and is told of a death when `deed` is done.
#[track_caller]
fn is_told(receiver: &mut Receiver, row: Row, deed: impl FnOnce() + Send) {
    let end = while_blocked(WaitStrategy::Park, deed, || {
        in_time(|deadline| receiver.recv_deadline(deadline))
    });
    assert_eq!(end, Err(RecvError::PeerDied), "{row}");
}

/// The same, when the victim is killed.
#[track_caller]
fn is_told_of(receiver: &mut Receiver, row: Row, victim: &Second) {
    is_told(receiver, row, || victim.kill_unreaped());
}

/// The kernel wakes one of those who sleep on a word; it may be one that is frozen in its sleep.
#[test]
fn frozen_bystanders_keep_no_death_from_the_others() {
    for_each(Row::with_many(Role::Consumer, Row::on_shm()), |row| {
        let (ring, _place) = row.ring();
        let mut bystanders = Vec::new();
        // Behind those who are in it: what is frozen cannot be killed, so this goes first.
        let Ok(freezer) = Freezer::new() else {
            return println!("skipped: there is no freezer for this user");
        };
        for _ in 0..3 {
            let bystander = Second::start("receive nothing", &ring);
            until_it_sleeps(&bystander);
            freezer.write("cgroup.procs", bystander.pid()).unwrap();
            bystanders.push(bystander);
        }
        freezer.freeze();
        for _ in 0..3 {
            let (mut receiver, victim) = (sleeper(&ring), producer(&ring));
            is_told_of(&mut receiver, row, &victim);
        }
    });
}

/// Stopped ones have left the queues; all the same.
#[test]
fn stopped_bystanders_keep_no_death_from_the_others() {
    for_each(Row::with_many(Role::Consumer, Row::on_shm()), |row| {
        let (ring, _place) = row.ring();
        let bystanders = [(); 3].map(|()| Second::start("receive nothing", &ring));
        for bystander in &bystanders {
            until_it_sleeps(bystander);
            bystander.stop();
        }
        let (mut receiver, victim) = (sleeper(&ring), producer(&ring));
        is_told_of(&mut receiver, row, &victim);
    });
}

/// The last consumer was killed in its sleep, and has not come to leave the queue yet: it may sleep there for long, where
/// processors are scarce. Here it is frozen.
#[test]
fn a_predecessor_that_has_not_come_to_its_end_keeps_no_death_from_its_successor() {
    for_each(rows_of(Kind::Spsc), |row| {
        let (ring, _place) = row.ring();
        let producer = producer(&ring);
        let predecessor = Second::start("receive nothing", &ring);
        // Behind who is in it, as above.
        let Ok(freezer) = Freezer::new() else {
            return println!("skipped: there is no freezer for this user");
        };
        let thread = until_it_sleeps(&predecessor);
        freezer.write("tasks", thread).unwrap();
        freezer.freeze();
        predecessor.signal(Signal::SIGKILL);
        let mut receiver = loop {
            match ring.receiver() {
                Ok(receiver) => break receiver.with_wait(WaitStrategy::Park),
                Err(error) => assert!(
                    matches!(error.kind(), ErrorKind::RoleTaken { .. }),
                    "{row}: {error}"
                ),
            }
        };
        assert_eq!(receiver.peer(), Peer::Alive, "{row}");
        is_told_of(&mut receiver, row, &producer);
    });
}

/// The kernel's walk over a list of words ends at the first page that is not there.
#[test]
fn a_ring_whose_file_was_cut_off_takes_no_other_rings_deaths_along() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = sleeper(&ring);
        let victim = Second::start("cut another ring off", &ring);
        victim.expect("cut off");
        is_told_of(&mut receiver, row, &victim);
    });
}

/// As a daemon does that makes room, and the kernel itself when memory is short.
#[test]
fn who_loses_its_memory_before_its_threads_have_ended_is_dead() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        for _ in 0..8 {
            let (mut receiver, victim) = (sleeper(&ring), producer(&ring));
            // SAFETY: pidfd_open takes numbers, and gives a descriptor that nobody else has.
            let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, victim.pid(), 0) };
            assert!(handle >= 0);
            // SAFETY: as above.
            let handle = unsafe { OwnedFd::from_raw_fd(handle as i32) };
            is_told(&mut receiver, row, || {
                victim.signal(Signal::SIGKILL);
                // SAFETY: process_mrelease takes numbers. It fails where the memory is gone already, or
                // the kernel has no such call.
                unsafe { libc::syscall(libc::SYS_process_mrelease, handle.as_raw_fd(), 0) };
            });
        }
    });
}

/// Whoever loads a library holds a lock of the dynamic loader's while its constructors run, and other threads want
/// that when they first use one of Rust's thread-locals.
#[test]
fn a_constructor_of_a_library_can_attach_and_leave() {
    for_each(rows_of(Kind::Mpmc), |row| {
        let (ring, _place) = row.ring();
        let second = Second::start("attach in a constructor", &ring);
        let heard = second.hear();
        if heard == "no compiler" {
            return println!("skipped: there is no C compiler");
        }
        assert_eq!(heard, "done", "{row}");
        second.finish();
    });
}

#[test]
fn a_child_of_a_bare_clone_is_nobody_and_its_end_is_not_its_parents() {
    for_each(Row::on_shm(), |row| {
        let (ring, _place) = row.ring();
        let mut receiver = ring.receiver().unwrap();
        let parent = Second::start("be another process by a bare clone", &ring);
        parent.expect("its child has ended well");
        assert_eq!(receiver.peer(), Peer::Alive, "{row}");
        assert_eq!(receiver.try_recv(), Err(RecvError::Empty), "{row}");
        parent.kill();
        assert_eq!(receiver.try_recv(), Err(RecvError::PeerDied), "{row}");
    });
}

/// Which namespace a process is in is not remembered from before the fork.
#[test]
fn a_child_of_fork_in_another_pid_namespace_is_told_apart() {
    let mut rows = rows_of(Kind::Mpmc);
    rows.retain(|row| row.sync == SyncKind::Pthread);
    for_each(rows, |row| {
        let (ring, _place) = row.ring();
        let _receiver = ring.receiver().unwrap();
        let second = Second::start("fork into another pid namespace", &ring);
        match second.hear().as_str() {
            "not permitted" => println!("skipped: this user may not make a pid namespace"),
            heard => assert_eq!(heard, "refused", "{row}"),
        }
    });
}

fn send_nothing(first: &First) {
    let _sender = first.ring().sender().unwrap();
    first.say("attached");
    first.hear();
}

fn receive_nothing(first: &First) {
    let mut receiver = sleeper(&first.ring());
    first.say(gettid());
    let _ = receiver.recv();
    // Nobody is waited for.
    std::thread::sleep(std::time::Duration::from_secs(600));
}

fn cut_another_ring_off(first: &First) {
    let _sender = first.ring().sender().unwrap();
    let place = Place::new(Backing::File);
    let other = place.builder().capacity(4096).create().unwrap();
    // Attached last: the first that the kernel would come to in a list of both.
    let _sides = (other.sender().unwrap(), other.receiver().unwrap());
    // Whoever looks into the ring after this gets a signal, so its keepers must be asleep.
    for task in fs::read_dir("/proc/self/task").unwrap() {
        let task = task.unwrap().path();
        if fs::read_to_string(task.join("comm")).unwrap().trim() == "ringway-keeper" {
            let thread = task.file_name().unwrap().to_str().unwrap();
            until_asleep(std::process::id(), thread.parse().unwrap());
        }
    }
    let file = OpenOptions::new().write(true).open(place.path()).unwrap();
    file.set_len(0).unwrap();
    // Its name goes too, while there is somebody to remove it.
    fs::remove_file(place.path()).unwrap();
    first.say("cut off");
    first.hear();
}

thread_local! {
    static RING: std::cell::RefCell<Option<Ring>> = const { std::cell::RefCell::new(None) };
}

/// Called by the library's constructor.
extern "C" fn use_the_ring() {
    RING.with_borrow(|ring| {
        let ring = ring.as_ref().unwrap();
        let (mut sender, mut receiver) = (ring.sender().unwrap(), ring.receiver().unwrap());
        sender.send(b"hello").unwrap();
        assert_eq!(receiver.recv().unwrap(), b"hello");
    });
}

fn attach_in_a_constructor(first: &First) {
    const SOURCE: &str = "#include <stdlib.h>\n\
        __attribute__((constructor)) static void begin(void) {\n\
            ((void (*)(void)) strtoull(getenv(\"RINGWAY_TEST_CALL\"), 0, 10))();\n\
        }\n";
    let directory = tempfile::tempdir().unwrap();
    let (source, library) = (
        directory.path().join("begin.c"),
        directory.path().join("libbegin.so"),
    );
    fs::write(&source, SOURCE).unwrap();
    let compiled = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    if !compiled.is_ok_and(|status| status.success()) {
        return first.say("no compiler");
    }
    RING.set(Some(first.ring()));
    // SAFETY: no other thread of this process reads the environment.
    unsafe {
        let call = use_the_ring as extern "C" fn() as usize;
        std::env::set_var("RINGWAY_TEST_CALL", call.to_string());
    }
    let path = std::ffi::CString::new(library.to_str().unwrap()).unwrap();
    // SAFETY: the library's constructor calls `use_the_ring`, and it has nothing else.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null());
    first.say("done");
}

fn be_cloned(first: &First) {
    let ring = first.ring();
    let mut sender = ring.sender().unwrap();
    // SAFETY: as fork, of which no library hears; the child drops what it inherited and exits. It starts
    // no thread and takes no lock that another thread may hold: the others sleep.
    match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
        0 => {
            let refused = sender.try_send(b"x") == Err(ringway::SendError::Forked)
                && ring
                    .sender()
                    .is_err_and(|error| error.kind() == ErrorKind::Forked);
            drop(sender);
            // SAFETY: ends the child at once.
            unsafe { libc::_exit(i32::from(!refused)) }
        }
        child => {
            let child = Pid::from_raw(child as i32);
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        }
    }
    first.say("its child has ended well");
    first.hear();
    drop(sender);
}

fn fork_into_another_namespace(first: &First) {
    let address = first.address().clone();
    // What is remembered of this process is remembered now.
    drop(first.ring().sender().unwrap());
    if unshare(CloneFlags::CLONE_NEWPID).is_err() {
        return first.say("not permitted");
    }
    // SAFETY: the other threads of this process, the test harness's, hold no lock now that the child needs.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            let attached = Builder::at(address).open().unwrap().sender();
            first.say(match attached {
                Ok(_) => "attached".to_owned(),
                Err(error) if error.kind() == ErrorKind::Unsupported => "refused".to_owned(),
                Err(error) => error.to_string(),
            });
            // SAFETY: ends the child without running what the parent registered.
            unsafe { libc::_exit(0) }
        }
        ForkResult::Parent { child } => {
            waitpid(child, None).unwrap();
        }
    }
}
