//! Keys that are the VMM's own while a guest has the terminal: all others, those that send
//! signals too, are the guest's.

/// The key that makes the next one the VMM's: Ctrl-A, as in QEMU.
const ESCAPE: u8 = 1;

/// Help for the keys, a line each.
pub const ESCAPE_KEYS: &str = "\
Ctrl-A x       end the machine, status 130
Ctrl-A ?       this help
Ctrl-A Ctrl-A  send Ctrl-A to the guest";

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The guest.
    Guest(u8),
    /// Ends the machine.
    End,
    /// Shows what keys there are.
    Help,
}

/// Tells the VMM's keys from the guest's.
#[derive(Debug, Default)]
pub struct Keys {
    escaped: bool,
}

impl Keys {
    /// The target of `byte`, which was typed next; `None` if the next one decides, or it
    /// has no meaning.
    pub fn key(&mut self, byte: u8) -> Option<Key> {
        if !std::mem::take(&mut self.escaped) {
            self.escaped = byte == ESCAPE;
            return (!self.escaped).then_some(Key::Guest(byte));
        }
        match byte {
            b'x' => Some(Key::End),
            b'?' | b'h' => Some(Key::Help),
            ESCAPE => Some(Key::Guest(ESCAPE)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Keys};

    #[test]
    fn only_what_follows_the_escape_is_the_vmm_s() {
        let mut keys = Keys::default();
        let typed: Vec<_> = b"x\x03\x01?\x01z\x01\x01?\x01x"
            .iter()
            .filter_map(|&byte| keys.key(byte))
            .collect();
        let expected = [
            Key::Guest(b'x'),
            Key::Guest(3),
            Key::Help,
            Key::Guest(1),
            Key::Guest(b'?'),
            Key::End,
        ];
        assert_eq!(typed, expected);
    }
}
