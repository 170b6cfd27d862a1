//! KVM's XSAVE area.

use kvm_bindings::kvm_xsave;
use x86::fx;

use crate::FxState;

/// Words of an XSAVE area that are the image of `fxsave64` (Intel SDM vol. 1 13.4.1), and
/// those of them that the processor fills in: KVM keeps data of its own in the rest.
const LEGACY_WORDS: usize = fx::LEN / 4;
const FX_WORDS: usize = fx::SOFTWARE_AT / 4;
/// Word of XSTATE_BV, and its bits for x87 and SSE.
const XSTATE_BV_WORD: usize = fx::LEN / 4;
const XSTATE_X87_SSE: u32 = 3;
/// Its bit for the high halves of the YMM registers, and the first of their words.
const XSTATE_AVX: u32 = 1 << 2;
const AVX_WORD: usize = 576 / 4;
/// Its bit for PKRU.
const XSTATE_PKRU: u32 = 1 << 9;

/// x87 and SSE state out of an XSAVE area.
pub fn fx_from_xsave(xsave: &kvm_xsave) -> FxState {
    let mut image = [0; fx::LEN];
    for (bytes, word) in image.chunks_exact_mut(4).zip(&xsave.region[..FX_WORDS]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    FxState(image)
}

/// The high halves of the YMM registers out of an XSAVE area.
pub fn ymm_high_from_xsave(xsave: &kvm_xsave) -> [u128; 16] {
    if xsave.region[XSTATE_BV_WORD] & XSTATE_AVX == 0 {
        return [0; 16];
    }
    let word = |at: usize| u128::from(xsave.region[at]);
    std::array::from_fn(|number| {
        let at = AVX_WORD + 4 * number;
        word(at) | word(at + 1) << 32 | word(at + 2) << 64 | word(at + 3) << 96
    })
}

/// Overwrites them in an XSAVE area. Zeros are as after reset, which all processors take,
/// those without AVX too.
pub fn update_ymm_high(xsave: &mut kvm_xsave, ymm_high: &[u128; 16]) {
    xsave.region[XSTATE_BV_WORD] &= !XSTATE_AVX;
    if *ymm_high == [0; 16] {
        return;
    }
    xsave.region[XSTATE_BV_WORD] |= XSTATE_AVX;
    let words = xsave.region[AVX_WORD..].as_chunks_mut::<4>().0;
    for (words, value) in words.iter_mut().zip(ymm_high) {
        *words = [0, 32, 64, 96].map(|shift| (value >> shift) as u32);
    }
}

/// Overwrites x87 and SSE state in an XSAVE area.
pub fn update_xsave(xsave: &mut kvm_xsave, fx: &FxState) {
    for (word, bytes) in xsave.region[..FX_WORDS]
        .iter_mut()
        .zip(fx.0.chunks_exact(4))
    {
        *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    }
    xsave.region[XSTATE_BV_WORD] |= XSTATE_X87_SSE;
}

/// Overwrites what there is in an XSAVE area beside x87 and SSE with what `bytes`, which are
/// in the same format, say. KVM leaves PKRU as it is where it is not announced, so it always
/// is if the guest has it: in the word `pkru`.
pub fn load_xsave(xsave: &mut kvm_xsave, bytes: &[u8], pkru: Option<usize>) {
    let kept = xsave.region[XSTATE_BV_WORD] & XSTATE_X87_SSE;
    let loaded = bytes
        .as_chunks()
        .0
        .iter()
        .map(|word| u32::from_le_bytes(*word));
    let words = xsave.region.iter_mut().zip(loaded);
    words.skip(LEGACY_WORDS).for_each(|(to, from)| *to = from);
    let announced = xsave.region[XSTATE_BV_WORD] & !XSTATE_X87_SSE;
    xsave.region[XSTATE_BV_WORD] = announced | kept;
    if let Some(word) = pkru.and_then(|word| xsave.region.get_mut(word)) {
        if announced & XSTATE_PKRU == 0 {
            *word = 0;
        }
        xsave.region[XSTATE_BV_WORD] |= XSTATE_PKRU;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_leaves_x87_and_sse_alone() {
        const AVX: u32 = 1 << 2;
        const AREA: usize = 4096;
        let mut xsave = kvm_xsave {
            region: [7; AREA / 4],
            ..Default::default()
        };
        xsave.region[XSTATE_BV_WORD] = XSTATE_X87_SSE;
        let mut bytes = [9; AREA];
        bytes[512..516].copy_from_slice(&AVX.to_le_bytes());
        load_xsave(&mut xsave, &bytes, None);
        assert!(xsave.region[..LEGACY_WORDS].iter().all(|&word| word == 7));
        assert_eq!(xsave.region[XSTATE_BV_WORD], XSTATE_X87_SSE | AVX);
        let rest = &xsave.region[XSTATE_BV_WORD + 1..];
        assert!(rest.iter().all(|&word| word == 0x0909_0909));
        load_xsave(&mut xsave, &[0; AREA], None);
        assert_eq!(xsave.region[XSTATE_BV_WORD], XSTATE_X87_SSE);
    }

    #[test]
    fn a_load_always_says_what_pkru_is() {
        const WORD: usize = 672;
        let mut xsave = kvm_xsave {
            region: [0; 1024],
            ..Default::default()
        };
        let mut bytes = [0; 4096];
        bytes[4 * WORD] = 3;
        load_xsave(&mut xsave, &bytes, Some(WORD));
        assert_eq!(xsave.region[WORD], 0);
        bytes[512..516].copy_from_slice(&XSTATE_PKRU.to_le_bytes());
        load_xsave(&mut xsave, &bytes, Some(WORD));
        assert_eq!(xsave.region[WORD], 3);
        assert_eq!(xsave.region[XSTATE_BV_WORD], XSTATE_PKRU);
    }

    #[test]
    fn fx_state_marks_itself_as_in_use() {
        let mut xsave = kvm_xsave::default();
        update_xsave(&mut xsave, &FxState::initial());
        assert_eq!(
            xsave.region[XSTATE_BV_WORD] & XSTATE_X87_SSE,
            XSTATE_X87_SSE
        );
        assert_eq!(fx_from_xsave(&xsave), FxState::initial());
    }

    #[test]
    fn high_halves_are_in_use_unless_they_are_zero() {
        let mut xsave = kvm_xsave::default();
        let halves = std::array::from_fn(|number| (number as u128 + 1) << 100 | 5);
        update_ymm_high(&mut xsave, &halves);
        assert_eq!(ymm_high_from_xsave(&xsave), halves);
        update_ymm_high(&mut xsave, &[0; 16]);
        assert_eq!(xsave.region[XSTATE_BV_WORD], 0);
        assert_eq!(ymm_high_from_xsave(&xsave), [0; 16]);
    }
}
