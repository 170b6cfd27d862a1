//! What a hypervisor is: memory with machine code in it, a virtual CPU that runs it, and a
//! loop that does what the code cannot do by itself.
//!
//! `cargo run --release --example hello_machine_code [auto|kvm|emu]`
//!
//! No kernel, no devices: each VM exit is printed, and what the guest sends to the serial
//! port is put together to a line.

use std::env;
use std::error::Error;

use vmm::accel::{AccelChoice, Accelerator};
use vmm::boot;
use vmm::cpu::emu::EmuConfig;
use vmm::devices::ApicMode;
use vmm::exit::VmExit;
use vmm::memory::GuestRam;

const RAM: u64 = 1 << 20;
const ENTRY: u32 = 0x1000;
const SERIAL: u16 = 0x3f8;
const KEYBOARD: u16 = 0x60;

/// 32-bit protected mode, as PVH starts a guest.
#[rustfmt::skip]
const GUEST: &[u8] = &[
    0x66, 0xba, 0xf8, 0x03,         // mov dx, SERIAL
    0xb0, b'H', 0xee,               // mov al, 'H' ; out dx, al
    0xb0, b'i', 0xee,               // mov al, 'i' ; out dx, al
    0xb9, 0x40, 0x42, 0x0f, 0x00,   // mov ecx, 1000000
    0xe2, 0xfe,                     // loop to itself: a million instructions, no exit
    0x66, 0xba, 0x60, 0x00,         // mov dx, KEYBOARD
    0xec,                           // in al, dx
    0x40,                           // inc eax
    0xa2, 0x00, 0x00, 0x00, 0xd0,   // mov [0xd0000000], al, where there is no memory
    0xf4,                           // hlt
];

fn main() -> Result<(), Box<dyn Error>> {
    let choice: AccelChoice = env::args().nth(1).as_deref().unwrap_or("auto").parse()?;
    let (accelerator, _) = Accelerator::open(choice, false)?;
    println!(
        "runs on {} ({})",
        accelerator.accel(),
        accelerator.host_kind()
    );

    let ram = GuestRam::new(RAM)?;
    ram.write(ENTRY.into(), GUEST)?;
    let mut vcpu = accelerator.create_vcpu(&ram, ApicMode::User, EmuConfig::default())?;
    vcpu.set_state(&boot::start_state(ENTRY))?;

    let mut said = String::new();
    loop {
        let mut exit = vcpu.run()?;
        // What the guest reads must be there when it runs on.
        if let VmExit::PioIn {
            port: KEYBOARD,
            data,
            ..
        } = &mut exit
        {
            data.fill(b'!' - 1);
        }
        println!("exit: {exit:x?}");
        match exit {
            VmExit::PioOut {
                port: SERIAL, data, ..
            }
            | VmExit::MmioWrite { data, .. } => {
                said.extend(data.iter().copied().map(char::from));
            }
            VmExit::PioIn { port: KEYBOARD, .. } => {}
            VmExit::Hlt => break,
            other => return Err(format!("did not expect {other:?}").into()),
        }
    }
    println!("the guest said {said:?}");
    Ok(())
}
