//! The walk as the manuals tell it, which sets no bits but says which the processor sets.

use vmm::memory::GuestRam;

use super::bit::{A, D, NX, P, PS, U, W};
use super::{Case, Format, GOOD, OLD_ROOT, PAE_POINTERS, Want};

/// What an access comes to: the guest-physical address and the entries with their new bits, or an
/// error code.
pub type Walked = Result<(u64, Vec<(u64, u64)>), u64>;

/// Walks the tables.
pub fn walk(ram: &GuestRam, case: &Case) -> Walked {
    let (write, fetch) = (case.want == Want::Write, case.want == Want::Fetch);
    let tells_fetch = case.nxe && case.format != Format::Old || case.smep;
    let error = |page: u64| {
        page | u64::from(write) << 1
            | u64::from(case.user) << 2
            | u64::from(fetch && tells_fetch) << 4
    };
    let (bits, len, mut level, mut table) = match case.format {
        Format::Four => (9, 8, 4, GOOD),
        Format::Pae => {
            let pointer = word(ram, PAE_POINTERS + (case.address >> 30 & 3) * 8, 8);
            if pointer & P == 0 {
                return Err(error(0));
            }
            (9, 8, 2, pointer & 0x000f_ffff_ffff_f000)
        }
        Format::Old => (10, 4, 2, OLD_ROOT),
    };
    let (mut user, mut writable, mut no_code) = (true, true, false);
    let mut path = Vec::new();
    let (gpa, leaf) = loop {
        level -= 1;
        let shift = 12 + bits * level;
        let at = table + (case.address >> shift & ((1 << bits) - 1)) * len;
        let entry = word(ram, at, len);
        path.push((at, entry | A));
        if entry & P == 0 {
            return Err(error(0));
        }
        let large = level > 0
            && entry & PS != 0
            && match case.format {
                Format::Four => level < 3,
                Format::Pae => true,
                Format::Old => case.pse,
            };
        if entry & reserved(case, level, large) != 0 {
            return Err(error(9));
        }
        user &= entry & U != 0;
        writable &= entry & W != 0;
        no_code |= len == 8 && entry & NX != 0;
        if level == 0 || large {
            let offset = case.address & ((1 << shift) - 1);
            let page = match (len, large) {
                (4, true) => entry & 0xffc0_0000 | (entry >> 13 & 0xff) << 32,
                (4, false) => entry & 0xffff_f000,
                _ => entry & 0x000f_ffff_ffff_f000 & !((1 << shift) - 1),
            };
            break (page | offset, path.len() - 1);
        }
        table = match len {
            4 => entry & 0xffff_f000,
            _ => entry & 0x000f_ffff_ffff_f000,
        };
    };
    let allowed = allows(case, user, writable, !no_code);
    if !allowed {
        return Err(error(1));
    }
    if write {
        path[leaf].1 |= D;
    }
    Ok((gpa, path))
}

/// Bits of an entry that must be zero, where addresses have 48 bits. A large entry of the third
/// level is of 1 GiB, as the emulator has it; there is none of the fourth.
fn reserved(case: &Case, level: u64, large: bool) -> u64 {
    if case.format == Format::Old {
        return if large { 1 << 21 } else { 0 };
    }
    let mut reserved = 0x000f_0000_0000_0000;
    if !case.nxe {
        reserved |= NX;
    }
    if case.format == Format::Pae {
        reserved |= 0x7ff0_0000_0000_0000;
    }
    if level == 3 {
        reserved |= PS;
    }
    if large {
        reserved |= (1 << (12 + 9 * level)) - (1 << 13);
    }
    reserved
}

/// Whether an access may be to a page of these rights.
fn allows(case: &Case, user: bool, writable: bool, code: bool) -> bool {
    let may_see = !user || !case.smap || case.ac;
    match (case.user, case.want) {
        (true, Want::Read) => user,
        (true, Want::Write) => user && writable,
        (true, Want::Fetch) => user && code,
        (false, Want::Read) => may_see,
        (false, Want::Write) => may_see && (writable || !case.wp),
        (false, Want::Fetch) => code && !(user && case.smep),
    }
}

/// The word of `len` bytes at `at`; all ones where there is no RAM.
pub fn word(ram: &GuestRam, at: u64, len: u64) -> u64 {
    let mut bytes = [0; 8];
    match ram.read(at, &mut bytes[..len as usize]) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => u64::MAX >> (64 - 8 * len),
    }
}
