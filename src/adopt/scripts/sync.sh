#!/bin/sh
# sync-db-markdown.sh: reports files without rows and rows without files, or mends them.
#
#   sync-db-markdown.sh [--fix] [--verbose]

@COMMON@
fix= verbose=
for flag; do
    case $flag in
        --fix) fix=yes ;;
        --verbose) verbose=yes ;;
        -h | --help) show_help ;;
        *) fail 1 "unknown option: $flag" ;;
    esac
done

# run COMMAND...: what it says is shown with --verbose, or where it is a report. 1 is disagreement, not a failure.
run() {
    said=$("$indelible" --home "$home" "$@" 2>&1)
    code=$?
    if [ -n "$verbose" ] || [ -z "$fix" ] || [ "$code" -ne 0 ]; then
        printf '%s\n' "$said"
    fi
    [ "$code" -le 1 ] || exit "$(code_of "$code")"
    return "$code"
}

left=0
if [ -n "$fix" ]; then
    run adopt "$home" --repair --yes || left=1
    run repair || left=1
    [ "$left" -eq 0 ] || fail 2 'something is left that could not be mended: see above'
    printf 'Database and markdown files are in sync\n'
else
    run adopt "$home" --dry-run || left=1
    run verify || left=1
    [ "$left" -eq 0 ] || printf 'Run with --fix to mend what is listed above\n'
fi
