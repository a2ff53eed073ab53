//! Writing once more what may not be on the disk, and keeping what a repair cuts.

use nix::errno::Errno;

use crate::files::{FileLike, Files, create_draft, read_full};
use crate::format::RecordKind;
use crate::names;
use crate::scan::{Scanner, Step};
use crate::syncing::Syncer;
use crate::trouble::Trouble;

/// Of the segments, those that may have something which is not synced, be it a seal.
fn unsynced(bases: &[u64], synced: u64) -> &[u64] {
    let first = bases.partition_point(|base| *base < synced);
    &bases[first.saturating_sub(1)..]
}

/// Writes all that may not be synced once more, to where it is: a writer was killed while a sync was under way, and of these pages the
/// kernel may take for written what is not; then syncs it. To the files' ends: behind the last record there may be zeros over what was torn.
/// To be killed in here changes nothing.
pub(crate) fn once_more<F: Files>(
    files: &F,
    syncer: &Syncer,
    bases: &[u64],
    nonce: u128,
    synced: u64,
) -> Result<(), Trouble> {
    let mut begun = syncer.begin().map_err(|_| Trouble::Poisoned)?;
    let synced = synced.max(marked(files, bases, nonce)?);
    for &base in unsynced(bases, synced) {
        let os = || {
            Trouble::os(format!(
                "{} cannot be written once more",
                names::segment(base)
            ))
        };
        let (file, header) = names::open_segment(files, base, nonce, true)?;
        let len = names::len_of(&file, base)?;
        let mut scanner = Scanner::new(header.seed, base);
        while scanner.next_number() < synced
            && let Step::Record(_) = scanner.step(&file, len).map_err(os())?
        {}
        copy(&file, scanner.offset(), len, &file, scanner.offset()).map_err(os())?;
        // Also where nothing else is ever synced: zeros over what was torn must be there before anything is written.
        begun.file(&file).map_err(|_| Trouble::Poisoned)?;
    }
    Ok(())
}

/// What the last mark says: all before that number was synced, as a sync had said that did not fail.
fn marked<F: Files>(files: &F, bases: &[u64], nonce: u128) -> Result<u64, Trouble> {
    for &base in bases.iter().rev() {
        let (file, header) = names::open_segment(files, base, nonce, false)?;
        let len = names::len_of(&file, base)?;
        let os = || Trouble::os(format!("{} cannot be read", names::segment(base)));
        let mut scanner = Scanner::new(header.seed, base);
        let mut marked = None;
        while let Step::Record(record) = scanner.step(&file, len).map_err(os())? {
            match record.kind {
                RecordKind::Mark => marked = marked.max(Some(record.other)),
                RecordKind::Seal => break,
                RecordKind::Message | RecordKind::Gap => {}
            }
        }
        if let Some(marked) = marked {
            return Ok(marked);
        }
    }
    Ok(0)
}

/// Writes every segment anew that may have something which is not synced, into another file: a sync of it has failed.
pub(crate) fn anew<F: Files>(
    files: &F,
    bases: &[u64],
    nonce: u128,
    synced: u64,
) -> Result<(), Trouble> {
    for &base in unsynced(bases, synced) {
        let name = names::segment(base);
        let os = || Trouble::os(format!("{name} cannot be written anew"));
        let (old, _) = names::open_segment(files, base, nonce, false)?;
        let len = names::len_of(&old, base)?;
        // All of it: what is damaged may have something behind it.
        replace(files, &names::draft(base), &name, &old, 0, len).map_err(os())?;
    }
    Ok(())
}

/// Copies what is to be cut, from `start` to `end` of a segment, to a file of its own, named by the number of the message that should be there.
///
/// A repair that was killed has kept it already, as a whole, and may have overwritten a part of it in the segment since. So what is
/// kept is never replaced: if it has all that is there now, it is enough, and else this is another cut, under another name.
pub(crate) fn keep<F: Files>(
    files: &F,
    from: &F::File,
    start: u64,
    end: u64,
    number: u64,
) -> Result<(), Trouble> {
    for attempt in 0.. {
        let name = names::cut(number, attempt);
        let os = || Trouble::os(format!("{name} cannot be written"));
        match files.open(&name, false) {
            Ok(kept) => {
                if has_all_of(&kept, from, start, end).map_err(os())? {
                    // It has its name since it was complete and synced; that the name is, who opens a log has seen to.
                    return Ok(());
                }
            }
            // Before what it is a copy of is overwritten, it and its name are synced.
            Err(Errno::ENOENT) => {
                let draft = names::draft(number);
                return replace(files, &draft, &name, from, start, end).map_err(os());
            }
            Err(errno) => return Err(os()(errno)),
        }
    }
    unreachable!("there is always another name")
}

/// Whether each byte from `start` to `end` of a file is in its copy, or is zero.
fn has_all_of<T: FileLike>(kept: &T, from: &T, start: u64, end: u64) -> Result<bool, Errno> {
    let (mut here, mut there) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut at = start;
    while at < end {
        let wanted = (end - at).min(here.len() as u64) as usize;
        let len = read_full(from, &mut here[..wanted], at)?;
        if len == 0 {
            break;
        }
        let copied = read_full(kept, &mut there[..len], at - start)?;
        there[copied..len].fill(0);
        let pairs = here[..len].iter().zip(&there[..len]);
        if pairs
            .into_iter()
            .any(|(here, there)| *here != 0 && here != there)
        {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}

/// Has a copy of a part of a file under a name, as a whole or not at all.
fn replace<F: Files>(
    files: &F,
    draft: &str,
    name: &str,
    from: &F::File,
    start: u64,
    end: u64,
) -> Result<(), Errno> {
    let file = create_draft(files, draft)?;
    let made = file
        .allocate(end - start)
        .and_then(|()| copy(from, start, end, &file, 0))
        .and_then(|()| file.sync())
        .and_then(|()| files.rename(draft, name))
        .and_then(|()| files.sync_names());
    if made.is_err() {
        let _ = files.remove(draft);
    }
    made
}

fn copy<T: FileLike>(from: &T, start: u64, end: u64, to: &T, at: u64) -> Result<(), Errno> {
    let mut block = vec![0; 1 << 16];
    let mut offset = start;
    while offset < end {
        let wanted = (end - offset).min(block.len() as u64) as usize;
        let len = read_full(from, &mut block[..wanted], offset)?;
        if len == 0 {
            break;
        }
        to.write_at(&block[..len], at + offset - start)
            .map_err(|(_, errno)| errno)?;
        offset += len as u64;
    }
    Ok(())
}
