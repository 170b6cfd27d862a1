//! Integer arithmetic, logic, shifts and shuffles on XMM registers: SSE to SSE4.2.

use std::arch::x86_64::__m128i;

use iced_x86::Instruction;

use crate::emu::cpu::Op;
use crate::emu::engine::form::{Form, Site};
use crate::emu::ops::simd::sse_forms::xmm_forms;

pub const FORMS: &[Form] = xmm_forms! {
    direct Full None {
        "unpcklpd" Unpcklpd_xmm_xmmm128
        "unpckhpd" Unpckhpd_xmm_xmmm128
        "andpd" Andpd_xmm_xmmm128
        "andnpd" Andnpd_xmm_xmmm128
        "orpd" Orpd_xmm_xmmm128
        "xorpd" Xorpd_xmm_xmmm128
        "punpcklbw" Punpcklbw_xmm_xmmm128
        "punpcklwd" Punpcklwd_xmm_xmmm128
        "punpckldq" Punpckldq_xmm_xmmm128
        "pcmpgtd" Pcmpgtd_xmm_xmmm128
        "packuswb" Packuswb_xmm_xmmm128
        "punpckhdq" Punpckhdq_xmm_xmmm128
        "punpcklqdq" Punpcklqdq_xmm_xmmm128
        "punpckhqdq" Punpckhqdq_xmm_xmmm128
        "pcmpeqb" Pcmpeqb_xmm_xmmm128
        "pcmpeqw" Pcmpeqw_xmm_xmmm128
        "pcmpeqd" Pcmpeqd_xmm_xmmm128
        "paddq" Paddq_xmm_xmmm128
        "pmullw" Pmullw_xmm_xmmm128
        "pminub" Pminub_xmm_xmmm128
        "pand" Pand_xmm_xmmm128
        "pmaxub" Pmaxub_xmm_xmmm128
        "pandn" Pandn_xmm_xmmm128
        "por" Por_xmm_xmmm128
        "pxor" Pxor_xmm_xmmm128
        "pmuludq" Pmuludq_xmm_xmmm128
        "pmaddwd" Pmaddwd_xmm_xmmm128
        "psubb" Psubb_xmm_xmmm128
        "psubw" Psubw_xmm_xmmm128
        "psubd" Psubd_xmm_xmmm128
        "psubq" Psubq_xmm_xmmm128
        "paddb" Paddb_xmm_xmmm128
        "paddw" Paddw_xmm_xmmm128
        "paddd" Paddd_xmm_xmmm128
        "unpcklps" Unpcklps_xmm_xmmm128
        "unpckhps" Unpckhps_xmm_xmmm128
        "andps" Andps_xmm_xmmm128
        "andnps" Andnps_xmm_xmmm128
        "orps" Orps_xmm_xmmm128
        "xorps" Xorps_xmm_xmmm128
        "pshufb" Pshufb_xmm_xmmm128
    }
    stub Full None {
        "packsswb" Packsswb_xmm_xmmm128
        "pcmpgtb" Pcmpgtb_xmm_xmmm128
        "pcmpgtw" Pcmpgtw_xmm_xmmm128
        "punpckhbw" Punpckhbw_xmm_xmmm128
        "punpckhwd" Punpckhwd_xmm_xmmm128
        "packssdw" Packssdw_xmm_xmmm128
        "psrlw" Psrlw_xmm_xmmm128
        "psrld" Psrld_xmm_xmmm128
        "psrlq" Psrlq_xmm_xmmm128
        "psubusb" Psubusb_xmm_xmmm128
        "psubusw" Psubusw_xmm_xmmm128
        "paddusb" Paddusb_xmm_xmmm128
        "paddusw" Paddusw_xmm_xmmm128
        "pavgb" Pavgb_xmm_xmmm128
        "psraw" Psraw_xmm_xmmm128
        "psrad" Psrad_xmm_xmmm128
        "pavgw" Pavgw_xmm_xmmm128
        "pmulhuw" Pmulhuw_xmm_xmmm128
        "pmulhw" Pmulhw_xmm_xmmm128
        "psubsb" Psubsb_xmm_xmmm128
        "psubsw" Psubsw_xmm_xmmm128
        "pminsw" Pminsw_xmm_xmmm128
        "paddsb" Paddsb_xmm_xmmm128
        "paddsw" Paddsw_xmm_xmmm128
        "pmaxsw" Pmaxsw_xmm_xmmm128
        "psllw" Psllw_xmm_xmmm128
        "pslld" Pslld_xmm_xmmm128
        "psllq" Psllq_xmm_xmmm128
        "psadbw" Psadbw_xmm_xmmm128
        "pmuldq" Pmuldq_xmm_xmmm128
        "pcmpeqq" Pcmpeqq_xmm_xmmm128
        "packusdw" Packusdw_xmm_xmmm128
        "pminsb" Pminsb_xmm_xmmm128
        "pminsd" Pminsd_xmm_xmmm128
        "pminuw" Pminuw_xmm_xmmm128
        "pminud" Pminud_xmm_xmmm128
        "pmaxsb" Pmaxsb_xmm_xmmm128
        "pmaxsd" Pmaxsd_xmm_xmmm128
        "pmaxuw" Pmaxuw_xmm_xmmm128
        "pmaxud" Pmaxud_xmm_xmmm128
        "pmulld" Pmulld_xmm_xmmm128
        "phminposuw" Phminposuw_xmm_xmmm128
        "pcmpgtq" Pcmpgtq_xmm_xmmm128
        "phaddw" Phaddw_xmm_xmmm128
        "phaddd" Phaddd_xmm_xmmm128
        "phaddsw" Phaddsw_xmm_xmmm128
        "pmaddubsw" Pmaddubsw_xmm_xmmm128
        "phsubw" Phsubw_xmm_xmmm128
        "phsubd" Phsubd_xmm_xmmm128
        "phsubsw" Phsubsw_xmm_xmmm128
        "psignb" Psignb_xmm_xmmm128
        "psignw" Psignw_xmm_xmmm128
        "psignd" Psignd_xmm_xmmm128
        "pmulhrsw" Pmulhrsw_xmm_xmmm128
        "pabsb" Pabsb_xmm_xmmm128
        "pabsw" Pabsw_xmm_xmmm128
        "pabsd" Pabsd_xmm_xmmm128
        "movsldup" Movsldup_xmm_xmmm128
        "movshdup" Movshdup_xmm_xmmm128
    }
    stub Low64 None {
        "pmovsxbw" Pmovsxbw_xmm_xmmm64
        "pmovsxwd" Pmovsxwd_xmm_xmmm64
        "pmovsxdq" Pmovsxdq_xmm_xmmm64
        "pmovzxbw" Pmovzxbw_xmm_xmmm64
        "pmovzxwd" Pmovzxwd_xmm_xmmm64
        "pmovzxdq" Pmovzxdq_xmm_xmmm64
        "movddup" Movddup_xmm_xmmm64
    }
    stub Low32 None {
        "pmovsxbd" Pmovsxbd_xmm_xmmm32
        "pmovsxwq" Pmovsxwq_xmm_xmmm32
        "pmovzxbd" Pmovzxbd_xmm_xmmm32
        "pmovzxwq" Pmovzxwq_xmm_xmmm32
    }
    stub Low16 None {
        "pmovsxbq" Pmovsxbq_xmm_xmmm16
        "pmovzxbq" Pmovzxbq_xmm_xmmm16
    }
    imm Full None {
        "pshufd" Pshufd_xmm_xmmm128_imm8
        "pshufhw" Pshufhw_xmm_xmmm128_imm8
        "pshuflw" Pshuflw_xmm_xmmm128_imm8
        "shufpd" Shufpd_xmm_xmmm128_imm8
        "blendps" Blendps_xmm_xmmm128_imm8
        "blendpd" Blendpd_xmm_xmmm128_imm8
        "pblendw" Pblendw_xmm_xmmm128_imm8
        "mpsadbw" Mpsadbw_xmm_xmmm128_imm8
        "shufps" Shufps_xmm_xmmm128_imm8
        "palignr" Palignr_xmm_xmmm128_imm8
    }
    shift Full None {
        "psrlw" Psrlw_xmm_imm8
        "psraw" Psraw_xmm_imm8
        "psllw" Psllw_xmm_imm8
        "psrld" Psrld_xmm_imm8
        "psrad" Psrad_xmm_imm8
        "pslld" Pslld_xmm_imm8
        "psrlq" Psrlq_xmm_imm8
        "psrldq" Psrldq_xmm_imm8
        "psllq" Psllq_xmm_imm8
        "pslldq" Pslldq_xmm_imm8
    }
};
