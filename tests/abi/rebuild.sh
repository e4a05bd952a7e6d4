#!/usr/bin/env bash
# Builds the plugin files that are kept for an ABI, from the API's sources of that version:
#
#   tests/abi/rebuild.sh 1.0.0-rc.1 [REVISION]   into tests/abi/1.0.0-rc.1; without a revision, of the working tree
#   tests/abi/rebuild.sh grown                   into tests/abi/grown: of the working tree as grown.patch grows it
#
# Run it once when a version is released, and commit the files: they are what authors have out there. A file that exists
# is replaced only with --replace, because what was released does not change. Needs cargo, cc, strings, gzip and patch.
set -euo pipefail

fail() { printf 'rebuild.sh: %s\n' "$*" >&2; exit 1; }

replace=no
[ "${1-}" != --replace ] || { replace=yes; shift; }
version=${1-} revision=${2-}
[ -n "$version" ] || fail "which version? such as: tests/abi/rebuild.sh 1.0.0-rc.1"
root=$(cd "$(dirname "$0")/../.." && pwd)
kept=$root/tests/abi/$version
sources=$kept
limit=$((300 * 1024))
[ "$(uname -m)" = x86_64 ] || fail "the kept files are of x86_64, this is $(uname -m)"
[ "$replace" = yes ] || ! ls "$kept"/*.so.gz >/dev/null 2>&1 || fail "$kept has files already; --replace puts others there"

# always in the same place, so that cargo knows again what it has built
work=$root/target/abi/$version
rm -rf "$work/plugin-api" "$work/fixture"
mkdir -p "$work"

# The API's sources, alone in a workspace of the same dependencies.
if [ -n "$revision" ]; then
  git -C "$root" archive "$revision" plugin-api Cargo.toml Cargo.lock | tar -x -C "$work"
else
  cp -r "$root/plugin-api" "$root/Cargo.toml" "$root/Cargo.lock" "$work"
fi
api_version() { sed -n 's/^version = "\(.*\)"/\1/p' "$work/plugin-api/Cargo.toml"; }
if [ "$version" = grown ]; then
  sources=$root/tests/abi/$(api_version)
  patch -d "$work" -p1 --no-backup-if-mismatch <"$root/tests/abi/grown.patch"
elif [ "$(api_version)" != "$version" ]; then
  fail "these sources are of plugin API $(api_version), not $version"
fi
sed -i 's/^members = .*/members = ["plugin-api", "fixture"]/' "$work/Cargo.toml"
mkdir -p "$work/fixture" "$kept"
cp "$sources/plugin.rs" "$work/fixture"
cat >"$work/fixture/Cargo.toml" <<'TOML'
[package]
name = "abi-fixture"
version = "1.0.0"
edition = "2024"
description = "Does everything that API 1.0 has"
[lib]
path = "plugin.rs"
crate-type = ["cdylib"]
[dependencies]
twarga-plugin-api.workspace = true
serde.workspace = true
TOML

# Small, and without a word of the machine that built it.
remap="--remap-path-prefix=$work=/src --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
remap="$remap --remap-path-prefix=$(rustc --print sysroot)=/rust"
export RUSTFLAGS="$remap" CARGO_TARGET_DIR="$work/target"
export CARGO_PROFILE_RELEASE_OPT_LEVEL=z CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1
export CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_PANIC=unwind
(cd "$work" && cargo build --quiet --release -p abi-fixture)
cp "$work/target/release/libabi_fixture.so" "$work/rust.so"
(cd "$work" && cc -std=c11 -Wall -Wextra -Werror -Os -s -fPIC -shared -ffile-prefix-map="$work=/src" \
  -I plugin-api/include "$sources/plugin.c" -o "$work/c.so")

for language in rust c; do
  file=$work/$language.so
  gzip -9nc "$file" >"$file.gz"
  size=$(stat -c %s "$file.gz")
  [ "$size" -le "$limit" ] || fail "the plugin in $language has $size bytes, more than $limit"
  # sources of the compiler's own library are known as /rustc/…, which is no path of this machine
  if paths=$(strings -n 4 "$file" | grep -F -e "$root" -e "$work" -e "$HOME/" -e /home/ -e /root/ -e /tmp/); then
    fail "the plugin in $language has paths of this machine: $paths"
  fi
  install -m 644 "$file.gz" "$kept/$language.so.gz"
  printf '%s: %s bytes\n' "tests/abi/$version/$language.so.gz" "$size"
done
