//! KVM's register structs and ours, both ways.

use kvm_bindings::{Msrs, kvm_dtable, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs, kvm_xsave};

use crate::{CpuState, Dtable, FxState, Regs, Segment};

/// MSR numbers (AMD APM vol. 2, appendix A).
mod msr {
    pub const TSC: u32 = 0x10;
    pub const STAR: u32 = 0xc000_0081;
    pub const LSTAR: u32 = 0xc000_0082;
    pub const CSTAR: u32 = 0xc000_0083;
    pub const SFMASK: u32 = 0xc000_0084;
    pub const KERNEL_GS_BASE: u32 = 0xc000_0102;
}

impl From<&kvm_regs> for Regs {
    fn from(r: &kvm_regs) -> Self {
        Self {
            gpr: [
                r.rax, r.rcx, r.rdx, r.rbx, r.rsp, r.rbp, r.rsi, r.rdi, r.r8, r.r9, r.r10, r.r11,
                r.r12, r.r13, r.r14, r.r15,
            ],
            rip: r.rip,
            rflags: r.rflags,
        }
    }
}

impl From<&Regs> for kvm_regs {
    fn from(regs: &Regs) -> Self {
        let [
            rax,
            rcx,
            rdx,
            rbx,
            rsp,
            rbp,
            rsi,
            rdi,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
        ] = regs.gpr;
        Self {
            rax,
            rbx,
            rcx,
            rdx,
            rsi,
            rdi,
            rsp,
            rbp,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            rip: regs.rip,
            rflags: regs.rflags,
        }
    }
}

/// One descriptor attribute: its place in [`Segment::attributes`] and its width in bits.
struct Attribute {
    shift: u32,
    mask: u16,
}

impl Attribute {
    const TYPE: Self = Self {
        shift: 0,
        mask: 0xf,
    };
    const S: Self = Self { shift: 4, mask: 1 };
    const DPL: Self = Self { shift: 5, mask: 3 };
    const PRESENT: Self = Self { shift: 7, mask: 1 };
    const AVL: Self = Self { shift: 12, mask: 1 };
    const LONG: Self = Self { shift: 13, mask: 1 };
    const DB: Self = Self { shift: 14, mask: 1 };
    const GRANULARITY: Self = Self { shift: 15, mask: 1 };

    fn get(&self, attributes: u16) -> u8 {
        (attributes >> self.shift & self.mask) as u8
    }

    fn put(&self, value: u8) -> u16 {
        (u16::from(value) & self.mask) << self.shift
    }
}

impl From<&kvm_segment> for Segment {
    fn from(s: &kvm_segment) -> Self {
        Self {
            selector: s.selector,
            base: s.base,
            limit: s.limit,
            attributes: Attribute::TYPE.put(s.type_)
                | Attribute::S.put(s.s)
                | Attribute::DPL.put(s.dpl)
                | Attribute::PRESENT.put(s.present & !s.unusable)
                | Attribute::AVL.put(s.avl)
                | Attribute::LONG.put(s.l)
                | Attribute::DB.put(s.db)
                | Attribute::GRANULARITY.put(s.g),
        }
    }
}

impl From<&Segment> for kvm_segment {
    fn from(segment: &Segment) -> Self {
        let attribute = |which: Attribute| which.get(segment.attributes);
        Self {
            base: segment.base,
            limit: segment.limit,
            selector: segment.selector,
            type_: attribute(Attribute::TYPE),
            present: attribute(Attribute::PRESENT),
            dpl: attribute(Attribute::DPL),
            db: attribute(Attribute::DB),
            s: attribute(Attribute::S),
            l: attribute(Attribute::LONG),
            g: attribute(Attribute::GRANULARITY),
            avl: attribute(Attribute::AVL),
            unusable: attribute(Attribute::PRESENT) ^ 1,
            padding: 0,
        }
    }
}

impl From<&kvm_dtable> for Dtable {
    fn from(table: &kvm_dtable) -> Self {
        Self {
            base: table.base,
            limit: table.limit,
        }
    }
}

impl From<&Dtable> for kvm_dtable {
    fn from(table: &Dtable) -> Self {
        Self {
            base: table.base,
            limit: table.limit,
            ..Default::default()
        }
    }
}

/// The MSRs that are part of [`CpuState`], with the values given.
fn msr_entries(state: &CpuState) -> [kvm_msr_entry; 5] {
    [
        (msr::STAR, state.star),
        (msr::LSTAR, state.lstar),
        (msr::CSTAR, state.cstar),
        (msr::SFMASK, state.sfmask),
        (msr::KERNEL_GS_BASE, state.kernel_gs_base),
    ]
    .map(|(index, data)| kvm_msr_entry {
        index,
        data,
        ..Default::default()
    })
}

/// A list to write [`CpuState`]'s MSRs from; the time-stamp counter is not among them.
pub fn msrs_of(state: &CpuState) -> Option<Msrs> {
    Msrs::from_entries(&msr_entries(state)).ok()
}

/// A list to read [`CpuState`]'s MSRs into, the time-stamp counter among them.
pub fn msrs_to_read() -> Option<Msrs> {
    let tsc = kvm_msr_entry {
        index: msr::TSC,
        ..Default::default()
    };
    let rest = [
        msr::STAR,
        msr::LSTAR,
        msr::CSTAR,
        msr::SFMASK,
        msr::KERNEL_GS_BASE,
    ]
    .map(|index| kvm_msr_entry {
        index,
        ..Default::default()
    });
    let entries: Vec<_> = std::iter::once(tsc).chain(rest).collect();
    Msrs::from_entries(&entries).ok()
}

/// Puts the parts that KVM returns together.
pub fn state_from_kvm(
    regs: &kvm_regs,
    sregs: &kvm_sregs,
    msrs: &Msrs,
    xsave: &kvm_xsave,
) -> CpuState {
    let msr = |wanted: u32| {
        msrs.as_slice()
            .iter()
            .find(|entry| entry.index == wanted)
            .map_or(0, |entry| entry.data)
    };
    CpuState {
        regs: regs.into(),
        es: (&sregs.es).into(),
        cs: (&sregs.cs).into(),
        ss: (&sregs.ss).into(),
        ds: (&sregs.ds).into(),
        fs: (&sregs.fs).into(),
        gs: (&sregs.gs).into(),
        ldt: (&sregs.ldt).into(),
        tr: (&sregs.tr).into(),
        gdt: (&sregs.gdt).into(),
        idt: (&sregs.idt).into(),
        cr0: sregs.cr0,
        cr2: sregs.cr2,
        cr3: sregs.cr3,
        cr4: sregs.cr4,
        cr8: sregs.cr8,
        efer: sregs.efer,
        apic_base: sregs.apic_base,
        star: msr(msr::STAR),
        lstar: msr(msr::LSTAR),
        cstar: msr(msr::CSTAR),
        sfmask: msr(msr::SFMASK),
        kernel_gs_base: msr(msr::KERNEL_GS_BASE),
        tsc: msr(msr::TSC),
        fx: fx_from_xsave(xsave),
    }
}

/// The privilege level: that of the code segment's selector, but for real mode, where any
/// number may be there.
pub fn ring(sregs: &kvm_sregs) -> u8 {
    const CR0_PE: u64 = 1;
    match sregs.cr0 & CR0_PE {
        0 => 0,
        _ => (sregs.cs.selector & 3) as u8,
    }
}

/// Overwrites in `sregs` what [`CpuState`] holds; the rest (pending interrupts) stays.
pub fn update_sregs(sregs: &mut kvm_sregs, state: &CpuState) {
    sregs.es = (&state.es).into();
    sregs.cs = (&state.cs).into();
    sregs.ss = (&state.ss).into();
    sregs.ds = (&state.ds).into();
    sregs.fs = (&state.fs).into();
    sregs.gs = (&state.gs).into();
    sregs.ldt = (&state.ldt).into();
    sregs.tr = (&state.tr).into();
    sregs.gdt = (&state.gdt).into();
    sregs.idt = (&state.idt).into();
    sregs.cr0 = state.cr0;
    sregs.cr2 = state.cr2;
    sregs.cr3 = state.cr3;
    sregs.cr4 = state.cr4;
    sregs.cr8 = state.cr8;
    sregs.efer = state.efer;
    sregs.apic_base = state.apic_base;
}

/// Words of an XSAVE area that are the image of `fxsave64` (Intel SDM vol. 1 13.4.1).
const LEGACY_WORDS: usize = 512 / 4;
/// Word of XSTATE_BV, and its bits for x87 and SSE.
const XSTATE_BV_WORD: usize = 512 / 4;
const XSTATE_X87_SSE: u32 = 3;
/// Its bit for PKRU.
const XSTATE_PKRU: u32 = 1 << 9;

fn fx_from_xsave(xsave: &kvm_xsave) -> FxState {
    let mut image = [0; 512];
    for (bytes, word) in image.chunks_exact_mut(4).zip(&xsave.region[..LEGACY_WORDS]) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    FxState(image)
}

/// Overwrites x87 and SSE state in an XSAVE area.
pub fn update_xsave(xsave: &mut kvm_xsave, fx: &FxState) {
    for (word, bytes) in xsave.region[..LEGACY_WORDS]
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
    fn general_registers_keep_their_numbers() {
        let regs = Regs {
            gpr: std::array::from_fn(|number| 100 + number as u64),
            rip: 1,
            rflags: 2,
        };
        let kvm = kvm_regs::from(&regs);
        assert_eq!((kvm.rsp, kvm.rbp, kvm.rsi, kvm.rdi), (104, 105, 106, 107));
        assert_eq!(
            (kvm.rax, kvm.rcx, kvm.rdx, kvm.rbx, kvm.r15),
            (100, 101, 102, 103, 115)
        );
        assert_eq!(Regs::from(&kvm), regs);
    }

    #[test]
    fn segments_survive_both_ways() {
        let code = Segment {
            selector: 8,
            base: 0,
            limit: 0xffff_ffff,
            attributes: 0xa09b,
        };
        let kvm = kvm_segment::from(&code);
        assert_eq!((kvm.type_, kvm.s, kvm.dpl, kvm.present), (0xb, 1, 0, 1));
        assert_eq!((kvm.l, kvm.db, kvm.g, kvm.unusable), (1, 0, 1, 0));
        assert_eq!(Segment::from(&kvm), code);
        assert_eq!(kvm_segment::from(&Segment::default()).unusable, 1);
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
}
