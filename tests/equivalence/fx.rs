//! Random x87 and SSE state, as `fxsave64` stores it (AMD APM vol. 2 11.4.4).

use x86::MxCsr;
use x86::fx::{CONTROL_AT, CONTROL_INITIAL, MXCSR_AT, MXCSR_INITIAL};

use super::rng::Rng;

/// Offsets in the image.
pub mod offset {
    pub const FCW: usize = super::CONTROL_AT;
    pub const FSW: usize = 2;
    pub const FTW: usize = 4;
    pub const FOP: usize = 6;
    pub const FIP: usize = 8;
    pub const FDP: usize = 16;
    pub const MXCSR: usize = super::MXCSR_AT;
    pub const ST: usize = 32;
    pub const XMM: usize = 160;
    /// Reserved from here, or the program's own.
    pub const END: usize = 416;
}

/// Exception flags of FSW and MXCSR, which are FCW's masks too.
const EXCEPTIONS: u16 = 0x3f;

/// A random image that `fxrstor64` takes.
pub fn random(rng: &mut Rng) -> [u8; 512] {
    let mut image = [0; 512];
    let control = control_word(rng);
    image[offset::FCW..][..2].copy_from_slice(&control.to_le_bytes());
    image[offset::FSW..][..2].copy_from_slice(&status_word(rng, control).to_le_bytes());
    image[offset::FTW] = match rng.below(3) {
        0 => 0,
        1 => 0xff,
        _ => rng.bits() as u8,
    };
    image[offset::MXCSR..][..4].copy_from_slice(&mxcsr(rng).to_le_bytes());
    for register in image[offset::ST..offset::XMM].chunks_exact_mut(16) {
        register[..10].copy_from_slice(&rng.extended());
    }
    for register in image[offset::XMM..offset::END].chunks_exact_mut(16) {
        register.copy_from_slice(&rng.vector());
    }
    image
}

/// A random image for sequences to load: some have x87 words that no processor stores, and
/// some a reserved bit of MXCSR, which is refused.
pub fn image(rng: &mut Rng) -> [u8; 512] {
    let mut image = random(rng);
    if rng.chance(20) {
        for byte in &mut image[..offset::MXCSR] {
            *byte = rng.bits() as u8;
        }
        // No selectors, nor the upper halves of addresses: hosts do not keep all of them.
        image[offset::FIP + 4..offset::FDP].fill(0);
        image[offset::FDP + 4..offset::MXCSR].fill(0);
    }
    if rng.chance(5) {
        image[offset::MXCSR + 2 + rng.index(2)] |= 1 << rng.below(8);
    }
    image
}

/// A random x87 control word, most often with all exceptions masked.
pub fn control_word(rng: &mut Rng) -> u16 {
    const PRECISION_AND_ROUNDING: u16 = 0xf00;
    match rng.below(16) {
        0..8 => CONTROL_INITIAL,
        8..15 => {
            CONTROL_INITIAL & !PRECISION_AND_ROUNDING | rng.bits() as u16 & PRECISION_AND_ROUNDING
        }
        _ => 0x40 | rng.bits() as u16 & (PRECISION_AND_ROUNDING | EXCEPTIONS),
    }
}

fn status_word(rng: &mut Rng, control: u16) -> u16 {
    const TOP_AND_CONDITIONS: u16 = 0x7f00;
    const ERROR_SUMMARY_AND_BUSY: u16 = 0x8080;
    let mut status = rng.bits() as u16 & TOP_AND_CONDITIONS;
    if rng.chance(20) {
        status |= rng.bits() as u16 & EXCEPTIONS;
        if rng.chance(80) {
            // Nothing pending.
            status &= control | !EXCEPTIONS;
        }
    }
    if status & EXCEPTIONS & !control != 0 {
        status |= ERROR_SUMMARY_AND_BUSY;
    }
    status
}

/// A random MXCSR without reserved bits, most often with all exceptions masked.
pub fn mxcsr(rng: &mut Rng) -> u32 {
    const FLUSH: u32 = MxCsr::FLUSH_TO_ZERO
        .union(MxCsr::DENORMALS_ARE_ZEROS)
        .bits();
    let mut value = MXCSR_INITIAL;
    if rng.chance(40) {
        value |= rng.bits() as u32 & MxCsr::ROUNDING_CONTROL_ZERO.bits();
    }
    if rng.chance(20) {
        value |= rng.bits() as u32 & FLUSH;
    }
    if rng.chance(20) {
        value |= rng.bits() as u32 & u32::from(EXCEPTIONS);
    }
    if rng.chance(6) {
        value &= !(rng.bits() as u32 & MXCSR_INITIAL);
    }
    value
}
