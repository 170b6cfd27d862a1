//! The guest kernel's command line, which is any bytes: words are in it, numbers in their ranges,
//! and what is quoted comes out as it was.

use abi::command_line as word;
use abi::words::{Word, quoted};
use formats::command_line::CommandLine;

use crate::Input;

pub fn run(data: &[u8]) {
    let line = CommandLine::parse(data);
    assert!(word::TICK_US_RANGE.contains(&(line.tick_ns / 1000)));
    let words = [line.host_name, line.directory];
    let words = words.into_iter().flatten().chain(line.environment());
    let len: usize = words.chain(line.arguments()).map(length).sum();
    // A host's name and a directory are no part of the others.
    assert!(len <= data.len());
    assert!(line.environment().count() + line.arguments().count() <= data.len());
    survives(&mut Input::new(data));
}

/// Bytes of a word, which may be had in pieces, and in one if there is room.
fn length(word: Word<'_>) -> usize {
    const ROOM: usize = 64;
    let bytes: Vec<u8> = word.bytes().collect();
    assert!(bytes.len() <= word.written().len());
    let pieces: Vec<_> = word.pieces().collect();
    assert_eq!(pieces.concat(), bytes);
    let whole = word.with_bytes::<ROOM, _>(<[u8]>::to_vec);
    assert_eq!(whole, (bytes.len() <= ROOM).then_some(bytes));
    word.written().len()
}

/// What the VMM writes is what init gets.
fn survives(input: &mut Input) {
    let environment = texts(input);
    let arguments = texts(input);
    let mut line = b"quiet".to_vec();
    for text in &environment {
        line.extend([b" ", word::ENVIRONMENT, b"="].concat());
        line.extend(quoted(text));
    }
    line.extend([b" ", word::SEPARATOR].concat());
    for text in &arguments {
        line.push(b' ');
        line.extend(quoted(text));
    }
    let line = CommandLine::parse(&line);
    let bytes = |word: Word<'_>| word.bytes().collect::<Vec<u8>>();
    assert_eq!(
        line.environment().map(bytes).collect::<Vec<_>>(),
        environment
    );
    assert_eq!(line.arguments().map(bytes).collect::<Vec<_>>(), arguments);
}

/// Some texts, in which a line's special bytes are frequent.
fn texts(input: &mut Input) -> Vec<Vec<u8>> {
    let count = input.u8() % 4;
    let text = |_| {
        let len = usize::from(input.u8() % 16);
        let special = |&byte: &u8| match byte {
            0x80.. => b" \"\\-=\n\t."[usize::from(byte) % 8],
            // Zeros are what ends a line.
            byte => byte.max(1),
        };
        input.take(len).iter().map(special).collect()
    };
    (0..count).map(text).collect()
}
