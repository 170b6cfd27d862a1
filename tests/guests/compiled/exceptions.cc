// Exceptions, through frames with destructors, and one of the library's.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

struct Guard {
    int depth;
    ~Guard() { std::printf("left %d\n", depth); }
};

static int descend(int depth) {
    Guard guard{depth};
    if (depth == 4)
        throw std::runtime_error("too deep: " + std::to_string(depth));
    return descend(depth + 1) + 1;
}

int main() {
    try {
        std::printf("%d\n", descend(0));
    } catch (const std::exception &error) {
        std::printf("caught %s\n", error.what());
    }
    try {
        std::printf("%d\n", std::vector<int>(3).at(7));
    } catch (const std::out_of_range &) {
        std::puts("out of range");
    }
    return 3;
}
