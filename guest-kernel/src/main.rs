//! The kernel's image: the library, linked with `kernel.ld`.

#![no_std]
#![no_main]

extern crate guest_kernel;
