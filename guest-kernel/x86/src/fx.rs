//! The 512 bytes of `fxsave64`: x87, MMX, SSE and MXCSR (SDM vol. 1 10.5.1).

/// Bytes of the image.
pub const LEN: usize = 512;

/// Offset of the x87 control word, of 2 bytes.
pub const CONTROL_AT: usize = 0;
/// Offset of MXCSR, of 4 bytes.
pub const MXCSR_AT: usize = 24;
/// Offset of the bits of MXCSR that exist, of 4 bytes; 0 means [`MXCSR_MASK_DEFAULT`].
pub const MXCSR_MASK_AT: usize = 28;
/// Offset of the x87 registers, 16 bytes for each of 8.
pub const ST_AT: usize = 32;
/// Offset of the SSE registers.
pub const XMM_AT: usize = 160;
/// Offset of the bytes at its end that processors leave to software.
pub const SOFTWARE_AT: usize = 464;

/// The x87 control word after `fninit`: exceptions masked, 64 bits, to nearest.
pub const CONTROL_INITIAL: u16 = 0x37f;
/// MXCSR after reset: exceptions masked, to nearest.
pub const MXCSR_INITIAL: u32 = 0x1f80;
/// The bits of MXCSR where the image does not tell (SDM vol. 1 11.6.6).
pub const MXCSR_MASK_DEFAULT: u32 = 0xffbf;

/// The state after reset and `fninit`.
pub const INITIAL: [u8; LEN] = {
    let mut image = [0; LEN];
    [image[CONTROL_AT], image[CONTROL_AT + 1]] = CONTROL_INITIAL.to_le_bytes();
    [
        image[MXCSR_AT],
        image[MXCSR_AT + 1],
        image[MXCSR_AT + 2],
        image[MXCSR_AT + 3],
    ] = MXCSR_INITIAL.to_le_bytes();
    image
};
