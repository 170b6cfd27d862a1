use super::CloneFlags;

#[test]
fn threads_share_everything() {
    let all = CloneFlags::MEMORY | CloneFlags::FILES | CloneFlags::SIGNALS;
    let thread = all | CloneFlags::THREAD | CloneFlags::DIRECTORY;
    assert!(thread.make_sense());
    for missing in all {
        assert!(!(thread - missing).make_sense());
    }
    assert!(!(thread | CloneFlags::PARENT_WAITS).make_sense());
    assert!((CloneFlags::MEMORY | CloneFlags::PARENT_WAITS).make_sense());
    assert!((CloneFlags::MEMORY | CloneFlags::SIGNALS).make_sense());
    assert!(!CloneFlags::SIGNALS.make_sense());
    assert!(CloneFlags::empty().make_sense());
}
