//! Calls in text, held against what `strace` prints.

use super::*;

fn call(number: libc::c_long, arguments: [u64; 6], chunks: &[(u8, &[u8], u32)]) -> Call {
    let chunk = |&(argument, bytes, of): &(u8, &[u8], u32)| Chunk {
        argument,
        bytes: bytes.to_vec(),
        of,
    };
    Call {
        number: number as u64,
        arguments: Some(arguments),
        chunks: chunks.iter().map(chunk).collect(),
        pid: 1,
        ..Call::default()
    }
}

fn line(call: &Call, result: u64) -> String {
    beginning(call).text + &end(call, result)
}

#[test]
fn calls_look_as_strace_shows_them() {
    let bad = |errno: u64| errno.wrapping_neg();
    let here = libc::AT_FDCWD as u64;
    let flags = 0o1101;
    let hello: (u8, &[u8], u32) = (1, b"hello\n", 6);
    let cases = [
        (
            call(libc::SYS_write, [1, 0x1000, 6, 0, 0, 0], &[hello]),
            6,
            r#"write(1, "hello\n", 6) = 6"#,
        ),
        (
            call(
                libc::SYS_write,
                [9, 0x1000, 600, 0, 0, 0],
                &[(1, b"it's", 600)],
            ),
            bad(9),
            r#"write(9, "it's"..., 600) = -1 EBADF"#,
        ),
        (
            call(
                libc::SYS_read,
                [0, 0x1000, 64, 0, 0, 0],
                &[(1, b"a\0\xff", 3)],
            ),
            3,
            r#"read(0, "a\x00\xff", 64) = 3"#,
        ),
        (
            call(libc::SYS_read, [0, 0, 64, 0, 0, 0], &[]),
            bad(14),
            "read(0, NULL, 64) = -1 EFAULT",
        ),
        (
            call(
                libc::SYS_openat,
                [here, 1, flags, 0o644, 0, 0],
                &[(1, b"/tmp/x", 6)],
            ),
            3,
            r#"openat(AT_FDCWD, "/tmp/x", O_WRONLY|O_CREAT|O_TRUNC, 0644) = 3"#,
        ),
        (
            call(libc::SYS_open, [1, 0, 7, 0, 0, 0], &[(0, b"", 0)]),
            bad(2),
            r#"open("", O_RDONLY) = -1 ENOENT"#,
        ),
        (
            call(libc::SYS_mmap, [0, 4096, 3, 0x22, u64::MAX, 0], &[]),
            0x7f00_0000_0000,
            "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) \
             = 0x7f0000000000",
        ),
        (
            call(
                libc::SYS_pipe,
                [0x1000, 0, 0, 0, 0, 0],
                &[(0, &[3, 0, 0, 0, 4, 0, 0, 0], 8)],
            ),
            0,
            "pipe([3, 4]) = 0",
        ),
        (
            call(
                libc::SYS_wait4,
                [u64::MAX, 0x1000, 1, 0, 0, 0],
                &[(1, &[0, 3, 0, 0], 4)],
            ),
            2,
            "wait4(-1, [exited with status 3], WNOHANG, NULL) = 2",
        ),
        (
            call(
                libc::SYS_execve,
                [1, 2, 0, 0, 0, 0],
                &[(0, b"/bin/sh", 7), (1, b"sh", 2), (1, b"", 0), (1, b"", 1)],
            ),
            0,
            r#"execve("/bin/sh", ["sh", "", ...], NULL) = 0"#,
        ),
        (
            call(
                libc::SYS_writev,
                [1, 2, 2, 0, 0, 0],
                &[(1, b"ab", 2), (1, b"c", 9)],
            ),
            11,
            r#"writev(1, [{"ab", 2}, {"c"..., 9}], 2) = 11"#,
        ),
        (
            call(libc::SYS_clone, [0x11, 0, 0, 0, 0, 0], &[]),
            5,
            "clone(SIGCHLD, NULL, NULL, NULL, NULL) = 5",
        ),
        (
            call(libc::SYS_futex, [0x1000, 129, 1, 0, 0, 0], &[]),
            0,
            "futex(0x1000, FUTEX_WAKE|FUTEX_PRIVATE_FLAG, 1, NULL, NULL, NULL) = 0",
        ),
        (
            call(9999, [1, 2, 3, 0, 0, 6], &[]),
            bad(38),
            "syscall_0x270f(0x1, 0x2, 0x3, NULL, NULL, 0x6) = -1 ENOSYS",
        ),
    ];
    for (call, result, text) in cases {
        assert_eq!(line(&call, result), text);
    }
}

#[test]
fn a_call_that_writes_is_cut_where_it_does() {
    let mut read = call(libc::SYS_read, [0, 0x1000, 64, 0, 0, 0], &[]);
    assert_eq!(beginning(&read).text, "read(0, ");
    read.chunks.push(Chunk {
        argument: 1,
        bytes: b"x".to_vec(),
        of: 1,
    });
    assert_eq!(end(&read, 1), r#""x", 64) = 1"#);
    assert_eq!(end(&Call::unknown(0, 7, 0), 1), ") = 1");
}

#[test]
fn a_call_that_nobody_serves_has_its_name() {
    assert_eq!(
        super::call_name(libc::SYS_io_uring_setup as u64),
        "io_uring_setup"
    );
    assert_eq!(super::call_name(libc::SYS_mount as u64), "mount");
    assert_eq!(super::call_name(0x4000), "syscall_0x4000");
}
