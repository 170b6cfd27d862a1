//! A machine for tests: 64-bit ring 0, paging on, flat segments.
//!
//! ```text
//! 0x1000 page tables: the first 2 MiB by 4 KiB pages, then 2 MiB pages to 1 GiB, all
//!        writable and for the user; the same at DIRECT_MAP, supervisor only
//! 0x8000 GDT, 0x9000 IDT, 0xa000 TSS
//! 0x10000 code   0x20000 data   0x30000 top of stack   0x38000 top of the kernel stack
//! ```

use vm_memory::{Bytes, GuestAddress};
use x86::{DescriptorFlags, PageTableFlags};

use crate::emu::{Clock, EmuConfig, Emulator, Engine};
use crate::exit::VmExit;
use crate::memory::GuestRam;
use crate::{CpuState, Dtable, Msrs, Regs, Segment, Vcpu};

pub const CODE: u64 = 0x10000;
pub const DATA: u64 = 0x20000;
pub const STACK: u64 = 0x30000;
pub const KERNEL_STACK: u64 = 0x38000;
pub const GDT: u64 = 0x8000;
pub const IDT: u64 = 0x9000;
pub const TSS: u64 = 0xa000;
pub const PAGE_DIRECTORY: u64 = 0x3000;
pub const PAGE_TABLE: u64 = 0x4000;
/// Page table entries: present and writable; for the user too; of a large page.
const TABLE: u64 = PageTableFlags::PRESENT
    .union(PageTableFlags::WRITABLE)
    .bits();
pub const USER: u64 = TABLE | PageTableFlags::USER_ACCESSIBLE.bits();
pub const LARGE: u64 = PageTableFlags::HUGE_PAGE.bits();
/// Bytes of RAM.
pub const RAM: u64 = 4 << 20;
pub const KERNEL_CS: u16 = 0x08;
pub const KERNEL_DS: u16 = 0x10;
pub const USER_DS: u16 = 0x1b;
pub const USER_CS: u16 = 0x23;

/// The engine of all machines: `RINGFENCE_ENGINE=interpreter` takes the interpreter, without it
/// everything is translated the first time that it is executed.
pub fn engine() -> Engine {
    match std::env::var("RINGFENCE_ENGINE").as_deref() {
        Ok("interpreter") => Engine::Interpreter,
        _ => Engine::Translator { after: 0 },
    }
}

pub struct Machine {
    pub ram: GuestRam,
    pub emulator: Emulator,
}

impl Machine {
    /// A machine about to execute `code`.
    pub fn new(code: &[u8]) -> Self {
        Self::with_engine(engine(), code)
    }

    /// The same, by a certain engine.
    pub fn with_engine(engine: Engine, code: &[u8]) -> Self {
        let ram = GuestRam::new(RAM).expect("memory");
        let mut machine = Self {
            emulator: Emulator::new(
                ram.clone(),
                EmuConfig {
                    clock: Clock::Instructions,
                    engine,
                    ..EmuConfig::default()
                },
            ),
            ram,
        };
        machine.write(CODE, code);
        machine.make_tables();
        let state = initial_state();
        machine.emulator.set_state(&state).expect("a good state");
        machine
    }

    fn make_tables(&mut self) {
        self.write_u64(0x1000, 0x2000 | USER);
        self.write_u64(0x1000 + 256 * 8, 0x5000 | TABLE);
        self.write_u64(0x2000, PAGE_DIRECTORY | USER);
        self.write_u64(PAGE_DIRECTORY, PAGE_TABLE | USER);
        for i in 1..512 {
            self.write_u64(PAGE_DIRECTORY + 8 * i, i << 21 | LARGE | USER);
        }
        for i in 0..512 {
            self.write_u64(PAGE_TABLE + 8 * i, i << 12 | USER);
        }
        self.write_u64(0x5000, LARGE | TABLE);
        for (i, descriptor) in [
            0,
            DescriptorFlags::KERNEL_CODE64.bits(),
            DescriptorFlags::KERNEL_DATA.bits(),
            DescriptorFlags::USER_DATA.bits(),
            DescriptorFlags::USER_CODE64.bits(),
            0x0000_8900_a000_0067,
            0,
        ]
        .into_iter()
        .enumerate()
        {
            self.write_u64(GDT + 8 * i as u64, descriptor);
        }
        self.write_u64(TSS + 4, KERNEL_STACK);
        // No port bitmap.
        self.write(TSS + 102, &0x68_u16.to_le_bytes());
    }

    /// Sends `vector` to `handler`; rings up to `dpl` may call it.
    pub fn set_gate(&mut self, vector: u8, handler: u64, dpl: u64, ist: u64) {
        let low = handler & 0xffff
            | u64::from(KERNEL_CS) << 16
            | ist << 32
            | 0x8e00 << 32
            | dpl << 45
            | (handler & 0xffff_0000) << 32;
        self.write_u64(IDT + 16 * u64::from(vector), low);
        self.write_u64(IDT + 16 * u64::from(vector) + 8, handler >> 32);
    }

    pub fn write(&mut self, gpa: u64, bytes: &[u8]) {
        self.ram
            .mmap()
            .write_slice(bytes, GuestAddress(gpa))
            .expect("RAM");
    }

    pub fn write_u64(&mut self, gpa: u64, value: u64) {
        self.write(gpa, &value.to_le_bytes());
    }

    pub fn read_u64(&self, gpa: u64) -> u64 {
        self.ram.mmap().read_obj(GuestAddress(gpa)).expect("RAM")
    }

    /// Changes the state.
    pub fn alter(&mut self, change: impl FnOnce(&mut CpuState)) {
        let mut state = self.state();
        change(&mut state);
        self.emulator.set_state(&state).expect("a good state");
    }

    pub fn state(&mut self) -> CpuState {
        self.emulator.state().expect("a state")
    }

    pub fn gpr(&mut self, number: usize) -> u64 {
        self.state().regs.gpr[number]
    }

    pub fn run(&mut self) -> VmExit<'_> {
        self.emulator
            .run()
            .expect("the emulator itself never fails")
    }

    /// Runs to `hlt`.
    pub fn run_to_hlt(&mut self) {
        assert_eq!(self.run(), VmExit::Hlt);
    }
}

fn flat(selector: u16, attributes: u16) -> Segment {
    Segment {
        selector,
        base: 0,
        limit: u32::MAX,
        attributes,
    }
}

/// Ring 0, 64-bit, at [`CODE`].
pub fn initial_state() -> CpuState {
    let mut gpr = [0; 16];
    gpr[Regs::RSP] = STACK;
    let data = flat(KERNEL_DS, 0xc093);
    CpuState {
        regs: Regs {
            gpr,
            rip: CODE,
            rflags: 2,
        },
        es: data,
        cs: flat(KERNEL_CS, 0xa09b),
        ss: data,
        ds: data,
        fs: data,
        gs: data,
        tr: Segment {
            selector: 0x28,
            base: TSS,
            limit: 0x67,
            attributes: 0x8b,
        },
        gdt: Dtable {
            base: GDT,
            limit: 7 * 8 - 1,
        },
        idt: Dtable {
            base: IDT,
            limit: 0xfff,
        },
        cr0: 0x8001_0033,
        cr3: 0x1000,
        cr4: 0x620,
        efer: 0xd01,
        msrs: Msrs {
            apic_base: 0xfee0_0900,
            ..Msrs::default()
        },
        ..CpuState::default()
    }
}
