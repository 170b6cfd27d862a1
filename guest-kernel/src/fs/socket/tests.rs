use super::*;
use crate::fs::open_file::{self, Object, OpenFile};
use crate::fs::transfer::tests::Buffer;
use mm::frames;

type Ends = [Shared<OpenFile>; 2];

/// Two connected sockets, as open files.
fn pair(style: Style) -> Ends {
    let [one, other] =
        [(); 2].map(|()| Endpoint::new(Family::Unix, style, 0).expect("there is memory"));
    Endpoint::connect(&one, &other);
    [one, other].map(|end| {
        let object = Object::Socket(Socket(end));
        OpenFile::new(object, 0).expect("there is memory")
    })
}

fn socket(file: &OpenFile) -> &Socket {
    match file.object() {
        Object::Socket(socket) => socket,
        _ => panic!("it is a socket"),
    }
}

fn send(file: &OpenFile, bytes: &[u8], files: &[&Shared<OpenFile>]) -> Result<u64, Errno> {
    let mut rights = Rights::new();
    for file in files.iter().rev() {
        rights.push((*file).clone())?;
    }
    let outgoing = Outgoing {
        source: &mut Buffer::new(bytes).with_faults(&[1]),
        attached: Attached {
            credentials: None,
            rights: (!files.is_empty()).then_some(rights),
        },
        patience: Patience::None,
    };
    socket(file).send(None, outgoing, true)
}

fn receive(file: &OpenFile, room: usize) -> Result<(Vec<u8>, Option<Rights>), Errno> {
    let mut target = Buffer::room(room).with_faults(&[0, 2]);
    let mut incoming = Incoming::new(&mut target, Patience::None);
    socket(file).receive(&mut incoming)?;
    let rights = incoming.rights.take();
    Ok((target.bytes, rights))
}

#[test]
fn bytes_cross_faults_and_frames() {
    for style in [Style::Stream, Style::Datagram, Style::Sequence] {
        let before = frames::free();
        let [one, other] = pair(style);
        let text: Vec<_> = (0..20_000).map(|n| (n % 251) as u8).collect();
        assert_eq!(send(&one, &text, &[]), Ok(20_000), "{style:?}");
        let (bytes, rights) = receive(&other, 30_000).expect("something has arrived");
        assert!(bytes == text && rights.is_none(), "{style:?}");
        assert!(matches!(receive(&other, 1), Err(Errno::EAGAIN)));
        drop((one, other));
        assert_eq!(frames::free(), before, "{style:?}");
    }
}

#[test]
fn a_stream_has_bounds() {
    let [one, other] = pair(Style::Stream);
    let mut sent = 0;
    while let Ok(count) = send(&one, &[7; 1000], &[]) {
        sent += count;
    }
    assert!((100_000..300_000).contains(&sent), "{sent}");
    assert!(!socket(&one).readiness().contains(Readiness::WRITE));
    receive(&other, sent as usize).expect("something has arrived");
    assert!(socket(&one).readiness().contains(Readiness::WRITE));
}

#[test]
fn files_come_in_their_order() {
    let [one, other] = pair(Style::Stream);
    let sent = pair(Style::Datagram);
    assert_eq!(send(&one, b"two", &[&sent[0], &sent[1]]), Ok(3));
    let (_, rights) = receive(&other, 9).expect("something has arrived");
    let mut rights = rights.expect("files came with it");
    for file in &sent {
        let came = rights.pop().expect("two files came");
        assert!(Shared::is_same(&came, file));
    }
    assert!(rights.pop().is_none());
}

#[test]
fn sockets_that_nobody_can_receive_go() {
    let before = (frames::free(), open_file::count());
    for _ in 0..3000 {
        let [one, other] = pair(Style::Stream);
        let [third, fourth] = pair(Style::Datagram);
        assert_eq!(send(&one, b"itself", &[&other]), Ok(6));
        assert_eq!(send(&other, b"another", &[&third]), Ok(7));
        assert_eq!(send(&fourth, b"back", &[&one, &other]), Ok(4));
    }
    collect();
    assert_eq!((frames::free(), open_file::count()), before);
}

#[test]
fn a_long_chain_ends_without_a_long_stack() {
    let before = frames::free();
    let mut last = pair(Style::Stream);
    for _ in 0..200 {
        let next = pair(Style::Stream);
        assert_eq!(send(&next[0], b"x", &[&last[0], &last[1]]), Ok(1));
        last = next;
    }
    collect();
    assert!(open_file::count() > 400, "all can be received");
    drop(last);
    assert_eq!((frames::free(), open_file::count()), (before, 0));
}
