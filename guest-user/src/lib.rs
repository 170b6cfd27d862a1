//! Runtime for guest programs.

#![cfg_attr(not(test), no_std)]
