//! `fork` returns twice, 0 in the child, which has a copy of the memory (R15).

#![no_std]
#![no_main]

use core::hint::black_box;

use guest_user::process::{self, Fork, Status};
use guest_user::{Arguments, println};

guest_user::entry!(main);

fn main(_: Arguments) -> u8 {
    let mut value = 1_u32;
    let parent = process::id();
    let child = match process::fork() {
        Ok(Fork::Parent(child)) => child,
        Ok(Fork::Child) => {
            *black_box(&mut value) += 1;
            println!("child: fork returned 0, value {value}");
            println!(
                "child: parent is the right one: {}",
                process::parent_id() == parent
            );
            println!("child: own number: {}", process::id() != parent);
            return 3;
        }
        Err(error) => {
            println!("fork: {error:?}");
            return 1;
        }
    };
    let status = process::wait(child);
    println!("parent: child {}", status.unwrap_or(Status::Exited(255)));
    println!("parent: value still {}", *black_box(&mut value));
    println!(
        "parent: fork returned the child's number: {}",
        child > parent
    );
    0
}
