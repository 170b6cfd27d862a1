//! Guest memory access by instructions.
//!
//! An instruction's semantics are written once, generic over [`Access`]. With [`Fast`] an
//! access is a TLB look-up inlined into the handler, or a miss; after a miss the same code,
//! which has committed nothing yet, runs again with [`Slow`], which does the rest: page
//! walks, page crossings, MMIO, pages with decoded code, faults. So the hot path makes no
//! call and needs no stack frame.

use x86::vector;

use crate::emu::arithmetic::value::Plain;
use crate::emu::cpu::Cpu;
use crate::emu::memory::ram::to_page_end;
use crate::emu::memory::walk::Want;
use crate::emu::outside::exit::{ExitKind, Reply};
use crate::emu::state::control::{CodeSize, Privilege, canonical};
use crate::emu::state::exception::{Exception, Stop};
use crate::emu::state::segment::{Linear, SS, SYSTEM};

/// How an instruction reaches memory.
pub trait Access: 'static {
    /// Whether this is [`Slow`].
    const SLOW: bool;

    /// Reads a value.
    fn load<T: Plain>(cpu: &mut Cpu, at: Linear) -> Result<T, Stop>;

    /// Writes a value. Once it has returned without error the write is done, so it is
    /// the last thing that may fail in an instruction.
    fn store<T: Plain>(cpu: &mut Cpu, at: Linear, value: T) -> Result<(), Stop>;

    /// Replaces a value by `change` of it, checking for write permission first.
    fn update<T: Plain, R>(
        cpu: &mut Cpu,
        at: Linear,
        change: impl FnOnce(T) -> (T, R),
    ) -> Result<R, Stop>;
}

/// TLB hits alone.
pub struct Fast;

/// Page walks, page crossings, MMIO, pages with decoded code and faults too.
pub struct Slow;

impl Access for Fast {
    const SLOW: bool = false;

    #[inline(always)]
    fn load<T: Plain>(cpu: &mut Cpu, at: Linear) -> Result<T, Stop> {
        let host = cpu.mmu.read(at.address, T::SIZE).ok_or(Stop::Miss)?;
        // SAFETY: the TLB says that these bytes are guest RAM. Only this thread writes
        // guest RAM while the vCPU runs.
        Ok(unsafe { host.cast::<T>().read_unaligned() })
    }

    #[inline(always)]
    fn store<T: Plain>(cpu: &mut Cpu, at: Linear, value: T) -> Result<(), Stop> {
        let host = cpu.mmu.write(at.address, T::SIZE).ok_or(Stop::Miss)?;
        // SAFETY: the TLB says that these bytes are guest RAM and writable.
        unsafe { host.cast::<T>().write_unaligned(value) };
        Ok(())
    }

    #[inline(always)]
    fn update<T: Plain, R>(
        cpu: &mut Cpu,
        at: Linear,
        change: impl FnOnce(T) -> (T, R),
    ) -> Result<R, Stop> {
        let host = cpu.mmu.write(at.address, T::SIZE).ok_or(Stop::Miss)?;
        let host = host.cast::<T>();
        // SAFETY: the TLB says that these bytes are guest RAM and writable; writable
        // pages are readable.
        let (value, result) = change(unsafe { host.read_unaligned() });
        // SAFETY: as above.
        unsafe { host.write_unaligned(value) };
        Ok(result)
    }
}

impl Access for Slow {
    const SLOW: bool = true;

    fn load<T: Plain>(cpu: &mut Cpu, at: Linear) -> Result<T, Stop> {
        let mut bytes = [0; 16];
        let size = size_of::<T>().min(16);
        cpu.read_bytes(at, &mut bytes[..size])?;
        Ok(from_bytes(&bytes))
    }

    fn store<T: Plain>(cpu: &mut Cpu, at: Linear, value: T) -> Result<(), Stop> {
        let bytes = to_bytes(value);
        let size = size_of::<T>().min(16);
        cpu.write_bytes(at, &bytes[..size])
    }

    fn update<T: Plain, R>(
        cpu: &mut Cpu,
        at: Linear,
        change: impl FnOnce(T) -> (T, R),
    ) -> Result<R, Stop> {
        cpu.probe_write(at, T::SIZE)?;
        let old = Self::load(cpu, at)?;
        let (new, result) = change(old);
        Self::store(cpu, at, new)?;
        Ok(result)
    }
}

/// The value whose bytes come first in `bytes`.
fn from_bytes<T: Plain>(bytes: &[u8; 16]) -> T {
    const { assert!(size_of::<T>() <= 16) };
    // SAFETY: `T` has at most 16 bytes and any bits make one.
    unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }
}

/// The bytes of `value`, and zeros.
fn to_bytes<T: Plain>(value: T) -> [u8; 16] {
    const { assert!(size_of::<T>() <= 16) };
    let mut bytes = [0; 16];
    // SAFETY: `T` has at most 16 bytes and no padding.
    unsafe { bytes.as_mut_ptr().cast::<T>().write_unaligned(value) };
    bytes
}

/// One or two pieces of an access, each within a page.
type Pieces = [Option<Piece>; 2];

#[derive(Clone, Copy)]
struct Piece {
    gpa: u64,
    /// Which of the access's bytes.
    start: usize,
    end: usize,
}

impl Cpu {
    /// Reads up to a page of bytes with the rights of ordinary accesses.
    #[cold]
    #[inline(never)]
    pub fn read_bytes(&mut self, at: Linear, bytes: &mut [u8]) -> Result<(), Stop> {
        let privilege = self.control.privilege();
        self.read_as(at, bytes, privilege)?;
        self.watch_access(at.address, bytes.len(), false);
        Ok(())
    }

    /// Writes up to a page of bytes with the rights of ordinary accesses.
    #[cold]
    #[inline(never)]
    pub fn write_bytes(&mut self, at: Linear, bytes: &[u8]) -> Result<(), Stop> {
        let privilege = self.control.privilege();
        self.write_as(at, bytes, privilege)?;
        self.watch_access(at.address, bytes.len(), true);
        Ok(())
    }

    /// Checks that `size` bytes may be written.
    pub fn probe_write(&mut self, at: Linear, size: u64) -> Result<(), Stop> {
        let privilege = self.control.privilege();
        self.pieces(at, size as usize, Want::Write, privilege)
            .map(drop)
    }

    /// Checks that `size` bytes may be read.
    pub fn probe_read(&mut self, at: Linear, size: u64) -> Result<(), Stop> {
        let privilege = self.control.privilege();
        self.pieces(at, size as usize, Want::Read, privilege)
            .map(drop)
    }

    /// Whether `size` bytes, less than a page, may be written and are RAM.
    pub fn is_writable_ram(&mut self, at: Linear, size: u64) -> bool {
        let (privilege, cr2) = (self.control.privilege(), self.control.cr2);
        let pieces = self.pieces(at, size as usize, Want::Write, privilege);
        // No fault is raised.
        self.control.cr2 = cr2;
        pieces.is_ok_and(|pieces| {
            let mut pieces = pieces.into_iter().flatten();
            pieces.all(|piece| self.mmu.ram.writable(piece.gpa).is_some())
        })
    }

    /// Reads with the rights of the processor itself, as from descriptor tables.
    pub fn system_read<T: Plain>(&mut self, la: u64) -> Result<T, Stop> {
        if let Some(host) = self.mmu.read_as(Privilege::Supervisor, la, T::SIZE) {
            // SAFETY: the TLB says that these bytes are guest RAM.
            return Ok(unsafe { host.cast::<T>().read_unaligned() });
        }
        let mut bytes = [0; 16];
        let size = size_of::<T>().min(16);
        self.read_as(system_linear(la), &mut bytes[..size], Privilege::Supervisor)?;
        Ok(from_bytes(&bytes))
    }

    /// Writes with the rights of the processor itself.
    pub fn system_write<T: Plain>(&mut self, la: u64, value: T) -> Result<(), Stop> {
        if let Some(host) = self.mmu.write_as(Privilege::Supervisor, la, T::SIZE) {
            // SAFETY: the TLB says that these bytes are guest RAM and writable.
            unsafe { host.cast::<T>().write_unaligned(value) };
            return Ok(());
        }
        let bytes = to_bytes(value);
        let size = size_of::<T>().min(16);
        self.write_as(system_linear(la), &bytes[..size], Privilege::Supervisor)
    }

    fn read_as(&mut self, at: Linear, bytes: &mut [u8], privilege: Privilege) -> Result<(), Stop> {
        let pieces = self.pieces(at, bytes.len(), Want::Read, privilege)?;
        for piece in pieces.into_iter().flatten() {
            let part = &mut bytes[piece.start..piece.end];
            if let Some(host) = self.mmu.ram.host(piece.gpa) {
                // SAFETY: `host` is good to the end of the page, and pieces end there;
                // `part` is not guest memory.
                unsafe { std::ptr::copy_nonoverlapping(host, part.as_mut_ptr(), part.len()) };
            } else {
                for (i, chunk) in part.chunks_mut(8).enumerate() {
                    let reply = Reply {
                        gpa: piece.gpa + 8 * i as u64,
                        data: [0; 8],
                        len: chunk.len() as u8,
                    };
                    let data = self.outside.ask(ExitKind::MmioRead, reply)?;
                    chunk.copy_from_slice(&data[..chunk.len()]);
                }
            }
        }
        Ok(())
    }

    pub fn write_as(&mut self, at: Linear, bytes: &[u8], privilege: Privilege) -> Result<(), Stop> {
        let pieces = self.pieces(at, bytes.len(), Want::Write, privilege)?;
        // MMIO pieces come first: RAM is written once only.
        for piece in pieces.into_iter().flatten() {
            if self.mmu.ram.writable(piece.gpa).is_none() {
                for (i, chunk) in bytes[piece.start..piece.end].chunks(8).enumerate() {
                    let mut data = [0; 8];
                    data[..chunk.len()].copy_from_slice(chunk);
                    let reply = Reply {
                        gpa: piece.gpa + 8 * i as u64,
                        data,
                        len: chunk.len() as u8,
                    };
                    self.outside.ask(ExitKind::MmioWrite, reply)?;
                }
            }
        }
        for piece in pieces.into_iter().flatten() {
            let part = &bytes[piece.start..piece.end];
            if let Some(host) = self.mmu.ram.writable(piece.gpa) {
                // SAFETY: `host` is good to the end of the page, and pieces end there;
                // `part` is not guest memory.
                unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), host, part.len()) };
                self.ram_written(piece.gpa, part.len() as u64);
            }
        }
        Ok(())
    }

    /// Translates all of an access of `size` bytes before any of it is performed.
    fn pieces(
        &mut self,
        at: Linear,
        size: usize,
        want: Want,
        privilege: Privilege,
    ) -> Result<Pieces, Stop> {
        check_canonical(at, size as u64)?;
        let wide = at.segment == SYSTEM || self.control.code_size == CodeSize::Bits64;
        let wrap = |la| if wide { la } else { la & 0xffff_ffff };
        let la = wrap(at.address);
        let last = wrap(la.wrapping_add(size as u64 - 1));
        if self.control.checks_alignment() && privilege == Privilege::User {
            check_alignment(la, size)?;
        }
        let here = (to_page_end(la) as usize).min(size);
        let first = Piece {
            gpa: self.translate(la, want, privilege)?,
            start: 0,
            end: here,
        };
        let second = if here < size {
            let start = wrap(la.wrapping_add(here as u64));
            let probed = if here >= x87_frame_word(size) {
                last
            } else {
                start
            };
            Some(Piece {
                gpa: self.translate(probed, want, privilege)? - (probed - start),
                start: here,
                end: size,
            })
        } else {
            None
        };
        Ok([Some(first), second])
    }
}

/// # Errors
/// #GP(0), or #SS(0) for the stack segment, where one of `size` bytes has an address that
/// is not canonical (Intel SDM vol. 1 3.3.7.1).
pub fn check_canonical(at: Linear, size: u64) -> Result<(), Stop> {
    let last = at.address.wrapping_add(size - 1);
    if canonical(at.address) && canonical(last) {
        Ok(())
    } else if usize::from(at.segment) == SS {
        Err(Exception::SS.into())
    } else {
        Err(Exception::GP.into())
    }
}

/// # Errors
/// #AC(0) where an access of `size` bytes is not aligned as it should be (Intel SDM vol. 3
/// 6.15, table 6-7).
fn check_alignment(la: u64, size: usize) -> Result<(), Stop> {
    let alignment = match size {
        2 | 4 | 8 | 16 => size as u64,
        // Extended precision and packed decimal.
        10 => 8,
        // x87 frames of 16-bit, then of 32-bit words.
        14 | 94 => 2,
        28 | 108 => 4,
        _ => 1,
    };
    if !la.is_multiple_of(alignment) {
        return Err(Exception::coded(vector::AC, 0).into());
    }
    Ok(())
}

/// Bytes of a word in the x87 environment or state that has `size` bytes. Of these AMD's
/// processors check the first word, then the last byte: its address is in CR2 where only
/// the second page faults. For all other sizes, which are checked in order, larger than a
/// page.
fn x87_frame_word(size: usize) -> usize {
    match size {
        14 | 94 => 2,
        28 | 108 => 4,
        _ => usize::MAX,
    }
}

/// The address `la` for the processor's own accesses, whose address faults are #GP.
fn system_linear(la: u64) -> Linear {
    Linear {
        address: la,
        segment: SYSTEM,
    }
}
