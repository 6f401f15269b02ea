# Completions of indelible for bash. The program itself says what fits.
_indelible() {
    local line
    COMPREPLY=()
    # Line by line: an array of the output would take `*` and `[ab]` for names of files.
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("${COMP_WORDS[0]}" complete --at "$COMP_CWORD" -- "${COMP_WORDS[@]}" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && "${COMPREPLY[0]}" == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o bashdefault -o nosort -F _indelible indelible 2>/dev/null || complete -o bashdefault -F _indelible indelible
