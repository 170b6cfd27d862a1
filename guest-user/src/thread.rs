//! Threads: `clone` with memory shared, joined by the futex that the kernel clears (R17).

use core::arch::asm;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicU32, Ordering::Acquire};

use linux_raw_sys::general as linux;

use crate::memory::{self, PAGE, PROT_NONE, PROT_READ, PROT_WRITE};
use crate::syscall::{Errno, Result, call};

/// Bytes of a thread's mapping: a guard page, its stack, and its packet at the top.
const MAPPING: usize = 16 * PAGE;

/// Waits until woken if the word has this value; may also return without reason.
pub fn futex_wait(word: &AtomicU32, value: u32) {
    let operation = u64::from(linux::FUTEX_WAIT);
    // SAFETY: the kernel only reads the word. Its result does not matter: whoever waits
    // looks at the word again.
    let _ = unsafe {
        call(
            linux::__NR_futex,
            [word.as_ptr() as u64, operation, value.into(), 0],
        )
    };
}

/// Wakes up to `count` that wait for this word.
pub fn futex_wake(word: &AtomicU32, count: u32) {
    let operation = u64::from(linux::FUTEX_WAKE);
    // SAFETY: the kernel only takes the address.
    let _ = unsafe {
        call(
            linux::__NR_futex,
            [word.as_ptr() as u64, operation, count.into()],
        )
    };
}

/// What a thread and the one that joins it share.
struct Packet<F, T> {
    /// Its number; the kernel makes it 0 and wakes when the thread has ended.
    tid: AtomicU32,
    body: Option<F>,
    result: Option<T>,
}

/// A thread to be joined; one that never is keeps its stack.
#[must_use]
pub struct JoinHandle<F, T> {
    mapping: *mut u8,
    packet: *mut Packet<F, T>,
    owns: PhantomData<T>,
}

impl<F, T> JoinHandle<F, T> {
    /// Waits for the thread's end and takes what it returned.
    pub fn join(self) -> T {
        // SAFETY: the packet is in the mapping, which lives until the end of this call;
        // beside the thread only the kernel writes the word, atomically.
        let tid = unsafe { &(*self.packet).tid };
        loop {
            match tid.load(Acquire) {
                0 => break,
                running => futex_wait(tid, running),
            }
        }
        // SAFETY: the thread has ended, so packet and stack are this one's alone.
        unsafe {
            let result = (*self.packet).result.take();
            self.packet.drop_in_place();
            memory::unmap(self.mapping, MAPPING).expect("it was mapped");
            result.expect("it was put there")
        }
    }
}

/// Runs `body` in a new thread.
pub fn spawn<F, T>(body: F) -> Result<JoinHandle<F, T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    const {
        assert!(size_of::<Packet<F, T>>() <= PAGE && align_of::<Packet<F, T>>() <= PAGE);
    }
    let mapping = memory::map(MAPPING, PROT_READ | PROT_WRITE)?;
    // SAFETY: the last page of the mapping, which has room for a packet and is aligned
    // for one; nobody else knows of the mapping yet, so its first page can be a guard.
    let packet = unsafe {
        memory::protect(mapping, PAGE, PROT_NONE)?;
        let packet = mapping.add(MAPPING - PAGE).cast::<Packet<F, T>>();
        packet.write(Packet {
            tid: AtomicU32::new(u32::MAX),
            body: Some(body),
            result: None,
        });
        packet
    };
    // SAFETY: the stack ends below the packet, both are the new thread's until joined,
    // and `run` takes a packet of just this type.
    if let Err(error) = unsafe { clone(packet.cast(), run::<F, T>, &raw mut (*packet).tid) } {
        // SAFETY: there is no thread to use either.
        unsafe {
            packet.drop_in_place();
            memory::unmap(mapping, MAPPING)?;
        }
        return Err(error);
    }
    Ok(JoinHandle {
        mapping,
        packet,
        owns: PhantomData,
    })
}

/// The new thread.
extern "C" fn run<F: FnOnce() -> T, T>(packet: *mut u8) -> ! {
    let packet = packet.cast::<Packet<F, T>>();
    // SAFETY: `spawn` left a packet with a body there, which is this thread's until its
    // end. The last call ends this thread alone.
    unsafe {
        let body = (*packet).body.take().expect("it was put there");
        (*packet).result = Some(body());
        let result = call(linux::__NR_exit, [0]);
        unreachable!("exit returned {result:?}")
    }
}

/// Starts a thread at `entry(packet)` with the stack below `packet`.
///
/// # Safety
/// Below `packet` there is a stack for the thread, and `entry` never returns.
unsafe fn clone(
    packet: *mut u8,
    entry: extern "C" fn(*mut u8) -> !,
    tid: *mut AtomicU32,
) -> Result<()> {
    const FLAGS: u32 = linux::CLONE_VM
        | linux::CLONE_FS
        | linux::CLONE_FILES
        | linux::CLONE_SIGHAND
        | linux::CLONE_THREAD
        | linux::CLONE_SYSVSEM
        | linux::CLONE_PARENT_SETTID
        | linux::CLONE_CHILD_CLEARTID;
    let result: u64;
    // SAFETY: the new thread has rsp at the packet, which is aligned to 16 bytes as the
    // ABI wants it at a call, and never comes back from `entry`; the old one only gets
    // the result.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") u64::from(linux::__NR_clone) => result,
            in("rdi") u64::from(FLAGS),
            in("rsi") packet,
            in("rdx") tid,
            in("r10") tid,
            in("r8") 0_u64,
            in("r12") packet,
            in("r13") entry,
            out("rcx") _,
            out("r11") _,
        );
    }
    Errno::decode(result).map(|_| ())
}
