//! The vDSO: what the page of code in `vdso.S` needs to know to tell the time.
//!
//! Its clock is the kernel's: the same counter, scaled by the same factor. So the two agree to
//! the nanosecond, and neither is ever behind the other. Only software-backed KVM has two
//! counters: ring 3 reads the host's, and ring 0 one that KVM sets off from it.
//!
//! Nothing but the time of day changes while the machine runs, in one word: so the page needs no
//! sequence counter. Who sets the clock takes the page from all programs, and each gets a new one
//! when it touches it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{clock, processors};

core::arch::global_asm!(include_str!("vdso.S"));

unsafe extern "C" {
    static vdso_start: u8;
    static vdso_data: u8;
    static vdso_end: u8;
}

/// What `vdso.S` has at `vdso_data`.
static DATA: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
/// Where in it the time of day at boot is.
const REALTIME: usize = 2;

/// Lets programs tell the time, and the CPU if there is one, as all CPUs run now: so many
/// nanoseconds after 1970 at boot, by a counter that is `offset` behind the kernel's. Without an
/// offset they ask the kernel.
pub fn start(realtime_at_boot: u64, offset: Option<u64>) {
    let (counter_at_boot, ns_per_count) = clock::parameters();
    let data = [
        counter_at_boot.wrapping_sub(offset.unwrap_or(0)),
        ns_per_count,
        realtime_at_boot,
        offset.is_some().into(),
        processors::are_several().into(),
    ];
    for (place, value) in DATA.iter().zip(data) {
        place.store(value, Relaxed);
    }
}

/// Changes the time of day: from now on so many nanoseconds after 1970 at boot.
pub fn set_realtime(realtime_at_boot: u64) {
    DATA[REALTIME].store(realtime_at_boot, Relaxed);
}

/// Fills a page with the vDSO.
pub fn write(page: &mut [u8]) {
    let start = &raw const vdso_start;
    let len_to = |end: *const u8| end as usize - start as usize;
    // SAFETY: vdso.S has these bytes between the two labels, and nobody writes to them.
    let image = unsafe { core::slice::from_raw_parts(start, len_to(&raw const vdso_end)) };
    let (used, rest) = page.split_at_mut(image.len());
    used.copy_from_slice(image);
    rest.fill(0);
    let data = DATA
        .each_ref()
        .map(|value| value.load(Relaxed).to_ne_bytes());
    let data = data.as_flattened();
    used[len_to(&raw const vdso_data)..][..data.len()].copy_from_slice(data);
}

#[cfg(test)]
mod tests {
    use super::write;

    /// The hash of System V's ABI, by which versions are looked up.
    fn hash(name: &str) -> u32 {
        name.bytes().fold(0_u32, |hash, byte| {
            let hash = (hash << 4).wrapping_add(byte.into());
            let high = hash & 0xf000_0000;
            (hash ^ high >> 24) & !high
        })
    }

    #[test]
    fn it_is_a_shared_object_of_a_page() {
        let mut page = [1; 4096];
        write(&mut page);
        assert!(page.starts_with(b"\x7fELF"));
        assert_eq!(page[4095], 0);
        for name in ["linux-vdso.so.1", "LINUX_2.6"] {
            let text = format!("\0{name}\0").into_bytes();
            assert!(page.windows(text.len()).any(|part| part == text));
            let hash = hash(name).to_le_bytes();
            assert!(page.windows(4).any(|part| part == hash), "{name}");
        }
    }
}
