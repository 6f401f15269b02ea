# Written by indelible (adopt --scripts); `indelible release` puts back what was here before.
# The flags, variables, printed lines and exit codes are those of the framework's script of this name:
# 1 input, 2 database, 3 git, 4 file system, 5 missing dependency, 6 security, 7 validation.

# Output that cannot be written changes no exit code: what is recorded must not be repeated.
trap '' PIPE
(true <&0) 2>/dev/null || exec </dev/null
(true >&1) 2>/dev/null || exec >/dev/null
(true >&2) 2>/dev/null || exec 2>/dev/null

say() { # format, arguments
    printf "$@" 2>/dev/null || :
}

home=$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd) || exit 4

fail() { # code, message
    say 'ERROR: %s\n' "$2" >&2
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
# A word that is not in $known is skipped with a warning; the framework skips it too.
take() {
    flag=$1 value= words=1
    case $flag in
        --*=*) value=${flag#*=} flag=${flag%%=*} ;;
        -h | --help) show_help ;;
    esac
    case " $known " in
        *" $flag "*) ;;
        *)
            say 'WARN: %s is unknown, and ignored\n' "$1" >&2
            flag=
            return 0
            ;;
    esac
    [ "$flag" = "$1" ] || return 0
    [ $# -ge 2 ] || fail 1 "$flag has no value"
    value=$2 words=2
}

# ask NAME PROMPT: takes the next line of the input for a field; at the end of the input the field keeps its value.
ask() {
    [ -t 0 ] && say '%s: ' "$2" >&2
    IFS= read -r answer || [ -n "$answer" ] || return 0
    eval "$1=\$answer"
}

# ask_lines NAME PROMPT: as ask; of input that is no terminal all lines up to an empty one.
ask_lines() {
    if [ -t 0 ]; then
        ask "$@"
        return 0
    fi
    lines=
    while IFS= read -r answer || [ -n "$answer" ]; do
        [ -n "$answer" ] || break
        lines=$lines$answer$newline
        answer=
    done
    [ -z "$lines" ] || eval "$1=\${lines%\"\$newline\"}"
}

newline='
'

# flat NAME: makes one line of a field that has to be one.
flat() {
    eval "field=\$$1"
    case $field in
        *"$newline"*) field=$(printf '%s' "$field" | tr '\n' ' ') && eval "$1=\$field" ;;
    esac
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

# record TEXT ARGUMENT...: records, with TEXT as what - stands for; sets id, path, row and refused. Callers read the row's number.
record() {
    text=$1
    shift
    receipt=$(printf '%s' "$text" | "$indelible" --home "$home" --set record.row=recorder --json record "$@" 2>&1)
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
        say 'Database record created (ID: %s)\n' "$row"
    elif [ -n "$refused" ]; then
        fail 2 "the database refused the row: $refused; $home/$path and the journal have the record, do not repeat it"
    else
        say 'Database record pending (record %s)\n' "$id"
    fi
}
