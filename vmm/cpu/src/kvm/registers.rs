//! KVM's register structs and ours, both ways.

use kvm_bindings::{
    KVM_VCPUEVENT_VALID_NMI_PENDING, KVM_VCPUEVENT_VALID_SHADOW, KVM_X86_SHADOW_INT_MOV_SS,
    KVM_X86_SHADOW_INT_STI, Msrs as MsrList, kvm_debugregs, kvm_dtable, kvm_msr_entry, kvm_regs,
    kvm_segment, kvm_sregs, kvm_vcpu_events, kvm_xsave,
};
use x86::{msr, segment};

use super::xsave::{fx_from_xsave, ymm_high_from_xsave};
use crate::{
    CpuState, DebugRegs, Dtable, ExtendedState, Interruptibility, Msrs, Regs, Segment, Shadow,
};

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

/// One of [`Segment::attributes`]' fields, by its mask.
struct Attribute(u16);

impl Attribute {
    const TYPE: Self = Self(segment::TYPE);
    const S: Self = Self(segment::ORDINARY);
    const DPL: Self = Self(segment::DPL);
    const PRESENT: Self = Self(segment::PRESENT);
    const AVL: Self = Self(segment::AVAILABLE);
    const LONG: Self = Self(segment::LONG);
    const DB: Self = Self(segment::BIG);
    const GRANULARITY: Self = Self(segment::GRANULAR);

    fn get(&self, attributes: u16) -> u8 {
        ((attributes & self.0) >> self.0.trailing_zeros()) as u8
    }

    fn put(&self, value: u8) -> u16 {
        u16::from(value) << self.0.trailing_zeros() & self.0
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

impl From<&kvm_debugregs> for DebugRegs {
    fn from(regs: &kvm_debugregs) -> Self {
        let [dr0, dr1, dr2, dr3] = regs.db;
        Self([dr0, dr1, dr2, dr3, 0, 0, regs.dr6, regs.dr7])
    }
}

impl From<&DebugRegs> for kvm_debugregs {
    fn from(regs: &DebugRegs) -> Self {
        let [dr0, dr1, dr2, dr3, _, _, dr6, dr7] = regs.0;
        Self {
            db: [dr0, dr1, dr2, dr3],
            dr6,
            dr7,
            ..Default::default()
        }
    }
}

impl From<&kvm_vcpu_events> for Interruptibility {
    fn from(events: &kvm_vcpu_events) -> Self {
        // KVM on AMD, which cannot tell them apart, says both.
        let shadow = match u32::from(events.interrupt.shadow) {
            0 => Shadow::None,
            KVM_X86_SHADOW_INT_MOV_SS => Shadow::MovSs,
            _ => Shadow::Sti,
        };
        Self {
            shadow,
            nmi_pending: events.nmi.pending | events.nmi.injected != 0,
            nmi_blocked: events.nmi.masked != 0,
        }
    }
}

/// Overwrites in `events` what [`Interruptibility`] holds; the rest (exceptions and
/// interrupts that KVM is about to deliver) stays.
pub fn update_events(events: &mut kvm_vcpu_events, state: Interruptibility) {
    events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW;
    events.interrupt.shadow = match state.shadow {
        Shadow::None => 0,
        Shadow::Sti => KVM_X86_SHADOW_INT_STI as u8,
        Shadow::MovSs => KVM_X86_SHADOW_INT_MOV_SS as u8,
    };
    events.nmi.injected = 0;
    events.nmi.pending = state.nmi_pending.into();
    events.nmi.masked = state.nmi_blocked.into();
}

/// The registers of [`Msrs`] that KVM has no other interface for. KVM stops at the first
/// MSR that it lacks, so TSC_AUX, which processors without `rdtscp` have not, is the last.
fn msr_fields(msrs: &mut Msrs) -> Vec<(u32, &mut u64)> {
    let mut fields = vec![
        (msr::STAR, &mut msrs.star),
        (msr::LSTAR, &mut msrs.lstar),
        (msr::CSTAR, &mut msrs.cstar),
        (msr::SFMASK, &mut msrs.sfmask),
        (msr::KERNEL_GS_BASE, &mut msrs.kernel_gs_base),
        (msr::SYSENTER_CS, &mut msrs.sysenter_cs),
        (msr::SYSENTER_ESP, &mut msrs.sysenter_esp),
        (msr::SYSENTER_EIP, &mut msrs.sysenter_eip),
        (msr::PAT, &mut msrs.pat),
        (msr::MTRR_DEF_TYPE, &mut msrs.mtrrs.default_type),
    ];
    fields.extend(msr::MTRR_FIXED.into_iter().zip(&mut msrs.mtrrs.fixed));
    fields.extend(msr::MTRR_VARIABLE.zip(&mut msrs.mtrrs.variable));
    fields.push((msr::TSC_AUX, &mut msrs.tsc_aux));
    fields
}

fn entry(index: u32, data: u64) -> kvm_msr_entry {
    kvm_msr_entry {
        index,
        data,
        ..Default::default()
    }
}

/// A list to write the MSRs from; the time-stamp counter is not among them.
pub fn msrs_to_write(mut msrs: Msrs) -> Option<MsrList> {
    let fields = msr_fields(&mut msrs).into_iter();
    let entries: Vec<_> = fields.map(|(index, value)| entry(index, *value)).collect();
    MsrList::from_entries(&entries).ok()
}

/// A list to read the MSRs into, the time-stamp counter first among them.
pub fn msrs_to_read() -> Option<MsrList> {
    let mut entries = vec![entry(msr::TSC, 0)];
    let mut msrs = Msrs::default();
    let fields = msr_fields(&mut msrs).into_iter();
    entries.extend(fields.map(|(index, _)| entry(index, 0)));
    MsrList::from_entries(&entries).ok()
}

/// Puts the parts that KVM returns together; `list` is [`msrs_to_read`]'s, `xcr0` 1 where
/// there is no such register.
pub fn state_from_kvm(
    regs: &kvm_regs,
    sregs: &kvm_sregs,
    debug: &kvm_debugregs,
    list: &MsrList,
    xsave: &kvm_xsave,
    xcr0: u64,
    events: &kvm_vcpu_events,
) -> CpuState {
    let mut values = list.as_slice().iter().map(|entry| entry.data);
    let tsc = values.next().unwrap_or(0);
    let mut msrs = Msrs {
        apic_base: sregs.apic_base,
        ..Msrs::default()
    };
    for ((_, field), value) in msr_fields(&mut msrs).into_iter().zip(values) {
        *field = value;
    }
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
        debug: debug.into(),
        msrs,
        tsc,
        fx: fx_from_xsave(xsave),
        extended: ExtendedState {
            xcr0,
            ymm_high: ymm_high_from_xsave(xsave),
        },
        interruptibility: events.into(),
    }
}

/// What of `state` is in `kvm_sregs`; the rest of it is zero.
pub fn sregs_of(state: &CpuState) -> kvm_sregs {
    let mut sregs = kvm_sregs::default();
    update_sregs(&mut sregs, state);
    sregs
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
    sregs.apic_base = state.msrs.apic_base;
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let code = Segment::flat(8, segment::FLAT_CODE_64);
        let kvm = kvm_segment::from(&code);
        assert_eq!((kvm.type_, kvm.s, kvm.dpl, kvm.present), (0xb, 1, 0, 1));
        assert_eq!((kvm.l, kvm.db, kvm.g, kvm.unusable), (1, 0, 1, 0));
        assert_eq!(Segment::from(&kvm), code);
        assert_eq!(kvm_segment::from(&Segment::default()).unusable, 1);
    }
}
