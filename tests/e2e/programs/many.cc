// What a C++ program takes from libstdc++, libgcc and libgomp: streams, exceptions, threads, OpenMP.
#include <filesystem>
#include <iostream>
#include <numeric>
#include <regex>
#include <stdexcept>
#include <thread>
#include <vector>

int main() {
    std::vector<int> numbers(1000);
    std::iota(numbers.begin(), numbers.end(), 1);
    long sum = 0;
#pragma omp parallel for reduction(+ : sum)
    for (int at = 0; at < 1000; at++) sum += numbers[at];
    std::cout << "sum: " << sum << '\n';

    std::thread([] {
        try {
            throw std::runtime_error("thrown");
        } catch (const std::exception &caught) {
            std::cout << "caught: " << caught.what() << '\n';
        }
    }).join();
    std::cout << "regex: " << std::regex_match("libstdc++.so.6", std::regex("lib.*\\.so\\.[0-9]")) << '\n';
    std::cout << "users: " << std::filesystem::is_regular_file("/etc/passwd") << '\n';
}
