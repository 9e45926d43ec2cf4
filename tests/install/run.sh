#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs a build into an empty prefix and builds programs against it, by CMake and by pkg-config, in C and C++.
#   run.sh BUILD-FOLDER VERSION     CC and CXX name the compilers
set -euo pipefail
build=$1
version=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
prefix=$scratch/prefix

fail() {
    printf 'install test: %s\n' "$*" >&2
    exit 1
}
expect_version() {
    local said
    said=$("$@") || fail "$* failed"
    [ "$said" = "$version" ] || fail "$* said '$said', not $version"
}

cmake --install "$build" --prefix "$prefix" >/dev/null
for file in MIT.txt GPL-2.0-or-later.txt; do
    [ -s "$prefix/share/doc/flowscope/$file" ] || fail "$file is not installed"
done
# Only what is meant for users: no private header, nothing outside our own folders and Wireshark's profiles of our name.
stray=$(cd "$prefix" && find . -type f ! -path '*flowscope*' ! -path '*/wireshark/profiles/Flowscope*')
[ -z "$stray" ] || fail "stray files: $stray"

cmake -S "$here" -B "$scratch/cmake" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null || fail "the CMake package is not usable"
cmake --build "$scratch/cmake" >/dev/null || fail "a CMake consumer does not build"
for program in c_flowscope cxx_flowscope c_flowscope_shared cxx_flowscope_shared; do
    expect_version "$scratch/cmake/$program"
done

pc=$(find "$prefix" -name flowscope.pc)
export PKG_CONFIG_PATH=${pc%/*}
expect_version pkg-config --modversion flowscope
libdir=$(pkg-config --variable=libdir flowscope)
read -ra flags <<<"$(pkg-config --cflags --libs flowscope)"
cp "$here/consumer.c" "$scratch/consumer.cc"
"${CC:-cc}" -std=c11 -o "$scratch/c" "$here/consumer.c" "${flags[@]}"
"${CXX:-c++}" -std=c++11 -o "$scratch/cxx" "$scratch/consumer.cc" "${flags[@]}"
expect_version env LD_LIBRARY_PATH="$libdir" "$scratch/c"
expect_version env LD_LIBRARY_PATH="$libdir" "$scratch/cxx"

# Each header alone, as C and as C++.
for header in "$prefix"/include/flowscope/*.h; do
    printf '#include <flowscope/%s>\n' "${header##*/}" >"$scratch/one.c"
    cp "$scratch/one.c" "$scratch/one.cc"
    "${CC:-cc}" -std=c11 -Wall -Wextra -Wconversion -pedantic -Werror -fsyntax-only "${flags[@]}" "$scratch/one.c"
    "${CXX:-c++}" -std=c++11 -Wall -Wextra -Wconversion -pedantic -Werror -fsyntax-only "${flags[@]}" "$scratch/one.cc"
done
