//! The ACPI tables that a stock kernel finds its machine by.
//!
//! ```text
//! RSDP ─► XSDT ─► FADT ─► DSDT     no fixed hardware; power-off and reset; \_S5, the serial port
//!             └─► MADT             local APICs, I/O APIC
//! ```
//!
//! The platform is "hardware-reduced" (ACPI 6.5 4.1): such a kernel asks for no PIC, no PIT,
//! no PM timer and no RTC, none of which there are. Rejected: fixed hardware, whose PM timer
//! and SCI would be devices that nothing else needs.

use acpi_tables::Aml;
use acpi_tables::aml::{
    Device, EISAName, IO, Interrupt, Memory32Fixed, Name, Package, Path, ResourceTemplate, Scope,
    ZERO,
};
use acpi_tables::fadt::{FADTBuilder, Flags};
use acpi_tables::gas::{AccessSize, AddressSpace, GAS};
use acpi_tables::madt::{
    EnabledStatus, IoApic, LocalInterruptController, MADT, ProcessorLocalApic,
};
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;

use crate::devices::power;

/// Who made the tables, in the header of each: owner, table, revision.
const OEM: ([u8; 6], [u8; 8], u32) = (*b"RINGFN", *b"RINGFNCE", 1);
/// Bytes in a table's header.
const HEADER: u32 = 36;
const ALIGN: usize = 16;

/// What a PC of today lacks here (ACPI 6.5 table 5.11): VGA, and the CMOS clock.
const NO_VGA: u16 = 1 << 2;
const NO_CMOS_CLOCK: u16 = 1 << 5;

/// All tables of a machine with `cpus` processors, whose APIC IDs count from 0, to lie at
/// guest-physical address `at`: the RSDP comes first. `virtio` says whether the machine has a
/// virtio console.
pub fn tables(at: u64, cpus: u8, virtio: bool) -> Vec<u8> {
    let mut tables = Tables {
        at,
        bytes: vec![0; Rsdp::len()],
    };
    let dsdt = tables.add(&dsdt(virtio));
    let fadt = tables.add(&fadt(dsdt));
    let madt = tables.add(&madt(cpus));
    let (owner, table, revision) = OEM;
    let mut xsdt = XSDT::new(owner, table, revision);
    xsdt.add_entry(fadt);
    xsdt.add_entry(madt);
    let mut rsdp = Vec::new();
    Rsdp::new(owner, tables.add(&xsdt)).to_aml_bytes(&mut rsdp);
    tables.bytes[..rsdp.len()].copy_from_slice(&rsdp);
    tables.bytes
}

/// Tables one after the other.
struct Tables {
    at: u64,
    bytes: Vec<u8>,
}

impl Tables {
    /// Adds `table` and returns its guest-physical address.
    fn add(&mut self, table: &dyn Aml) -> u64 {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        let address = self.at + self.bytes.len() as u64;
        table.to_aml_bytes(&mut self.bytes);
        address
    }
}

/// The devices that cannot be found otherwise, and how the machine is switched off.
fn dsdt(virtio: bool) -> Sdt {
    let serial = abi::ports::SERIAL;
    let ports = IO::new(serial, serial, 1, abi::ports::SERIAL_LEN as u8);
    // For its driver alone; edge-triggered, active high.
    let interrupt = Interrupt::new(true, true, false, false, abi::ports::SERIAL_GSI);
    let resources = ResourceTemplate::new(vec![&ports, &interrupt]);
    let kind = Name::new(Path::new("_HID"), &EISAName::new("PNP0501"));
    let number = Name::new(Path::new("_UID"), &ZERO);
    let resources = Name::new(Path::new("_CRS"), &resources);
    let console = Device::new(Path::new("COM1"), vec![&kind, &number, &resources]);
    let (owner, table, revision) = OEM;
    let mut dsdt = Sdt::new(*b"DSDT", HEADER, 2, owner, table, revision);
    let mut code = Vec::new();
    // As QEMU names such devices, which Linux knows them by.
    let kind = Name::new(Path::new("_HID"), &"LNRO0005");
    let number = Name::new(Path::new("_UID"), &ZERO);
    let window = Memory32Fixed::new(
        true,
        abi::ports::VIRTIO_CONSOLE as u32,
        abi::ports::VIRTIO_LEN as u32,
    );
    let interrupt = Interrupt::new(true, true, false, false, abi::ports::VIRTIO_CONSOLE_GSI);
    let resources = ResourceTemplate::new(vec![&window, &interrupt]);
    let resources = Name::new(Path::new("_CRS"), &resources);
    let virtio_console = Device::new(Path::new("VCON"), vec![&kind, &number, &resources]);
    let mut devices: Vec<&dyn Aml> = vec![&console];
    if virtio {
        devices.push(&virtio_console);
    }
    Scope::new(Path::new("_SB_"), devices).to_aml_bytes(&mut code);
    let soft_off = Package::new(vec![&power::SOFT_OFF, &ZERO, &ZERO, &ZERO]);
    Name::new(Path::new("_S5_"), &soft_off).to_aml_bytes(&mut code);
    dsdt.append_slice(&code);
    dsdt
}

/// What kind of platform this is, and the registers that end it.
fn fadt(dsdt: u64) -> impl Aml {
    let port = |port: u16| {
        let access = AccessSize::ByteAccess;
        GAS::new(
            AddressSpace::SystemIo,
            u8::BITS as u8,
            0,
            access,
            port.into(),
        )
    };
    let (owner, table, revision) = OEM;
    let mut fadt = FADTBuilder::new(owner, table, revision)
        .dsdt_64(dsdt)
        .flag(Flags::HwReducedAcpi)
        .flag(Flags::ResetRegSup)
        .flag(Flags::Headless);
    fadt.iapc_boot_arch = (NO_VGA | NO_CMOS_CLOCK).into();
    fadt.reset_reg = port(abi::ports::RESET_CONTROL);
    fadt.reset_value = power::RESET;
    fadt.sleep_control_reg = port(abi::ports::SLEEP_CONTROL);
    fadt.sleep_status_reg = port(abi::ports::SLEEP_CONTROL + 1);
    fadt.finalize()
}

/// Processors and interrupt controllers.
fn madt(cpus: u8) -> MADT {
    let (owner, table, revision) = OEM;
    let window = LocalInterruptController::Address(abi::ports::LOCAL_APIC as u32);
    let mut madt = MADT::new(owner, table, revision, window);
    for id in 0..cpus {
        madt.add_structure(ProcessorLocalApic::new(id, id, EnabledStatus::Enabled));
    }
    madt.add_structure(IoApic::new(0, abi::ports::IO_APIC as u32, 0));
    madt
}

#[cfg(test)]
mod tests {
    use super::tables;

    const AT: u64 = 0xe_0000;

    /// The bytes of the table at a guest-physical address, by the length in its header.
    fn table(all: &[u8], address: &[u8]) -> Vec<u8> {
        let address = u64::from_le_bytes(address.try_into().expect("eight bytes"));
        let table = &all[(address - AT) as usize..];
        let length = u32::from_le_bytes(table[4..8].try_into().expect("four bytes"));
        table[..length as usize].to_vec()
    }

    fn sum(bytes: &[u8]) -> u8 {
        bytes.iter().fold(0, |sum, byte| sum.wrapping_add(*byte))
    }

    #[test]
    fn every_table_is_found_from_the_first_and_adds_up() {
        let all = tables(AT, 2, true);
        assert!(all.starts_with(b"RSD PTR "));
        assert_eq!((sum(&all[..20]), sum(&all[..36])), (0, 0));
        let xsdt = table(&all, &all[24..32]);
        let fadt = table(&all, &xsdt[36..44]);
        let madt = table(&all, &xsdt[44..52]);
        let dsdt = table(&all, &fadt[140..148]);
        for (table, signature) in [
            (&xsdt, b"XSDT"),
            (&fadt, b"FACP"),
            (&madt, b"APIC"),
            (&dsdt, b"DSDT"),
        ] {
            assert!(table.starts_with(signature));
            assert_eq!(sum(table), 0);
        }
        // Two local APICs of 8 bytes and an I/O APIC of 12.
        assert_eq!(madt.len(), 44 + 2 * 8 + 12);
    }
}
