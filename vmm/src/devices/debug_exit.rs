//! The debug-exit device: one write ends the machine.
//!
//! The contract is that of QEMU's `isa-debug-exit`, so that the guest image ends alike
//! under both: every port of the device is the same, a write of any width counts, a
//! narrow one zero-extended, and reads give zero. The value's meaning is in
//! [`abi::debug_exit`].

use abi::debug_exit::GuestExit;

use super::bus;

/// How a write of `item` (little-endian, any length) ends the machine.
pub fn write(item: &[u8]) -> GuestExit {
    GuestExit::decode(bus::written(item))
}

/// Answers a read of any width.
pub fn read(data: &mut [u8]) {
    data.fill(0);
}

#[cfg(test)]
mod tests {
    use abi::debug_exit::GuestExit;

    #[test]
    fn every_width_counts() {
        assert_eq!(super::write(&[7]), GuestExit::Exited(7));
        assert_eq!(super::write(&[139, 1]), GuestExit::Killed(11));
        assert_eq!(
            super::write(&GuestExit::Panicked.encode().to_le_bytes()),
            GuestExit::Panicked
        );
        assert_eq!(super::write(&[]), GuestExit::Exited(0));
        assert_eq!(super::write(&[1, 0, 0, 0, 9]), GuestExit::Exited(1));
    }
}
