# From the PVH entry point to Rust in long mode, at the kernel's own addresses.
#
# State at entry (xen/include/public/arch-x86/hvm/start_info.h): 32-bit protected mode,
# flat segments, paging off, interrupts off, ebx = address of the start info.
# Tables and descriptors are data of the image, so that nothing is built here.

    .set KERNEL_BASE, {KERNEL_BASE}

    # ELF notes: where a PVH loader starts us, and where our VMM finds the
    # counters and the trace.
    .pushsection .note.ringfence, "a", @note
    .balign 4
    .long 4, 8, 18                      # sizes of name and descriptor; XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_start - KERNEL_BASE
    .balign 4
    .long 10, 8, {NOTE_SHARED_PAGE}
    .asciz "Ringfence"
    .balign 4
    .quad {shared_page} - KERNEL_BASE
    .balign 4
    .long 10, 8, {NOTE_TRACE_RING}
    .asciz "Ringfence"
    .balign 4
    .quad {trace_ring} - KERNEL_BASE
    .popsection

    .pushsection .text.boot, "ax"
    .set boot_pml4_physical, boot_pml4 - KERNEL_BASE
    .set boot_gdtr_physical, boot_gdtr - KERNEL_BASE
    .set long_mode_physical, long_mode - KERNEL_BASE

    .code32
    .global pvh_start
pvh_start:
    mov eax, offset boot_pml4_physical
    mov cr3, eax
    mov eax, {CR4}
    mov cr4, eax
    mov ecx, {MSR_EFER}
    mov eax, {EFER}
    xor edx, edx
    wrmsr
    mov eax, {CR0}
    mov cr0, eax                        # paging on: long mode, compatibility submode
    lgdt [boot_gdtr_physical]
    .byte 0xea                          # jmp KERNEL_CODE:long_mode; no assembler agrees
    .long long_mode_physical            # with another on how to spell it
    .word {KERNEL_CODE}

    .code64
long_mode:
    movabs rax, offset kernel_addresses # from the identity map to the kernel's window
    jmp rax
kernel_addresses:
    xor eax, eax                        # 64-bit mode ignores ds and es; fs and gs are
    mov ds, eax                         # the programs'
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov eax, {KERNEL_DATA}
    mov ss, eax
    lea rsp, [rip + {boot_stack} + {BOOT_STACK_SIZE}]
    xor ebp, ebp
    mov edi, ebx                        # the start info, as the loader left it
    call {kernel_main}
    ud2
    .popsection

    .pushsection .rodata.boot, "a"
boot_gdtr:
    .word {GDT_SIZE} - 1
    .quad {gdt} - KERNEL_BASE
    .popsection

    # Page tables (Intel SDM vol. 3A 4.5).
    .set TABLE, {TABLE}
    .set LARGE, {LARGE}                 # 2 MiB
    .set UNCACHED, {UNCACHED}           # the same, for devices
    .set NX, {NO_EXECUTE}
    .set IMAGE_DATA, {IMAGE_DATA}       # 4 KiB
    .set IMAGE_RODATA, {IMAGE_RODATA}
    .set IMAGE_TEXT, {IMAGE_TEXT}

    .pushsection .rodata.boot_entries, "a"
    .balign 8
    .global image_text
image_text:                             # paging::protect_image
    .set frame, 0
    .rept 512 * {IMAGE_TABLES}
    .quad frame + IMAGE_TEXT
    .set frame, frame + 0x1000
    .endr
    .global image_rodata
image_rodata:
    .set frame, 0
    .rept 512 * {IMAGE_TABLES}
    .quad frame + IMAGE_RODATA
    .set frame, frame + 0x1000
    .endr
    .popsection

    .pushsection .data.boot_tables, "aw"
    .balign 4096
    .global boot_pml4
boot_pml4:
    .quad pdpt_direct - KERNEL_BASE + TABLE         # identity, until forget_identity_map
    .fill 255, 8, 0
    .quad pdpt_direct - KERNEL_BASE + TABLE + NX    # direct map of physical memory
    .fill 254, 8, 0
    .quad pdpt_kernel - KERNEL_BASE + TABLE         # the top 512 GiB

pdpt_direct:
    .quad pd_direct - KERNEL_BASE + TABLE
    .quad pd_direct - KERNEL_BASE + 0x1000 + TABLE
    .quad pd_direct - KERNEL_BASE + 0x2000 + TABLE
    .quad pd_direct - KERNEL_BASE + 0x3000 + TABLE
    .fill 508, 8, 0                     # more than 4 GiB: paging::extend_direct_map

pdpt_kernel:
    .fill 509, 8, 0
    .quad pd_stacks - KERNEL_BASE + TABLE + NX      # -3 GiB: kernel stacks
    .quad pd_image - KERNEL_BASE + TABLE            # -2 GiB: the image
    .quad pd_devices - KERNEL_BASE + TABLE + NX     # -1 GiB: as GPA 3 GiB

pd_direct:                              # the first 4 GiB, where boot loaders put things
    .set frame, 0
    .rept {BOOT_MAPPED} >> 21
    .quad frame + LARGE
    .set frame, frame + 0x200000
    .endr

    .global pd_image
pd_image:
    .set frame, 0                       # all access, until protect_image
    .rept {IMAGE_TABLES}
    .quad frame + LARGE
    .set frame, frame + 0x200000
    .endr
    .fill 512 - {IMAGE_TABLES}, 8, 0

    .global pt_image
pt_image:                               # all data, until protect_image
    .fill {KERNEL_LOAD} >> 12, 8, 0
    .set frame, {KERNEL_LOAD}
    .rept 512 * {IMAGE_TABLES} - ({KERNEL_LOAD} >> 12)
    .quad frame + IMAGE_DATA
    .set frame, frame + 0x1000
    .endr

    .global pd_stacks
pd_stacks:                              # more tables: paging::make_stack_table
    .set table, pt_stacks - KERNEL_BASE + TABLE
    .rept {STACK_TABLES}
    .quad table
    .set table, table + 0x1000
    .endr
    .fill 512 - {STACK_TABLES}, 8, 0

pd_devices:                             # paging.rs, DEVICES
    .set frame, {DEVICES}
    .rept 512
    .quad frame + UNCACHED
    .set frame, frame + 0x200000
    .endr
    .popsection

    .pushsection .bss.boot_tables, "aw", @nobits
    .balign 4096
pt_stacks:                              # kernel_stack.rs
    .skip 4096 * {STACK_TABLES}
    .popsection
