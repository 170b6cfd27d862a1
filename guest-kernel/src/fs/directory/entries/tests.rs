use super::*;
use crate::fs::link_target::LinkTarget;
use crate::fs::node::Kind;
use fastrand::Rng;
use mm::frames;
use std::collections::BTreeMap;

fn add(entries: &mut Entries, name: &str) -> u64 {
    let target = LinkTarget::known(Bytes::InPlace(b""));
    let node = Node::new(Kind::Link(target), 0).expect("there is memory");
    let number = node.number();
    let name = Bytes::name(name.as_bytes()).expect("there is memory");
    let inserted = entries.insert(Entry { name, node });
    inserted.expect("there is memory");
    number
}

fn names(entries: &Entries) -> Vec<String> {
    let mut names = Vec::new();
    let mut place = 0;
    while let Some((at, entry)) = entries.next(place) {
        names.push(String::from_utf8_lossy(&entry.name).into_owned());
        place = at + 1;
    }
    names
}

#[test]
fn entries_are_found_by_name_and_in_order() {
    let mut entries = Entries::EMPTY;
    let expected: Vec<_> = (0..5000).map(|n| format!("name{n}")).collect();
    for name in &expected {
        add(&mut entries, name);
    }
    assert_eq!(names(&entries), expected);
    for name in &expected {
        let found = entries.find(name.as_bytes());
        assert!(found.is_some_and(|entry| *entry.name == *name.as_bytes()));
    }
    assert!(entries.find(b"name5000").is_none());
    assert!(entries.find(b"").is_none());
}

#[test]
fn all_that_is_read_can_be_removed_on_the_way() {
    let before = frames::free();
    let mut entries = Entries::EMPTY;
    for n in 0..100 {
        add(&mut entries, &format!("{n}"));
    }
    let mut place = 0;
    let mut removed = 0;
    while let Some((at, entry)) = entries.next(place) {
        let name = entry.name.to_vec();
        assert!(entries.remove(&name).is_some());
        (place, removed) = (at + 1, removed + 1);
    }
    assert_eq!(removed, 100);
    assert_eq!(entries.count, 0);
    assert_eq!(frames::free(), before);
}

#[test]
fn it_is_what_a_map_would_be() {
    let mut random = Rng::with_seed(3);
    let mut entries = Entries::EMPTY;
    let mut expected = BTreeMap::new();
    for _ in 0..20_000 {
        let name = format!("{}", random.u32(..300));
        match expected.remove(&name) {
            Some(number) => {
                let entry = entries.remove(name.as_bytes()).expect("it is there");
                assert_eq!(entry.node.number(), number);
            }
            None => {
                assert!(entries.find(name.as_bytes()).is_none());
                expected.insert(name.clone(), add(&mut entries, &name));
            }
        }
        let all = expected.keys().cloned().collect::<Vec<_>>();
        if all.len().is_multiple_of(40) {
            let mut found = names(&entries);
            found.sort();
            assert_eq!(found, all);
        }
    }
}

#[test]
fn a_directory_can_be_full() {
    let mut entries = Entries::EMPTY;
    entries.end = (GROUPS * GROUP * CHUNK) as u32;
    entries.chunks = Chunks::None;
    assert!(entries.grow().is_ok());
    assert_eq!(entries.prepare(), Err(Errno::ENOSPC));
}
