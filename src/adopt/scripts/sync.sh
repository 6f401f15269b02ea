#!/bin/sh
# sync-db-markdown.sh: reports files without rows and rows without files, or mends them.
#
#   sync-db-markdown.sh [--fix] [--verbose | -v]

@COMMON@
fix= verbose=
for flag; do
    case $flag in
        --fix) fix=--fix ;;
        --verbose | -v) verbose=--verbose ;;
        -h | --help) show_help ;;
        *) fail 1 "Unknown argument: $flag" ;;
    esac
done

"$indelible" --home "$home" sync-report $fix $verbose
code=$?
# 1 is something that could not be mended.
[ "$code" -ne 1 ] || exit 2
exit "$(code_of "$code")"
