//! Copies between the kernel and the memory of the program whose address space is
//! loaded: the only instructions of the kernel that touch user memory.
//!
//! A bad address stops the copy and is reported; `mm` decides what to do about it (map the
//! page and continue, or fail).
//!
//! SMAP: where it is on, each copy opens user memory by `stac` and closes it by `clac`.
//! Software-backed KVM cannot execute these two, so its VMM says `smap=off`; SMEP, WP and
//! the address check in every copy still hold there. There the VMM makes long copies, as far
//! as nothing faults: see [`copies`].

use core::arch::asm;
use core::mem::size_of;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use abi::virtual_map::USER_END;

use crate::trap::vector;
use crate::{copies, cpu};

/// A copy met an address that it could not access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFault {
    /// Bytes copied before.
    pub copied: usize,
    /// The address.
    pub address: u64,
    /// The error code of the page fault.
    pub error: u32,
}

impl CopyFault {
    /// Nothing could be read at `address`, where no page is mapped.
    pub fn missing(address: u64) -> Self {
        const USER: u32 = 1 << 2;
        Self {
            copied: 0,
            address,
            error: USER,
        }
    }
}

static SMAP_IS_ON: AtomicBool = AtomicBool::new(false);
static FAULT_ADDRESS: AtomicU64 = AtomicU64::new(0);
static FAULT_ERROR: AtomicU64 = AtomicU64::new(0);

/// Says that CR4.SMAP is set from now on.
pub(crate) fn use_smap() {
    SMAP_IS_ON.store(true, Relaxed);
}

/// Copies user memory at `from` into `to`.
///
/// # Errors
/// The part that could not be read. A range that leaves user memory is a fault past its
/// end, where nothing can ever be mapped, with nothing copied.
pub fn from_user(to: &mut [u8], from: u64) -> Result<(), CopyFault> {
    check_range(from, to.len())?;
    // SAFETY: `to` is a slice of that length and the source is user memory, where a
    // fault is survived.
    unsafe { copy(to.as_mut_ptr(), from as *const u8, to.len()) }
}

/// Copies `from` to user memory at `to`.
///
/// # Errors
/// As for [`from_user`], for what could not be written.
pub fn to_user(to: u64, from: &[u8]) -> Result<(), CopyFault> {
    check_range(to, from.len())?;
    // SAFETY: `from` is a slice of that length and the target is user memory, of which
    // the kernel holds no references, and where a fault is survived.
    unsafe { copy(to as *mut u8, from.as_ptr(), from.len()) }
}

/// Puts `len` zeros into user memory at `to`.
///
/// # Errors
/// As for [`from_user`], for what could not be written.
pub fn clear_user(to: u64, len: usize) -> Result<(), CopyFault> {
    check_range(to, len)?;
    // SAFETY: it is user memory, of which the kernel holds no references.
    let mut done = unsafe { copies::clear_bytes(to as *mut u8, len) };
    while done < len {
        let part = &copies::ZEROS[..copies::ZEROS.len().min(len - done)];
        to_user(to + done as u64, part).map_err(|fault| CopyFault {
            copied: done + fault.copied,
            ..fault
        })?;
        done += part.len();
    }
    Ok(())
}

/// Replaces the number at `address` in user memory by `new` if it is `old`, in one step whatever
/// programs do on other CPUs. Returns what it was.
///
/// # Errors
/// It cannot be written. The address is a multiple of 4, so that it is in one page.
pub fn exchange(address: u64, old: u32, new: u32) -> Result<u32, CopyFault> {
    check_range(address, size_of::<u32>())?;
    let _user_memory = UserMemory::open();
    // SAFETY: it is user memory, of which the kernel holds no references, and where a fault is
    // survived.
    let found = unsafe { exchange_word(address as *mut u32, old, new) };
    u32::try_from(found).map_err(|_| fault(0))
}

fn check_range(start: u64, len: usize) -> Result<(), CopyFault> {
    match start.checked_add(len as u64) {
        Some(end) if end <= USER_END => Ok(()),
        _ => Err(CopyFault {
            copied: 0,
            address: start.max(USER_END),
            error: 0,
        }),
    }
}

/// Copies of fewer bytes are one string instruction.
const SHORT: usize = size_of::<u64>();

/// # Safety
/// Of source and target one is kernel memory valid for `len` bytes, the other lies
/// below [`USER_END`].
#[inline]
unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> Result<(), CopyFault> {
    let copied = if len < SHORT {
        let _user_memory = UserMemory::open();
        // SAFETY: the caller's promise.
        len - unsafe { copy_bytes(to, from, len) }
    } else {
        // SAFETY: the caller's promise.
        unsafe { copy_long(to, from, len) }
    };
    if copied == len {
        return Ok(());
    }
    Err(fault(copied))
}

/// The fault that was met last.
fn fault(copied: usize) -> CopyFault {
    CopyFault {
        copied,
        address: FAULT_ADDRESS.load(Relaxed),
        error: FAULT_ERROR.load(Relaxed) as u32,
    }
}

/// Returns how many bytes were copied, all but for a fault.
///
/// # Safety
/// As for [`copy`].
#[inline(never)]
unsafe fn copy_long(to: *mut u8, from: *const u8, len: usize) -> usize {
    const QWORD: usize = size_of::<u64>();
    // SAFETY: the caller's promise.
    let before = unsafe { copies::move_bytes(to, from, len) };
    let rest = len - before;
    let _user_memory = UserMemory::open();
    let qwords = rest / QWORD;
    // SAFETY: the caller's promise; the copies cover `len` bytes together.
    unsafe {
        let (to, from) = (to.add(before), from.add(before));
        let left = copy_qwords(to, from, qwords);
        let whole = (qwords - left) * QWORD;
        let (to, from) = (to.add(whole), from.add(whole));
        let crosses = to.addr() % QWORD != 0 || from.addr() % QWORD != 0;
        let tail = match left {
            0 => rest % QWORD,
            // The first bytes of a word that lies in two pages may be there.
            _ if crosses => QWORD,
            _ => 0,
        };
        before + whole + tail - copy_bytes(to, from, tail)
    }
}

/// While it lives, SMAP admits the kernel to user memory.
struct UserMemory {
    must_close: bool,
}

impl UserMemory {
    fn open() -> Self {
        let smap = SMAP_IS_ON.load(Relaxed);
        if smap {
            // SAFETY: the CPU has SMAP; `drop` undoes it.
            unsafe { asm!("stac", options(nostack)) };
        }
        Self { must_close: smap }
    }
}

impl Drop for UserMemory {
    fn drop(&mut self) {
        if self.must_close {
            // SAFETY: the CPU has SMAP.
            unsafe { asm!("clac", options(nostack)) };
        }
    }
}

/// If a page fault at `rip` is one of a copy, keeps it for [`copy`] and returns the address
/// to continue at.
pub(crate) fn resume_after_fault(number: u8, error: u64, rip: u64) -> Option<u64> {
    let resume = if rip == copy_qwords_fault as *const () as u64 {
        copy_qwords_resume as *const ()
    } else if rip == copy_bytes_fault as *const () as u64 {
        copy_bytes_resume as *const ()
    } else if rip == exchange_word_fault as *const () as u64 {
        exchange_word_resume as *const ()
    } else {
        return None;
    };
    if number != vector::PF {
        return None;
    }
    FAULT_ADDRESS.store(cpu::fault_address(), Relaxed);
    FAULT_ERROR.store(error, Relaxed);
    Some(resume as u64)
}

unsafe extern "C" {
    /// Both return how many units were not copied.
    fn copy_qwords(to: *mut u8, from: *const u8, count: usize) -> usize;
    fn copy_bytes(to: *mut u8, from: *const u8, count: usize) -> usize;
    fn copy_qwords_fault();
    fn copy_qwords_resume();
    fn copy_bytes_fault();
    fn copy_bytes_resume();
    fn exchange_word(address: *mut u32, old: u32, new: u32) -> u64;
    fn exchange_word_fault();
    fn exchange_word_resume();
}
