# The vDSO: a shared object of one page that every program has, with calls that tell the time
# without a system call (vdso(7)). `vdso.rs` copies it and fills in the data.
#
# It is written out section by section, since it is smaller than what tells a linker to make
# one page of it: ELF header, program headers, symbols with versions, dynamic section, code.
# Nothing in it is relocated: all addresses are offsets from its start.

    .set CALLS, 5
    .set VERSION, 2                     # of all calls; 1 is the object itself

    .macro offset_of_start label
    .quad \label - vdso_start
    .endm

    # An entry of the dynamic section: a tag and an offset.
    .macro dynamic tag, label
    .quad \tag, \label - vdso_start
    .endm

    .pushsection .rodata.vdso, "a"
    .global vdso_start
    .global vdso_data
    .global vdso_end
    .balign 16
vdso_start:
    .byte 0x7f, 'E', 'L', 'F', 2, 1, 1, 0   # 64-bit, little-endian
    .zero 8
    .short 3, 62                        # ET_DYN, EM_X86_64
    .long 1
    .quad 0                             # no entry
    offset_of_start .Lheaders
    .quad 0                             # no sections
    .long 0
    .short 64, 56, 2, 64, 0, 0

.Lheaders:
    .long 1, 5                          # PT_LOAD, readable and executable
    .quad 0, 0, 0
    .quad vdso_end - vdso_start, vdso_end - vdso_start, 4096
    .long 2, 4                          # PT_DYNAMIC, readable
    .rept 3
    offset_of_start .Ldynamic
    .endr
    .quad .Ldynamic_end - .Ldynamic, .Ldynamic_end - .Ldynamic, 8

.Ldynamic:
    .quad 14, .Lsoname - .Lstrings      # DT_SONAME
    dynamic 4, .Lhash                   # DT_HASH
    dynamic 5, .Lstrings                # DT_STRTAB
    dynamic 6, .Lsymbols                # DT_SYMTAB
    .quad 10, .Lstrings_end - .Lstrings # DT_STRSZ
    .quad 11, 24                        # DT_SYMENT
    dynamic 0x6ffffff0, .Lversions      # DT_VERSYM
    dynamic 0x6ffffffc, .Ldefinitions   # DT_VERDEF
    .quad 0x6ffffffd, 2                 # DT_VERDEFNUM
    .quad 0, 0
.Ldynamic_end:

    # A global function in section 1, whatever that is: 0 would be an undefined one.
    .macro symbol name, code, end
    .long \name - .Lstrings
    .byte 0x12, 0
    .short 1
    .quad \code - vdso_start, \end - \code
    .endm

.Lsymbols:
    .zero 24
    symbol .Lclock_gettime_name, .Lclock_gettime, .Lclock_getres
    symbol .Lclock_getres_name, .Lclock_getres, .Lgettimeofday
    symbol .Lgettimeofday_name, .Lgettimeofday, .Ltime
    symbol .Ltime_name, .Ltime, .Lgetcpu
    symbol .Lgetcpu_name, .Lgetcpu, .Lcode_end

    # One bucket, whose chain has all symbols.
.Lhash:
    .long 1, 1 + CALLS
    .long 1
    .long 0, 2, 3, 4, 5, 0

.Lversions:
    .short 0
    .rept CALLS
    .short VERSION
    .endr
    .balign 4

    # An Elf64_Verdef and its one Elf64_Verdaux.
    .macro definition flags, version, hash, name, next
    .short 1, \flags, \version, 1
    .long \hash, 20, \next
    .long \name - .Lstrings, 0
    .endm

.Ldefinitions:
    definition 1, 1, 0x0deebfa1, .Lsoname, 28
    definition 0, VERSION, 0x03ae75f6, .Lversion_name, 0

.Lstrings:
    .byte 0
.Lsoname: .asciz "linux-vdso.so.1"
.Lversion_name: .asciz "LINUX_2.6"
.Lclock_gettime_name: .asciz "__vdso_clock_gettime"
.Lclock_getres_name: .asciz "__vdso_clock_getres"
.Lgettimeofday_name: .asciz "__vdso_gettimeofday"
.Ltime_name: .asciz "__vdso_time"
.Lgetcpu_name: .asciz "__vdso_getcpu"
.Lstrings_end:

    .balign 8
vdso_data:                              # struct Data in vdso.rs
.Lcounter_at_boot: .quad 0
.Lns_per_count: .quad 0
.Lrealtime_at_boot: .quad 0
.Lis_usable: .quad 0
.Lare_several: .quad 0

    .set CLOCKS_SINCE_1970, 1 << 0 | 1 << 5 # REALTIME and its coarse one
    # MONOTONIC, its raw and its coarse one, BOOTTIME
    .set CLOCKS_SINCE_BOOT, 1 << 1 | 1 << 4 | 1 << 6 | 1 << 7
    .set LAST_CLOCK, 7
    .set NS_PER_S, 1000000000
    .set SYS_GETTIMEOFDAY, 96
    .set SYS_TIME, 201
    .set SYS_GETCPU, 309
    .set SYS_CLOCK_GETTIME, 228
    .set SYS_CLOCK_GETRES, 229

    # rax = seconds, rdx = nanoseconds since boot plus those in \base. Changes rcx.
    .macro read_clock base
    lfence                              # not before what the program did before
    rdtsc
    shl rdx, 32
    or rax, rdx
    sub rax, [rip + .Lcounter_at_boot]
    mul qword ptr [rip + .Lns_per_count]
    shrd rax, rdx, 32                   # 32 bits of fraction
    add rax, \base
    xor edx, edx
    mov ecx, NS_PER_S
    div rcx
    .endm

    .macro jump_if_not_usable label
    cmp qword ptr [rip + .Lis_usable], 0
    je \label
    .endm

    # int clock_gettime(clockid_t edi, struct timespec *rsi)
    .balign 16
.Lclock_gettime:
    cmp edi, LAST_CLOCK
    ja 3f
    jump_if_not_usable 3f
    xor r8d, r8d
    mov eax, CLOCKS_SINCE_BOOT
    bt eax, edi
    jc 2f
    mov eax, CLOCKS_SINCE_1970
    bt eax, edi
    jnc 3f
    mov r8, [rip + .Lrealtime_at_boot]
2:  read_clock r8
    mov [rsi], rax
    mov [rsi + 8], rdx
    xor eax, eax
    ret
3:  mov eax, SYS_CLOCK_GETTIME
    syscall
    ret

    # int clock_getres(clockid_t edi, struct timespec *rsi)
    .balign 16
.Lclock_getres:
    mov eax, SYS_CLOCK_GETRES
    syscall
    ret

    # int gettimeofday(struct timeval *rdi, struct timezone *rsi)
    .balign 16
.Lgettimeofday:
    jump_if_not_usable 4f
    test rdi, rdi
    jz 2f
    read_clock [rip + .Lrealtime_at_boot]
    mov [rdi], rax
    mov eax, edx
    xor edx, edx
    mov ecx, 1000
    div ecx
    mov [rdi + 8], rax
2:  test rsi, rsi
    jz 3f
    mov qword ptr [rsi], 0              # UTC
3:  xor eax, eax
    ret
4:  mov eax, SYS_GETTIMEOFDAY
    syscall
    ret

    # time_t time(time_t *rdi)
    .balign 16
.Ltime:
    jump_if_not_usable 3f
    read_clock [rip + .Lrealtime_at_boot]
    test rdi, rdi
    jz 2f
    mov [rdi], rax
2:  ret
3:  mov eax, SYS_TIME
    syscall
    ret

    # int getcpu(unsigned *rdi, unsigned *rsi): one CPU, or ask the kernel; one node. Programs that
    # ask often have an area of restartable sequences.
    .balign 16
.Lgetcpu:
    cmp qword ptr [rip + .Lare_several], 0
    jne 4f
    xor eax, eax
    test rdi, rdi
    jz 2f
    mov [rdi], eax
2:  test rsi, rsi
    jz 3f
    mov [rsi], eax
3:  ret
4:  xor edx, edx
    mov eax, SYS_GETCPU
    syscall
    ret
.Lcode_end:
vdso_end:
    .popsection
