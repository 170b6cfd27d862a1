//! Threads pass numbers through a buffer of four: two produce, two consume, none is lost (R17,
//! R21).

#![no_std]
#![no_main]

use guest_user::sync::BoundedBuffer;
use guest_user::thread;
use guest_user::{Arguments, println};

guest_user::entry!(main);

const EACH: u64 = 500;

static BUFFER: BoundedBuffer<Option<u64>, 4> = BoundedBuffer::new();

fn main(_: Arguments) -> u8 {
    let producers = [0, EACH].map(|first| {
        thread::spawn(move || {
            (first..first + EACH).for_each(|number| BUFFER.send(Some(number)));
            BUFFER.send(None);
        })
        .expect("a thread")
    });
    let consumers = [(); 2].map(|()| thread::spawn(consume).expect("a thread"));
    for producer in producers {
        producer.join();
    }
    let (mut count, mut sum) = (0, 0);
    for consumer in consumers {
        let (numbers, total) = consumer.join();
        count += numbers;
        sum += total;
    }
    println!("{count} numbers, sum {sum}");
    0
}

/// Each consumer ends at one producer's end mark.
fn consume() -> (u64, u64) {
    let (mut count, mut sum) = (0, 0);
    while let Some(number) = BUFFER.receive() {
        count += 1;
        sum += number;
    }
    (count, sum)
}
