//! What must hold when all users of a ring are gone, and when the ring is gone, too.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mqueue::{MQ_OFlag, mq_close, mq_open};
use nix::sys::stat::Mode;
use ringway::Address;
use ringway::inspect::stat;

use super::{Arena, Stage};
use crate::soak::oracle::Counts;
use crate::soak::plan::PLACES;

impl Arena {
    /// All workers are gone, and the auditor has found nothing wrong.
    pub(super) fn conclude(&mut self, stage: &mut Stage) -> Result<(), String> {
        let oracle = &mut self.crew.oracle;
        oracle.conclude();
        if !oracle.violations.is_empty() {
            return Err(oracle.violations.join("\n"));
        }
        let counts = oracle.counts;
        self.check_that_closed_means_drained()?;
        self.check_stat(counts)?;
        ringway::remove(&self.place.address, false).map_err(|error| error.to_string())?;
        self.check_remains()?;
        let row = stage.tally.of(&self.crew.workers.row);
        row.rings += 1;
        row.sent += counts.sent;
        row.delivered += counts.delivered;
        row.redelivered += counts.redelivered;
        row.given_back += counts.given_back;
        row.given_up += counts.given_up;
        Ok(())
    }

    /// If consumers were told that this was all, and nobody died after that, it was.
    fn check_that_closed_means_drained(&self) -> Result<(), String> {
        let found = self.crew.found_by_auditor;
        if found > 0 && !self.plan.ends_by_kill && self.crew.left_in_order == self.plan.consumers {
            return Err(format!(
                "all consumers were told that all is received, and {found} messages were left"
            ));
        }
        Ok(())
    }

    /// A cell ring's counters are those of its participants, and who is killed behind an operation has not
    /// counted it. A stream's records know their numbers.
    fn check_stat(&self, counts: Counts) -> Result<(), String> {
        let stat = stat(&self.place.address).map_err(|error| error.to_string())?;
        let fill = self.plan.most_messages();
        let most = counts.delivered + fill;
        let (least_sent, least_received) = if self.plan.row.has_cells() {
            (counts.sent + fill, counts.released + fill)
        } else {
            (most, most)
        };
        let fits = (least_sent..=most).contains(&stat.sent)
            && (least_received..=most).contains(&stat.received)
            && stat.used_bytes == 0
            && stat.overwritten == 0
            && stat.participants.is_empty();
        if fits {
            return Ok(());
        }
        Err(format!(
            "its counts do not agree with {counts:?} and {fill} messages of the auditor's: {stat:#?}"
        ))
    }

    /// Nothing of the ring is left on the machine.
    fn check_remains(&self) -> Result<(), String> {
        // A System V segment stays as long as a forked bystander has it, who ends soon.
        let begun = Instant::now();
        while self.place.is_taken() {
            if begun.elapsed() > self.pace.hang {
                return Err("the segment is there after its removal".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if let Address::File(path) = &self.place.address
            && let Some(beside) = path.parent().and_then(|folder| folder.read_dir().ok())
            && let Some(left) = beside.flatten().next()
        {
            return Err(format!("{} is left", left.path().display()));
        }
        for slot in 0..2 * PLACES {
            let name = format!("/ringway.{}.{slot}", hex(self.nonce));
            match mq_open(name.as_str(), MQ_OFlag::O_RDONLY, Mode::empty(), None) {
                Ok(queue) => {
                    let _ = mq_close(queue);
                    return Err(format!("the message queue {name} is left"));
                }
                Err(Errno::ENOENT | Errno::ENOSYS) => {}
                Err(errno) => return Err(format!("looking for {name}: {errno}")),
            }
        }
        match semaphore_set_of(self.nonce) {
            Some(id) => Err(format!("the semaphore set {id} is left")),
            None => Ok(()),
        }
    }
}

/// The nonce as names of queues have it: its bytes in order.
fn hex(nonce: u128) -> String {
    let bytes = nonce.to_le_bytes();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The set that belongs to the ring of this nonce, by the values of its last semaphores.
fn semaphore_set_of(nonce: u128) -> Option<i32> {
    let part = |index: u32| (nonce >> (index * 15)) as u16 & 0x7fff;
    let end: Vec<u16> = (0..9).map(part).collect();
    let sets = std::fs::read_to_string("/proc/sysvipc/sem").ok()?;
    sets.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let id: i32 = fields.next()?.parse().ok()?;
        let len: usize = fields.nth(1)?.parse().ok()?;
        let mut values = vec![0_u16; len];
        // SAFETY: the kernel writes a value for each semaphore of the set, whose number never changes; a
        // set that has been removed meanwhile and made anew under the same id has another sequence number.
        let got = unsafe { libc::semctl(id, 0, libc::GETALL, values.as_mut_ptr()) };
        let own = values.len().checked_sub(end.len() + 1)?;
        (got == 0 && values[own..own + end.len()] == end[..]).then_some(id)
    })
}
