//! Programs in assembler, run on the emulator. Whether it does what the
//! processor does is the business of `tests/equivalence`.

mod avx;
mod breakpoints;
mod code_at;
mod cpuid;
mod float;
#[cfg(not(debug_assertions))]
mod host_code;
mod integer;
mod kernel_32;
mod kicks;
mod limits;
mod machine;
mod modes;
mod nmi;
mod no_ops;
mod paging;
mod pairs;
mod patched;
mod several;
mod string_io;
mod system;
mod threading;
mod translator;
mod traps;
mod xsave;
