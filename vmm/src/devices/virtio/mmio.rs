//! The transport over MMIO, version 2 (VIRTIO 1.2, 4.2.2): plain state behind registers.

use abi::virtio_mmio::interrupt::{CONFIGURATION_CHANGED, QUEUE_USED};
use abi::virtio_mmio::status::{DRIVER_OK, FEATURES_OK, NEEDS_RESET};
use abi::virtio_mmio::{FEATURE_VERSION_1, MAGIC, VERSION, register};
use virtio_queue::{Queue, QueueT};
use vm_memory::GuestMemoryMmap;

use crate::devices::bus;

const VENDOR: u32 = u32::from_le_bytes(*b"RING");

/// Most descriptors that a queue can have.
pub const QUEUE_SIZE: u16 = 64;

/// A transport with `QUEUES` queues.
pub struct Transport<const QUEUES: usize> {
    device_id: u32,
    features: u64,
    accepted: u64,
    features_select: u32,
    accepted_select: u32,
    queue_select: u32,
    queues: [Queue; QUEUES],
    status: u32,
    interrupt: u32,
    /// Whether a cause of an interrupt has been added since the last look.
    raised: bool,
    generation: u32,
}

impl<const QUEUES: usize> Transport<QUEUES> {
    /// A device of this kind after reset, with these features beside VIRTIO_F_VERSION_1.
    pub fn new(device_id: u32, features: u64) -> Self {
        Self {
            device_id,
            features: features | FEATURE_VERSION_1,
            accepted: 0,
            features_select: 0,
            accepted_select: 0,
            queue_select: 0,
            queues: [(); QUEUES].map(|()| new_queue()),
            status: 0,
            interrupt: 0,
            raised: false,
            generation: 0,
        }
    }

    /// Whether the driver is ready, and the device has not given up.
    pub fn is_live(&self) -> bool {
        self.status & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK
    }

    /// The queue `number`, if it can be used.
    pub fn queue(&mut self, number: usize) -> Option<&mut Queue> {
        let is_live = self.is_live();
        let queue = self.queues.get_mut(number)?;
        (is_live && queue.ready()).then_some(queue)
    }

    /// Reads registers; `configuration` is the device's own part of them.
    pub fn read(&self, offset: u64, data: &mut [u8], configuration: &[u8]) {
        if let Some(offset) = offset.checked_sub(register::CONFIGURATION) {
            let mut bytes = configuration.iter().skip(offset as usize);
            data.fill_with(|| bytes.next().copied().unwrap_or(0));
            return;
        }
        bus::read_register(self.register(offset & !3), (offset & 3) as usize, data);
    }

    fn register(&self, offset: u64) -> u32 {
        let half = |features: u64, select| match select {
            0 => features as u32,
            1 => (features >> 32) as u32,
            _ => 0,
        };
        let queue = self.queues.get(self.queue_select as usize);
        match offset {
            register::MAGIC => MAGIC,
            register::VERSION => VERSION,
            register::DEVICE_ID => self.device_id,
            register::VENDOR_ID => VENDOR,
            register::DEVICE_FEATURES => half(self.features, self.features_select),
            register::QUEUE_SIZE_MAX => queue.map_or(0, |queue| queue.max_size().into()),
            register::QUEUE_READY => queue.map_or(0, |queue| queue.ready().into()),
            register::INTERRUPT_STATUS => self.interrupt,
            register::STATUS => self.status,
            register::GENERATION => self.generation,
            _ => 0,
        }
    }

    /// Writes a register, which takes 4 bytes: all others are dropped. Returns the number of
    /// a queue that the driver notifies the device of.
    pub fn write(&mut self, offset: u64, data: &[u8], memory: &GuestMemoryMmap) -> Option<u32> {
        let value = u32::from_le_bytes(data.try_into().ok()?);
        match offset {
            register::DEVICE_FEATURES_SELECT => self.features_select = value,
            register::DRIVER_FEATURES_SELECT => self.accepted_select = value,
            register::DRIVER_FEATURES => self.accept(value),
            register::QUEUE_SELECT => self.queue_select = value,
            register::QUEUE_READY => self.set_queue_ready(value == 1, memory),
            register::QUEUE_NOTIFY => return Some(value),
            register::INTERRUPT_ACKNOWLEDGE => self.interrupt &= !value,
            register::STATUS => self.set_status(value),
            _ => self.set_up_queue(offset, value),
        }
        None
    }

    fn accept(&mut self, value: u32) {
        let shift = match self.accepted_select {
            0 => 0,
            1 => u32::BITS,
            _ => return,
        };
        self.accepted &= !(u64::from(u32::MAX) << shift);
        self.accepted |= u64::from(value) << shift;
    }

    /// Zero resets the device. Features that it does not have, or the lack of the one that it
    /// must have, are refused.
    fn set_status(&mut self, value: u32) {
        if value == 0 {
            let (device_id, features, generation) =
                (self.device_id, self.features, self.generation);
            *self = Self::new(device_id, features);
            self.generation = generation;
            return;
        }
        let agreed = self.accepted & !self.features == 0 && self.accepted & FEATURE_VERSION_1 != 0;
        let refused = if agreed { 0 } else { FEATURES_OK | DRIVER_OK };
        self.status = self.status & NEEDS_RESET | value & !refused;
    }

    /// A queue that is not in guest RAM does not become ready.
    fn set_queue_ready(&mut self, ready: bool, memory: &GuestMemoryMmap) {
        if let Some(queue) = self.queues.get_mut(self.queue_select as usize) {
            queue.set_ready(ready);
            let is_valid = queue.is_valid(memory);
            queue.set_ready(ready && is_valid);
        }
    }

    fn set_up_queue(&mut self, offset: u64, value: u32) {
        let queue = self.queues.get_mut(self.queue_select as usize);
        let Some(queue) = queue.filter(|queue| !queue.ready()) else {
            return;
        };
        // Sizes and addresses that are no good change nothing.
        match offset {
            register::QUEUE_SIZE => queue.set_size(u16::try_from(value).unwrap_or(0)),
            register::DESCRIPTORS_LOW => queue.set_desc_table_address(Some(value), None),
            register::DESCRIPTORS_HIGH => queue.set_desc_table_address(None, Some(value)),
            register::AVAILABLE_LOW => queue.set_avail_ring_address(Some(value), None),
            register::AVAILABLE_HIGH => queue.set_avail_ring_address(None, Some(value)),
            register::USED_LOW => queue.set_used_ring_address(Some(value), None),
            register::USED_HIGH => queue.set_used_ring_address(None, Some(value)),
            _ => {}
        }
    }

    /// Interrupts because the device has used something.
    pub fn interrupt_for_queue(&mut self) {
        self.interrupt_for(QUEUE_USED);
    }

    /// The device's own registers have changed.
    pub fn change_configuration(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        if self.is_live() {
            self.interrupt_for(CONFIGURATION_CHANGED);
        }
    }

    /// Gives up until the driver resets the device, because it has made no sense.
    pub fn give_up(&mut self) {
        self.status |= NEEDS_RESET;
        self.interrupt_for(CONFIGURATION_CHANGED);
    }

    fn interrupt_for(&mut self, cause: u32) {
        self.interrupt |= cause;
        self.raised = true;
    }

    /// Whether an interrupt has become due since the last call.
    pub fn take_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.raised)
    }

    /// Whether the device asserts its interrupt line.
    pub fn is_interrupting(&self) -> bool {
        self.interrupt != 0
    }
}

fn new_queue() -> Queue {
    Queue::new(QUEUE_SIZE).expect("the size is a power of two")
}
