cat > main.c <<'END'
#include <math.h>
#include <pthread.h>
#include <stdio.h>
static void *square(void *of) { *(double *)of *= *(double *)of; return 0; }
int main(void) {
    pthread_t thread;
    double value = 7;
    pthread_create(&thread, 0, square, &value);
    pthread_join(thread, 0);
    printf("%.0f %.6f\n", value, sqrt(value + 1));
    return 9;
}
END
printf 'main: main.c\n\t@gcc -O2 -o $@ $< -lm -lpthread\n' > Makefile
make && ./main; echo "status $?"
echo 'int broken(' > bad.c; gcc -c bad.c 2> /dev/null; echo "status $?"
