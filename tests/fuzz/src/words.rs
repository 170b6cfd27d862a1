//! Command lines of `vmm`: its words, and any others, in any order.
//!
//! Checked: what is wrong is told in one line, which has a word of the command line in it, or the
//! name of one that is missing.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use vmm::printable::printable;

use crate::Input;

/// More than clap and our own messages add to the words.
const LONGEST_TEXT: usize = 2000;

/// With a blank between them; one of them is empty.
const WORDS: &str = "run compare bench trace info list images help hello -- - -h --help --version \
     --accel --apic --max-instructions --deterministic --seed --cpus --memory --tick --timeout \
     --console --kernel --initrd --append --cmdline --root --dir --file --env --cwd --user \
     --hostname --save --save-always --report --report-file --html --runs --list --on --samples --quick \
     --baseline --only --pid --output --perfetto --json --sandbox --no-dump --require --check \
     emu kvm auto serial full html 0 1 32 33 -1 64M 1T 18E 10ms 1s 99999999999999999999 / /a:/b a:b \
     1000:1000 syscalls,exits A=1 =  --engine translator interpreter --perf-map translations";

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut words = vec![OsString::from("vmm")];
    while !input.is_empty() {
        words.push(word(&mut input));
    }
    let Err(error) = cli::parse(words.clone()) else {
        return;
    };
    let Some(message) = cli::message(&error) else {
        return;
    };
    let shown = printable(&message);
    let len: usize = words.iter().map(|word| 4 * word.len()).sum();
    assert!(shown.len() <= len + LONGEST_TEXT, "{shown}");
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    let missing = [
        "the following required arguments were not provided: <",
        "a value is required for '",
    ];
    let is_missing = missing.iter().any(|start| message.starts_with(start));
    assert!(
        words[1..].iter().any(|word| names(&message, word)) || is_missing,
        "{message:?} of {words:?}"
    );
}

/// Whether a message names a word: it has blanks where the word has others, and of options only the
/// name, or the first letter.
fn names(message: &str, word: &OsString) -> bool {
    let text = word.to_string_lossy();
    let parts: Vec<_> = text.split_whitespace().collect();
    let text = parts.join(" ");
    let name = text.split('=').next().unwrap_or_default();
    let letter: String = text.chars().take(2).collect();
    let is_option = text.starts_with('-') && !name.is_empty();
    let is_empty = text.is_empty() && (message.contains("''") || message.contains("' '"));
    is_empty
        || !text.is_empty() && message.contains(&text)
        || is_option && (message.contains(name) || message.contains(&letter))
        || word.to_str().is_none() && message.contains(&format!("{word:?}"))
}

/// One of [`WORDS`], or any; or both with an equals sign.
fn word(input: &mut Input) -> OsString {
    let mut one = || -> Vec<u8> {
        match input.u8() {
            len @ 0xf0.. => {
                let bytes = input.take(usize::from(len & 0xf)).iter();
                bytes.map(|&byte| visible(byte)).collect()
            }
            number => {
                let mut words = WORDS.split(' ').cycle();
                words.nth(number.into()).unwrap_or_default().into()
            }
        }
    };
    let (first, second) = (one(), one());
    let bytes = match input.u8() % 4 {
        0 => [&first[..], b"=", &second].concat(),
        _ => first,
    };
    OsString::from_vec(bytes)
}

/// A byte that is shown: clap leaves out what steers terminals.
fn visible(byte: u8) -> u8 {
    match byte {
        ..b' ' | 0x7f => b'\n',
        0x80..0xa0 => byte + 0x20,
        _ => byte,
    }
}
