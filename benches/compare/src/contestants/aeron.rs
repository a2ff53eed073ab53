//! Aeron IPC: the C client in both processes, the C media driver in a third. Built with the feature `aeron`.
//!
//! An exclusive publication, by `offer` or by `try_claim`; a subscription that is polled for up to 256 fragments, or for
//! one. The calls are the C library's own. The size of a ring is that of a term, of which Aeron has three.

use std::ffi::{CStr, CString};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::OnceLock;
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
use crate::process;
use crate::track::Lane;

/// The option by which this program becomes the media driver.
pub const DRIVER: &str = "--aeron-driver";

/// What nothing here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the driver in a directory until its parent ends.
pub fn drive(directory: &str) -> ! {
    // SAFETY: no memory is involved.
    process::die_with(unsafe { libc::getppid() });
    let outcome = (|| {
        let context = AeronDriverContext::new()?;
        context.set_dir(&CString::new(directory).expect("no zero byte"))?;
        context.set_dir_delete_on_start(true)?;
        context.set_threading_mode(
            rusteron_media_driver::bindings::aeron_threading_mode_enum::AERON_THREADING_MODE_SHARED,
        )?;
        context.set_shared_idle_strategy(c"backoff")?;
        // Every page is there before the first message, as everybody's.
        context.set_term_buffer_sparse_file(false)?;
        let driver = AeronDriver::new(&context)?;
        driver.start(true)?;
        loop {
            driver.main_idle_strategy(driver.main_do_work()?);
        }
        #[allow(unreachable_code)]
        Ok::<(), rusteron_media_driver::AeronCError>(())
    })();
    eprintln!("compare: Aeron's media driver: {outcome:?}");
    std::process::exit(1);
}

/// The driver as another process, which ends with this.
pub struct Driver(Child);

impl Driver {
    /// In the directory of that prefix. The process that starts it has one thread.
    pub fn start(prefix: &str) -> Self {
        let directory = directory(prefix);
        let directory = Path::new(&directory);
        let child = Command::new("/proc/self/exe")
            .arg(DRIVER)
            .arg(directory)
            .spawn()
            .expect("this program itself");
        let deadline = Instant::now() + PATIENCE;
        while !directory.join("cnc.dat").exists() {
            assert!(
                Instant::now() < deadline,
                "Aeron's media driver does not start"
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
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
                spin_until(|| unsafe {
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
                spin_until(|| unsafe {
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
            spin_until(|| unsafe {
                aeron_subscription_poll(subscription, Some(handle::<W>), to.cast(), most) != 0
            });
        }
    }
}
