//! The kernel's command line: `key=value` words, then `--`, then init's arguments.

use abi::command_line::SEPARATOR;
use abi::words::quoted;

/// Builds a command line word by word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    options: Vec<u8>,
    arguments: Vec<u8>,
}

impl CommandLine {
    /// Adds `key=value`, both of [`abi::command_line`].
    pub fn option(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        self.options.extend([key, b"=", value, b" "].concat());
        self
    }

    /// Adds `key=value`, where the value is a number.
    pub fn number(&mut self, key: &[u8], value: u128) -> &mut Self {
        self.option(key, value.to_string().as_bytes())
    }

    /// Adds `key=value`, whatever bytes but zeros the value has.
    pub fn text(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        let value: Vec<_> = quoted(value).collect();
        self.option(key, &value)
    }

    /// Adds words as they are, before init's arguments.
    pub fn raw(&mut self, words: &str) -> &mut Self {
        self.options.extend_from_slice(words.trim().as_bytes());
        self.options.push(b' ');
        self
    }

    /// Adds one argument for init, whatever bytes but zeros it has.
    pub fn argument(&mut self, argument: &[u8]) -> &mut Self {
        self.arguments.push(b' ');
        self.arguments.extend(quoted(argument));
        self
    }

    /// The whole line.
    pub fn build(&self) -> Vec<u8> {
        let options = self.options.trim_ascii_end();
        match self.arguments.is_empty() {
            true => options.to_owned(),
            false => [options, b" ", SEPARATOR, &self.arguments].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_follow_the_options_and_are_quoted_where_needed() {
        let mut line = CommandLine::default();
        line.text(b"init", b"/bin/my args")
            .argument(b"a")
            .argument(b"")
            .argument(b"b c");
        line.raw(" tick_us=1000 ")
            .argument(b"say \"hi\" \\o/")
            .argument(b"--");
        let expected = br#"init="/bin/my args" tick_us=1000 -- a "" "b c" "say \"hi\" \\o/" --"#;
        assert_eq!(line.build(), expected);
    }
}
