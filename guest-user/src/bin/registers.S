.pushsection .text.exercise, "ax"
.macro each_general action, base
    \action rax, 0, \base
    \action rbx, 1, \base
    \action rcx, 2, \base
    \action rdx, 3, \base
    \action rsi, 4, \base
    \action rbp, 6, \base
    \action r8, 7, \base
    \action r9, 8, \base
    \action r10, 9, \base
    \action r11, 10, \base
    \action r12, 11, \base
    \action r13, 12, \base
    \action r14, 13, \base
    \action r15, 14, \base
.endm
.macro get register, place, base
    mov \register, [\base + {GENERAL_OFFSET} + 8 * \place]
.endm
.macro put register, place, base
    mov [\base + {GENERAL_OFFSET} + 8 * \place], \register
.endm
.macro each_of_16 action
.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    \action \number
.endr
.endm
.macro get_ymm number
    vmovdqu ymm\number, [rdi + {VECTORS} + 64 * \number]
.endm
.macro put_ymm number
    vmovdqu [rdi + {VECTORS} + 64 * \number], ymm\number
.endm
.macro each_zmm action
    each_of_16 \action
.irp number, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    \action \number
.endr
.endm
.macro get_zmm number
    vmovdqu64 zmm\number, [rdi + {VECTORS} + 64 * \number]
.endm
.macro put_zmm number
    vmovdqu64 [rdi + {VECTORS} + 64 * \number], zmm\number
.endm
.macro spoil_zmm number
    vpternlogd zmm\number, zmm\number, zmm\number, 0xff
.endm
// rdi: what to load, rsi: where to store.
.global exercise
exercise:
    push rbx
    push rbp
    push r12
    push r13
    push r14
    push r15
    push rsi
    fxrstor64 [rdi]
    test byte ptr [rdi + {HAS}], {YMM}
    jz 2f
    each_of_16 get_ymm
    2: test byte ptr [rdi + {HAS}], {AVX_512}
    jz 2f
    each_zmm get_zmm
.irp number, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq k\number, [rdi + {MASKS} + 8 * \number]
.endr
    2: test byte ptr [rdi + {HAS}], {PKRU}
    jz 2f
    xor ecx, ecx
    xor edx, edx
    mov eax, [rdi + {PKRU_OFFSET}]
    wrpkru
    2: test byte ptr [rdi + {HAS}], {BASES}
    jz 2f
    mov rax, [rdi + {BASES_OFFSET}]
    wrfsbase rax
    mov rax, [rdi + {BASES_OFFSET} + 8]
    wrgsbase rax
2:
    push qword ptr [rdi + {FLAGS_OFFSET}]
    popfq
    each_general get, rdi
    mov rdi, [rdi + {GENERAL_OFFSET} + 8 * 5]
// `loop` leaves the flags alone.
    3: loop 3b
    mov byte ptr [r15], 1
// Until the alarm has come.
    4: mov ecx, [rip + {WAITS}]
    jrcxz 5f
    jmp 4b
    5: mov eax, {GETPPID}
    syscall
    mov ecx, {TURNS}
    5: loop 5b
// What the call changed is what it must have changed; the rest must be as it was.
    xchg rdi, [rsp]
    each_general put, rdi
    mov rax, [rsp]
    mov [rdi + {GENERAL_OFFSET} + 8 * 5], rax
    mov rax, fs:[0]
    mov [rdi + {BASED}], rax
    mov rax, gs:[0]
    mov [rdi + {BASED} + 8], rax
    pushfq
    pop qword ptr [rdi + {FLAGS_OFFSET}]
    fxsave64 [rdi]
    test byte ptr [rdi + {HAS}], {YMM}
    jz 6f
    each_of_16 put_ymm
    6: test byte ptr [rdi + {HAS}], {AVX_512}
    jz 6f
    each_zmm put_zmm
.irp number, 0, 1, 2, 3, 4, 5, 6, 7
    kmovq [rdi + {MASKS} + 8 * \number], k\number
.endr
    6: test byte ptr [rdi + {HAS}], {PKRU}
    jz 6f
    xor ecx, ecx
    rdpkru
    mov [rdi + {PKRU_OFFSET}], rax
    6: test byte ptr [rdi + {HAS}], {BASES}
    jz 6f
    rdfsbase rax
    mov [rdi + {BASES_OFFSET}], rax
    rdgsbase rax
    mov [rdi + {BASES_OFFSET} + 8], rax
6:
    fninit
    push {MXCSR}
    ldmxcsr [rsp]
    pop rax
    cld
    pop rsi
    pop r15
    pop r14
    pop r13
    pop r12
    pop rbp
    pop rbx
    ret
// Spoils what a handler may.
.global spoil
spoil:
    fninit
    fldpi
    fldpi
.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    pcmpeqd xmm\number, xmm\number
.endr
    test dil, {YMM}
    jz 7f
.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vcmptrueps ymm\number, ymm\number, ymm\number
.endr
    7: test dil, {AVX_512}
    jz 7f
    each_zmm spoil_zmm
.irp number, 0, 1, 2, 3, 4, 5, 6, 7
    kxnorq k\number, k\number, k\number
.endr
    7: test dil, {PKRU}
    jz 7f
    xor ecx, ecx
    xor edx, edx
    mov eax, {SPOILT_PKRU}
    wrpkru
    7: ret
.popsection
