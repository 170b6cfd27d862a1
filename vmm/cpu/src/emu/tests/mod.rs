//! Programs in assembler, run on the emulator; single instructions, also on the host.

mod breakpoints;
mod code_at;
mod edges;
mod float;
mod fxsave;
mod integer;
mod kicks;
mod limits;
mod lockstep;
mod machine;
mod native;
mod paging;
mod pairs;
mod random;
mod sse;
mod string_io;
mod system;
mod threading;
mod x87;
