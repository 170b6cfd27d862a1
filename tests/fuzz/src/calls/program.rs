//! The program that makes an input's calls: machine code, and what its pointers point to.
//!
//! ```text
//! r15  rounds that are left      r14  the data      r13  how many forks led to this process
//! ```

use crate::Input;

const CODE: u64 = 0x40_0000;
const DATA: u64 = 0x60_0000;
const DATA_LEN: u64 = 0x1_0000;
/// Where things are in the data.
const RESULTS: u64 = 0;
const ACTION: u64 = 0x400;
const TIMES: u64 = 0x500;
const PATHS: u64 = 0x800;
const POINTERS: u64 = 0xc00;
const BYTES: u64 = 0x1000;
const STACKS: u64 = 0x8000;
const PATH_LEN: usize = 32;

const ROUNDS: u32 = 200;
/// Calls of a program at most.
const CALLS: usize = 100;
/// How long the calls go on.
const SLEEP_NS: u64 = 2_000_000;
/// A wait is interrupted after this long.
const ALARM_US: u64 = 100;

const FORK: u64 = 57;
const REBOOT: u64 = 169;
const LAST_CALL: u64 = 470;

const PATHS_TRIED: &[&str] = &[
    "/",
    ".",
    "/bin/hello",
    "a",
    "/tmp",
    "/tmp/a",
    "b/c",
    "..",
    "/proc/self/maps",
    "/proc/1/mem",
    "/dev/null",
    "/dev/tty",
    "/dev/zero",
    "/proc/self/fd/3",
    "/dev/ptmx",
    "",
];
/// What does most, and what belongs together.
const FREQUENT: &[u64] = &[
    0, 1, 2, 3, 9, 9, 10, 11, 12, 13, 14, 16, 20, 22, 25, 28, 32, 33, 41, 42, 43, 44, 45, 46, 47,
    48, 49, 50, 53, 54, 56, 59, 61, 62, 72, 76, 77, 82, 83, 86, 87, 88, 101, 109, 131, 165, 186,
    200, 202, 213, 232, 233, 234, 257, 270, 281, 283, 284, 285, 286, 290, 292, 293, 319, 322, 326,
];

/// A program.
pub struct Written {
    pub elf: Vec<u8>,
    /// Whether it may switch the machine off.
    pub reboots: bool,
    /// Numbers of its calls, in order.
    pub calls: Vec<u64>,
}

struct Code {
    bytes: Vec<u8>,
    calls: Vec<u64>,
}

pub fn write(input: &mut Input) -> Written {
    let mut code = Code {
        bytes: Vec::new(),
        calls: Vec::new(),
    };
    let child = code.init();
    let here = code.bytes.len();
    code.bytes[child - 4..child].copy_from_slice(&((here - child) as u32).to_le_bytes());
    code.child(input);
    let data = data(input);
    let reboots = code.calls.contains(&REBOOT);
    Written {
        elf: elf(&code.bytes, &data),
        reboots,
        calls: code.calls,
    }
}

impl Code {
    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// `mov register, value`, by its number.
    fn set(&mut self, register: u8, value: u64) {
        self.put(&[0x48 | register >> 3, 0xb8 | register & 7]);
        self.put(&value.to_le_bytes());
    }

    fn call(&mut self, number: u64, arguments: &[u64]) {
        const REGISTERS: [u8; 6] = [7, 6, 2, 10, 8, 9];
        for (register, &argument) in REGISTERS.into_iter().zip(arguments) {
            self.set(register, argument);
        }
        self.set(0, number);
        self.put(&[0x0f, 0x05]);
    }

    /// Init. Returns where the distance to the child's code ends.
    fn init(&mut self) -> usize {
        self.set(14, DATA);
        self.call(FORK, &[]);
        // test eax, eax; jz child
        self.put(&[0x85, 0xc0, 0x0f, 0x84, 0, 0, 0, 0]);
        let child = self.bytes.len();
        self.call(35, &[DATA + TIMES, 0]);
        let again = self.bytes.len();
        self.call(62, &[u64::MAX, 9]);
        self.call(61, &[u64::MAX, 0, 0x4000_0000, 0]);
        // cmp eax, -ECHILD; jne again
        self.put(&[0x83, 0xf8, 0xf6, 0x0f, 0x85]);
        let end = self.bytes.len() + 4;
        self.put(&(again.wrapping_sub(end) as u32).to_le_bytes());
        self.call(231, &[0]);
        child
    }

    fn child(&mut self, input: &mut Input) {
        // A handler for the alarm, and the alarm, again and again.
        self.call(13, &[14, DATA + ACTION, 0, 8]);
        self.call(38, &[0, DATA + TIMES + 0x20, 0]);
        // mov r15d, rounds; xor r13d, r13d
        self.put(&[0x41, 0xbf]);
        self.put(&ROUNDS.to_le_bytes());
        self.put(&[0x45, 0x31, 0xed]);
        let start = self.bytes.len();
        let count = usize::from(input.u8()) % CALLS;
        for _ in 0..=count {
            self.step(input);
        }
        // dec r15d; jnz start
        self.put(&[0x41, 0xff, 0xcf, 0x0f, 0x85]);
        let end = self.bytes.len() + 4;
        self.put(&(start.wrapping_sub(end) as u32).to_le_bytes());
        self.call(231, &[0]);
    }

    fn step(&mut self, input: &mut Input) {
        match input.u8() {
            0..4 => self.fork(),
            4..8 => self.thread(input),
            8..11 => {
                let signal = 1 + u64::from(input.u8() % 64);
                self.call(13, &[signal, DATA + ACTION + 0x40, 0, 8]);
            }
            11 => {
                // mov rax, [address]
                let address = argument(input).unwrap_or(0);
                self.set(1, address);
                self.put(&[0x48, 0x8b, 0x01]);
            }
            12 => self.put(&[0x9c, 0x80, 0x4c, 0x24, 0x01, 0x01, 0x9d, 0x90]),
            kind => self.any_call(kind, input),
        }
    }

    /// Where few forks have led here. The child goes on as its parent does.
    fn fork(&mut self) {
        // cmp r13d, 3; jae over
        self.put(&[0x41, 0x83, 0xfd, 3, 0x73, 0]);
        let from = self.bytes.len();
        self.call(FORK, &[]);
        // test eax, eax; setz al; movzx eax, al; add r13d, eax
        self.put(&[
            0x85, 0xc0, 0x0f, 0x94, 0xc0, 0x0f, 0xb6, 0xc0, 0x41, 0x01, 0xc5,
        ]);
        self.bytes[from - 1] = (self.bytes.len() - from) as u8;
    }

    /// The thread goes on as the one that makes it does, on a stack of its own.
    fn thread(&mut self, input: &mut Input) {
        const THREAD: u64 = 0x5_0f00;
        let choice = input.u8();
        let flags = match choice & 0xc0 {
            0xc0 => u64::from(input.u32()),
            _ => THREAD,
        };
        let stack = DATA + STACKS + 0x400 * (1 + u64::from(choice % 16));
        // cmp r13d, 3; jae over
        self.put(&[0x41, 0x83, 0xfd, 3, 0x73, 0]);
        let from = self.bytes.len();
        self.call(56, &[flags, stack, DATA + BYTES, DATA + BYTES, 0]);
        self.put(&[
            0x85, 0xc0, 0x0f, 0x94, 0xc0, 0x0f, 0xb6, 0xc0, 0x41, 0x01, 0xc5,
        ]);
        self.bytes[from - 1] = (self.bytes.len() - from) as u8;
    }

    fn any_call(&mut self, kind: u8, input: &mut Input) {
        let number = match input.u16() {
            choice if choice & 1 != 0 => FREQUENT[usize::from(choice >> 1) % FREQUENT.len()],
            choice => u64::from(choice >> 1) % LAST_CALL,
        };
        self.calls.push(number);
        const REGISTERS: [u8; 6] = [7, 6, 2, 10, 8, 9];
        for register in REGISTERS.into_iter().take(usize::from(kind) % 5 + 2) {
            match argument(input) {
                Some(value) => self.set(register, value),
                None => {
                    // mov register, [r14 + result]
                    let at = RESULTS as u32 + 8 * u32::from(input.u8() % 64);
                    self.put(&[0x49 | register >> 3 << 2, 0x8b, 0x86 | (register & 7) << 3]);
                    self.put(&at.to_le_bytes());
                }
            }
        }
        self.set(0, number);
        self.put(if kind & 0x80 == 0 || kind & 7 != 7 {
            &[0x0f, 0x05]
        } else {
            &[0xcd, 0x80]
        });
        // mov [r14 + result], rax
        let at = RESULTS as u32 + 8 * (self.calls.len() as u32 % 64);
        self.put(&[0x49, 0x89, 0x86]);
        self.put(&at.to_le_bytes());
    }
}

/// An argument; `None` for what a call has returned.
fn argument(input: &mut Input) -> Option<u64> {
    let (kind, byte) = (input.u8(), input.u8());
    let small = u64::from(byte);
    Some(match kind % 18 {
        0 | 1 => small % 20,
        2 => small,
        3 | 4 => DATA + BYTES + 16 * small,
        5 | 6 => DATA + PATHS + small % PATHS_TRIED.len() as u64 * PATH_LEN as u64,
        7 => DATA + POINTERS + small % 16 * 16,
        8 => DATA + TIMES + small % 4 * 16,
        9 => input.pick(&[
            1,
            8,
            16,
            64,
            4096,
            0x1_0000,
            1 << 20,
            1 << 31,
            u64::MAX,
            1 << 63,
        ]),
        10 => u64::from(input.u32()),
        11 => input.number(),
        12 => input.pick(&[
            0,
            CODE,
            0xffff_8000_0000_0000,
            0xffff_ffff_8010_0000,
            1 << 62,
            0x7fff_ffff_f000,
            0x7fff_ffff_eff8,
            DATA + DATA_LEN - 4,
        ]),
        13 => -100_i64 as u64,
        14 => input.pick(&[u64::MAX, 0, 1, 2, 3]),
        15 => 0x1000_0000 + (small << 12),
        16 => 1 << (small % 64),
        _ => return None,
    })
}

/// What pointers point to.
fn data(input: &mut Input) -> Vec<u8> {
    let mut data = vec![0; BYTES as usize];
    let mut put = |at: u64, words: &[u64]| {
        for (n, word) in words.iter().enumerate() {
            data[at as usize + 8 * n..][..8].copy_from_slice(&word.to_le_bytes());
        }
    };
    const RESTORER: u64 = 0x400_0000;
    const RESTART_ON_STACK: u64 = 0x1800_0000;
    let [handler, restorer] = [CODE + HEADER, CODE + HEADER + 8];
    put(ACTION, &[handler, RESTORER, restorer, 0]);
    put(
        ACTION + 0x40,
        &[handler, RESTORER | RESTART_ON_STACK, restorer, 0],
    );
    put(TIMES, &[0, SLEEP_NS, 0, 1000]);
    put(TIMES + 0x20, &[0, ALARM_US, 0, ALARM_US]);
    for n in 0..16 {
        put(POINTERS + 16 * n, &[DATA + BYTES + 64 * n, 8 << (n % 8)]);
    }
    put(POINTERS + 0x100, &[DATA + PATHS + 2 * PATH_LEN as u64, 0]);
    for (n, path) in PATHS_TRIED.iter().enumerate() {
        data[PATHS as usize + n * PATH_LEN..][..path.len()].copy_from_slice(path.as_bytes());
    }
    data.extend_from_slice(input.rest());
    data
}

/// Bytes of headers before the code.
const HEADER: u64 = 64 + 2 * 56;
/// A handler that returns, and how it does: `mov eax, 15; syscall`.
const HANDLER: [u8; 16] = [
    0xc3, 0, 0, 0, 0, 0, 0, 0, 0xb8, 15, 0, 0, 0, 0x0f, 0x05, 0x90,
];

fn elf(code: &[u8], data: &[u8]) -> Vec<u8> {
    let text = HEADER + HANDLER.len() as u64 + code.len() as u64;
    let data_at = text.next_multiple_of(0x1000);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let mut put = |words: &[u64], len: usize| {
        for word in words {
            file.extend_from_slice(&word.to_le_bytes()[..len]);
        }
    };
    put(&[2, 62], 2);
    put(&[1], 4);
    put(&[CODE + HEADER + HANDLER.len() as u64, 64, 0], 8);
    put(&[0], 4);
    put(&[64, 56, 2, 64, 0, 0], 2);
    put(&[1, 5], 4);
    put(&[0, CODE, CODE, text, text, 0x1000], 8);
    put(&[1, 6], 4);
    put(
        &[data_at, DATA, DATA, data.len() as u64, DATA_LEN, 0x1000],
        8,
    );
    file.extend_from_slice(&HANDLER);
    file.extend_from_slice(code);
    file.resize(data_at as usize, 0);
    file.extend_from_slice(data);
    file
}
