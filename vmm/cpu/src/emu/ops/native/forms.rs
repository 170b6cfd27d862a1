//! Which instructions have stubs.

use iced_x86::{Code, CpuidFeature, EncodingKind};

use crate::emu::engine::form::{Form, Outcome};
use crate::emu::ops::native::exec;

/// The form of a code that no family lists: those of a few features, encoded with VEX or as
/// SSE's instructions are.
pub fn form(code: Code) -> Option<Form> {
    let encoded = matches!(code.encoding(), EncodingKind::VEX | EncodingKind::Legacy);
    let features = code.cpuid_features();
    (encoded && features.iter().all(|&feature| is_native(feature))).then_some(Form {
        code,
        lower: exec::lower,
        outcome: Outcome::QuietVector,
        stub: true,
    })
}

/// Whether instructions of the feature are executed by stubs.
fn is_native(feature: CpuidFeature) -> bool {
    use CpuidFeature as F;
    matches!(
        feature,
        F::AVX
            | F::AVX2
            | F::FMA
            | F::F16C
            | F::AES
            | F::PCLMULQDQ
            | F::SHA
            | F::VAES
            | F::VPCLMULQDQ
            | F::GFNI
            | F::BMI1
            | F::BMI2
            | F::ADX
    )
}
