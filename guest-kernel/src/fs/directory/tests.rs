use super::*;
use crate::fs::link_target::LinkTarget;
use crate::fs::node::Kind;
use mm::frames;

fn new_directory() -> Shared<Node> {
    Node::new(Kind::Directory(Directory::empty()), 0o755).expect("there is memory")
}

fn add(parent: &Shared<Node>, name: &str) -> Shared<Node> {
    let node = new_directory();
    put(parent, name, &node);
    node
}

fn put(parent: &Shared<Node>, name: &str, node: &Shared<Node>) {
    let name = Bytes::name(name.as_bytes()).expect("there is memory");
    assert_eq!(insert(parent, name, node), Ok(()));
}

fn names(node: &Shared<Node>) -> Vec<String> {
    let mut names = Vec::new();
    let mut from = 0;
    while let Ok(Some(place)) = next(node, from, |place, listed| {
        names.push(String::from_utf8_lossy(listed.name).into_owned());
        place
    }) {
        from = place + 1;
    }
    names
}

fn is_in(node: &Node, parent: &Shared<Node>) -> bool {
    let inner = node.directory().expect("it is a directory");
    inner
        .parent()
        .is_some_and(|found| Shared::is_same(&found, parent))
}

#[test]
fn a_renamed_node_is_in_one_place() {
    let before = frames::free();
    let root = new_directory();
    let (from, to) = (add(&root, "from"), add(&root, "to"));
    let node = add(&from, "a");
    let other = add(&to, "b");
    assert_eq!([root.links(), from.links(), to.links()], [4, 3, 3]);
    assert_eq!(rename(&node, (&from, b"a"), (&to, b"b")), Ok(()));
    assert!(other.is_removed() && check_changeable(&other) == Err(Errno::ENOENT));
    assert_eq!((names(&from).len(), names(&to)), (0, vec!["b".into()]));
    assert_eq!([root.links(), from.links(), to.links()], [4, 2, 3]);
    assert!(is_in(&node, &to));
    assert_eq!(rename(&node, (&to, b"b"), (&to, b"c")), Ok(()));
    assert_eq!(names(&to), ["c"]);
    let long = rename(&node, (&to, b"c"), (&to, &[b'x'; 256]));
    assert_eq!(long, Err(Errno::ENAMETOOLONG));
    for (directory, name) in [(&to, "c"), (&root, "to"), (&root, "from")] {
        assert_eq!(remove(directory, name.as_bytes()), Ok(()));
    }
    drop((root, from, to, node, other));
    assert_eq!(frames::free(), before);
}

#[test]
fn a_node_has_as_many_links_as_names() {
    let root = new_directory();
    let node = Node::new(Kind::Link(LinkTarget::known(Bytes::InPlace(b"x"))), 0o777)
        .expect("there is memory");
    assert!(node.is_removed());
    put(&root, "a", &node);
    put(&root, "b", &node);
    assert_eq!(node.links(), 2);
    assert_eq!(remove(&root, b"a"), Ok(()));
    assert_eq!((node.links(), names(&root)), (1, vec!["b".into()]));
    assert_eq!(remove(&root, b"a"), Err(Errno::ENOENT));
}
