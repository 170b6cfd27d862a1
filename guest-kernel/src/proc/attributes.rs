//! What processes say of themselves (`prctl`, `capset`, `personality`).
//!
//! Most of this is only kept and told again; what capabilities are for is said in `capability`.

use crate::proc::capability::Capability;
use crate::proc::credentials::{Credentials, Ids};
use crate::proc::process::Process;
use crate::proc::signal::Signal;

/// The capabilities that Linux knows: numbers 0 to 40.
pub const ALL_CAPABILITIES: u64 = (1 << 41) - 1;
/// By how many nanoseconds sleeps may be late by default, as Linux has it.
const TIMER_SLACK: u64 = 50_000;

/// Sets of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Those in effect.
    pub effective: u64,
    /// Those that may be put into effect.
    pub permitted: u64,
    /// Those that programs inherit.
    pub inheritable: u64,
    /// Those that programs may have at most.
    pub bounding: u64,
}

/// What a process has said.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    /// What it is sent when its parent ends.
    pub death_signal: Option<Signal>,
    /// Whether it is the parent of its descendants' orphans.
    pub adopts_orphans: bool,
    /// Whether programs get no more rights.
    pub no_new_privileges: bool,
    /// Whether others may look into it.
    pub is_dumpable: bool,
    /// Whether it keeps capabilities as another user.
    pub keeps_capabilities: bool,
    /// Whether it runs another program than its parent did when it was made.
    pub has_executed: bool,
    /// Whether it wants no huge pages.
    pub no_huge_pages: bool,
    /// By how many nanoseconds sleeps may be late.
    pub timer_slack: u64,
    /// What that is again when it is set to 0: what the parent's was.
    pub default_timer_slack: u64,
    /// `personality`.
    pub personality: u32,
    /// How much rather than others it should be ended when memory is short, and the least that
    /// it may say of that by itself.
    pub oom_adjustment: i16,
    /// See there.
    pub oom_minimum: i16,
    /// Its capabilities.
    pub capabilities: Capabilities,
}

impl Attributes {
    /// Of a process that there is not: zeros, so that tables of such need no room in the image.
    pub const UNUSED: Self = Self {
        death_signal: None,
        adopts_orphans: false,
        no_new_privileges: false,
        is_dumpable: false,
        keeps_capabilities: false,
        has_executed: false,
        no_huge_pages: false,
        timer_slack: 0,
        default_timer_slack: 0,
        personality: 0,
        oom_adjustment: 0,
        oom_minimum: 0,
        capabilities: Capabilities {
            effective: 0,
            permitted: 0,
            inheritable: 0,
            bounding: 0,
        },
    };

    /// What init has.
    pub const INIT: Self = Self {
        is_dumpable: true,
        timer_slack: TIMER_SLACK,
        default_timer_slack: TIMER_SLACK,
        capabilities: Capabilities {
            effective: ALL_CAPABILITIES,
            permitted: ALL_CAPABILITIES,
            inheritable: 0,
            bounding: ALL_CAPABILITIES,
        },
        ..Self::UNUSED
    };

    /// What a child has.
    pub fn of_child(self) -> Self {
        Self {
            death_signal: None,
            adopts_orphans: false,
            has_executed: false,
            default_timer_slack: self.timer_slack,
            ..self
        }
    }

    /// What it has once its users are others: as nobody's superuser no capabilities, unless it
    /// keeps them, and none in effect unless it acts as one.
    pub fn of_users(mut self, before: Ids, after: Ids) -> Self {
        let has_superuser = |ids: Ids| [ids.real, ids.effective, ids.saved].contains(&0);
        let own = &mut self.capabilities;
        if has_superuser(before) && !has_superuser(after) && !self.keeps_capabilities {
            (own.permitted, own.effective) = (0, 0);
        }
        match (before.effective, after.effective) {
            (0, 0) => {}
            (0, _) => own.effective = 0,
            (_, 0) => own.effective = own.permitted,
            _ => {}
        }
        self
    }

    /// What it has once it uses files as another user: not the superuser's capabilities about them,
    /// or these again.
    pub fn of_files(mut self, before: Ids, after: Ids) -> Self {
        let own = &mut self.capabilities;
        match (before.files, after.files) {
            (0, 0) => {}
            (0, _) => own.effective &= !Capability::OF_FILES,
            (_, 0) => own.effective |= own.permitted & Capability::OF_FILES,
            _ => {}
        }
        self
    }

    /// What it has once it acts as another user or group: those who may look into that one's
    /// processes may not yet look into this one (Linux, prctl(2), PR_SET_DUMPABLE).
    pub fn as_another(self) -> Self {
        Self {
            death_signal: None,
            is_dumpable: false,
            ..self
        }
    }

    /// What another program in a process of these credentials has: the superuser all that there may
    /// be, though not in effect where it acts as another user.
    pub fn of_program(self, credentials: &Credentials) -> Self {
        let (users, groups) = (credentials.users(), credentials.groups());
        let capabilities = self.capabilities;
        let permitted = match [users.real, users.effective].contains(&0) {
            true => capabilities.bounding | capabilities.inheritable,
            false => 0,
        };
        let effective = match users.effective {
            0 => permitted,
            _ => 0,
        };
        Self {
            is_dumpable: (users.real, groups.real) == (users.effective, groups.effective),
            keeps_capabilities: false,
            has_executed: true,
            capabilities: Capabilities {
                effective,
                permitted,
                ..capabilities
            },
            ..self
        }
    }
}

impl Process {
    /// Whether it may look into another process, as the user and group that `id` chooses (Linux,
    /// ptrace(2)).
    pub fn may_look_into(&self, other: &Self, id: impl Fn(Ids) -> u32) -> bool {
        let (own, its) = (&self.credentials, &other.credentials);
        let is_same = its.are_all(id(own.users()), id(own.groups()));
        let facts = other.attributes();
        let gets = facts.capabilities.permitted & !self.attributes().capabilities.permitted;
        self.pid() == other.pid()
            || is_same && facts.is_dumpable && gets == 0
            || self.may(Capability::SysPtrace)
    }

    /// What it has said.
    pub fn attributes(&self) -> Attributes {
        self.attributes.get()
    }

    /// Changes that.
    pub fn change_attributes(&self, change: impl FnOnce(&mut Attributes)) {
        let mut attributes = self.attributes.get();
        change(&mut attributes);
        self.attributes.set(attributes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_start_anew_where_linux_says_so() {
        let parent = Attributes {
            death_signal: Some(Signal::SIGHUP),
            adopts_orphans: true,
            no_new_privileges: true,
            ..Attributes::INIT
        };
        let child = parent.of_child();
        assert!(child.death_signal.is_none() && !child.adopts_orphans);
        assert!(child.no_new_privileges);
    }
}
