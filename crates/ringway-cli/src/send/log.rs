//! To a log.

use super::Items;
use crate::cli::SendArgs;
use crate::failure::Failure;
use crate::framing::Framing;
use crate::log;
use crate::progress::Progress;

/// Bytes of the longest message.
const MAX: usize = 1 << 30;

/// Appends everything, then closes.
pub(super) fn send(
    args: &SendArgs,
    items: Items<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    refuse(args)?;
    let place = &args.ring.place;
    let mut writer = log::open_to_write(&place.address, &place.how, &args.log)?;
    progress.begin();
    items.each(args, MAX, |message| {
        writer.append(message).map_err(log::explain_append)?;
        progress.add(1, message.len());
        Ok(())
    })?;
    writer.close().map_err(log::explain_append)
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
