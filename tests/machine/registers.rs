//! Model-specific registers: which there are, what they keep and refuse (APM vol. 2 7.7 and
//! appendix A), and what CPUID makes of them.

use assembly::code;
use x86::{ApicBaseFlags, msr};

use crate::monitor::kernel;
use crate::support::kernel::Kernel;
use crate::{Case, Wrong};

pub const CASES: &[Case] = &[
    Case::new(
        "memory_types_are_kept",
        memory_types,
        "c06\n606050401000606\n606060606060606\nf0000006\nfff0000800\n",
    ),
    Case::new("memory_types_are_checked", bad_types, REFUSED_5_TIMES).but(&[
        (Wrong::Qemu, "it checks none"),
        (Wrong::SoftwareKvm, "it checks some only"),
    ]),
    Case::new(
        "registers_of_amd",
        of_amd,
        "1000000\n41000000\n0\n700000\n40000000\n100000000\n400000000000\n18\n",
    )
    .but(ANOTHER_PROCESSOR),
    Case::new("registers_of_amd_are_checked", bad_of_amd, REFUSED_5_TIMES).but(ANOTHER_PROCESSOR),
    Case::new(
        "counters_are_kept",
        counters,
        "5300c0\n123456789abc\n123456789abc\n#d(0) 0\n",
    )
    .but(ANOTHER_PROCESSOR),
    Case::new("no_registers_of_intel", of_intel, "#d(0) 0\n#d(0) 0\n").but(&[
        (Wrong::Kvm, "the host may have them"),
        (Wrong::Qemu, "it has them"),
    ]),
    Case::new(
        "apic_base_is_checked",
        bad_apic_base,
        "#d(0) 0\n#d(0) 0\n#d(0) 0\n",
    )
    .but(&[(Wrong::Qemu, "it checks nothing")]),
    Case::new("cpuid_knows_the_apic", apic_feature, "200\n0\n200\n")
        .but(&[(Wrong::Qemu, "it never enables its APIC again")]),
];

const REFUSED_5_TIMES: &str = "#d(0) 0\n#d(0) 0\n#d(0) 0\n#d(0) 0\n#d(0) 0\n";
const ANOTHER_PROCESSOR: &[(Wrong, &str)] = &[
    (Wrong::Kvm, "it has few of them, with values of its own"),
    (Wrong::Qemu, "it has none of them"),
];

/// First and last of the fixed ranges, base and mask of the first variable one.
const FIXED: [u32; 2] = [msr::MTRR_FIXED[0], msr::MTRR_FIXED[10]];
const BASE: u32 = *msr::MTRR_VARIABLE.start();
const MASK: u32 = BASE + 1;
const EVENT: u32 = *msr::PERF_EVENT_SELECT.start();
const COUNTER: u32 = *msr::PERF_COUNTER.start();

/// The instruction that loads a register, by its opcode, with a constant.
fn load(opcode: u8, value: u32) -> Vec<u8> {
    [&[opcode], &value.to_le_bytes()[..]].concat()
}
const MOV_EAX: u8 = 0xb8;
const MOV_ECX: u8 = 0xb9;
const MOV_EDX: u8 = 0xba;

/// Prints register `index`, or how it is refused.
fn read(index: u32) -> Vec<u8> {
    let read = code!(
        "lea r14, [rip + 2f]",
        "lea r15, [rip + 3f]",
        "2: rdmsr",
        "shl rdx, 32",
        "or rax, rdx",
        "call r13",
        "3:",
    );
    [&load(MOV_ECX, index), read].concat()
}

/// Writes it, or prints how that is refused.
fn write(index: u32, value: u64) -> Vec<u8> {
    let write = code!(
        "lea r14, [rip + 2f]",
        "lea r15, [rip + 3f]",
        "2: wrmsr",
        "3:",
    );
    let high = load(MOV_EDX, (value >> 32) as u32);
    [
        &load(MOV_ECX, index),
        &load(MOV_EAX, value as u32),
        &high,
        write,
    ]
    .concat()
}

/// Writes it and prints what it has then.
fn keep(index: u32, value: u64) -> Vec<u8> {
    [write(index, value), read(index)].concat()
}

/// The local APIC's feature in CPUID.
fn apic_bit() -> Vec<u8> {
    code!(
        "mov eax, 1",
        "cpuid",
        "mov eax, edx",
        "and eax, 0x200",
        "call r13",
    )
    .to_vec()
}

fn all(parts: &[Vec<u8>]) -> Kernel {
    kernel(&[], &parts.concat())
}

fn memory_types() -> Kernel {
    all(&[
        keep(
            msr::MTRR_DEF_TYPE,
            msr::MTRR_ENABLE | 1 << 10 | msr::WRITE_BACK,
        ),
        keep(FIXED[0], 0x0606_0504_0100_0606),
        keep(FIXED[1], 0x0606_0606_0606_0606),
        keep(BASE, 0xf000_0000 | msr::WRITE_BACK),
        keep(MASK, 0xff_f000_0800),
    ])
}

/// Types 2 and 7 there are not; some bits are reserved.
fn bad_types() -> Kernel {
    all(&[
        write(msr::MTRR_DEF_TYPE, msr::MTRR_ENABLE | 2),
        write(msr::MTRR_DEF_TYPE, 1 << 12),
        write(FIXED[0], 0x0606_0207_0100_0606),
        write(BASE, 0xf000_0007),
        write(MASK, 0xf000_0801),
    ])
}

fn of_amd() -> Kernel {
    all(&[
        read(msr::HWCR),
        keep(msr::HWCR, 1 << 30),
        read(msr::SYSCFG),
        keep(msr::SYSCFG, 0x70_0000),
        keep(msr::TOP_MEM, 1 << 30),
        keep(msr::TOP_MEM2, 1 << 32),
        keep(msr::NB_CFG, 1 << 46),
        read(msr::VM_CR),
    ])
}

fn bad_of_amd() -> Kernel {
    all(&[
        write(msr::HWCR, 1 << 63),
        write(msr::SYSCFG, 1 << 30),
        write(msr::TOP_MEM, 1),
        write(msr::NB_CFG, 1),
        write(EVENT, 1 << 36),
    ])
}

/// Counters of 48 bits; there are four.
fn counters() -> Kernel {
    let counter = |number| [load(MOV_ECX, number), rdpmc()].concat();
    all(&[
        keep(EVENT, 0x53_00c0),
        keep(COUNTER, 0xffff_1234_5678_9abc),
        counter(0),
        counter(4),
    ])
}

/// Prints the counter in ecx.
fn rdpmc() -> Vec<u8> {
    code!(
        "lea r14, [rip + 2f]",
        "lea r15, [rip + 3f]",
        "2: rdpmc",
        "shl rdx, 32",
        "or rax, rdx",
        "call r13",
        "3:",
    )
    .to_vec()
}

/// Of capabilities and of microcode.
fn of_intel() -> Kernel {
    const CAPABILITIES: u32 = 0x10a;
    const PLATFORM_INFO: u32 = 0xce;
    all(&[read(CAPABILITIES), read(PLATFORM_INFO)])
}

const APIC_ADDRESS: u64 = abi::ports::LOCAL_APIC;
const ENABLED: u64 = ApicBaseFlags::LAPIC_ENABLE.bits();
const BOOT: u64 = ApicBaseFlags::BSP.bits();

/// An address of 49 bits, a reserved bit, and x2APIC mode without the APIC.
fn bad_apic_base() -> Kernel {
    const X2APIC: u64 = ApicBaseFlags::X2APIC_ENABLE.bits();
    all(&[
        write(msr::APIC_BASE, APIC_ADDRESS | ENABLED | BOOT | 1 << 52),
        write(msr::APIC_BASE, APIC_ADDRESS | ENABLED | BOOT | 1),
        write(msr::APIC_BASE, APIC_ADDRESS | X2APIC | BOOT),
    ])
}

fn apic_feature() -> Kernel {
    all(&[
        apic_bit(),
        write(msr::APIC_BASE, APIC_ADDRESS | BOOT),
        apic_bit(),
        write(msr::APIC_BASE, APIC_ADDRESS | ENABLED | BOOT),
        apic_bit(),
    ])
}
