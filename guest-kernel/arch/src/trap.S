# Every way into the kernel, and the way back to ring 3.
#
# What other kernels keep per CPU behind gs is beside the UserContext here, or in the entry of
# `syscall`, of which each CPU has its own; and gs is never swapped. A trap from ring 3 saves
# everything into the UserContext that ends where TSS.rsp0 points, then returns to whoever called
# enter_user, without the lock that kernel code needs. Traps from ring 0 are few: an interrupt
# while idle, and faults of the three instructions that may fault.

    .set OFFSET_GPR, {FX_SIZE}
    # Where a UserMode keeps the kernel's rsp, from its UserContext on.
    .set OFFSET_RSP, -8

# The general registers of a UserContext.
    .macro pop_general
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop rbp
    pop rbx
    pop rdi
    pop rsi
    pop rdx
    pop r10
    pop r8
    pop r9
    pop rcx
    pop rax
    .endm

# What a function leaves as it was (System V ABI for x86-64, 3.2.1); context.rs has the same
# order.
    .macro push_callee_saved
    push rbp
    push rbx
    push r12
    push r13
    push r14
    push r15
    .endm
    .macro pop_callee_saved
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbx
    pop rbp
    .endm

    .pushsection .trap_stubs, "ax"
    .balign 4096
    .global trap_stubs
trap_stubs:
    # 256 stubs of 16 bytes; at the image's first byte, so that idt.rs is a constant.
    .set vector, 0
    .rept 256
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
    # the CPU pushed an error code
    .else
    push 0
    .endif
    .byte 0x68                          # push imm32; Intel syntax would load from `vector`
    .long vector
    .if vector == 2 || vector == 8 || vector == 18
    jmp fatal_trap
    .else
    jmp trap_entry
    .endif
    .set vector, vector + 1
    .endr
    .balign 16
    .popsection

    .pushsection .text.trap, "ax"

# Stack: vector, error code, rip, cs, rflags, rsp, ss.
trap_entry:
    test byte ptr [rsp + 24], 3         # CPL of the interrupted code
    jz kernel_trap
    push 2                              # all flags clear: gates leave DF, AC and NT as
    popfq                               # the program had them; `syscall` clears them
save_user:
    push rax
    push rcx
    push r9
    push r8
    push r10
    push rdx
    push rsi
    push rdi
    push rbx
    push rbp
    push r11
    push r12
    push r13
    push r14
    push r15
    fxsave64 [rsp - OFFSET_GPR]
    mov rsp, [rsp - OFFSET_GPR + OFFSET_RSP]
    pop_callee_saved
    ret                                 # from enter_user

# The `syscall` instruction: rcx = rip, r11 = rflags, rsp still the program's. Makes the
# frame that a gate would have made. One for each CPU, with its SyscallArea.
    .pushsection .data.syscall, "aw"
    .balign {SYSCALL_AREA_SIZE}
    .global syscall_areas
syscall_areas:
    .popsection
    .balign {SYSCALL_ENTRY_SIZE}
    .global syscall_entries
syscall_entries:
    .rept {MOST_CPUS}
    .balign {SYSCALL_ENTRY_SIZE}
    .pushsection .data.syscall
    .balign {SYSCALL_AREA_SIZE}
2:  .quad 0, 0
    .balign {SYSCALL_AREA_SIZE}
    .popsection
    mov [rip + 2b], rsp
    mov rsp, [rip + 2b + 8]
    push {USER_DATA}
    push qword ptr [rip + 2b]
    push r11
    push {USER_CODE}
    push rcx
    push 0
    push {VECTOR_SYSCALL}
    jmp save_user
    .endr

# extern "C" fn enter_user(context: *mut UserContext)
    .balign 16
    .global enter_user
enter_user:
    push_callee_saved
    mov [rdi + OFFSET_RSP], rsp
    fxrstor64 [rdi]
    lea rsp, [rdi + OFFSET_GPR]
    mov rax, [rip + {sysret_vector}]    # VECTOR_SYSCALL, or no vector at all
    cmp rax, [rdi + {OFFSET_VECTOR}]
    jne 2f
    mov rax, [rdi + {OFFSET_RIP}]
    shr rax, 47                         # sysretq to a non-canonical rip faults in ring 0
    jnz 2f                              # on Intel (CVE-2012-0217)
    pop_general
    mov rcx, [rsp + 16]                 # rip
    mov r11, [rsp + 32]                 # rflags
    mov rsp, [rsp + 40]
    sysretq
2:
    pop_general
    add rsp, 16                         # vector and error code
iret_to_user:
    iretq                               # may fault: see user_return_refused

# A trap in ring 0. The stack is the kernel's own, but for a refused iretq.
kernel_trap:
    cmp qword ptr [rsp + 16], offset iret_to_user
    je user_return_refused
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    mov rdi, rsp                        # 16-byte aligned: the CPU aligned its frame
    cld
    call {kernel_trap_handler}
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq

# iretq refused to return to ring 3 (a non-canonical rip, say), so the program is at
# fault. rsp points into its UserContext, whose frame is whole: what the CPU pushed lies
# below it, with rsp as iretq had it, at the frame's rip. Hand it out as a trap from ring 3; the
# general registers are lost.
user_return_refused:
    mov rax, [rsp]                      # vector
    mov rcx, [rsp + 8]                  # error code
    mov rdx, [rsp + 40]                 # rsp
    mov [rdx - 16], rax
    mov [rdx - 8], rcx
    mov rsp, [rdx - {OFFSET_RIP} + OFFSET_RSP]
    pop_callee_saved
    ret                                 # from enter_user

# Vectors on their own stacks, which the kernel does not survive.
fatal_trap:
    mov rdi, [rsp]                      # vector
    mov rsi, [rsp + 16]                 # rip
    mov rdx, [rsp + 40]                 # rsp
    and rsp, -16
    cld
    call {fatal_trap_handler}
    ud2

# extern "C" fn wait_for_interrupt_unchecked(cpu: &'static Cpu) -> u64: kernel_trap_handler
# finds the CPU in rdi, leaves the vector in rax, and clears IF in the flags that it returns to.
    .balign 16
    .global wait_for_interrupt
wait_for_interrupt:
    sti                                 # takes effect after hlt has begun
    hlt
    ret

# extern "C" fn switch_stacks(save: *mut u64, load: u64): see context.rs
    .balign 16
    .global switch_stacks
switch_stacks:
    push_callee_saved
    mov [rdi], rsp
    mov rsp, rsi
    pop_callee_saved
    ret

# Where the first switch to a new thread returns to: rsp = rbx = its UserMode.
    .global start_thread
start_thread:
    mov rdi, rbx
    call r12
    ud2

# extern "C" fn copy_{{qwords,bytes}}(to: *mut u8, from: *const u8, count: usize) -> Left
# `Left` is where the copy stopped: rax = units not copied. A fault at the `rep` leaves
# by the label after it, with rcx as it was: see user_copy.rs.
    .balign 16
    .global copy_qwords
copy_qwords:
    mov rcx, rdx
    .global copy_qwords_fault
copy_qwords_fault:
    rep movsq
    .global copy_qwords_resume
copy_qwords_resume:
    mov rax, rcx
    ret
    .balign 16
    .global copy_bytes
copy_bytes:
    mov rcx, rdx
    .global copy_bytes_fault
copy_bytes_fault:
    rep movsb
    .global copy_bytes_resume
copy_bytes_resume:
    mov rax, rcx
    ret

# extern "C" fn exchange_word(address: *mut u32, old: u32, new: u32) -> u64
# What was there before: if it was `old`, it is `new` now. After a fault, more than 32 bits.
    .balign 16
    .global exchange_word
exchange_word:
    mov eax, esi
    .global exchange_word_fault
exchange_word_fault:
    lock cmpxchg [rdi], edx
    ret
    .global exchange_word_resume
exchange_word_resume:
    mov rax, -1
    ret
    .popsection
