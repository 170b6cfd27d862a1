//! Operands of `xsave` and its like: components, and an area (Intel SDM vol. 1 13.4).
//!
//! Only components are asked for that every engine has: software-backed KVM has ring 3 use the
//! host's XCR0. x87's is only loaded, as its pointers are what the vendors disagree on.

use iced_x86::{Instruction, Mnemonic};
use x86::xsave::{COMPACTED, HEADER_LEN, YMM_HIGH_AT, YMM_HIGH_LEN};

use super::generate::Generator;
use super::{fx, implicit};

/// Bytes of an area with the high halves of the YMM registers.
pub const AREA: u64 = (YMM_HIGH_AT + YMM_HIGH_LEN) as u64;

/// Components, as in XCR0: x87, SSE and AVX.
const X87: u64 = 1;
const ALL: u64 = 7;

/// Arranges the operands. `None` if eax cannot be what it must be, or if it is the
/// processor's choice whether a component that was reset counts as in use.
pub fn arrange(
    generator: &mut Generator,
    instruction: &Instruction,
    address: Option<u64>,
) -> Option<()> {
    use Mnemonic as M;
    let loads = matches!(
        instruction.mnemonic(),
        M::Xrstor | M::Xrstor64 | M::Xrstors | M::Xrstors64
    );
    if !loads && generator.has_reset() {
        return None;
    }
    let allowed = if loads { ALL } else { ALL & !X87 };
    if generator.is_free(implicit::RAX) {
        let high = generator.rng.bits() << 32;
        let components = generator.rng.bits() & allowed;
        generator.assign(implicit::RAX, high | components);
    }
    let eax = generator.known(implicit::RAX)? & u64::from(u32::MAX);
    if eax & !allowed != 0 {
        return None;
    }
    if loads {
        let area = area(generator);
        implicit::patch(generator, address, &area);
    }
    Some(())
}

/// What comes before the YMM registers. Some headers are refused.
fn area(generator: &mut Generator) -> Vec<u8> {
    let rng = &mut generator.rng;
    let mut area = fx::image(rng);
    let mut header = [0; HEADER_LEN / 8];
    header[0] = rng.bits() & ALL;
    if rng.chance(40) {
        header[1] = COMPACTED | ALL;
        // Processors find a reserved bit here when they have loaded other registers.
        let mxcsr = fx::mxcsr(rng).to_le_bytes();
        area[fx::offset::MXCSR..][..4].copy_from_slice(&mxcsr);
        if rng.chance(20) {
            header[1] &= rng.bits() | COMPACTED;
        }
    }
    if rng.chance(10) {
        // No bit of a component that some processor has.
        header[rng.index(HEADER_LEN / 8)] |= 1 << (32 + rng.below(32));
    }
    [&area[..], header.map(u64::to_le_bytes).as_flattened()].concat()
}
