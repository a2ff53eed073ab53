//! How long the survivors of a death wait: from just before kill(2) to just after the return of the
//! survivor's next successful operation, in the survivor's process.

mod cases;
mod dying;
mod report;
mod scene;
mod survivor;
mod times;
mod zygote;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use nix::sys::signal::{SigSet, Signal};
use ringway::SyncKind;

use cases::{Case, Fate, Victim, Waiting};
use report::Report;
use zygote::Zygote;

/// The rings whose figures are shown unless others are asked for: the stream, and every kind of
/// synchronisation.
const ROWS: &str = "spsc/futex,mpmc/";

#[derive(Args)]
pub(crate) struct Options {
    /// Kills in each case
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..))]
    kills: u64,
    /// Rings, by parts of their names: `mpmc/futex,spsc`; `all` for every kind and sync
    #[arg(long, default_value = ROWS)]
    rows: String,
    /// What the victims are about when they die; all by default
    #[arg(long, value_delimiter = ',')]
    victims: Vec<Victim>,
    /// How they die; all by default
    #[arg(long, value_delimiter = ',')]
    fates: Vec<Fate>,
    /// How the survivors wait; all by default
    #[arg(long, value_delimiter = ',')]
    waits: Vec<Waiting>,
    /// Writes the figures to this file too, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct DyingOptions {}

pub(crate) fn run(options: Options) -> Result<(), String> {
    let cases = Case::chosen(
        &options.rows,
        &options.victims,
        &options.fates,
        &options.waits,
    );
    if cases.is_empty() {
        return Err("there is no such case".to_owned());
    }
    heed_interrupts().map_err(|errno| errno.to_string())?;
    let mut zygote = Zygote::start()?;
    let mut report = Report::new();
    for case in cases {
        if let Some(why) = refusal(case, &mut zygote) {
            report.skip(case, why);
            continue;
        }
        let times = survivor::measure(case, options.kills, &mut zygote);
        report.add(
            case,
            &times.map_err(|problem| format!("{case}: {problem}"))?,
        );
    }
    report.finish(options.json.as_deref())
}

/// Set when this shall end. It does so by an error, so that no ring stays behind.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

fn heed_interrupts() -> nix::Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
    signals.thread_block()?;
    std::thread::spawn(move || {
        let _ = signals.wait();
        INTERRUPTED.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// Why a case cannot be had here, if it cannot.
fn refusal(case: Case, zygote: &mut Zygote) -> Option<&'static str> {
    if case.fate != Fate::Namespace {
        None
    } else if case.row.sync == SyncKind::Pthread {
        Some("sync pthread is refused between pid namespaces")
    } else if !zygote.may_make_namespaces() {
        Some("this user may not make a pid namespace")
    } else {
        None
    }
}

pub(crate) fn play_dying(_: DyingOptions) -> Result<(), String> {
    zygote::play()
}
