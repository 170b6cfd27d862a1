//! The table from iced's codes to their forms.

use iced_x86::Code;

use crate::emu::engine::form::{Form, Outcome};
use crate::emu::engine::invalid;
use crate::emu::ops::{self, native};

/// Number of iced's codes; a test compares.
const CODES: usize = 4936;

/// From `Code` to its form, where a family lists it.
static TABLE: [Form; CODES] = build(ops::FAMILIES);

const fn build(families: &[&[Form]]) -> [Form; CODES] {
    let mut table = [Form {
        code: Code::INVALID,
        lower: invalid::lower,
        outcome: Outcome::End,
        stub: false,
    }; CODES];
    let mut f = 0;
    while f < families.len() {
        let mut i = 0;
        while i < families[f].len() {
            let form = families[f][i];
            assert!(
                matches!(table[form.code as usize].code, Code::INVALID),
                "a code that two families claim"
            );
            table[form.code as usize] = form;
            i += 1;
        }
        f += 1;
    }
    table
}

/// How `code` is executed: #UD if neither a family nor the rule for stubs has it.
pub fn form(code: Code) -> Form {
    let listed = TABLE[code as usize % CODES];
    match listed.code {
        Code::INVALID => native::forms::form(code).unwrap_or(listed),
        _ => listed,
    }
}

#[cfg(test)]
mod tests {
    use iced_x86::Code;

    use super::{CODES, form};

    #[test]
    fn every_code_has_a_place_of_its_own() {
        assert_eq!(Code::values().len(), CODES);
        for code in Code::values() {
            assert!([code, Code::INVALID].contains(&form(code).code), "{code:?}");
        }
    }
}
