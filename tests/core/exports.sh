#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The shared library exports the functions that the headers declare, all of them and nothing else.
#   exports.sh LIBRARY INCLUDE-FOLDER CC NM
set -euo pipefail
export LC_ALL=C
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$4" -D --defined-only "$1" | awk '{ print $NF }' | sort -u >"$scratch/exported"
# Declarations as the compiler sees them, one statement a line; inline functions have a body and no semicolon. Objects
# are `extern`.
"$3" -E -P -I "$2" "$2/flowscope/flowscope.h" | tr '\n' ' ' | sed 's/[;{}]/&\n/g' |
    grep -v 'static inline' | grep -oE '\bfs_[a-z0-9_]+ *\([^*].*\) *;$|\bextern const struct fs_[a-z0-9_]+ fs_[a-z0-9_]+ *;$' |
    sed 's/.*extern const struct [a-z0-9_]* //; s/ *[(;].*//' | sort -u >"$scratch/declared"
[ -s "$scratch/declared" ] || { echo "no declaration found in $2" >&2; exit 1; }
diff -u --label declared --label exported "$scratch/declared" "$scratch/exported"
