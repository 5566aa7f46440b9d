#!/bin/sh
# The C compiler for Windows, as cgo wants it. cgo asks about thousands of names at
# once whether each is a type, by using it as one; for each that is none GCC looks
# through all it knows for a similar word, which takes minutes for the names of
# OpenGL. Asked by a cast GCC only says that it is none.
for f; do
  case $f in
  *cgo-gcc-input-*.c) sed -E -i 's/^(void __cgo_f_[0-9]+_2\(void\) \{) (.*) \*__cgo_undefined__2; \}$/\1 (void)(\2 *)0; }/' "$f" ;;
  esac
done
exec x86_64-w64-mingw32-gcc "$@"
