//! Reserved no-ops: all of their forms, with the prefixes that there are.

use super::machine::{CODE, Machine};
use crate::Vcpu;

const HANDLER: u64 = 0x11000;
const HLT: u8 = 0xf4;
const LOCK: u8 = 0xf0;
/// Prefetches, which have no form on registers.
const PREFETCH: u8 = 0x0d;

const PREFIXES: [&[u8]; 10] = [
    &[],
    &[0x66],
    &[0xf2],
    &[0xf3],
    &[0x48],
    &[0x4f],
    &[0xf3, 0x48],
    &[0x66, 0xf2],
    &[0x67, 0x64],
    &[LOCK],
];

/// None touches memory, and `lock` is for none.
#[test]
fn reserved_no_ops_do_nothing() {
    let mut machine = Machine::new(&[]);
    machine.write(HANDLER, &[HLT]);
    machine.set_gate(6, HANDLER, 0, 0);
    let state = machine.state();
    for opcode in [PREFETCH].into_iter().chain(0x18..=0x1f) {
        for (modrm, prefixes) in (0..=u8::MAX).flat_map(|m| PREFIXES.map(|p| (m, p))) {
            // What follows is a displacement or the next instruction.
            let code = [prefixes, &[0x0f, opcode, modrm], &[HLT; 8]].concat();
            machine.write(CODE, &code);
            machine.emulator.set_state(&state).expect("a good state");
            machine.run_to_hlt();
            let regs = machine.state().regs;
            let undefined = prefixes.contains(&LOCK) || opcode == PREFETCH && modrm >= 0xc0;
            assert_eq!(regs.rip == HANDLER + 1, undefined, "{code:02x?}");
            assert!(undefined || regs.gpr == state.regs.gpr, "{code:02x?}");
        }
    }
}
