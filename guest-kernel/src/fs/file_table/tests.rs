use linux_raw_sys::general as linux;
use mm::frames;

use super::*;
use crate::fs::device::Device;
use crate::fs::open_file;
use crate::fs::open_file::Object;

fn table() -> Shared<FileTable> {
    FileTable::standard(StandardStreams::CONSOLE).expect("there is memory")
}

fn null() -> Shared<OpenFile> {
    OpenFile::new(Object::Device(Device::Null), linux::O_RDWR).expect("there is memory")
}

#[test]
fn the_lowest_free_number_is_taken() {
    let table = table();
    let add = |from| table.add(null(), from, LIMIT, false);
    assert_eq!([add(0), add(0), add(0)], [Ok(3), Ok(4), Ok(5)]);
    assert_eq!(table.close(4), Ok(()));
    assert_eq!(table.close(4), Err(Errno::EBADF));
    assert_eq!(
        [add(0), add(0), add(100), add(100)],
        [Ok(4), Ok(6), Ok(100), Ok(101)]
    );
    for fd in [7, 255, 256, LIMIT as u64, u64::MAX] {
        assert_eq!(table.get(fd).err(), Some(Errno::EBADF));
    }
}

#[test]
fn a_table_can_be_full() {
    let table = table();
    assert_eq!(table.add(null(), 0, 3, false), Err(Errno::EMFILE));
    let file = null();
    for fd in 3..LIMIT as u64 {
        assert_eq!(table.add(file.clone(), 0, usize::MAX, false), Ok(fd));
    }
    assert_eq!(table.add(file, 0, usize::MAX, false), Err(Errno::EMFILE));
    let past = LIMIT as u64;
    assert_eq!(
        table.replace(past, null(), usize::MAX, false),
        Err(Errno::EBADF)
    );
    assert_eq!(table.replace(9, null(), 9, false), Err(Errno::EBADF));
    assert_eq!(table.close(200), Ok(()));
    assert_eq!(table.add(null(), 10, LIMIT, false), Ok(200));
}

#[test]
fn a_child_shares_open_files_but_not_numbers() {
    let before = (frames::free(), open_file::count());
    let parent = table();
    let file = null();
    assert_eq!(parent.add(file.clone(), 40, LIMIT, true), Ok(40));
    let child = parent.duplicate().expect("there is memory");
    let same = child.get(40).expect("it is open");
    assert!(Shared::is_same(&same, &file));
    assert_eq!(child.closes_on_exec(40), Ok(true));
    assert_eq!(child.close(40), Ok(()));
    assert!(parent.get(40).is_ok());
    drop((file, same, parent, child));
    assert_eq!((frames::free(), open_file::count()), before);
}

#[test]
fn running_a_program_closes_what_it_should() {
    let table = table();
    for (fd, close) in [(3, true), (64, true), (65, false), (255, true)] {
        assert_eq!(table.add(null(), fd, LIMIT, close), Ok(fd as u64));
    }
    assert_eq!(table.set_close_on_exec(64, false), Ok(()));
    assert_eq!(table.set_close_on_exec(66, true), Err(Errno::EBADF));
    assert_eq!(table.replace(2, null(), LIMIT, true), Ok(()));
    table.close_on_exec();
    let open: Vec<_> = (0..300).filter(|&fd| table.get(fd).is_ok()).collect();
    assert_eq!(open, [0, 1, 64, 65]);
    assert_eq!(table.add(null(), 0, LIMIT, false), Ok(2));
    assert_eq!(table.closes_on_exec(2), Ok(false));
}
