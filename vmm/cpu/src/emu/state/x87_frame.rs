//! The frames of `fnstenv` and `fnsave` (Intel SDM vol. 1 8.1.10).

use crate::emu::state::x87::X87;

/// A frame: the environment, and after it the registers from st(0) on.
///
/// # Safety
/// Any bytes make one, and it has no padding.
pub unsafe trait Frame: Copy + 'static {
    /// Bytes before the registers.
    const ENVIRONMENT: usize;
    /// Bytes in all.
    const SIZE: usize = size_of::<Self>();
    /// A frame of zeros.
    const ZERO: Self;

    /// The frame that holds the state.
    fn of(x87: &X87) -> Self;
    /// Replaces all but the registers.
    fn apply_environment(&self, x87: &mut X87);
    /// Replaces the state.
    fn apply(&self, x87: &mut X87);

    /// The bytes.
    fn bytes(&self) -> &[u8] {
        // SAFETY: there is no padding.
        unsafe { std::slice::from_raw_parts((&raw const *self).cast(), Self::SIZE) }
    }

    /// The bytes, any of which may be changed.
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: any bytes make a frame.
        unsafe { std::slice::from_raw_parts_mut((&raw mut *self).cast(), Self::SIZE) }
    }
}

/// The registers, 10 bytes each.
type Stack = [[u8; 10]; 8];

/// The frame of protected and 64-bit mode. Words without names are all ones.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Frame32 {
    control: u16,
    ones: u16,
    status: u16,
    ones_too: u16,
    tags: u16,
    ones_also: u16,
    instruction: u32,
    instruction_selector: u16,
    opcode: u16,
    data: u32,
    data_selector: u16,
    ones_again: u16,
    stack: Stack,
}

/// The same with operands of 16 bits.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Frame16 {
    control: u16,
    status: u16,
    tags: u16,
    instruction: u16,
    instruction_selector: u16,
    data: u16,
    data_selector: u16,
    stack: Stack,
}

const _: () = assert!(Frame32::ENVIRONMENT == 28 && Frame32::SIZE == 108);
const _: () = assert!(Frame16::ENVIRONMENT == 14 && Frame16::SIZE == 94);

fn stack_of(x87: &X87) -> Stack {
    x87.stack().map(|value| {
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&value.to_le_bytes()[..10]);
        bytes
    })
}

fn apply_stack(x87: &mut X87, stack: &Stack) {
    x87.set_stack(stack.map(|bytes| {
        let mut value = [0; 16];
        value[..10].copy_from_slice(&bytes);
        u128::from_le_bytes(value)
    }));
}

// SAFETY: integers, and the sizes say that there is nothing between them.
unsafe impl Frame for Frame32 {
    const ENVIRONMENT: usize = std::mem::offset_of!(Self, stack);
    const ZERO: Self = Self {
        control: 0,
        ones: 0,
        status: 0,
        ones_too: 0,
        tags: 0,
        ones_also: 0,
        instruction: 0,
        instruction_selector: 0,
        opcode: 0,
        data: 0,
        data_selector: 0,
        ones_again: 0,
        stack: [[0; 10]; 8],
    };

    fn of(x87: &X87) -> Self {
        Self {
            control: x87.control,
            ones: !0,
            status: x87.status,
            ones_too: !0,
            tags: x87.tag_word(),
            ones_also: !0,
            instruction: x87.instruction as u32,
            instruction_selector: x87.instruction_selector,
            opcode: x87.opcode,
            data: x87.data as u32,
            data_selector: x87.data_selector,
            ones_again: !0,
            stack: stack_of(x87),
        }
    }

    fn apply_environment(&self, x87: &mut X87) {
        x87.status = self.status;
        x87.set_control(self.control);
        x87.set_tag_word(self.tags);
        x87.instruction = u64::from(self.instruction);
        x87.instruction_selector = self.instruction_selector;
        x87.opcode = self.opcode & X87::OPCODE_MASK;
        x87.data = u64::from(self.data);
        x87.data_selector = self.data_selector;
    }

    fn apply(&self, x87: &mut X87) {
        self.apply_environment(x87);
        apply_stack(x87, &self.stack);
    }
}

// SAFETY: as for `Frame32`.
unsafe impl Frame for Frame16 {
    const ENVIRONMENT: usize = std::mem::offset_of!(Self, stack);
    const ZERO: Self = Self {
        control: 0,
        status: 0,
        tags: 0,
        instruction: 0,
        instruction_selector: 0,
        data: 0,
        data_selector: 0,
        stack: [[0; 10]; 8],
    };

    fn of(x87: &X87) -> Self {
        Self {
            control: x87.control,
            status: x87.status,
            tags: x87.tag_word(),
            instruction: x87.instruction as u16,
            instruction_selector: x87.instruction_selector,
            data: x87.data as u16,
            data_selector: x87.data_selector,
            stack: stack_of(x87),
        }
    }

    fn apply_environment(&self, x87: &mut X87) {
        x87.status = self.status;
        x87.set_control(self.control);
        x87.set_tag_word(self.tags);
        x87.instruction = u64::from(self.instruction);
        x87.instruction_selector = self.instruction_selector;
        x87.opcode = 0;
        x87.data = u64::from(self.data);
        x87.data_selector = self.data_selector;
    }

    fn apply(&self, x87: &mut X87) {
        self.apply_environment(x87);
        apply_stack(x87, &self.stack);
    }
}
