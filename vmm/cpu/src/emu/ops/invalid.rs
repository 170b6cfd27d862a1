//! What is no instruction here: #UD.

use iced_x86::Instruction;

use super::super::access::Access;
use super::super::cpu::Cpu;
use super::super::decode::Site;
use super::super::engine::{Instr, slow};
use super::super::exception::{Exception, Stop};
use super::super::op::{Handler, Op};

/// Raises #UD.
pub(super) struct Invalid;

impl Instr for Invalid {
    fn exec<M: Access>(_: &mut Cpu, _: &Op) -> Result<(), Stop> {
        Err(Exception::UD.into())
    }
}

/// The handler that raises #UD.
pub(in super::super) const HANDLER: Handler = slow::<Invalid>;

/// Lowers what no family has.
pub(in super::super) fn lower(_: &Site, _: &Instruction, op: &mut Op) {
    op.handler = HANDLER;
}
