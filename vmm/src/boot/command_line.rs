//! The kernel's command line: `key=value` words, then `--`, then init's arguments.

use std::fmt::Write;

/// Builds a command line word by word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    options: String,
    arguments: String,
}

impl CommandLine {
    /// Adds `key=value`.
    pub fn option(&mut self, key: &str, value: impl std::fmt::Display) -> &mut Self {
        // Writing to a String cannot fail.
        let _ = write!(self.options, "{key}={value} ");
        self
    }

    /// Adds words as they are, before init's arguments.
    pub fn raw(&mut self, words: &str) -> &mut Self {
        self.options.push_str(words.trim());
        self.options.push(' ');
        self
    }

    /// Adds one argument for init, whatever characters it has.
    pub fn argument(&mut self, argument: &str) -> &mut Self {
        self.arguments.push(' ');
        self.arguments.push_str(&quote_argument(argument));
        self
    }

    /// The whole line.
    pub fn build(&self) -> String {
        let options = self.options.trim_end();
        if self.arguments.is_empty() {
            options.to_owned()
        } else {
            format!("{options} --{}", self.arguments)
        }
    }
}

/// An argument as the kernel's parser reads it back: in double quotes, where `"` and `\`
/// have a backslash before them, unless it has only plain characters.
pub fn quote_argument(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\');
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    let mut quoted = String::with_capacity(argument.len() + 2);
    quoted.push('"');
    for c in argument.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_follow_the_options_and_are_quoted_where_needed() {
        let mut line = CommandLine::default();
        line.option("init", "/bin/args")
            .argument("a")
            .argument("")
            .argument("b c");
        line.raw(" tick_us=1000 ")
            .argument("say \"hi\" \\o/")
            .argument("--");
        assert_eq!(
            line.build(),
            r#"init=/bin/args tick_us=1000 -- a "" "b c" "say \"hi\" \\o/" --"#
        );
    }
}
