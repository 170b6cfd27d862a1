//! How a guest without our debug-exit device ends the machine: the sleep register of ACPI,
//! and the two registers by which PCs are reset.
//!
//! All three are plain triggers, so there is no state. Reads give zero: no wake-up has
//! come, no reset is under way, the keyboard controller takes commands.

use super::MachineEnd;

/// Sleep control: the bit that enters the sleeping state, and where the state's number is.
const SLEEP_ENABLE: u8 = 1 << 5;
const SLEEP_TYPE_SHIFT: u32 = 2;
const SLEEP_TYPE_MASK: u8 = 7;
/// The number of "soft off" that the DSDT gives in `\_S5`.
pub const SOFT_OFF: u8 = 5;

/// Reset control: the bit that resets the CPU.
const RESET_CPU: u8 = 1 << 2;
/// What the FADT has guests write there: a reset of CPU and devices.
pub const RESET: u8 = RESET_CPU | 1 << 1;

/// Keyboard controller: the command that pulses the CPU's reset line.
const PULSE_RESET: u8 = 0xfe;

/// A write of `value` to the sleep control register.
pub fn sleep(value: u8) -> Option<MachineEnd> {
    let off = value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK == SOFT_OFF;
    (off && value & SLEEP_ENABLE != 0).then_some(MachineEnd::PoweredOff)
}

/// A write of `value` to the reset control register.
pub fn reset_control(value: u8) -> Option<MachineEnd> {
    (value & RESET_CPU != 0).then_some(MachineEnd::Reset)
}

/// The command `value` for the keyboard controller.
pub fn keyboard_command(value: u8) -> Option<MachineEnd> {
    (value == PULSE_RESET).then_some(MachineEnd::Reset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_documented_values_end_the_machine() {
        assert_eq!(sleep(0x34), Some(MachineEnd::PoweredOff));
        // Not enabled; another state; the wake-up status that a guest clears.
        for value in [0x14, 0x30, 0x80, 0] {
            assert_eq!(sleep(value), None);
        }
        assert_eq!(reset_control(RESET), Some(MachineEnd::Reset));
        assert_eq!(reset_control(0xe), Some(MachineEnd::Reset));
        assert_eq!(reset_control(2), None);
        assert_eq!(keyboard_command(0xfe), Some(MachineEnd::Reset));
        assert_eq!(keyboard_command(0xaa), None);
    }
}
