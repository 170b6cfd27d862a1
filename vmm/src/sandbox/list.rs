//! A list of system calls: what a filter is made of, and what one is held against.

use std::collections::BTreeMap;
use std::fmt;

use libc::{c_int, c_long};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op,
    SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use syscalls::Sysno;

/// What must hold of an argument, by its number from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    argument: u8,
    len: Len,
    op: Op,
    value: u64,
}

/// One of which the kernel takes 32 bits: flags, requests, numbers of signals and processes.
pub fn int(argument: u8, value: c_int) -> Condition {
    Condition::new(argument, Len::Dword, Op::Eq, value as u32 as u64)
}

/// Such that is another one.
pub fn not(argument: u8, value: c_int) -> Condition {
    Condition::new(argument, Len::Dword, Op::Ne, value as u32 as u64)
}

/// One of which it takes all 64: a length.
pub fn word(argument: u8, value: u64) -> Condition {
    Condition::new(argument, Len::Qword, Op::Eq, value)
}

/// Flags, of which those of `mask` are as in `value`.
pub fn flags(argument: u8, mask: c_int, value: c_int) -> Condition {
    let [mask, value] = [mask, value].map(|bits| bits as u32 as u64);
    Condition::new(argument, Len::Qword, Op::MaskedEq(mask), value)
}

impl Condition {
    fn new(argument: u8, len: Len, op: Op, value: u64) -> Self {
        Self {
            argument,
            len,
            op,
            value,
        }
    }

    fn compiled(&self) -> Result<SeccompCondition, BackendError> {
        let (len, op) = (self.len.clone(), self.op.clone());
        SeccompCondition::new(self.argument, len, op, self.value)
    }

    fn holds(&self, arguments: &[u64; 6]) -> bool {
        let found = arguments[usize::from(self.argument)];
        let found = match self.len {
            Len::Dword => found & u64::from(u32::MAX),
            Len::Qword => found,
        };
        match &self.op {
            Op::Ne => found != self.value,
            Op::MaskedEq(mask) => found & mask == self.value,
            _ => found == self.value,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (argument, value) = (self.argument, self.value);
        match &self.op {
            Op::Ne => write!(f, "{argument}!={value:#x}"),
            Op::MaskedEq(mask) => write!(f, "{argument}&{mask:#x}={value:#x}"),
            _ => write!(f, "{argument}={value:#x}"),
        }
    }
}

/// A system call that a thread may make, always or with such arguments. It shows as its name and
/// what must hold, by the arguments' numbers from 0 on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    call: c_long,
    conditions: Vec<Condition>,
}

impl Allowed {
    /// The call's name.
    pub fn name(&self) -> &'static str {
        Sysno::new(self.call as usize).map_or("unknown", |call| call.name())
    }

    fn rule(&self) -> Result<SeccompRule, BackendError> {
        let conditions = self.conditions.iter().map(Condition::compiled);
        SeccompRule::new(conditions.collect::<Result<_, _>>()?)
    }

    /// Whether it allows the call of this name with these arguments.
    pub fn allows(&self, name: &str, arguments: &[u64; 6]) -> bool {
        let mut conditions = self.conditions.iter();
        self.name() == name && conditions.all(|condition| condition.holds(arguments))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        let mut conditions = self.conditions.iter();
        conditions.try_for_each(|condition| write!(f, " {condition}"))
    }
}

/// What is allowed.
#[derive(Default)]
pub struct List(Vec<Allowed>);

impl List {
    /// Allows these calls whatever their arguments are.
    pub fn plain(&mut self, calls: &[c_long]) {
        for &call in calls {
            self.when(call, []);
        }
    }

    /// Allows a call if all these conditions hold; more of such add up.
    pub fn when<const N: usize>(&mut self, call: c_long, conditions: [Condition; N]) {
        let conditions = conditions.into();
        let allowed = Allowed { call, conditions };
        if !self.0.contains(&allowed) {
            self.0.push(allowed);
        }
    }

    pub fn into_rows(self) -> Vec<Allowed> {
        self.0
    }

    /// A filter that does this with the calls of the list, and that with others.
    ///
    /// # Errors
    /// The list is longer than a filter can be.
    pub fn filter(
        self,
        listed: SeccompAction,
        others: SeccompAction,
    ) -> Result<BpfProgram, BackendError> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
        for row in &self.0 {
            let of_call = rules.entry(row.call).or_default();
            // A call without rules is listed whatever its arguments are.
            if !self.is_plain(row.call) {
                of_call.push(row.rule()?);
            }
        }
        SeccompFilter::new(rules, others, listed, TargetArch::x86_64)?.try_into()
    }

    fn is_plain(&self, call: c_long) -> bool {
        let mut rows = self.0.iter();
        rows.any(|row| row.call == call && row.conditions.is_empty())
    }
}
