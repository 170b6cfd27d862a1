//! Invalid opcodes: #UD.

use iced_x86::Instruction;

use crate::emu::cpu::access::Access;
use crate::emu::cpu::{Cpu, Handler, Op};
use crate::emu::engine::form::Site;
use crate::emu::engine::{Instr, slow};
use crate::emu::state::exception::{Exception, Stop};

/// Raises #UD.
pub struct Invalid;

impl Instr for Invalid {
    fn exec<M: Access>(_: &mut Cpu, _: &Op) -> Result<(), Stop> {
        Err(Exception::UD.into())
    }
}

/// The handler that raises #UD.
pub const HANDLER: Handler = slow::<Invalid>;

/// Lowers a code that no family has.
pub fn lower(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = HANDLER;
}
