//! Where a process has memory that it shares with others.

use std::io;
use std::ops::Range;

use nix::unistd::Pid;

pub(super) struct Maps {
    shared: Vec<Range<u64>>,
}

impl Maps {
    pub(super) fn of(pid: Pid) -> io::Result<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let mut maps = Self { shared: Vec::new() };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some(range), Some(rights)) = (words.next(), words.next()) else {
                continue;
            };
            let Some(range) = parse(range) else { continue };
            if rights.ends_with('s') {
                maps.shared.push(range);
            }
        }
        Ok(maps)
    }

    pub(super) fn shared(&self) -> &[Range<u64>] {
        &self.shared
    }

    pub(super) fn is_shared(&self, address: u64) -> bool {
        self.shared.iter().any(|range| range.contains(&address))
    }
}

fn parse(range: &str) -> Option<Range<u64>> {
    let (start, end) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some(number(start)?..number(end)?)
}

/// Whether a system call changes what is mapped.
pub(super) fn changes(number: u64) -> bool {
    const CHANGING: [libc::c_long; 5] = [
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_shmat,
        libc::SYS_shmdt,
    ];
    CHANGING.iter().any(|call| *call as u64 == number)
}
