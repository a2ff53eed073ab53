//! Aeron IPC: the C client in both processes, the C media driver in the leading one. Built with the feature `aeron`.
//!
//! An exclusive publication, by `offer` or by `try_claim`; a subscription that is polled for up to 256 fragments, or for
//! one. The calls are the C library's own. The size of a ring is that of a term, of which Aeron has three.
//!
//! # Who does the driver's work
//! A publication may be ahead of its subscriber by half a term, as far as the driver has moved its limit, which it does
//! each time that it does its work. As a process of its own beside two that spin on the two processors of a small machine, the driver has
//! its turn when the scheduler takes a processor from one of them, every few milliseconds; then a term of 64 KiB
//! carries 32 KiB in that time, whatever the client can do. So its work is done here as Aeron's "invoker" does it: by the thread that waits for it, in
//! the leading process, when an offer is refused or a poll finds nothing. Between bursts, a thread does it that
//! sleeps otherwise.

use std::ffi::{CStr, CString};
use std::ops::Range;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use rusteron_client::bindings::{
    aeron_buffer_claim_commit, aeron_buffer_claim_t, aeron_exclusive_publication_is_connected,
    aeron_exclusive_publication_offer, aeron_exclusive_publication_t,
    aeron_exclusive_publication_try_claim, aeron_header_t, aeron_subscription_poll,
    aeron_subscription_t,
};
use rusteron_client::{
    Aeron, AeronContext, AeronExclusivePublication, AeronSubscription, Handlers,
};
use rusteron_media_driver::{AeronDriver, AeronDriverContext};

use crate::memory::spin_until;
use crate::message;
use crate::track::Lane;

/// What nothing here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long the thread sleeps that does the driver's work when nobody waits for it.
const REST: Duration = Duration::from_millis(5);

/// How often is tried in vain between two turns of the driver's work: to send, when there is no room, which only the driver can
/// give; and to receive, when there may be nothing.
const OFFERS_PER_TURN: u32 = 16;
const POLLS_PER_TURN: u32 = 256;

/// The media driver, which whoever has the lock may do the work of.
pub struct Driver(AeronDriver);

// SAFETY: the C driver is not bound to a thread; the lock around it lets one at a time in.
unsafe impl Send for Driver {}

static DRIVER: OnceLock<Mutex<Driver>> = OnceLock::new();

impl Driver {
    /// In the directory of that prefix, in this process, and with a thread. Once.
    pub fn start(prefix: &str) {
        let directory = directory(prefix);
        let driver = (|| {
            let context = AeronDriverContext::new()?;
            context.set_dir(&CString::new(directory).expect("no zero byte"))?;
            context.set_dir_delete_on_start(true)?;
            context.set_threading_mode(
                rusteron_media_driver::bindings::aeron_threading_mode_enum::AERON_THREADING_MODE_SHARED,
            )?;
            // Every page is there before the first message, as everybody's.
            context.set_term_buffer_sparse_file(false)?;
            let driver = AeronDriver::new(&context)?;
            // Whoever has it calls it.
            driver.start(true)?;
            Ok::<_, rusteron_media_driver::AeronCError>(driver)
        })();
        let driver = driver.expect("a media driver");
        if DRIVER.set(Mutex::new(Driver(driver))).is_err() {
            panic!("a second media driver");
        }
        std::thread::spawn(|| {
            loop {
                Self::work();
                std::thread::sleep(REST);
            }
        });
    }

    fn lock() -> Option<MutexGuard<'static, Self>> {
        DRIVER.get()?.try_lock().ok()
    }

    /// A turn of its work, if it is in this process and nobody else is at it.
    #[cold]
    fn work() {
        if let Some(driver) = Self::lock() {
            driver.0.main_do_work().expect("a driver in order");
        }
    }
}

/// Tries until it succeeds, and lets the driver go on meanwhile, if it is in this process, every so many times.
#[inline(always)]
fn try_until(tries_per_turn: u32, mut ready: impl FnMut() -> bool) {
    let mut tries: u32 = 0;
    spin_until(|| {
        let is_ready = ready();
        tries = tries.wrapping_add(1);
        if !is_ready && tries.is_multiple_of(tries_per_turn) {
            Driver::work();
        }
        is_ready
    });
}

/// Where a measurement's driver has its files.
pub fn directory(prefix: &str) -> String {
    format!("/dev/shm/{prefix}aeron")
}

/// A process has one client, with a thread that does nothing but look after it.
struct Client(Aeron);

// SAFETY: only the main thread of each process uses it.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

fn client(directory: &str) -> &'static Aeron {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        let start = Instant::now();
        while !Path::new(directory).join("cnc.dat").exists() {
            assert!(
                start.elapsed() < PATIENCE,
                "the media driver does not start"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
        let context = AeronContext::new().expect("a context");
        let directory = CString::new(directory).expect("no zero byte");
        context.set_dir(&directory).expect("a directory");
        let aeron = Aeron::new(&context).expect("a driver");
        aeron.start().expect("a client");
        Client(aeron)
    });
    &client.0
}

/// `CLAIM`: the message is made in the publication's buffer. `POLL`: fragments that one poll takes at most.
pub struct AeronIpc<const W: usize, const CLAIM: bool, const POLL: u64> {
    directory: String,
    channel: CString,
    stream: i32,
    publication: Option<AeronExclusivePublication>,
    subscription: Option<AeronSubscription>,
}

impl<const W: usize, const CLAIM: bool, const POLL: u64> AeronIpc<W, CLAIM, POLL> {
    /// `stream` is nobody else's.
    pub fn new(prefix: &str, stream: i32, term: u64) -> Self {
        let channel = format!("aeron:ipc?term-length={term}");
        Self {
            directory: directory(prefix),
            channel: CString::new(channel).expect("no zero byte"),
            stream,
            publication: None,
            subscription: None,
        }
    }

    fn publication(&self) -> *mut aeron_exclusive_publication_t {
        self.publication.as_ref().expect("started").get_inner()
    }

    fn subscription(&self) -> *mut aeron_subscription_t {
        self.subscription.as_ref().expect("started").get_inner()
    }
}

/// What a poll hands to the handler.
struct Expected<const W: usize> {
    message: [u64; W],
    next: u64,
}

unsafe extern "C-unwind" fn handle<const W: usize>(
    expected: *mut std::ffi::c_void,
    buffer: *const u8,
    length: usize,
    _: *mut aeron_header_t,
) {
    // SAFETY: what was given to the poll, which is live and used by nobody else.
    let expected = unsafe { &mut *expected.cast::<Expected<W>>() };
    if length != W * 8 {
        message::wrong(expected.next);
    }
    // SAFETY: the fragment has so many bytes.
    unsafe {
        expected
            .message
            .as_mut_ptr()
            .cast::<u8>()
            .copy_from_nonoverlapping(buffer, length);
    }
    message::check(&expected.message, expected.next);
    expected.next += 1;
}

impl<const W: usize, const CLAIM: bool, const POLL: u64> Lane for AeronIpc<W, CLAIM, POLL> {
    fn start_sending(&mut self) {
        let publication = client(&self.directory)
            .async_add_exclusive_publication(&self.channel, self.stream)
            .and_then(|adding| adding.poll_blocking(PATIENCE));
        self.publication = Some(publication.expect("a publication"));
    }

    fn start_receiving(&mut self) {
        let channel: &CStr = c"aeron:ipc";
        let subscription = client(&self.directory)
            .async_add_subscription(channel, self.stream, Handlers::NONE, Handlers::NONE)
            .and_then(|adding| adding.poll_blocking(PATIENCE));
        self.subscription = Some(subscription.expect("a subscription"));
    }

    /// Nothing has a name of its own; but both must know of each other.
    fn unlink(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        // SAFETY: a live publication.
        while !unsafe { aeron_exclusive_publication_is_connected(self.publication()) } {
            assert!(Instant::now() < deadline, "the subscription does not come");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[inline(always)]
    fn send(&mut self, numbers: Range<u64>) {
        let publication = self.publication();
        let mut message = [0; W];
        for number in numbers {
            if CLAIM {
                // SAFETY: plain pointers and numbers, for which zero is a value.
                let mut claim: aeron_buffer_claim_t = unsafe { std::mem::zeroed() };
                // A negative position says: full, or the end of a term, or not connected, which it is.
                // SAFETY: a live publication; room for a claim.
                try_until(OFFERS_PER_TURN, || unsafe {
                    aeron_exclusive_publication_try_claim(publication, W * 8, &mut claim) > 0
                });
                // SAFETY: so many bytes, aligned to 32 as all of Aeron's payloads are to 8, and nobody's else before
                // the commit.
                unsafe {
                    message::fill(&mut *claim.data.cast::<[u64; W]>(), number);
                    aeron_buffer_claim_commit(&mut claim);
                }
            } else {
                message::fill(&mut message, number);
                // SAFETY: a live publication, so many bytes, and no supplier.
                try_until(OFFERS_PER_TURN, || unsafe {
                    aeron_exclusive_publication_offer(
                        publication,
                        message.as_ptr().cast(),
                        W * 8,
                        None,
                        std::ptr::null_mut(),
                    ) > 0
                });
            }
        }
    }

    #[inline(always)]
    fn receive(&mut self, numbers: Range<u64>) {
        let subscription = self.subscription();
        let mut expected = Expected {
            message: [0; W],
            next: numbers.start,
        };
        while expected.next < numbers.end {
            let most = (numbers.end - expected.next).min(POLL) as usize;
            let to: *mut Expected<W> = &mut expected;
            // SAFETY: a live subscription; the handler gets what it was given, and nobody else uses it meanwhile.
            try_until(POLLS_PER_TURN, || unsafe {
                aeron_subscription_poll(subscription, Some(handle::<W>), to.cast(), most) != 0
            });
        }
    }
}
