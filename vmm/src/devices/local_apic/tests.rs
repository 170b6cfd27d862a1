mod delivery;

use x86::msr;

use super::mode::{BASE_ENABLE, BASE_X2APIC};
use super::{LVT_MASKED, LocalApic};
use crate::devices::{Gp, Msi};

const TPR: u64 = 0x80;
const PPR: u64 = 0xa0;
const EOI: u64 = 0xb0;
const LDR: u64 = 0xd0;
const DFR: u64 = 0xe0;
const SVR: u64 = 0xf0;
const ISR: u64 = 0x100;
const TMR: u64 = 0x180;
const IRR: u64 = 0x200;
const ESR: u64 = 0x280;
const ICR_LOW: u64 = 0x300;
const ICR_HIGH: u64 = 0x310;
const LVT_TIMER: u64 = 0x320;
const LVT_LINT0: u64 = 0x350;
const LVT_ERROR: u64 = 0x370;
const INITIAL_COUNT: u64 = 0x380;
const CURRENT_COUNT: u64 = 0x390;
const DIVIDE: u64 = 0x3e0;

const PERIODIC: u32 = 1 << 17;
const TSC_DEADLINE: u32 = 2 << 17;
/// IA32_APIC_BASE without its mode: the reset address, boot CPU.
const BASE: u64 = 0xfee0_0100;

/// A local APIC that software has enabled, at guest time zero.
fn enabled() -> LocalApic {
    let mut apic = LocalApic::new(0, 2_000_000);
    write(&mut apic, SVR, 0x1ff, 0);
    apic
}

/// The same in x2APIC mode.
fn x2apic() -> LocalApic {
    let mut apic = enabled();
    let base = BASE | BASE_ENABLE | BASE_X2APIC;
    assert_eq!(apic.write_msr(msr::APIC_BASE, base, 0), Ok(()));
    apic
}

/// What the board does in a machine with one CPU.
fn deliver(apic: &mut LocalApic) {
    if let Some(ipi) = apic.take_sent() {
        apic.accept(ipi);
    }
}

fn write(apic: &mut LocalApic, offset: u64, value: u32, now: u64) {
    apic.write_mmio(offset, &value.to_le_bytes(), now);
    deliver(apic);
}

fn read(apic: &mut LocalApic, offset: u64, now: u64) -> u32 {
    let mut data = [0xee; 4];
    apic.read_mmio(offset, &mut data, now);
    u32::from_le_bytes(data)
}

fn edge(vector: u8) -> Msi {
    Msi::new(0, false, 0, vector, false)
}

/// Latches and reads the error status.
fn errors(apic: &mut LocalApic) -> u32 {
    write(apic, ESR, 0, 0);
    read(apic, ESR, 0)
}

#[test]
fn power_up_state() {
    let mut apic = LocalApic::new(0, 1);
    assert_eq!(apic.window(), Some(0xfee0_0000));
    assert_eq!(apic.read_msr(msr::APIC_BASE, 0), Ok(0xfee0_0900));
    for (offset, value) in [
        (0x20, 0),
        (0x30, 0x0005_0014),
        (TPR, 0),
        (LDR, 0),
        (DFR, u32::MAX),
        (SVR, 0xff),
        (LVT_TIMER, LVT_MASKED),
        (LVT_ERROR, LVT_MASKED),
        (CURRENT_COUNT, 0),
    ] {
        assert_eq!(read(&mut apic, offset, 0), value, "offset {offset:#x}");
    }
}

#[test]
fn software_disable_masks_and_refuses() {
    let mut apic = enabled();
    write(&mut apic, LVT_TIMER, 0x40, 0);
    assert_eq!(read(&mut apic, LVT_TIMER, 0), 0x40);
    apic.accept(edge(0x50));
    write(&mut apic, SVR, 0xff, 0);
    assert_eq!(read(&mut apic, LVT_TIMER, 0), LVT_MASKED | 0x40);
    write(&mut apic, LVT_TIMER, 0x40, 0);
    assert_eq!(read(&mut apic, LVT_TIMER, 0), LVT_MASKED | 0x40);
    apic.accept(edge(0x60));
    assert_eq!(apic.acknowledge(), Some(0x50), "held, as 11.4.7.2 says");
    assert_eq!(apic.acknowledge(), None);
}

#[test]
fn odd_widths_are_harmless() {
    let mut apic = enabled();
    apic.write_mmio(TPR, &[0x55], 0);
    apic.write_mmio(TPR, &[0x55; 8], 0);
    apic.write_mmio(TPR + 4, &[0x55; 4], 0);
    apic.write_mmio(TPR, &[], 0);
    assert_eq!(read(&mut apic, TPR, 0), 0);
    let mut wide = [0xee; 8];
    apic.read_mmio(0x30, &mut wide, 0);
    assert_eq!(wide, [0x14, 0, 5, 0, 0, 0, 0, 0]);
    let mut inner = [0xee; 2];
    apic.read_mmio(0x32, &mut inner, 0);
    assert_eq!(inner, [5, 0]);
}

#[test]
fn the_timer_interrupts_by_its_entry() {
    let mut apic = enabled();
    write(&mut apic, DIVIDE, 0xb, 0);
    write(&mut apic, LVT_TIMER, PERIODIC | 0x40, 0);
    write(&mut apic, INITIAL_COUNT, 1_000_000, 500);
    assert_eq!(apic.next_deadline(), Some(1_000_500));
    assert_eq!(read(&mut apic, CURRENT_COUNT, 1500), 999_000);
    apic.advance(1_000_499);
    assert_eq!(apic.pending(), None);
    apic.advance(7_000_600);
    assert_eq!(apic.acknowledge(), Some(0x40));
    assert_eq!(apic.next_deadline(), Some(8_000_500));
    write(&mut apic, EOI, 0, 7_000_600);
    assert_eq!(apic.pending(), None);
    write(
        &mut apic,
        LVT_TIMER,
        LVT_MASKED | PERIODIC | 0x40,
        7_000_600,
    );
    assert_eq!(apic.next_deadline(), None);
    apic.advance(9_000_000);
    assert_eq!(apic.pending(), None);
    write(&mut apic, LVT_TIMER, PERIODIC | 0x40, 9_000_000);
    assert_eq!(apic.next_deadline(), Some(9_000_500));
    assert_eq!(read(&mut apic, CURRENT_COUNT, 9_000_500), 1_000_000);
    assert_eq!(apic.acknowledge(), Some(0x40), "a read is up to date first");
}

#[test]
fn a_deadline_in_the_past_fires_at_once() {
    let mut apic = enabled();
    write(&mut apic, LVT_TIMER, TSC_DEADLINE | 0x40, 1000);
    assert_eq!(apic.write_msr(msr::TSC_DEADLINE, 3000, 1000), Ok(()));
    assert_eq!(apic.read_msr(msr::TSC_DEADLINE, 1000), Ok(3000));
    assert!(apic.wants_tsc());
    apic.tell_tsc(2000, 1000);
    assert!(!apic.wants_tsc());
    assert_eq!(apic.next_deadline(), Some(1500));
    apic.advance(1500);
    assert_eq!(apic.acknowledge(), Some(0x40));
    write(&mut apic, EOI, 0, 1500);
    assert_eq!(apic.write_msr(msr::TSC_DEADLINE, 1, 1500), Ok(()));
    apic.tell_tsc(3000, 1500);
    assert_eq!(apic.pending(), Some(0x40));
    assert_eq!(apic.read_msr(msr::TSC_DEADLINE, 1500), Ok(0));
}

#[test]
fn apic_base_goes_only_the_allowed_ways() {
    let mut apic = enabled();
    let x2apic = BASE | BASE_ENABLE | BASE_X2APIC;
    let xapic = BASE | BASE_ENABLE;
    let mut set = |value| apic.write_msr(msr::APIC_BASE, value, 0);
    assert_eq!(set(BASE | BASE_X2APIC), Err(Gp));
    assert_eq!(set(xapic | 1), Err(Gp));
    assert_eq!(set(xapic | 1 << 52), Err(Gp));
    assert_eq!(set(x2apic), Ok(()));
    assert_eq!(set(xapic), Err(Gp));
    assert_eq!(set(x2apic), Ok(()));
    assert_eq!(set(BASE), Ok(()));
    assert_eq!(set(x2apic), Err(Gp));
    assert_eq!(set(xapic | 0x1000), Ok(()));
    assert_eq!(apic.window(), Some(0xfee0_1000));
    assert_eq!(apic.read_msr(msr::APIC_BASE, 0), Ok(0xfee0_1900));
    assert_eq!(read(&mut apic, SVR, 0), 0xff, "disabling is a reset");
}

#[test]
fn a_disabled_apic_does_nothing() {
    let mut apic = enabled();
    write(&mut apic, LVT_TIMER, 0x40, 0);
    write(&mut apic, INITIAL_COUNT, 10, 0);
    apic.accept(edge(0x50));
    assert_eq!(apic.write_msr(msr::APIC_BASE, BASE, 0), Ok(()));
    apic.advance(100);
    apic.accept(edge(0x50));
    assert_eq!(
        (apic.window(), apic.pending(), apic.next_deadline()),
        (None, None, None)
    );
    assert_eq!(apic.read_msr(0x802, 0), Err(Gp));
}

#[test]
fn x2apic_registers_and_their_faults() {
    let mut apic = x2apic();
    assert_eq!(apic.window(), None);
    assert_eq!(apic.read_msr(0x802, 0), Ok(0));
    assert_eq!(apic.read_msr(0x803, 0), Ok(0x0005_0014));
    assert_eq!(apic.read_msr(0x80d, 0), Ok(1));
    assert_eq!(
        apic.read_msr(0x80f, 0),
        Ok(0x1ff),
        "kept over the transition"
    );
    for unreadable in [
        0x800, 0x809, 0x80b, 0x80c, 0x80e, 0x82f, 0x831, 0x83f, 0x840, 0x8ff,
    ] {
        assert_eq!(apic.read_msr(unreadable, 0), Err(Gp), "{unreadable:#x}");
    }
    for (index, value) in [
        (0x802, 0),
        (0x803, 0),
        (0x808, 0x100),
        (0x80a, 0),
        (0x80b, 1),
        (0x80d, 0),
        (0x80e, 0),
        (0x80f, 0x400),
        (0x810, 0),
        (0x828, 1),
        (0x830, 1 << 13),
        (0x830, 1 << 20),
        (0x831, 0),
        (0x832, 1 << 19),
        (0x837, 1 << 8),
        (0x838, 1 << 32),
        (0x839, 0),
        (0x83e, 4),
        (0x83f, 0x100),
        (0x8ff, 0),
    ] {
        assert_eq!(
            apic.write_msr(index, value, 0),
            Err(Gp),
            "{index:#x} {value:#x}"
        );
    }
    for (index, value) in [
        (0x808, 0xff),
        (0x808, 0),
        (0x80b, 0),
        (0x828, 0),
        (0x830, 1 << 12 | 3 << 18 | 0x40),
        (0x835, 0x0001_f7ff),
        (0x83e, 0xb),
    ] {
        assert_eq!(
            apic.write_msr(index, value, 0),
            Ok(()),
            "{index:#x} {value:#x}"
        );
    }
    assert_eq!(apic.read_msr(0x835, 0), Ok(0x0001_a7ff));
}

#[test]
fn window_writes_ignore_reserved_bits() {
    let mut apic = enabled();
    for (offset, value) in [
        (0x20, 0),
        (TPR, 0xff),
        (LDR, 0xff00_0000),
        (DFR, 0xffff_ffff),
        (SVR, 0x3ff),
        (ICR_HIGH, 0xff00_0000),
        (LVT_TIMER, 0x0007_00ff),
        (LVT_LINT0, 0x0001_a7ff),
        (DIVIDE, 0xb),
        (INITIAL_COUNT, 0),
    ] {
        write(&mut apic, offset, u32::MAX, 0);
        assert_eq!(read(&mut apic, offset, 0), value, "offset {offset:#x}");
    }
}
