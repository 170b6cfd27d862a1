//! The machine's devices, on one board.
//!
//! ```text
//!   port 0x3f8 --> console ------GSI 4--> I/O APIC --Msi--> local APIC (ours, or KVM's)
//!   port 0x3e8 --> errors                ^  ^
//!   port 0x2e8 --> log                   |  |
//!   port 0x5e0 --> input --edge GSI 5----+  |
//!   port 0x2f8 --> link ---------GSI 3------+    (in machines that have one)
//!   port 0x5ec --> host files                (in machines that have some)
//!   port 0xf4 ---> debug exit
//!   port 0xf8 ---> doorbell of the trace
//!   ports 0x600, 0xcf9, 0x64 --> power: sleep, reset
//!   0xfeb0_0000, GSI 10 -> virtio console    (in machines that have them)
//!   0xfeb0_1000, GSI 11 -> virtio errors
//! ```
//!
//! One thread at a time has [`Devices`], so devices are plain state without locks. They
//! see offsets, never addresses; guest time, in nanoseconds, is passed in. Ports,
//! addresses, widths and values are guest input: each has a defined effect, nothing panics,
//! and no access makes a device grow.

pub mod bus;
mod console;
mod debug_exit;
mod host_files;
mod host_side;
mod input_stream;
mod io_apic;
mod lines;
mod link;
mod local_apic;
mod msi;
pub(crate) mod power;
mod serial;
mod streams;
mod virtio;

use abi::debug_exit::GuestExit;
use serde::Serialize;

use crate::host_files::Saving;
use bus::{MmioDevice, PortDevice};
pub use host_files::HostFiles;
use io_apic::IoApic;
pub use link::LinkEnd;
use link::LinkOutput;
pub use local_apic::{BUS_HZ, LocalApic, Startup};
pub use msi::{DeliveryMode, Msi};
use serial::Serial;
use streams::Streams;
pub use streams::{HostInput, HostStreams, Line, StreamError};
pub use virtio::ScreenSize;

use crate::memory::GuestRam;

/// Who keeps the local APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApicMode {
    /// KVM, inside the kernel.
    Kernel,
    /// The VMM: [`LocalApic`].
    User,
}

/// What a board is made from.
pub struct DevicesConfig {
    /// Who keeps the local APICs.
    pub apic: ApicMode,
    /// How many CPUs the machine has: 1 to 32.
    pub cpus: u8,
    /// Frequency of each vCPU's time-stamp counter, which is zero at guest time zero.
    pub tsc_khz: u32,
    /// The standard streams.
    pub streams: HostStreams,
    /// The machine's RAM, if it is to have virtio consoles.
    pub virtio: Option<GuestRam>,
    /// The line to another machine, if there is one.
    pub link: Option<LinkEnd>,
    /// Files of the host, if the guest gets any.
    pub files: Option<HostFiles>,
}

/// How a write to a device ended the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineEnd {
    /// The debug-exit device was told so.
    Guest(GuestExit),
    /// The guest switched the machine off.
    PoweredOff,
    /// The guest reset the machine.
    Reset,
}

/// The guest's access raises #GP(0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("general-protection fault")]
pub struct Gp;

/// The port to another machine, and the line there.
struct Link {
    serial: Serial<LinkOutput>,
    end: LinkEnd,
}

/// All devices of one machine.
pub struct Devices {
    streams: Streams,
    link: Option<Link>,
    files: Option<HostFiles>,
    io_apic: IoApic,
    /// Those that are the VMM's, by APIC ID.
    local_apics: Vec<LocalApic>,
    /// Which CPU makes the accesses.
    cpu: usize,
    /// CPUs whose local APICs, if they are the VMM's, have got messages since
    /// [`take_woken`](Self::take_woken), a bit each.
    woken: u32,
}

impl Devices {
    /// A board after power-up.
    pub fn new(config: DevicesConfig) -> Self {
        let mut board = Self {
            streams: Streams::new(config.streams, config.virtio.as_ref()),
            link: config.link.map(|end| Link {
                serial: Serial::new(LinkOutput::new(end.clone())),
                end,
            }),
            files: config.files,
            io_apic: IoApic::default(),
            local_apics: match config.apic {
                ApicMode::Kernel => Vec::new(),
                ApicMode::User => (0..config.cpus)
                    .map(|id| LocalApic::new(id, config.tsc_khz))
                    .collect(),
            },
            cpu: 0,
            woken: 0,
        };
        board.connect_serial_lines();
        board
    }

    /// From now on it is this CPU that makes the accesses, and whose local APIC is *the* one.
    pub fn select(&mut self, cpu: usize) {
        self.cpu = cpu;
    }

    /// `in`: fills `data`, one or more items of `size` bytes.
    #[inline]
    pub fn pio_read(&mut self, port: u16, size: u8, data: &mut [u8]) {
        match bus::port_device(port) {
            Some(PortDevice::Serial(line, offset)) => {
                self.streams.read(line, offset, size, data);
                if self.io_apic.is_level(abi::ports::SERIAL_GSI) {
                    self.serve_streams();
                }
            }
            Some(PortDevice::Input(offset)) => self.streams.read_input(offset, size, data),
            Some(PortDevice::Link(offset)) => match &mut self.link {
                Some(link) => {
                    link.serial.read(offset, size, data);
                    if self.io_apic.is_level(abi::ports::LINK_GSI) {
                        self.serve_link();
                    }
                }
                None => data.fill(0xff),
            },
            Some(PortDevice::DebugExit) => debug_exit::read(data),
            Some(PortDevice::Sleep(_) | PortDevice::Reset | PortDevice::KeyboardCommand) => {
                data.fill(0);
            }
            Some(PortDevice::HostFiles | PortDevice::TraceDoorbell) | None => data.fill(0xff),
        }
    }

    /// `out` of `data`, one or more items of `size` bytes. Some of them end the machine:
    /// the first such item says how.
    #[inline]
    pub fn pio_write(&mut self, port: u16, size: u8, data: &[u8]) -> Option<MachineEnd> {
        match bus::port_device(port)? {
            PortDevice::Serial(line, offset) => {
                self.streams.write(line, offset, size, data);
                self.serve_streams();
                None
            }
            PortDevice::Link(offset) => {
                if let Some(link) = &mut self.link {
                    link.serial.write(offset, size, data);
                }
                self.serve_link();
                None
            }
            PortDevice::HostFiles => {
                if let (Some(files), Some(&frame)) = (&mut self.files, data.first_chunk()) {
                    files.answer(u32::from_le_bytes(frame));
                }
                None
            }
            PortDevice::DebugExit => {
                let item = data.chunks(usize::from(size.max(1))).next()?;
                Some(MachineEnd::Guest(debug_exit::write(item)))
            }
            PortDevice::Sleep(0) => power::sleep(*data.first()?),
            PortDevice::Sleep(_) => None,
            PortDevice::Reset => power::reset_control(*data.first()?),
            PortDevice::KeyboardCommand => power::keyboard_command(*data.first()?),
            PortDevice::Input(_) | PortDevice::TraceDoorbell => None,
        }
    }

    /// Read of guest-physical memory without RAM: fills `data`.
    pub fn mmio_read(&mut self, gpa: u64, data: &mut [u8], now_ns: u64) {
        let apic = self.local_apics.get_mut(self.cpu);
        let window = apic.as_ref().and_then(|apic| apic.window());
        match (bus::mmio_device(gpa, window), apic) {
            (Some(MmioDevice::LocalApic(offset)), Some(apic)) => {
                apic.read_mmio(offset, data, now_ns);
            }
            (Some(MmioDevice::IoApic(offset)), _) => self.io_apic.read(offset, data),
            (Some(MmioDevice::Virtio(line, offset)), _) => {
                self.streams.read_virtio(line, offset, data);
            }
            _ => data.fill(0xff),
        }
    }

    /// Write of `data` to guest-physical memory without RAM.
    pub fn mmio_write(&mut self, gpa: u64, data: &[u8], now_ns: u64) {
        let apic = self.local_apics.get_mut(self.cpu);
        let window = apic.as_ref().and_then(|apic| apic.window());
        match (bus::mmio_device(gpa, window), apic) {
            (Some(MmioDevice::LocalApic(offset)), Some(apic)) => {
                apic.write_mmio(offset, data, now_ns);
            }
            (Some(MmioDevice::IoApic(offset)), _) => {
                self.io_apic.write(offset, data);
                self.connect_serial_lines();
            }
            (Some(MmioDevice::Virtio(line, offset)), _) => {
                self.streams.write_virtio(line, offset, data);
                self.serve_virtio();
            }
            _ => {}
        }
        self.route_interrupts();
    }

    /// `rdmsr` of a register that the vCPU leaves to the VMM.
    ///
    /// # Errors
    /// [`Gp`] unless it is a readable register of a local APIC that is ours.
    pub fn msr_read(&mut self, index: u32, now_ns: u64) -> Result<u64, Gp> {
        let apic = self.local_apic().ok_or(Gp)?;
        apic.read_msr(index, now_ns)
    }

    /// `wrmsr` of a register that the vCPU leaves to the VMM.
    ///
    /// # Errors
    /// [`Gp`] unless it is a register of a local APIC that is ours and takes that value.
    pub fn msr_write(&mut self, index: u32, value: u64, now_ns: u64) -> Result<(), Gp> {
        let apic = self.local_apic().ok_or(Gp)?;
        apic.write_msr(index, value, now_ns)?;
        self.route_interrupts();
        Ok(())
    }

    /// `mov cr8`; no effect where KVM keeps the local APIC.
    pub fn set_cr8(&mut self, value: u8) {
        if let Some(apic) = self.local_apic() {
            apic.set_cr8(value);
        }
    }

    /// The local APIC, if the VMM keeps it.
    #[inline]
    pub fn local_apic(&mut self) -> Option<&mut LocalApic> {
        self.local_apics.get_mut(self.cpu)
    }

    /// Those of all CPUs, by number.
    pub fn local_apics(&mut self) -> &mut [LocalApic] {
        &mut self.local_apics
    }

    /// The CPUs whose local APICs have got messages since the last call, a bit each.
    #[inline]
    pub fn take_woken(&mut self) -> u32 {
        std::mem::take(&mut self.woken)
    }

    /// Whether a device may interrupt a CPU that has interrupts off.
    pub fn may_send_nmi(&self) -> bool {
        use abi::ports::{INPUT_GSI, LINK_GSI, SERIAL_GSI, VIRTIO_CONSOLE_GSI, VIRTIO_ERRORS_GSI};
        let virtio = [VIRTIO_CONSOLE_GSI, VIRTIO_ERRORS_GSI];
        let lines = [SERIAL_GSI, INPUT_GSI, LINK_GSI].into_iter().chain(virtio);
        let mut lines = lines;
        lines.any(|gsi| self.io_apic.may_send_nmi(gsi))
    }

    /// The next interrupt message for KVM's local APIC; call until `None` after each access
    /// and each input. Ours gets its messages at once, and this gives none.
    #[inline]
    pub fn take_msi(&mut self) -> Option<Msi> {
        self.io_apic.take_message()
    }

    /// Whether KVM's local APIC does not know all [`levels`](Self::levels) yet; once for each
    /// change.
    pub fn has_new_levels(&mut self) -> bool {
        self.local_apics.is_empty() && self.io_apic.take_new_levels()
    }

    /// Address and data of the messages whose end KVM's local APIC is to tell
    /// [`end_of_interrupt`](Self::end_of_interrupt).
    pub fn levels(&self) -> Vec<(u64, u32)> {
        let levels = self.io_apic.levels();
        levels.map(|msi| (msi.address, msi.data)).collect()
    }

    /// KVM's local APIC has ended the level-triggered interrupt of `vector`.
    pub fn end_of_interrupt(&mut self, vector: u8) {
        self.io_apic.end_of_interrupt(vector);
    }

    /// What the guest hands over, in a machine with files of the host.
    pub fn saving(&mut self) -> Option<&mut Saving> {
        self.files.as_mut().map(HostFiles::saving)
    }

    /// The machine's end of the line to another machine, if it has one.
    pub fn link(&self) -> Option<&LinkEnd> {
        self.link.as_ref().map(|link| &link.end)
    }

    /// Tells the serial lines whether their interrupts reach a CPU.
    fn connect_serial_lines(&mut self) {
        let console = self.io_apic.is_connected(abi::ports::SERIAL_GSI);
        self.streams.connect_console(console);
        if let Some(link) = &mut self.link {
            let connected = self.io_apic.is_connected(abi::ports::LINK_GSI);
            link.serial.connect(connected);
        }
    }
}

#[cfg(test)]
mod tests;
