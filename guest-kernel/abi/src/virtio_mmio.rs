//! Facts of a virtio device over MMIO, version 2 (VIRTIO 1.2, 2.1 and 4.2.2), for driver and
//! device.

/// The word at [`register::MAGIC`].
pub const MAGIC: u32 = u32::from_le_bytes(*b"virt");
/// The one at [`register::VERSION`].
pub const VERSION: u32 = 2;
/// Kind of a console, at [`register::DEVICE_ID`].
pub const CONSOLE: u32 = 3;
/// Of the features: the device obeys version 1 of the standard (VIRTIO_F_VERSION_1).
pub const FEATURE_VERSION_1: u64 = 1 << 32;
/// Of a console's: it knows the size of its screen (VIRTIO_CONSOLE_F_SIZE).
pub const FEATURE_SIZE: u64 = 1 << 0;
/// A console's queue for its input.
pub const RECEIVE: u32 = 0;
/// The one for its output.
pub const TRANSMIT: u32 = 1;

/// Registers of 4 bytes, by their offset in the window.
#[allow(missing_docs)]
pub mod register {
    pub const MAGIC: u64 = 0x000;
    pub const VERSION: u64 = 0x004;
    pub const DEVICE_ID: u64 = 0x008;
    pub const VENDOR_ID: u64 = 0x00c;
    pub const DEVICE_FEATURES: u64 = 0x010;
    pub const DEVICE_FEATURES_SELECT: u64 = 0x014;
    pub const DRIVER_FEATURES: u64 = 0x020;
    pub const DRIVER_FEATURES_SELECT: u64 = 0x024;
    pub const QUEUE_SELECT: u64 = 0x030;
    pub const QUEUE_SIZE_MAX: u64 = 0x034;
    pub const QUEUE_SIZE: u64 = 0x038;
    pub const QUEUE_READY: u64 = 0x044;
    pub const QUEUE_NOTIFY: u64 = 0x050;
    pub const INTERRUPT_STATUS: u64 = 0x060;
    pub const INTERRUPT_ACKNOWLEDGE: u64 = 0x064;
    pub const STATUS: u64 = 0x070;
    pub const DESCRIPTORS_LOW: u64 = 0x080;
    pub const DESCRIPTORS_HIGH: u64 = 0x084;
    pub const AVAILABLE_LOW: u64 = 0x090;
    pub const AVAILABLE_HIGH: u64 = 0x094;
    pub const USED_LOW: u64 = 0x0a0;
    pub const USED_HIGH: u64 = 0x0a4;
    pub const GENERATION: u64 = 0x0fc;
    /// The first of the device's own.
    pub const CONFIGURATION: u64 = 0x100;
}

/// Bits of the status.
#[allow(missing_docs)]
pub mod status {
    pub const ACKNOWLEDGE: u32 = 1 << 0;
    pub const DRIVER: u32 = 1 << 1;
    pub const DRIVER_OK: u32 = 1 << 2;
    pub const FEATURES_OK: u32 = 1 << 3;
    pub const NEEDS_RESET: u32 = 1 << 6;
}

/// Causes of an interrupt.
#[allow(missing_docs)]
pub mod interrupt {
    pub const QUEUE_USED: u32 = 1 << 0;
    pub const CONFIGURATION_CHANGED: u32 = 1 << 1;
}
