//! What file systems are mounted with: words after each other, with commas between.

use core::fmt;

use abi::Errno;
use mm::frames::{self, FRAME_SIZE};

use super::Kind;

/// What a file system of files in memory is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Frames that its files may have; all that files may have, if it does not say.
    pub frames: Option<u64>,
    /// Permissions of its root.
    pub mode: u32,
    /// Owner of this.
    pub user: u32,
    /// Group of this.
    pub group: u32,
}

impl Options {
    /// What is so unless an option says something else.
    pub const NONE: Self = Self {
        frames: None,
        mode: 0o1777,
        user: 0,
        group: 0,
    };

    /// These, changed by what `text` says.
    ///
    /// # Errors
    /// EINVAL: there is no such option for this kind.
    pub fn changed(mut self, kind: Kind, text: &[u8]) -> Result<Self, Errno> {
        let words = text.split(|&byte| byte == b',');
        for word in words.filter(|word| !word.is_empty()) {
            let equals = word.iter().position(|&byte| byte == b'=');
            let (name, value) = match equals {
                Some(equals) => (&word[..equals], &word[equals + 1..]),
                None => (word, &b""[..]),
            };
            match (kind, name) {
                (Kind::Memory, b"size") => self.frames = size(value)?,
                (Kind::Memory, b"mode") => self.mode = number(value, 8)? & 0o7777,
                (Kind::Memory, b"uid") => self.user = number(value, 10)?,
                (Kind::Memory, b"gid") => self.group = number(value, 10)?,
                // There is one of each, which stays as it is.
                (Kind::Devices, b"size" | b"mode" | b"nr_inodes")
                | (Kind::Terminals, b"newinstance" | b"mode" | b"gid" | b"ptmxmode") => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(self)
    }
}

fn number(text: &[u8], base: u32) -> Result<u32, Errno> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    u32::from_str_radix(text, base).map_err(|_| Errno::EINVAL)
}

/// Frames for a size in bytes, in larger units, or in hundredths of memory; 0 is no limit.
fn size(text: &[u8]) -> Result<Option<u64>, Errno> {
    let (digits, unit) = match text.split_last() {
        Some((b'%', digits)) => {
            let part = u64::from(number(digits, 10)?);
            return Ok(Some(frames::total().saturating_mul(part) / 100));
        }
        Some((b'k' | b'K', digits)) => (digits, 1 << 10),
        Some((b'm' | b'M', digits)) => (digits, 1 << 20),
        Some((b'g' | b'G', digits)) => (digits, 1 << 30),
        _ => (text, 1),
    };
    let digits = core::str::from_utf8(digits).map_err(|_| Errno::EINVAL)?;
    let bytes = digits.parse::<u64>().map_err(|_| Errno::EINVAL)?;
    let frames = bytes.saturating_mul(unit).div_ceil(FRAME_SIZE as u64);
    Ok(Some(frames).filter(|&frames| frames != 0))
}

impl fmt::Display for Options {
    /// As `/proc/mounts` has them: what is not so anyway, each with a comma before it.
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(frames) = self.frames {
            let kilobytes = frames.saturating_mul(FRAME_SIZE as u64 >> 10);
            write!(to, ",size={kilobytes}k")?;
        }
        if self.mode != Self::NONE.mode {
            write!(to, ",mode={:03o}", self.mode)?;
        }
        if self.user != 0 {
            write!(to, ",uid={}", self.user)?;
        }
        if self.group != 0 {
            write!(to, ",gid={}", self.group)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<String, Errno> {
        let options = Options::NONE.changed(Kind::Memory, text.as_bytes())?;
        Ok(options.to_string())
    }

    #[test]
    fn options_are_kept_as_linux_tells_them() {
        assert_eq!(of(""), Ok(String::new()));
        let all = of("size=1m,mode=0755,uid=7,,gid=8");
        assert_eq!(all, Ok(",size=1024k,mode=755,uid=7,gid=8".into()));
        assert_eq!(of("size=1,mode=1777,size=5000"), Ok(",size=8k".into()));
        assert_eq!(of("size=2g,size=0"), Ok(String::new()));
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for text in [
            "size",
            "size=k",
            "size=-1",
            "mode=9",
            "uid=x",
            "hidepid=2",
            "gid=\u{fc}",
        ] {
            assert_eq!(of(text), Err(Errno::EINVAL), "{text}");
        }
        let of_proc = Options::NONE.changed(Kind::Proc, b"size=1");
        assert_eq!(of_proc, Err(Errno::EINVAL));
    }
}
