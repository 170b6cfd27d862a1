//! An executable of a guest's, which is any bytes: what the kernel is to map is in the file, and
//! in the span that is made room for; and so is the path of what loads it.

use abi::virtual_map::PAGE_SIZE;
use formats::elf::Elf;

pub fn run(data: &[u8]) {
    let Ok(elf) = Elf::parse(data) else {
        return;
    };
    let len = data.len() as u64;
    if let Ok(Some(path)) = elf.interpreter() {
        assert!(path.start < path.end && path.end < len);
        assert_eq!(data[path.end as usize], 0);
    }
    let span = elf.span();
    let segments: Result<Vec<_>, _> = elf.segments().collect();
    let (Ok((span, alignment)), Ok(segments)) = (&span, &segments) else {
        // A span may end above all addresses although no segment does.
        assert!(span.is_err());
        return;
    };
    assert!(alignment.is_power_of_two() && *alignment >= PAGE_SIZE);
    assert!(segments.len() <= usize::from(elf.header_count));
    assert!(span.start.is_multiple_of(PAGE_SIZE) && span.end.is_multiple_of(PAGE_SIZE));
    for segment in segments {
        assert!(span.start <= segment.start && segment.end <= span.end);
        assert!(segment.len <= segment.end - segment.start);
        assert!(
            segment
                .offset
                .checked_add(segment.len)
                .is_some_and(|end| end <= len)
        );
        if let Some(headers) = elf.headers_in(segment) {
            assert!((segment.start..segment.end).contains(&headers) || elf.header_count == 0);
        }
    }
}
