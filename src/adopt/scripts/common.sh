# Written by indelible (adopt --scripts); `indelible release` puts back what was here before.
# The flags, variables, printed lines and exit codes are those of the framework's script of this name:
# 1 input, 2 database, 3 git, 4 file system, 5 missing dependency, 6 security, 7 validation.

home=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd) || exit 4

fail() { # code, message
    printf 'ERROR: %s\n' "$2" >&2
    exit "$1"
}

indelible='@BINARY@'
[ -x "$indelible" ] || indelible=$(command -v indelible) || fail 5 'indelible is not installed'

# What an exit code of indelible is in the framework's. Nothing was recorded, whichever it is.
code_of() {
    case $1 in
        0) echo 0 ;;
        64) echo 1 ;;
        65) echo 7 ;;
        75) echo 2 ;;
        77) echo 6 ;;
        126 | 127) echo 5 ;;
        *) echo 4 ;;
    esac
}

# The head of the script is its help.
show_help() {
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
    exit 0
}

# take WORD...: sets flag and value to those that come first, joined by = or not, and words to how many words they are.
take() {
    flag=$1 words=1
    case $flag in
        --*=*) value=${flag#*=} flag=${flag%%=*} ;;
        -h | --help) show_help ;;
        *)
            [ $# -ge 2 ] || fail 1 "$flag: unknown, or without a value"
            value=$2 words=2
            ;;
    esac
}

# ask NAME PROMPT: asks for a field that was not given.
ask() {
    eval "given=\$$1"
    [ -n "$given" ] && return 0
    printf '%s: ' "$2" >&2
    IFS= read -r answer || answer=
    eval "$1=\$answer"
}

# reason ANSWER: why nothing was recorded, for people: the causes and the hint of an answer in JSON, in which nothing but
# quotes and backslashes is escaped. Whatever else was said stays as it is.
reason() {
    printf '%s\n' "$1" | sed '/^{"causes":\["/!b
        s/^{"causes":\["\(.*\)"\],"error":"[^"]*","exit":[0-9]*,"hint":\(.*\)}$/\1; \2/
        s/; null$//
        s/; "\(.*\)"$/; \1/
        s/","/: /g
        s/\\\(["\\]\)/\1/g'
}

# record TEXT ARGUMENT...: records, with TEXT as what - stands for; sets id, path, row and refused.
record() {
    text=$1
    shift
    receipt=$(printf '%s' "$text" | "$indelible" --home "$home" --json record "$@" 2>&1)
    code=$?
    [ "$code" -eq 0 ] || fail "$(code_of "$code")" "$(reason "$receipt")"
    # A receipt's fields are ids, numbers and plain paths: nothing in them is escaped. Warnings may stand beside it.
    id=$(printf '%s\n' "$receipt" | sed -n 's/^{.*"id":"\([^"]*\)".*/\1/p')
    path=$(printf '%s\n' "$receipt" | sed -n 's/^{.*"path":"\([^"]*\)".*/\1/p')
    row=$(printf '%s\n' "$receipt" | sed -n 's/^{.*"row_id":\([0-9]*\).*/\1/p')
    refused=$(printf '%s\n' "$receipt" | sed -n 's/^.*the row was refused: \(.*\); the file and the journal.*$/\1/p')
}

# The record is kept whichever it is; without a number its row is inserted by the worker, unless the table refuses it.
say_row() {
    if [ -n "$row" ]; then
        printf 'Database record created (ID: %s)\n' "$row"
    elif [ -n "$refused" ]; then
        fail 2 "the database refused the row: $refused; $home/$path and the journal have the record, do not repeat it"
    else
        printf 'Database record pending (record %s)\n' "$id"
    fi
}
