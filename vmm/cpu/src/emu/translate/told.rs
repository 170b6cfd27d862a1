//! What others are told of a translation.

use crate::emu::cpu::Cpu;
use crate::emu::translate::emit;
use crate::emu::translate::region::{self, Member};
use crate::{Piece, TranslatedBlock, Translation};

/// The translation of `members` into host code at `address`.
pub fn describe(
    cpu: &Cpu,
    members: &[Member],
    translation: &emit::Translation,
    address: u64,
) -> Translation {
    let blocks = members.iter().enumerate();
    Translation {
        ns: cpu.meter.now_ns(cpu.meter.retired()),
        cpu: cpu.control.place.id,
        ring: cpu.control.cpl,
        code: translation.code.clone(),
        address,
        blocks: blocks
            .map(|(i, member)| block(cpu, member, pieces(i, member, translation)))
            .collect(),
        rare: translation.rare,
    }
}

/// The instructions of member `i`, from one that has code of its own to the next.
fn pieces(i: usize, member: &Member, translation: &emit::Translation) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let first = member.instructions.first().map_or(0, |insn| insn.ip());
    let offset = |insn: &iced_x86::Instruction| insn.ip().wrapping_sub(first) as usize;
    let len = member.instructions.last();
    let len = len.map_or(0, |last| offset(last) + last.len());
    for (number, mark) in translation.marks.iter().enumerate() {
        if mark.block != i {
            continue;
        }
        let begins = member.instructions.get(mark.n).map_or(len, offset);
        if let Some(before) = pieces.last_mut() {
            before.guest.end = begins;
        }
        let next = translation.marks.get(number + 1);
        pieces.push(Piece {
            guest: begins..len,
            host: mark.at..next.map_or(translation.rare, |next| next.at),
        });
    }
    pieces
}

fn block(cpu: &Cpu, member: &Member, pieces: Vec<Piece>) -> TranslatedBlock {
    // SAFETY: members are live while they are translated.
    let header = unsafe { &*member.block };
    TranslatedBlock {
        address: header.rip,
        code: region::bytes(cpu, header).unwrap_or_default(),
        pieces,
    }
}
