# Debian's cross compiler for 64-bit Arm, with the libraries of Debian's arm64 packages beside those of this machine
# (multiarch), and qemu-user to run what it makes. `./dev test` installs all of them.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
find_program(CHASKI_QEMU NAMES qemu-aarch64 qemu-aarch64-static REQUIRED)
# The processor "max" has every extension that qemu knows.
set(CMAKE_CROSSCOMPILING_EMULATOR "${CHASKI_QEMU};-cpu;max")
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
# What `./dev` unpacks there: packages that cannot be installed beside this machine's own.
list(PREPEND CMAKE_PREFIX_PATH ${CMAKE_CURRENT_LIST_DIR}/../../.cache/arm64/usr)
