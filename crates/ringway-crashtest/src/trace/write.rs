//! Writes to files, and what a kill in the middle of one leaves: its first part.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use nix::sys::ptrace;

use super::{Thread, Tracee};

/// A `pwrite` that a process is about to make.
pub(crate) struct Write {
    /// The file's last name.
    pub(crate) name: String,
    pub(crate) len: usize,
    descriptor: u64,
    address: u64,
    offset: u64,
}

impl Tracee {
    /// What the next step writes to a file, if it is such a call.
    pub(crate) fn next_write(&mut self) -> io::Result<Option<Write>> {
        let tid = self.current;
        if !matches!(self.threads.get(&tid), Some(Thread::Stopped(_))) {
            return Ok(None);
        }
        let registers = ptrace::getregs(tid)?;
        let is_call = self.code.at(registers.rip, &self.memory)?.is_syscall;
        if !is_call || registers.rax != libc::SYS_pwrite64 as u64 {
            return Ok(None);
        }
        let path = std::fs::read_link(self.descriptor(registers.rdi))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Some(Write {
            name: name.into_owned(),
            len: registers.rdx as usize,
            descriptor: registers.rdi,
            address: registers.rsi,
            offset: registers.r10,
        }))
    }

    /// Writes the first bytes of it in the process's place.
    pub(crate) fn tear(&self, write: &Write, len: usize) -> io::Result<()> {
        let mut bytes = vec![0; len.min(write.len)];
        self.read(write.address, &mut bytes)?;
        let mut options = File::options();
        let file = options
            .write(true)
            .open(self.descriptor(write.descriptor))?;
        file.write_all_at(&bytes, write.offset)
    }

    fn descriptor(&self, number: u64) -> String {
        format!("/proc/{}/fd/{number}", self.pid)
    }
}
