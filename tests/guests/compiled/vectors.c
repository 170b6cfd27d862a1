// What compilers make vectors of, fused and bit operations, and what is announced.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static double a[1000], b[1000];
static uint32_t numbers[4096];

int main(void) {
    double sum = 0;
    uint64_t bits = 0;
    char text[300];

    printf("avx2 %d fma %d bmi2 %d\n", __builtin_cpu_supports("avx2") != 0,
           __builtin_cpu_supports("fma") != 0, __builtin_cpu_supports("bmi2") != 0);
    for (int i = 0; i < 1000; i++) {
        a[i] = sqrt(i);
        b[i] = i / 7.0;
    }
    for (int i = 0; i < 1000; i++)
        sum += a[i] * b[999 - i];
    printf("%a %a\n", sum, fma(a[3], b[7], sum));
    for (uint32_t i = 0, x = 1; i < 4096; i++)
        numbers[i] = x = x * 1664525 + 1013904223;
    for (int i = 0; i < 4096; i++)
        bits += (uint64_t)__builtin_popcount(numbers[i]) * __builtin_clz(numbers[i] | 1) +
                __builtin_ctz(numbers[i] | 1u << 31) + (numbers[i] >> (i & 31));
    printf("%llu\n", (unsigned long long)bits);
    memset(text, 'a', sizeof text);
    text[200] = 'b';
    text[299] = 0;
    printf("%zu %td\n", strlen(text), strrchr(text, 'b') - text);
    return 0;
}
