//! Making devices and FIFOs.

use arch::trap::Arguments;
use linux_raw_sys::general as linux;
use mm::Shared;
use mm::file_pages::FilePages;

use crate::fs::device::DeviceNumber;
use crate::fs::fifo::Fifo;
use crate::fs::node::Kind;
use crate::fs::{self, calls};
use crate::syscall::path::{HERE, Path, start};
use crate::syscall::{Errno, SyscallResult};

/// `mknod(path, mode, device)`
pub fn mknod(&[path, mode, device, ..]: &Arguments) -> SyscallResult {
    make_node_at(HERE, path, mode as u32, device as u32)
}

/// `mknodat(directory, path, mode, device)`
pub fn mknodat(&[directory, path, mode, device, ..]: &Arguments) -> SyscallResult {
    make_node_at(directory, path, mode as u32, device as u32)
}

fn make_node_at(directory: u64, path: u64, mode: u32, device: u32) -> SyscallResult {
    let device = decode(device);
    let kind = match mode & linux::S_IFMT {
        0 | linux::S_IFREG => Kind::File(Shared::new(FilePages::new(&[]))?),
        linux::S_IFCHR => Kind::Characters(device),
        linux::S_IFBLK => Kind::Blocks(device),
        linux::S_IFIFO => Kind::Fifo(Fifo::new()),
        linux::S_IFSOCK => Kind::Socket,
        linux::S_IFDIR => return Err(Errno::EPERM),
        _ => return Err(Errno::EINVAL),
    };
    let path = Path::read(path)?;
    let start = start(directory, path.bytes())?;
    let mode = mode & !fs::mask();
    calls::make_node(&start, path.bytes(), kind, mode)?;
    Ok(0)
}

/// A device's number from one word (Linux, `new_decode_dev`).
fn decode(word: u32) -> DeviceNumber {
    DeviceNumber {
        major: word >> 8 & 0xfff,
        minor: word & 0xff | word >> 12 & 0xf_ff00,
    }
}

#[cfg(test)]
mod tests {
    use super::{DeviceNumber, decode};
    use crate::syscall::stat::encode;

    #[test]
    fn numbers_of_devices_are_one_word() {
        let device = DeviceNumber {
            major: 0xabc,
            minor: 0x1_2345,
        };
        assert_eq!(encode(device), 0x123a_bc45);
        assert_eq!(decode(0x123a_bc45), device);
    }
}
