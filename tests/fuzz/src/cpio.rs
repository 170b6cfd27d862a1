//! An initramfs of the user's: what is accepted is within the room, and is accepted again.

use vmm::boot::Archive;
use vmm::image::Image;

const ROOM: u64 = 1 << 20;

pub fn run(data: &[u8]) {
    let Ok(archive) = Archive::unpack(image(data), ROOM) else {
        return;
    };
    let bytes = archive.bytes();
    assert!(bytes.len() as u64 <= ROOM);
    let again = Archive::unpack(image(bytes), ROOM).expect("it is an archive");
    assert_eq!(again.bytes(), bytes);
}

fn image(bytes: &[u8]) -> Image {
    bytes.to_vec().into()
}
