# What the precompiled `core` expects of a C library.
#
# String instructions: few instructions retired, and the fastest there is where a
# hypervisor emulates each one. All arguments as in C; DF is clear.

    .pushsection .text.core_support, "ax"
    .global memcpy
    .global memmove
    .global memset
    .global memcmp
    .global bcmp
    .global strlen
    .global rust_eh_personality

    .balign 16
memmove:
    mov rax, rdi
    sub rax, rsi
    cmp rax, rdx                        # unsigned: to lies inside from..from+n
    jb 2f
memcpy:
    mov rax, rdi
    mov rcx, rdx
    shr rcx, 3
    rep movsq
    mov ecx, edx
    and ecx, 7
    rep movsb
    ret
2:
    mov rax, rdi
    lea rdi, [rdi + rdx - 1]
    lea rsi, [rsi + rdx - 1]
    mov rcx, rdx
    std
    rep movsb
    cld
    ret

    .balign 16
memset:
    mov r8, rdi
    movzx eax, sil
    movabs rcx, 0x0101010101010101
    imul rax, rcx
    mov rcx, rdx
    shr rcx, 3
    rep stosq
    mov ecx, edx
    and ecx, 7
    rep stosb
    mov rax, r8
    ret

    .balign 16
memcmp:
bcmp:
    mov rcx, rdx
    xor eax, eax                        # and ZF, for n = 0
    repe cmpsb
    je 2f
    movzx eax, byte ptr [rdi - 1]
    movzx ecx, byte ptr [rsi - 1]
    sub eax, ecx
2:
    ret

    .balign 16
strlen:
    xor eax, eax
    mov rcx, -1
    repne scasb
    not rcx                             # bytes looked at, the zero among them
    lea rax, [rcx - 1]
    ret

# Never called: panics abort.
rust_eh_personality:
    ud2
    .popsection
