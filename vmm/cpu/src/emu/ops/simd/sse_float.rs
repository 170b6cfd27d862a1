//! Floating-point arithmetic on XMM registers: SSE, SSE2, SSE3 and SSE4.1.

use std::arch::x86_64::__m128i;

use iced_x86::Instruction;

use crate::emu::cpu::Op;
use crate::emu::engine::form::{Form, Site};
use crate::emu::ops::simd::sse_forms::xmm_forms;

pub const FORMS: &[Form] = xmm_forms! {
    direct Full Used {
        "addps" Addps_xmm_xmmm128
        "subps" Subps_xmm_xmmm128
        "mulps" Mulps_xmm_xmmm128
        "divps" Divps_xmm_xmmm128
    }
    direct Full Used {
        "addpd" Addpd_xmm_xmmm128
        "subpd" Subpd_xmm_xmmm128
        "mulpd" Mulpd_xmm_xmmm128
        "divpd" Divpd_xmm_xmmm128
    }
    direct Low32 Used {
        "addss" Addss_xmm_xmmm32
        "subss" Subss_xmm_xmmm32
        "mulss" Mulss_xmm_xmmm32
        "divss" Divss_xmm_xmmm32
    }
    direct Low64 Used {
        "addsd" Addsd_xmm_xmmm64
        "subsd" Subsd_xmm_xmmm64
        "mulsd" Mulsd_xmm_xmmm64
        "divsd" Divsd_xmm_xmmm64
    }
    direct Full Used {
        "maxps" Maxps_xmm_xmmm128
        "minps" Minps_xmm_xmmm128
        "maxpd" Maxpd_xmm_xmmm128
        "minpd" Minpd_xmm_xmmm128
        "sqrtps" Sqrtps_xmm_xmmm128
        "sqrtpd" Sqrtpd_xmm_xmmm128
        "cvtdq2ps" Cvtdq2ps_xmm_xmmm128
        "cvttps2dq" Cvttps2dq_xmm_xmmm128
    }
    direct Low32 Used {
        "maxss" Maxss_xmm_xmmm32
        "minss" Minss_xmm_xmmm32
        "sqrtss" Sqrtss_xmm_xmmm32
        "cvtss2sd" Cvtss2sd_xmm_xmmm32
    }
    direct Low64 Used {
        "maxsd" Maxsd_xmm_xmmm64
        "minsd" Minsd_xmm_xmmm64
        "sqrtsd" Sqrtsd_xmm_xmmm64
        "cvtps2pd" Cvtps2pd_xmm_xmmm64
    }
    direct Low64 Used { "cvtsd2ss" Cvtsd2ss_xmm_xmmm64 }
    // Integers of 32 bits are exact in double precision.
    direct Low64 None { "cvtdq2pd" Cvtdq2pd_xmm_xmmm64 }

    stub Full Used {
        "cvtps2dq" Cvtps2dq_xmm_xmmm128
        "cvtpd2dq" Cvtpd2dq_xmm_xmmm128
        "cvttpd2dq" Cvttpd2dq_xmm_xmmm128
    }
    stub Full Used {
        "cvtpd2ps" Cvtpd2ps_xmm_xmmm128
        "addsubps" Addsubps_xmm_xmmm128
        "haddps" Haddps_xmm_xmmm128
        "hsubps" Hsubps_xmm_xmmm128
    }
    stub Full Used {
        "addsubpd" Addsubpd_xmm_xmmm128
        "haddpd" Haddpd_xmm_xmmm128
        "hsubpd" Hsubpd_xmm_xmmm128
    }
    // Approximations, which raise no exceptions and ignore MXCSR.
    stub Full None {
        "rcpps" Rcpps_xmm_xmmm128
        "rsqrtps" Rsqrtps_xmm_xmmm128
    }
    stub Low32 None {
        "rcpss" Rcpss_xmm_xmmm32
        "rsqrtss" Rsqrtss_xmm_xmmm32
    }
    imm Full Used {
        "cmpps" Cmpps_xmm_xmmm128_imm8
        "cmppd" Cmppd_xmm_xmmm128_imm8
        "roundps" Roundps_xmm_xmmm128_imm8
        "roundpd" Roundpd_xmm_xmmm128_imm8
    }
    imm Low32 Used {
        "cmpss" Cmpss_xmm_xmmm32_imm8
        "roundss" Roundss_xmm_xmmm32_imm8
    }
    imm Low64 Used {
        "cmpsd" Cmpsd_xmm_xmmm64_imm8
        "roundsd" Roundsd_xmm_xmmm64_imm8
    }
    imm Full Used { "dpps" Dpps_xmm_xmmm128_imm8 }
    imm Full Used { "dppd" Dppd_xmm_xmmm128_imm8 }
};
