//! Interrupt lines, from the devices to the I/O APIC and on to a local APIC that is ours.

use super::local_apic::{Ipi, LocalApic};
use super::streams::Line;
use super::{DeliveryMode, Devices, Link};

impl Devices {
    /// Turns the interrupts of console and input stream into edges. Where the console's pin
    /// is level-triggered, it gets the line as it is.
    #[inline]
    pub(super) fn serve_streams(&mut self) {
        let (console, input) = self.streams.take_interrupts();
        if self.io_apic.is_level(abi::ports::SERIAL_GSI) {
            let asserted = self.streams.is_console_interrupting();
            self.set_line(abi::ports::SERIAL_GSI, asserted);
        } else if console {
            self.raise_edge(abi::ports::SERIAL_GSI);
        }
        if input {
            self.raise_edge(abi::ports::INPUT_GSI);
        }
    }

    /// The same of the virtio consoles.
    pub(super) fn serve_virtio(&mut self) {
        let mut raised = false;
        for (line, console) in self.streams.consoles() {
            let gsi = match line {
                Line::Errors => abi::ports::VIRTIO_ERRORS_GSI,
                Line::Console | Line::Log => abi::ports::VIRTIO_CONSOLE_GSI,
            };
            let news = console.take_interrupt();
            raised |= news || self.io_apic.is_level(gsi);
            if self.io_apic.is_level(gsi) {
                self.io_apic.set_line(gsi, console.is_interrupting());
            } else if news {
                self.io_apic.set_line(gsi, true);
                self.io_apic.set_line(gsi, false);
            }
        }
        if raised {
            self.route_interrupts();
        }
    }

    /// The same of the link.
    pub(super) fn serve_link(&mut self) {
        let Some(Link { serial, .. }) = &mut self.link else {
            return;
        };
        let raised = serial.take_interrupt();
        if self.io_apic.is_level(abi::ports::LINK_GSI) {
            let asserted = serial.is_interrupting();
            self.set_line(abi::ports::LINK_GSI, asserted);
        } else if raised {
            self.raise_edge(abi::ports::LINK_GSI);
        }
    }

    pub(super) fn set_line(&mut self, gsi: u32, asserted: bool) {
        self.io_apic.set_line(gsi, asserted);
        self.route_interrupts();
    }

    pub(super) fn raise_edge(&mut self, gsi: u32) {
        self.io_apic.set_line(gsi, true);
        self.io_apic.set_line(gsi, false);
        self.route_interrupts();
    }

    /// Carries messages between the I/O APIC and the local APICs that are ours.
    pub(super) fn route_interrupts(&mut self) {
        let Some(apic) = self.local_apics.get_mut(self.cpu) else {
            return;
        };
        if let Some(vector) = apic.take_eoi() {
            self.io_apic.end_of_interrupt(vector);
        }
        if let Some(ipi) = apic.take_sent() {
            self.deliver(ipi);
        }
        while let Some(msi) = self.io_apic.take_message() {
            self.deliver(msi.into());
        }
    }

    /// To all local APICs that a message is meant for; one of lowest priority to that of them
    /// whose CPU has the least urgent work, of those that software has enabled (11.6.2.4).
    fn deliver(&mut self, ipi: Ipi) {
        let apics = (0..).zip(&mut self.local_apics);
        let meant = apics.filter(|(_, apic)| apic.is_meant(&ipi));
        let woken = &mut self.woken;
        let mut accept = |(cpu, apic): (u32, &mut LocalApic)| {
            apic.accept(ipi);
            *woken |= 1 << cpu;
        };
        match ipi.mode {
            DeliveryMode::LowestPriority => meant
                .filter(|(_, apic)| apic.software_enabled())
                .min_by_key(|(_, apic)| apic.processor_priority())
                .into_iter()
                .for_each(accept),
            _ => meant.for_each(&mut accept),
        }
    }
}
