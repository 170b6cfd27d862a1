# From the start-up interrupt, in real mode, to Rust in long mode: for all CPUs but the first.
#
# What is between startup_begin and startup_end is copied to a page of the first MiB, where
# cs:0 is its start. It loads the tables and descriptors of boot.S, and so does in few steps what
# a CPU that wakes in real mode has to: long mode is entered from there at once (AMD APM vol. 2
# 14.6.1 has the steps; protected mode need not come first).

    .pushsection .rodata.startup, "a"
    .code16
    .global startup_begin
startup_begin:
    mov ax, cs
    mov ds, ax
    mov eax, {CR4}
    mov cr4, eax
    mov eax, offset startup_pml4 - KERNEL_BASE
    mov cr3, eax
    mov ecx, {MSR_EFER}
    mov eax, {EFER}
    xor edx, edx
    wrmsr
    .byte 0x66, 0x0f, 0x01, 0x16        # lgdt, all 32 bits of the base
    .word startup_gdtr - startup_begin
    mov eax, {CR0}
    mov cr0, eax                        # protected mode and paging: long mode
    .byte 0x66, 0xea                    # jmp KERNEL_CODE:startup_long_mode
    .long startup_long_mode - KERNEL_BASE
    .word {KERNEL_CODE}
startup_gdtr:
    .word {GDT_SIZE} - 1
    .long {gdt} - KERNEL_BASE
    .global startup_end
startup_end:
    .popsection

    .pushsection .text.boot, "ax"
    .code64
startup_long_mode:
    movabs rax, offset startup_addresses
    jmp rax
startup_addresses:
    xor eax, eax
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov eax, {KERNEL_DATA}
    mov ss, eax
    mov rsp, [rip + {stack}]
    xor ebp, ebp
    call {other_main}
    ud2
    .popsection

    # The tables of boot.S with the identity map, which that one has no more.
    .pushsection .data.boot_tables, "aw"
    .balign 4096
startup_pml4:
    .quad pdpt_direct - KERNEL_BASE + {TABLE}
    .fill 255, 8, 0
    .quad pdpt_direct - KERNEL_BASE + {TABLE} + {NO_EXECUTE}
    .fill 254, 8, 0
    .quad pdpt_kernel - KERNEL_BASE + {TABLE}
    .popsection
