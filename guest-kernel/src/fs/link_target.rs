//! Where a symbolic link leads.

use abi::Errno;
use core::cell::OnceCell;

use crate::fs::bytes::Bytes;
use crate::fs::outside::{self, Number};

/// The path that a symbolic link leads to, which may be the host's to say.
pub struct LinkTarget {
    text: OnceCell<Bytes>,
    /// The host's link, if the text comes from there.
    outside: Option<Number>,
    /// Its length, as far as it is known.
    len: u64,
}

impl LinkTarget {
    /// This path.
    pub fn known(text: Bytes) -> Self {
        Self {
            len: text.len() as u64,
            text: OnceCell::from(text),
            outside: None,
        }
    }

    /// The host's link with this number, said to have `len` bytes.
    pub fn of_host(link: Number, len: u64) -> Self {
        Self {
            text: OnceCell::new(),
            outside: Some(link),
            len,
        }
    }

    /// The path.
    ///
    /// # Errors
    /// ENOMEM, and others of the host.
    pub fn text(&self) -> Result<&[u8], Errno> {
        if let (None, Some(link)) = (self.text.get(), self.outside) {
            let text = outside::read_link(link)?;
            return Ok(self.text.get_or_init(|| text));
        }
        Ok(self.text.get().map_or(&[], |text| text))
    }

    /// Bytes of the path, as `stat` has them.
    pub fn len(&self) -> u64 {
        self.text.get().map_or(self.len, |text| text.len() as u64)
    }
}
