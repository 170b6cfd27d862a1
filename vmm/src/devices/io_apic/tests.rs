use super::{DATA, INDEX, IoApic, LEVEL, LOGICAL, MASKED, PINS, REMOTE_IRR};
use crate::devices::msi::Msi;

const PIN: u32 = 4;

fn set(apic: &mut IoApic, register: u8, value: u32) {
    apic.write(INDEX, &u32::from(register).to_le_bytes());
    apic.write(DATA, &value.to_le_bytes());
}

fn get(apic: &mut IoApic, register: u8) -> u32 {
    apic.write(INDEX, &u32::from(register).to_le_bytes());
    let mut value = [0; 4];
    apic.read(DATA, &mut value);
    u32::from_le_bytes(value)
}

/// Sets up redirection entry `PIN`.
fn redirect(apic: &mut IoApic, entry: u64) {
    set(apic, 0x11 + 2 * PIN as u8, (entry >> 32) as u32);
    set(apic, 0x10 + 2 * PIN as u8, entry as u32);
}

fn entry(apic: &mut IoApic) -> u64 {
    let low = get(apic, 0x10 + 2 * PIN as u8);
    u64::from(get(apic, 0x11 + 2 * PIN as u8)) << 32 | u64::from(low)
}

#[test]
fn registers_read_as_the_datasheet_says() {
    let mut apic = IoApic::default();
    assert_eq!(get(&mut apic, 1), 0x0017_0011);
    set(&mut apic, 0, 0xffff_ffff);
    assert_eq!(
        (get(&mut apic, 0), get(&mut apic, 2)),
        (0x0f00_0000, 0x0f00_0000)
    );
    assert_eq!(get(&mut apic, 0x10), 0x0001_0000);
    set(&mut apic, 0x10, 0xffff_ffff);
    set(&mut apic, 0x11, 0xffff_ffff);
    assert_eq!(get(&mut apic, 0x10), 0x0001_afff);
    assert_eq!(get(&mut apic, 0x11), 0xff00_0000);
    set(&mut apic, 0x40, 0xffff_ffff);
    assert_eq!((get(&mut apic, 0x40), get(&mut apic, 0xff)), (0, 0));
}

#[test]
fn odd_widths_and_offsets_are_harmless() {
    let mut apic = IoApic::default();
    apic.write(INDEX, &[1]);
    let mut eight = [0xee; 8];
    apic.read(DATA, &mut eight);
    assert_eq!(eight, [0x11, 0, 0x17, 0, 0, 0, 0, 0]);
    let mut inner = [0xee; 2];
    apic.read(DATA + 2, &mut inner);
    assert_eq!(inner, [0x17, 0]);
    apic.write(DATA + 1, &[0xff; 8]);
    apic.write(INDEX + 4, &[0xff]);
    apic.write(0xff0, &[0xff; 4]);
    apic.read(0x20, &mut inner);
    assert_eq!(inner, [0, 0]);
    assert_eq!(get(&mut apic, 0), 0);
}

#[test]
fn an_edge_sends_one_message() {
    let mut apic = IoApic::default();
    redirect(&mut apic, 3 << 56 | LOGICAL | 1 << 8 | 0x24);
    apic.set_line(PIN, true);
    apic.set_line(PIN, true);
    assert_eq!(apic.take_message(), Some(Msi::new(3, true, 1, 0x24, false)));
    assert_eq!(apic.take_message(), None);
    apic.set_line(PIN, false);
    assert_eq!(apic.take_message(), None);
    apic.set_line(PIN, true);
    assert!(apic.take_message().is_some());
}

#[test]
fn an_edge_on_a_masked_pin_is_lost() {
    let mut apic = IoApic::default();
    redirect(&mut apic, MASKED | 0x24);
    apic.set_line(PIN, true);
    redirect(&mut apic, 0x24);
    assert_eq!(apic.take_message(), None);
}

#[test]
fn a_level_is_sent_again_until_released() {
    let mut apic = IoApic::default();
    redirect(&mut apic, MASKED | LEVEL | 0x24);
    apic.set_line(PIN, true);
    assert_eq!(apic.take_message(), None);
    redirect(&mut apic, LEVEL | 0x24);
    let message = Some(Msi::new(0, false, 0, 0x24, true));
    assert_eq!(apic.take_message(), message);
    assert_ne!(entry(&mut apic) & REMOTE_IRR, 0);
    apic.set_line(PIN, true);
    assert_eq!(apic.take_message(), None);
    apic.end_of_interrupt(0x25);
    assert_eq!(apic.take_message(), None);
    apic.end_of_interrupt(0x24);
    assert_eq!(apic.take_message(), message);
    apic.set_line(PIN, false);
    apic.end_of_interrupt(0x24);
    assert_eq!(apic.take_message(), None);
    assert_eq!(entry(&mut apic) & REMOTE_IRR, 0);
}

#[test]
fn an_nmi_is_an_edge_whatever_its_trigger_mode() {
    let mut apic = IoApic::default();
    redirect(&mut apic, 4 << 8 | LEVEL);
    for _ in 0..2 {
        apic.set_line(PIN, true);
        assert_eq!(apic.take_message(), Some(Msi::new(0, false, 4, 0, false)));
        apic.set_line(PIN, false);
    }
    assert_eq!(entry(&mut apic) & REMOTE_IRR, 0);
}

#[test]
fn levels_are_new_when_what_they_send_changes() {
    let mut apic = IoApic::default();
    redirect(&mut apic, 0x24);
    assert!(!apic.take_new_levels() && !apic.is_level(PIN));
    redirect(&mut apic, LEVEL | MASKED | 0x24);
    assert!(apic.take_new_levels() && apic.is_level(PIN));
    let message = Msi::new(0, false, 0, 0x24, true);
    assert_eq!(apic.levels().collect::<Vec<_>>(), [message]);
    redirect(&mut apic, LEVEL | 0x24);
    assert!(!apic.take_new_levels(), "the same, unmasked");
    redirect(&mut apic, LEVEL | 0x25);
    assert!(apic.take_new_levels());
    redirect(&mut apic, 0x25);
    assert!(apic.take_new_levels());
    assert_eq!(apic.levels().count(), 0);
}

#[test]
fn becoming_edge_triggered_ends_a_level() {
    let mut apic = IoApic::default();
    redirect(&mut apic, LEVEL | 0x24);
    apic.set_line(PIN, true);
    redirect(&mut apic, 0x24);
    assert_eq!(entry(&mut apic), 0x24);
}

#[test]
fn lines_without_a_pin_and_ext_int_send_nothing() {
    let mut apic = IoApic::default();
    redirect(&mut apic, 7 << 8);
    for gsi in [PIN, PINS as u32, 32, 36, u32::MAX] {
        apic.set_line(gsi, true);
    }
    assert_eq!(apic.take_message(), None);
}

#[test]
fn only_an_unmasked_entry_may_be_an_nmi() {
    const NMI: u64 = 4 << 8;
    let mut apic = IoApic::default();
    assert!(!apic.may_send_nmi(PIN));
    redirect(&mut apic, NMI | MASKED);
    assert!(!apic.may_send_nmi(PIN));
    redirect(&mut apic, NMI);
    assert!(apic.may_send_nmi(PIN));
    assert!(!apic.may_send_nmi(PIN + 1) && !apic.may_send_nmi(u32::MAX));
    redirect(&mut apic, 0x24);
    assert!(!apic.may_send_nmi(PIN));
}
