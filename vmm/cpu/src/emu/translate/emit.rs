//! Translations of regions: blocks one after the other, each instruction by itself.

use std::mem::offset_of;

use iced_x86::{Code, ConditionCode, IcedError, Instruction, MemoryOperand, Register};

use crate::emu::arithmetic::flags::Flags;
use crate::emu::code::op::Block;
use crate::emu::cpu::Op;
use crate::emu::state::mxcsr::FpMode;
use crate::emu::translate::assembler::{Assembler, Label, Mark};
use crate::emu::translate::flags::Effect;
use crate::emu::translate::frame::{self, Frame, Vectors};
use crate::emu::translate::pages::Miss;
use crate::emu::translate::places::{BUDGET, FREE, in_frame, in_frame_at};
use crate::emu::translate::region::{End, Member};
use crate::emu::translate::shares::{self, Share};
use crate::emu::translate::stack;
use crate::emu::translate::supported::{self, Kind};

/// An instruction is left to the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

impl From<IcedError> for Refused {
    fn from(_: IcedError) -> Self {
        Self
    }
}

/// Where the guest's flags are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlagsAt {
    Frame,
    Host,
    Both,
}

/// What is translated of a block, and what is known of it before.
pub struct Plan<'a> {
    pub member: &'a Member,
    kinds: Vec<Kind>,
    shares: Vec<Option<Share>>,
    effects: Vec<Effect>,
    /// The flags that are seen before each instruction, and after the last.
    live: Vec<u32>,
    /// Where jumps from outside and from inside the region lead.
    outside: Label,
    pub inside: Label,
}

/// A translation under construction.
pub struct Emitter {
    pub asm: Assembler,
    pub flags: FlagsAt,
    /// Where to jump to give up at an op, and what to return to the budget.
    exits: Vec<(Label, *const Op, u8)>,
    /// Accesses to pages that are not kept.
    pub misses: Vec<Miss>,
    /// Ways to blocks outside the region that are not the usual ones.
    pub tails: Vec<Tail>,
    /// The jump that leaves translated code.
    give_up: Label,
    /// What the block at hand has taken from the budget.
    pub spent: u8,
    /// The op at hand.
    pub op: *const Op,
    /// Which of the addresses that are kept in the frame is in r15 too.
    pub held: Option<usize>,
}

/// A way out of a block by the link of its last op.
pub struct Tail {
    pub label: Label,
    pub op: *const Op,
    pub spent: u8,
    pub flags: FlagsAt,
}

/// Host code, and where in it each member begins.
pub struct Translation {
    pub code: Vec<u8>,
    pub entries: Vec<Option<usize>>,
    /// Where instructions begin, and where what is rare does, behind all of them.
    pub marks: Vec<Mark>,
    pub rare: usize,
}

/// Translates `members`; `None` if nothing would be won.
pub fn translate(members: &[Member], fp: FpMode) -> Option<Translation> {
    let mut asm = Assembler::new();
    let give_up = asm.label();
    let mut plans: Vec<Plan> = members
        .iter()
        .map(|member| Plan::new(member, fp, &mut asm))
        .collect();
    if plans.first()?.kinds.first() == Some(&Kind::Other) {
        return None;
    }
    follow_flags(&mut plans);
    let vectors = plans.iter().flat_map(|plan| &plan.kinds);
    let vectors = vectors.map(|kind| kind.vectors()).max()?;
    let mut emitter = Emitter {
        asm,
        flags: FlagsAt::Frame,
        exits: Vec::new(),
        misses: Vec::new(),
        tails: Vec::new(),
        give_up,
        spent: 0,
        op: std::ptr::null(),
        held: None,
    };
    for i in 0..plans.len() {
        emitter.block(&plans, i).ok()?;
    }
    let rare = emitter.asm.len();
    emitter.tails().ok()?;
    emitter.misses().ok()?;
    emitter.exits().ok()?;
    emitter.entries(&plans, vectors).ok()?;
    let entries = plans.iter().map(|plan| {
        let begins = plan.kinds.first() != Some(&Kind::Other);
        emitter.asm.offset(plan.outside).filter(|_| begins)
    });
    let entries = entries.collect();
    Some(Translation {
        code: emitter.asm.finish(),
        entries,
        marks: emitter.asm.marks,
        rare,
    })
}

impl<'a> Plan<'a> {
    fn new(member: &'a Member, fp: FpMode, asm: &mut Assembler) -> Self {
        let mut kinds = Vec::new();
        for insn in &member.instructions {
            let kind = supported::kind(insn, fp);
            let last = kinds.len() + 1 == member.instructions.len();
            let kind = match member.end {
                // The ends know what they are.
                End::Jump | End::Branch(_) | End::Call | End::Indirect if last => Kind::End,
                End::Other if last => Kind::Other,
                _ => kind,
            };
            kinds.push(kind);
            if kind == Kind::Other {
                break;
            }
        }
        let shares = shares::of(&member.instructions, &kinds);
        let all = member.instructions.iter().zip(&kinds).zip(&shares);
        let effects: Vec<_> = all
            .map(|((insn, kind), share)| Effect::of(insn, kind.may_leave(insn, *share)))
            .collect();
        Self {
            member,
            live: vec![Flags::BITS; effects.len() + 1],
            kinds,
            shares,
            effects,
            outside: asm.label(),
            inside: asm.label(),
        }
    }

    /// Whether any flags are seen in it that are not its own.
    pub fn sees_flags(&self) -> bool {
        self.live.first() != Some(&0)
    }

    /// Whether the interpreter takes over within the block.
    fn is_cut(&self) -> bool {
        self.kinds.last() == Some(&Kind::Other)
    }

    /// The first instruction before which the budget can be looked at: one that defines all
    /// flags, or may leave translated code, for which they are in the frame.
    fn check(&self) -> Option<usize> {
        let suits = |effect: &Effect| effect.observes || effect.is_definition();
        self.effects.iter().position(suits)
    }

    /// The flags that are seen after the last instruction.
    fn live_after(&self, plans: &[Self]) -> u32 {
        if self.is_cut() || self.check().is_none() {
            return Flags::BITS;
        }
        let leads = match self.member.end {
            End::FallThrough => [true, false],
            End::Jump | End::Call => [false, true],
            End::Branch(_) => [true, true],
            End::Indirect | End::Other => return Flags::BITS,
        };
        let ways = self.member.successors.iter().zip(leads);
        ways.filter(|&(_, leads)| leads)
            .map(|(successor, _)| successor.map_or(Flags::BITS, |s| plans[s].live[0]))
            .fold(0, |all, live| all | live)
    }
}

/// Finds the flags that are seen before each instruction.
fn follow_flags(plans: &mut [Plan]) {
    // From none on, until no more are seen.
    for plan in &mut *plans {
        plan.live.fill(0);
    }
    let mut changed = true;
    while changed {
        changed = false;
        for i in (0..plans.len()).rev() {
            let mut live = plans[i].live_after(plans);
            let plan = &mut plans[i];
            let before = plan.live[0];
            for (n, effect) in plan.effects.iter().enumerate().rev() {
                plan.live[n + 1] = live;
                live = effect.live_before(live);
            }
            plan.live[0] = live;
            changed |= live != before;
        }
    }
}

/// Where OF is in the frame, and all other flags. They are stored and loaded as bytes: on Intel's
/// processors, ax would have to be put together after `lahf`.
fn flags_in_frame() -> [MemoryOperand; 2] {
    let place = offset_of!(Frame, flags) as i64;
    [in_frame_at(place), in_frame_at(place + 1)]
}

impl Emitter {
    fn block(&mut self, plans: &[Plan], i: usize) -> Result<(), Refused> {
        let plan = &plans[i];
        let member = plan.member;
        self.asm.bind(plan.inside);
        self.flags = FlagsAt::Frame;
        self.spent = 0;
        self.held = None;
        let check = plan.check();
        let mut done = 0;
        for (n, insn) in member.instructions.iter().enumerate() {
            if n < done {
                continue;
            }
            let (kind, effect) = (plan.kinds[n], plan.effects[n]);
            self.op = member.op(n);
            self.asm.mark(i, n);
            if effect.observes {
                self.save_flags()?;
            }
            if kind == Kind::Other {
                self.leave_here();
                return Ok(());
            }
            if check == Some(n) {
                self.spend(member.block)?;
            }
            if kind == Kind::End {
                break;
            }
            let run = stack::run(&plan.kinds[n..], &member.instructions[n..]);
            let result = if run > 1 {
                done = n + run;
                self.held = None;
                self.stack_run(kind, &member.instructions[n..done])
            } else {
                self.instruction(insn, kind, effect, plan.live[n + 1], plan.shares[n])
            };
            if result == Err(Refused) {
                // It has changed nothing.
                self.save_flags()?;
                self.leave_here();
                return Ok(());
            }
        }
        self.op = member.op(member.last());
        if check.is_none() {
            self.save_flags()?;
            self.spend(member.block)?;
        }
        let next = plans.get(i + 1).map(|plan| plan.inside);
        if self.end(plans, member, next) == Err(Refused) {
            self.save_flags()?;
            self.leave_here();
        }
        Ok(())
    }

    /// Where to jump to leave translated code at the op at hand. The flags are in the frame.
    pub fn exit(&mut self) -> Label {
        let known = self.exits.last();
        if let Some(&(label, op, spent)) = known
            && (op, spent) == (self.op, self.spent)
        {
            return label;
        }
        let label = self.asm.label();
        self.exits.push((label, self.op, self.spent));
        label
    }

    fn leave_here(&mut self) {
        let exit = self.exit();
        self.asm.jump(exit);
    }

    /// Takes the block's instructions from the budget; leaves if nothing would be left. The
    /// host's flags are nobody's, or in the frame too.
    fn spend(&mut self, block: *const Block) -> Result<(), Refused> {
        // SAFETY: blocks of members are live while they are translated: only the decoder, which
        // does not run meanwhile, clears the cache.
        let count = unsafe { (*block).count };
        self.asm
            .with_value(Code::Sub_rm64_imm32, BUDGET, i32::from(count))?;
        self.spent = count;
        let exit = self.exit();
        self.asm.jump_if(ConditionCode::le, exit);
        self.spoil_flags();
        Ok(())
    }

    /// Makes the frame's flags current.
    pub fn save_flags(&mut self) -> Result<(), Refused> {
        if self.flags == FlagsAt::Host {
            self.asm.add(&Instruction::with(Code::Lahf))?;
            let [of, others] = flags_in_frame();
            self.asm.add(&Instruction::with1(Code::Seto_rm8, of)?)?;
            self.asm
                .with_memory_first(Code::Mov_rm8_r8, others, Register::AH)?;
            self.flags = FlagsAt::Both;
        }
        Ok(())
    }

    /// Makes the host's flags current.
    pub fn load_flags(&mut self) -> Result<(), Refused> {
        if self.flags == FlagsAt::Frame {
            let [of, others] = flags_in_frame();
            self.asm.with_memory(Code::Mov_r8_rm8, Register::AL, of)?;
            self.asm
                .with_memory(Code::Mov_r8_rm8, Register::AH, others)?;
            // Recreates OF, in bit 0.
            self.asm.with_value(Code::Add_AL_imm8, Register::AL, 0x7f)?;
            self.asm.add(&Instruction::with(Code::Sahf))?;
            self.flags = FlagsAt::Both;
        }
        Ok(())
    }

    /// Takes note that the host's flags are overwritten by what is not the guest's.
    pub fn spoil_flags(&mut self) {
        self.flags = FlagsAt::Frame;
    }

    /// The ways out.
    fn exits(&mut self) -> Result<(), Refused> {
        for (label, op, spent) in std::mem::take(&mut self.exits) {
            self.asm.bind(label);
            if spent != 0 {
                self.asm.advance(BUDGET, spent.into())?;
            }
            self.asm.set(FREE, op.expose_provenance() as u64)?;
            let give_up = self.give_up;
            self.asm.jump(give_up);
        }
        self.asm.bind(self.give_up);
        self.asm
            .jump_far(frame::give_up as *const () as usize as u64);
        Ok(())
    }

    /// The ways in, which bring vector registers along if the region uses any.
    fn entries(&mut self, plans: &[Plan], vectors: Vectors) -> Result<(), Refused> {
        let loader = match vectors {
            Vectors::Nothing => {
                for plan in plans {
                    self.asm.bind_like(plan.outside, plan.inside);
                }
                return Ok(());
            }
            Vectors::Xmm => frame::load_xmm as *const (),
            Vectors::Ymm => frame::load_ymm as *const (),
        };
        for plan in plans {
            self.asm.bind(plan.outside);
            self.asm.compare(in_frame!(vectors), vectors as i32)?;
            self.asm.jump_if(ConditionCode::ae, plan.inside);
            self.asm.address_to_r15(plan.inside);
            self.asm.jump_far(loader as usize as u64);
        }
        Ok(())
    }
}
