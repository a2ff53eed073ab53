//! Instructions, as far as their effects on others go.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use iced_x86::{
    Decoder, DecoderOptions, InstructionInfoFactory, Mnemonic, OpAccess, Register, UsedMemory,
};
use libc::user_regs_struct;

/// `int3`.
pub(super) const BREAKPOINT: u8 = 0xcc;

const LONGEST: usize = 15;

/// Instructions by their addresses, decoded once: a program's code does not change.
pub(super) struct Code {
    known: HashMap<u64, Instruction>,
    /// What stands in the place of this tracer's breakpoints.
    breakpoints: HashMap<u64, u8>,
    factory: InstructionInfoFactory,
}

#[derive(Clone)]
pub(super) struct Instruction {
    pub(super) is_syscall: bool,
    pub(super) is_breakpoint: bool,
    writes: Vec<UsedMemory>,
}

impl Code {
    pub(super) fn new() -> Self {
        Self {
            known: HashMap::new(),
            breakpoints: HashMap::new(),
            factory: InstructionInfoFactory::new(),
        }
    }

    pub(super) fn at(&mut self, address: u64, memory: &File) -> io::Result<Instruction> {
        if let Some(known) = self.known.get(&address) {
            return Ok(known.clone());
        }
        let mut bytes = [0; LONGEST];
        let len = memory.read_at(&mut bytes, address)?;
        let decoded = Decoder::with_ip(64, &bytes[..len], address, DecoderOptions::NONE).decode();
        let info = self.factory.info(&decoded);
        let writes = |used: &&UsedMemory| {
            !matches!(
                used.access(),
                OpAccess::None | OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess
            )
        };
        let instruction = Instruction {
            is_syscall: decoded.mnemonic() == Mnemonic::Syscall,
            is_breakpoint: bytes[0] == BREAKPOINT,
            writes: info.used_memory().iter().filter(writes).copied().collect(),
        };
        self.known.insert(address, instruction.clone());
        Ok(instruction)
    }
}

impl Code {
    /// Whether a breakpoint of the program's own stands there.
    pub(super) fn is_trap(&mut self, address: u64, memory: &File) -> io::Result<bool> {
        if let Some(known) = self.known.get(&address) {
            return Ok(known.is_breakpoint);
        }
        Ok(self.at(address, memory)?.is_breakpoint)
    }

    pub(super) fn set_breakpoint(&mut self, address: u64, memory: &File) -> io::Result<()> {
        // Decoded while it can be read.
        self.at(address, memory)?;
        let mut byte = [0];
        memory.read_exact_at(&mut byte, address)?;
        if byte != [BREAKPOINT] {
            self.breakpoints.insert(address, byte[0]);
        }
        self.cover(address, memory)
    }

    pub(super) fn is_breakpoint(&self, address: u64) -> bool {
        self.breakpoints.contains_key(&address)
    }

    /// Puts the breakpoint there, if there is to be one.
    pub(super) fn cover(&self, address: u64, memory: &File) -> io::Result<()> {
        match self.is_breakpoint(address) {
            true => memory.write_all_at(&[BREAKPOINT], address),
            false => Ok(()),
        }
    }

    /// Takes the breakpoint there away, if there is one.
    pub(super) fn uncover(&self, address: u64, memory: &File) -> io::Result<()> {
        match self.breakpoints.get(&address) {
            Some(byte) => memory.write_all_at(&[*byte], address),
            None => Ok(()),
        }
    }

    /// Takes all breakpoints away.
    pub(super) fn clear(&mut self, memory: &File) -> io::Result<()> {
        for (address, byte) in self.breakpoints.drain() {
            memory.write_all_at(&[byte], address)?;
        }
        Ok(())
    }
}

impl Instruction {
    /// Whether it stores where `is_shared` says so. A compare-and-swap that will fail counts.
    pub(super) fn stores(
        &self,
        registers: &user_regs_struct,
        is_shared: impl Fn(u64) -> bool,
    ) -> bool {
        self.writes.iter().any(|used| {
            let value = |register, _, _| value_of(register, registers);
            used.virtual_address(0, value).is_some_and(&is_shared)
        })
    }
}

/// What a register holds. Vector registers are no part of addresses that are stored to here.
fn value_of(register: Register, registers: &user_regs_struct) -> Option<u64> {
    Some(match register {
        Register::ES | Register::CS | Register::SS | Register::DS => 0,
        Register::FS => registers.fs_base,
        Register::GS => registers.gs_base,
        Register::RIP => registers.rip,
        _ => {
            let value = match register.full_register() {
                Register::RAX => registers.rax,
                Register::RCX => registers.rcx,
                Register::RDX => registers.rdx,
                Register::RBX => registers.rbx,
                Register::RSP => registers.rsp,
                Register::RBP => registers.rbp,
                Register::RSI => registers.rsi,
                Register::RDI => registers.rdi,
                Register::R8 => registers.r8,
                Register::R9 => registers.r9,
                Register::R10 => registers.r10,
                Register::R11 => registers.r11,
                Register::R12 => registers.r12,
                Register::R13 => registers.r13,
                Register::R14 => registers.r14,
                Register::R15 => registers.r15,
                _ => return None,
            };
            match register.size() {
                4 => value & u64::from(u32::MAX),
                _ => value,
            }
        }
    })
}
