//! The CPUs that a board's firmware lists, in the tables of ACPI 6.5 5.2:
//!
//! ```text
//! RSDP ─► RSDT or XSDT ─► MADT: a local APIC for each CPU
//! ```
//!
//! The tables are others', and may say anything: what does not add up is not there.

/// Bytes of the RSDP, and of the first part, which has a checksum of its own.
const RSDP_LEN: usize = 36;
const RSDP_FIRST_LEN: usize = 20;
/// The revision that has the second part.
const RSDP_SECOND_REVISION: u8 = 2;
/// What each other table begins with; its length is in there.
const HEADER_LEN: usize = 36;
const LENGTH_AT: usize = 4;
/// Where a MADT's list begins.
const CONTROLLERS_AT: usize = HEADER_LEN + 8;
/// No table that is looked at has more bytes.
const MOST: usize = 1 << 16;
/// What a CPU that can be started has among its flags.
const ENABLED: u32 = 1 << 0;

/// How many CPUs there are with APIC IDs from 0 on, by the tables whose RSDP is at physical address
/// `rsdp`: at least 1, at most 32; `None` where there are no tables, or none that make sense. `read`
/// gives so many bytes at an address, if they are memory.
pub fn cpus<'a>(rsdp: u64, mut read: impl FnMut(u64, usize) -> Option<&'a [u8]>) -> Option<usize> {
    let (list, entry_len) = root(rsdp, &mut read)?;
    let list = table(list, &mut read)?;
    let mut entries = list.get(HEADER_LEN..)?.chunks_exact(entry_len);
    let madt = entries.find_map(|entry| {
        let address = number(entry, 0, entry_len)?;
        (read(address, 4)? == b"APIC").then_some(address)
    })?;
    let ids = apic_ids(table(madt, &mut read)?.get(CONTROLLERS_AT..)?);
    (ids & 1 != 0).then_some(ids.trailing_ones() as usize)
}

/// The address of the list of tables, and the bytes of each of its entries.
fn root<'a>(
    rsdp: u64,
    read: &mut impl FnMut(u64, usize) -> Option<&'a [u8]>,
) -> Option<(u64, usize)> {
    let first = read(rsdp, RSDP_FIRST_LEN)?;
    if !first.starts_with(b"RSD PTR ") || !adds_up(first) {
        return None;
    }
    if first[15] < RSDP_SECOND_REVISION {
        return Some((number(first, 16, 4)?, 4));
    }
    let all = read(rsdp, RSDP_LEN)?;
    adds_up(all).then_some((number(all, 24, 8)?, 8))
}

/// The table at `address`, whole.
fn table<'a>(
    address: u64,
    read: &mut impl FnMut(u64, usize) -> Option<&'a [u8]>,
) -> Option<&'a [u8]> {
    let len = number(read(address, HEADER_LEN)?, LENGTH_AT, 4)? as usize;
    if !(HEADER_LEN..=MOST).contains(&len) {
        return None;
    }
    read(address, len).filter(|table| adds_up(table))
}

/// The APIC IDs below 32 of CPUs that can be started, a bit for each, in a MADT's list (ACPI 6.5
/// 5.2.12): of local APICs and of those with long IDs.
fn apic_ids(mut list: &[u8]) -> u32 {
    let mut ids = 0;
    while let &[kind, len, ..] = list
        && len >= 2
        && let Some((entry, rest)) = list.split_at_checked(len.into())
    {
        let found = match kind {
            0 => number(entry, 3, 1).zip(number(entry, 4, 4)),
            9 => number(entry, 4, 4).zip(number(entry, 8, 4)),
            _ => None,
        };
        if let Some((id, flags)) = found
            && flags as u32 & ENABLED != 0
        {
            ids |= 1_u32.checked_shl(id as u32).unwrap_or(0);
        }
        list = rest;
    }
    ids
}

/// The little-endian number of `len` bytes, at most 8, at `at`.
fn number(bytes: &[u8], at: usize, len: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + len)?;
    let add = |number, &byte| number << 8 | u64::from(byte);
    Some(bytes.iter().rev().fold(0, add))
}

fn adds_up(bytes: &[u8]) -> bool {
    bytes.iter().fold(0_u8, |sum, &byte| sum.wrapping_add(byte)) == 0
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::HEADER_LEN;

    const RSDP_AT: u64 = 0xf_0000;
    const LIST_AT: u64 = RSDP_AT + 64;
    const OTHER_AT: u64 = LIST_AT + 64;
    const MADT_AT: u64 = OTHER_AT + 64;

    /// A machine's memory from `RSDP_AT` on.
    struct Memory(Vec<u8>);

    impl Memory {
        fn put(&mut self, at: u64, bytes: &[u8]) {
            let at = (at - RSDP_AT) as usize;
            self.0.resize(self.0.len().max(at + bytes.len()), 0);
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }

        /// A table with its length and checksum.
        fn table(&mut self, at: u64, signature: &[u8; 4], body: &[u8]) {
            let mut table = [signature, &[0; 32][..], body].concat();
            let len = table.len() as u32;
            table[4..8].copy_from_slice(&len.to_le_bytes());
            table[9] = checksum(&table);
            self.put(at, &table);
        }

        fn cpus(&self) -> Option<usize> {
            super::cpus(RSDP_AT, |address, len| {
                let at = usize::try_from(address.checked_sub(RSDP_AT)?).ok()?;
                self.0.get(at..at.checked_add(len)?)
            })
        }
    }

    fn checksum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| sum.wrapping_sub(*byte))
    }

    /// Tables with these controllers, by an XSDT or an RSDT.
    fn machine(has_xsdt: bool, controllers: &[u8]) -> Memory {
        let mut memory = Memory(Vec::new());
        let mut rsdp = *b"RSD PTR \0RINGFN\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let addresses = [OTHER_AT, MADT_AT];
        let list = match has_xsdt {
            true => {
                rsdp[15] = 2;
                rsdp[20] = 36;
                rsdp[24..32].copy_from_slice(&LIST_AT.to_le_bytes());
                addresses.map(u64::to_le_bytes).concat()
            }
            false => {
                rsdp[16..20].copy_from_slice(&(LIST_AT as u32).to_le_bytes());
                addresses.map(|at| (at as u32).to_le_bytes()).concat()
            }
        };
        rsdp[8] = checksum(&rsdp[..20]);
        rsdp[32] = checksum(&rsdp);
        memory.put(RSDP_AT, &rsdp);
        memory.table(LIST_AT, if has_xsdt { b"XSDT" } else { b"RSDT" }, &list);
        memory.table(OTHER_AT, b"FACP", &[]);
        memory.table(MADT_AT, b"APIC", &[&[0; 8], controllers].concat());
        memory
    }

    fn local_apic(id: u8, flags: u8) -> [u8; 8] {
        [0, 8, id, id, flags, 0, 0, 0]
    }

    fn long_apic(id: u32) -> [u8; 16] {
        let mut entry = [0; 16];
        (entry[0], entry[1], entry[8]) = (9, 16, 1);
        entry[4..8].copy_from_slice(&id.to_le_bytes());
        entry
    }

    #[test]
    fn cpus_are_counted_from_the_first_as_far_as_ids_follow() {
        let io_apic = [1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let apics = [0, 1, 2].map(|id| local_apic(id, 1)).concat();
        for has_xsdt in [false, true] {
            let counts = |controllers: &[&[u8]]| machine(has_xsdt, &controllers.concat()).cpus();
            assert_eq!(counts(&[&apics, &io_apic]), Some(3));
            assert_eq!(counts(&[&io_apic, &apics, &long_apic(3)]), Some(4));
            assert_eq!(counts(&[&apics, &local_apic(3, 0)]), Some(3), "disabled");
            assert_eq!(counts(&[&apics, &local_apic(7, 1)]), Some(3), "a gap");
            assert_eq!(counts(&[&apics, &long_apic(1 << 31)]), Some(3));
            assert_eq!(counts(&[&local_apic(1, 1)]), None, "no first");
            let many: Vec<_> = (0..40).flat_map(|id| local_apic(id, 1)).collect();
            assert_eq!(counts(&[&many]), Some(32));
        }
    }

    #[test]
    fn what_does_not_add_up_is_not_there() {
        let good = || machine(true, &local_apic(0, 1));
        assert_eq!(good().cpus(), Some(1));
        for at in [RSDP_AT, RSDP_AT + 30, LIST_AT + 50, MADT_AT + 10] {
            let mut bad = good();
            bad.0[(at - RSDP_AT) as usize] ^= 1;
            assert_eq!(bad.cpus(), None, "{at:#x}");
        }
        // Cut anywhere, of any length, and with controllers of no length.
        for len in 0..good().0.len() {
            let mut cut = good();
            cut.0.truncate(len);
            assert_eq!(cut.cpus(), None, "{len}");
        }
        for len in [0, HEADER_LEN as u32 - 1, 1 << 17, u32::MAX] {
            let mut bad = good();
            bad.put(MADT_AT + 4, &len.to_le_bytes());
            assert_eq!(bad.cpus(), None, "{len}");
        }
        let apics = [local_apic(0, 1), [0; 8], local_apic(1, 1)].concat();
        assert_eq!(machine(true, &apics).cpus(), Some(1));
        assert_eq!(machine(true, &[0, 8, 0]).cpus(), None);
    }
}
