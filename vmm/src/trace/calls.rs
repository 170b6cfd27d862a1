//! System calls: their names, and what their arguments are.

use abi::calls::Returns;
use syscalls::Sysno;

use super::names::{self, Names};

/// What an argument is.
pub(super) type Kind = abi::calls::Kind<Names>;

/// One system call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Kind],
    pub(super) returns: Returns,
}

macro_rules! signatures {
    ($(
        $call:ident = $($module:ident::$handler:ident)?
        ($($kind:ident $(($names:ident))?),*) $(-> $returns:ident)? $(with $context:ident)?;
    )*) => {
        /// All that have one.
        const CALLS: &[Sysno] = &[$(Sysno::$call),*];

        /// The signature of the call with this number.
        pub(super) fn signature(number: u64) -> Option<Signature> {
            Some(match usize::try_from(number).ok().and_then(Sysno::new)? {
                $(Sysno::$call => Signature {
                    name: stringify!($call),
                    arguments: &[$(Kind::$kind $((names::$names))?),*],
                    returns: returns!($($returns)?),
                },)*
                _ => return None,
            })
        }
    };
}

macro_rules! returns {
    () => {
        Returns::Number
    };
    ($returns:ident) => {
        Returns::$returns
    };
}

abi::system_calls!(signatures);

/// Name and number of each call that the bundled kernel has.
pub(crate) fn call_numbers() -> impl Iterator<Item = (&'static str, u64)> {
    CALLS.iter().map(|call| (call.name(), *call as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_six_arguments_at_most_and_lengths_behind_what_has_one() {
        for &call in CALLS {
            let signature = signature(call as u64).expect("it is in the table");
            assert_eq!(signature.name, call.name());
            assert!(signature.arguments.len() <= 6, "{signature:?}");
            let last = signature.arguments.last();
            let needs_length = matches!(last, Some(Kind::Bytes | Kind::Parts));
            assert!(!needs_length, "{signature:?}");
        }
        assert!(signature(u64::MAX).is_none());
    }
}
