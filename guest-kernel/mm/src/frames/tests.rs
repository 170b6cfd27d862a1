//! The allocator, with no memory or a small one behind it.

use crate::frames::{Contents, FrameAllocator, MAX_EXTENTS};

fn with_memory(ranges: &[(u64, u64)], reserved: &[(u64, u64)]) -> FrameAllocator {
    let mut frames = FrameAllocator::empty(0);
    for &(start, end) in ranges {
        frames.add(start, end, reserved);
    }
    frames
}

fn all(frames: &mut FrameAllocator) -> Vec<u64> {
    let mut all: Vec<_> = std::iter::from_fn(|| frames.allocate(Contents::Unknown))
        .map(|(frame, _)| frame)
        .collect();
    all.sort_unstable();
    all
}

#[test]
fn reserved_ranges_are_cut_out() {
    let mut frames = with_memory(
        &[(0, 0x9000)],
        &[(0, 0x1000), (0x3800, 0x5001), (0x9000, 0xa000)],
    );
    assert_eq!(all(&mut frames), [0x1000, 0x2000, 0x6000, 0x7000, 0x8000]);
}

#[test]
fn only_whole_frames_count() {
    let mut frames = with_memory(&[(0x1001, 0x3fff), (0x5800, 0x6800), (0x8000, 0x8000)], &[]);
    assert_eq!(all(&mut frames), [0x2000]);
}

#[test]
fn empty_reserved_ranges_reserve_nothing() {
    let mut frames = with_memory(&[(0x1000, 0x3000)], &[(0x2000, 0x2000)]);
    assert_eq!(all(&mut frames), [0x1000, 0x2000]);
}

#[test]
fn too_many_extents_are_left_alone() {
    let ranges: Vec<_> = (1..=20)
        .map(|n| (n * 0x2000, n * 0x2000 + 0x1000))
        .collect();
    let mut frames = with_memory(&ranges, &[]);
    assert_eq!(frames.free, MAX_EXTENTS as u64);
    assert_eq!(all(&mut frames).len(), MAX_EXTENTS);
    assert_eq!(frames.free, 0);
}

#[test]
fn a_piece_is_taken_where_it_fits() {
    let mut frames = with_memory(&[(0x1000, 0x3000), (0x5000, 0x9000)], &[]);
    assert_eq!(frames.free, 6);
    assert_eq!(frames.take(0x2001), Some(0x5000));
    assert_eq!(frames.take(0x2000), None);
    assert_eq!(frames.free, 3);
    assert_eq!(all(&mut frames), [0x1000, 0x2000, 0x8000]);
    let mut far = with_memory(&[(4 << 30, 5 << 30)], &[]);
    assert_eq!(far.take(0x1000), None);
}

#[test]
fn returned_frames_are_used_again() {
    let mut memory = vec![0_u64; 4 * 512];
    let base = memory.as_mut_ptr() as u64;
    let mut frames = FrameAllocator::empty(base);
    frames.add(0x1000, 0x4000, &[]);
    let taken = all(&mut frames);
    assert_eq!(taken, [0x1000, 0x2000, 0x3000]);
    frames.fresh_contents = Contents::Zero;
    for &frame in &taken {
        // SAFETY: `memory` stands for frames 0 to 3, and `taken` is forgotten.
        unsafe { frames.free(frame, Contents::Unknown) };
    }
    let unknown = frames.allocate(Contents::Unknown);
    assert_eq!(unknown, Some((0x3000, Contents::Unknown)));
    // SAFETY: as above, and `memory` was zero.
    unsafe { frames.free(0x3000, Contents::Zero) };
    let zero = frames.allocate(Contents::Zero);
    assert_eq!(zero, Some((0x3000, Contents::Zero)));
    let zero = frames.allocate(Contents::Zero);
    assert_eq!(zero, Some((0x2000, Contents::Unknown)));
    // SAFETY: as above.
    unsafe { frames.free(0x3000, Contents::Zero) };
    assert_eq!(all(&mut frames), [0x1000, 0x3000]);
    assert!(
        memory
            .iter()
            .skip(0x2000 / 8)
            .all(|&word| word == 0 || word == 0x1000)
    );
}
