//! To a log.

use ringway::log::Log;

use super::Items;
use crate::cli::SendArgs;
use crate::failure::Failure;
use crate::framing::Framing;
use crate::log;
use crate::progress::Progress;
use crate::say::say;
use crate::units::human_size;

/// Bytes of the longest message.
const MAX: usize = 1 << 30;

/// Appends everything, then closes.
pub(super) fn send(
    args: &SendArgs,
    items: Items<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    refuse(args)?;
    let log = log::open(&args.ring.place, Some(&args.log))?;
    let mut writer = log.writer().map_err(log::advise)?;
    report(&log, writer.recovery());
    progress.begin();
    items.each(args, MAX, |message| {
        writer.append(message).map_err(log::explain_append)?;
        progress.add(1, message.len());
        Ok(())
    })?;
    writer.close().map_err(log::explain_append)
}

/// Says what a dead writer had left.
fn report(log: &Log, recovery: ringway::log::Recovery) {
    let address = log.address();
    if recovery.torn > 0 {
        let torn = human_size(recovery.torn);
        say(format_args!(
            "{address}: a writer died while it wrote; {torn} that nobody was told of are taken away"
        ));
    }
    if recovery.cut > 0 {
        let cut = human_size(recovery.cut);
        say(format_args!(
            "{address} was cut where it is damaged; {cut} are kept in a file .cut"
        ));
    }
}

fn refuse(args: &SendArgs) -> Result<(), Failure> {
    let refused = [
        (args.ring.framing() == Framing::Whole, "--whole"),
        (args.unlink, "--unlink"),
        (args.ring.foreign, "--foreign"),
        (args.timeout.is_some(), "--timeout"),
    ];
    match refused.iter().find(|(given, _)| *given) {
        Some((_, option)) => Err(Failure::error(format_args!(
            "{} is a log: leave out {option}",
            args.ring.place.address
        ))),
        None => Ok(()),
    }
}
