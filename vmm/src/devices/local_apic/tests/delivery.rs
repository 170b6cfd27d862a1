//! Delivery of interrupts.

use super::*;

#[test]
fn an_interrupt_goes_from_request_to_service_to_end() {
    let mut apic = enabled();
    apic.accept(edge(0x41));
    assert_eq!(read(&mut apic, IRR + 0x20, 0), 1 << 1);
    assert_eq!(apic.pending(), Some(0x41));
    assert_eq!(apic.acknowledge(), Some(0x41));
    assert_eq!(read(&mut apic, IRR + 0x20, 0), 0);
    assert_eq!(read(&mut apic, ISR + 0x20, 0), 1 << 1);
    assert_eq!(read(&mut apic, PPR, 0), 0x40);
    write(&mut apic, EOI, 0, 0);
    assert_eq!(read(&mut apic, ISR + 0x20, 0), 0);
    assert_eq!((apic.pending(), apic.acknowledge()), (None, None));
    assert_eq!(apic.take_eoi(), None);
}

#[test]
fn only_a_higher_class_interrupts_service() {
    let mut apic = enabled();
    apic.accept(edge(0x41));
    apic.acknowledge();
    apic.accept(edge(0x4f));
    assert_eq!(apic.pending(), None);
    apic.accept(edge(0x50));
    assert_eq!(apic.acknowledge(), Some(0x50));
    write(&mut apic, EOI, 0, 0);
    assert_eq!(apic.pending(), None);
    write(&mut apic, EOI, 0, 0);
    assert_eq!(apic.acknowledge(), Some(0x4f));
}

#[test]
fn task_priority_holds_back_its_class_and_below() {
    let mut apic = enabled();
    apic.accept(edge(0x41));
    write(&mut apic, TPR, 0x45, 0);
    assert_eq!((apic.pending(), apic.cr8()), (None, 4));
    assert_eq!(read(&mut apic, PPR, 0), 0x45);
    apic.set_cr8(3);
    assert_eq!(read(&mut apic, TPR, 0), 0x30);
    assert_eq!(apic.pending(), Some(0x41));
    apic.set_cr8(0xff);
    assert_eq!((apic.pending(), apic.cr8()), (None, 0xf));
}

#[test]
fn the_end_of_a_level_is_told() {
    let mut apic = enabled();
    apic.accept(Msi::new(0xff, false, 0, 0x30, true));
    assert_eq!(read(&mut apic, TMR + 0x10, 0), 1 << 16);
    apic.acknowledge();
    write(&mut apic, EOI, 0, 0);
    assert_eq!((apic.take_eoi(), apic.take_eoi()), (Some(0x30), None));
    apic.accept(edge(0x30));
    assert_eq!(read(&mut apic, TMR + 0x10, 0), 0);
}

#[test]
fn messages_find_their_destination() {
    let mut apic = enabled();
    write(&mut apic, LDR, 0x1400_0000, 0);
    let mut takes = |destination, logical| {
        apic.accept(Msi::new(destination, logical, 1, 0x99, false));
        let taken = apic.acknowledge().is_some();
        write(&mut apic, EOI, 0, 0);
        taken
    };
    assert!(takes(0, false) && takes(0xff, false) && !takes(1, false));
    assert!(takes(0x04, true) && takes(0x10, true) && !takes(0x03, true));
    write(&mut apic, DFR, 0, 0);
    let mut takes = |destination| {
        apic.accept(Msi::new(destination, true, 1, 0x99, false));
        let taken = apic.acknowledge().is_some();
        write(&mut apic, EOI, 0, 0);
        taken
    };
    assert!(takes(0x14) && takes(0x1f) && !takes(0x24) && !takes(0x12));
}

#[test]
fn other_delivery_modes_are_dropped() {
    let mut apic = enabled();
    for mode in [2, 3, 5, 6, 7] {
        apic.accept(Msi::new(0, false, mode, 0x40, false));
        write(&mut apic, ICR_LOW, mode << 8 | 0x40, 0);
    }
    assert_eq!((apic.pending(), errors(&mut apic)), (None, 0));
    assert!(!apic.take_nmi());
}

#[test]
fn an_nmi_needs_no_vector_and_no_software_enable() {
    const NMI: u32 = 4 << 8;
    let mut apic = LocalApic::new(0, 1);
    for (command, high, taken) in [
        (NMI, 0, true),
        (NMI, 1 << 24, false),
        (1 << 18 | NMI, 0, true),
        (2 << 18 | NMI, 0, true),
        (3 << 18 | NMI, 0, false),
    ] {
        write(&mut apic, ICR_HIGH, high, 0);
        write(&mut apic, ICR_LOW, command, 0);
        assert_eq!(apic.wakes(false), taken, "{command:#x} {high:#x}");
        assert_eq!(apic.take_nmi(), taken, "{command:#x} {high:#x}");
    }
    for (destination, taken) in [(0, true), (1, false), (0xff, true)] {
        apic.accept(Msi::new(destination, false, 4, 0, false));
        assert_eq!(apic.take_nmi(), taken, "{destination:#x}");
    }
    assert_eq!((apic.pending(), errors(&mut apic)), (None, 0));
    assert_eq!(apic.write_msr(msr::APIC_BASE, BASE, 0), Ok(()));
    apic.accept(Msi::new(0, false, 4, 0, false));
    assert!(!apic.take_nmi(), "there is no APIC");
}

#[test]
fn commands_reach_this_cpu_by_any_way_of_naming_it() {
    let mut apic = enabled();
    for (command, high, taken) in [
        (0x40, 0, true),
        (0x40, 1 << 24, false),
        (0x40, 0xff << 24, true),
        (1 << 18 | 0x40, 1 << 24, true),
        (2 << 18 | 0x40, 1 << 24, true),
        (3 << 18 | 0x40, 0, false),
        (1 << 8 | 0x40, 0, true),
    ] {
        write(&mut apic, ICR_HIGH, high, 0);
        write(&mut apic, ICR_LOW, command, 0);
        assert_eq!(
            apic.acknowledge().is_some(),
            taken,
            "{command:#x} {high:#x}"
        );
        write(&mut apic, EOI, 0, 0);
    }
    assert_eq!(read(&mut apic, ICR_LOW, 0), 0x140);
    assert_eq!(read(&mut apic, ICR_HIGH, 0), 0);
}

#[test]
fn illegal_vectors_and_registers_are_errors() {
    let mut apic = enabled();
    write(&mut apic, LVT_ERROR, 0xfe, 0);
    write(&mut apic, ICR_LOW, 1 << 18 | 0x0f, 0);
    assert_eq!(apic.acknowledge(), Some(0xfe));
    write(&mut apic, EOI, 0, 0);
    assert_eq!(errors(&mut apic), 1 << 5);
    apic.accept(edge(3));
    assert_eq!(errors(&mut apic), 1 << 6);
    read(&mut apic, 0x40, 0);
    assert_eq!(errors(&mut apic), 1 << 7);
    write(&mut apic, 0x3f0, 0x40, 0);
    write(&mut apic, 0x2f0, 0x40, 0);
    assert_eq!(errors(&mut apic), 1 << 7);
    assert_eq!(errors(&mut apic), 0);
}

#[test]
fn an_error_entry_with_an_illegal_vector_ends() {
    let mut apic = enabled();
    write(&mut apic, LVT_ERROR, 0x03, 0);
    read(&mut apic, 0x40, 0);
    assert_eq!(errors(&mut apic), 1 << 6 | 1 << 7);
    write(&mut apic, LVT_TIMER, 0x0f, 0);
    write(&mut apic, INITIAL_COUNT, 1, 0);
    apic.advance(2);
    assert_eq!((apic.pending(), errors(&mut apic)), (None, 1 << 6));
}

#[test]
fn x2apic_interrupts_to_itself() {
    let mut apic = x2apic();
    assert_eq!(apic.write_msr(0x83f, 0x70, 0), Ok(()));
    assert_eq!(apic.acknowledge(), Some(0x70));
    assert_eq!(apic.write_msr(0x80b, 0, 0), Ok(()));
    for (destination, logical, taken) in [
        (0, false, true),
        (0xff, false, false),
        (0xffff_ffff, false, true),
        (0x0000_0001, true, true),
        (0x0001_0001, true, false),
        (0x0000_0002, true, false),
        (0xffff_ffff, true, true),
    ] {
        let command = destination << 32 | u64::from(logical) << 11 | 0x40;
        assert_eq!(apic.write_msr(0x830, command, 0), Ok(()));
        deliver(&mut apic);
        assert_eq!(apic.read_msr(0x830, 0), Ok(command));
        assert_eq!(apic.acknowledge().is_some(), taken, "{command:#x}");
        assert_eq!(apic.write_msr(0x80b, 0, 0), Ok(()));
    }
    assert_eq!(apic.write_msr(0x83f, 5, 0), Ok(()));
    assert_eq!(apic.write_msr(0x828, 0, 0), Ok(()));
    assert_eq!(apic.read_msr(0x828, 0), Ok(1 << 5));
}

#[test]
fn messages_reach_x2apic_with_eight_bit_destinations() {
    let mut apic = x2apic();
    for (destination, logical, taken) in [
        (0, false, true),
        (0xff, false, true),
        (2, false, false),
        (1, true, true),
        (0xff, true, true),
        (2, true, false),
    ] {
        apic.accept(Msi::new(destination, logical, 0, 0x40, false));
        assert_eq!(
            apic.acknowledge().is_some(),
            taken,
            "{destination:#x} {logical}"
        );
        assert_eq!(apic.write_msr(0x80b, 0, 0), Ok(()));
    }
}
