//! The kernel's image: the library, linked with `kernel.ld`.

#![no_std]
#![no_main]

arch::entry!(guest_kernel::start);
