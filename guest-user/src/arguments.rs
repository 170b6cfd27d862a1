//! A program's arguments and environment.

use core::ffi::{CStr, c_char};
use core::slice;

/// Arguments and environment, as the kernel put them on the stack.
#[derive(Clone, Copy)]
pub struct Arguments {
    arguments: &'static [*const c_char],
    environment: &'static [*const c_char],
}

impl Arguments {
    /// # Safety
    /// `stack` is the stack pointer that the program started with.
    pub unsafe fn from_stack(stack: *const u64) -> Self {
        // SAFETY: there are the count, that many pointers and a null, then the
        // environment's pointers and a null; nobody writes to any of it.
        unsafe {
            let count = *stack as usize;
            let arguments = stack.add(1).cast::<*const c_char>();
            let environment = arguments.add(count + 1);
            let mut environment_count = 0;
            while !(*environment.add(environment_count)).is_null() {
                environment_count += 1;
            }
            Self {
                arguments: slice::from_raw_parts(arguments, count),
                environment: slice::from_raw_parts(environment, environment_count),
            }
        }
    }

    /// All arguments; the first is the program's name.
    pub fn iter(self) -> impl Iterator<Item = &'static str> {
        self.arguments.iter().map(text)
    }

    /// All arguments as the kernel has them.
    pub fn c_strings(self) -> impl Iterator<Item = &'static CStr> {
        self.arguments.iter().map(c_string)
    }

    /// The environment: strings like `NAME=value`.
    pub fn environment(self) -> impl Iterator<Item = &'static str> {
        self.environment.iter().map(text)
    }

    /// The first argument after the program's name.
    pub fn first(self) -> Option<&'static str> {
        self.iter().nth(1)
    }

    /// The first argument after the program's name as a number.
    ///
    /// # Panics
    /// It is not one.
    pub fn number_or(self, default: u64) -> u64 {
        self.first().map_or(default, |text| {
            text.parse().expect("the argument must be a number")
        })
    }
}

fn c_string(pointer: &*const c_char) -> &'static CStr {
    // SAFETY: each pointer of `Arguments` leads to a string that ends with a zero.
    unsafe { CStr::from_ptr(*pointer) }
}

fn text(pointer: &*const c_char) -> &'static str {
    c_string(pointer).to_str().unwrap_or("(not UTF-8)")
}

#[cfg(test)]
mod tests {
    use super::Arguments;

    #[test]
    fn the_initial_stack_is_read() {
        let strings = [c"args", c"17", c"PATH=/bin"];
        let [name, number, path] = strings.map(|string| string.as_ptr() as u64);
        let stack = [2, name, number, 0, path, 0];
        // SAFETY: laid out as a kernel would, and `strings` is static.
        let arguments = unsafe { Arguments::from_stack(stack.as_ptr()) };
        assert!(arguments.iter().eq(["args", "17"]));
        assert!(arguments.environment().eq(["PATH=/bin"]));
        assert_eq!(arguments.number_or(3), 17);
    }
}
