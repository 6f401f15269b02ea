#compdef indelible
# Completions of indelible for zsh. The program itself says what fits.
_indelible() {
    local line
    local -a candidates
    for line in "${(@f)$("${words[1]}" complete --with-help --at $((CURRENT - 1)) -- "${(@)words}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        local value="${line%%$'\t'*}"
        value="${value//\\/\\\\}"
        value="${value//:/\\:}"
        if [[ $line == *$'\t'* ]]; then
            candidates+=("$value:${line#*$'\t'}")
        else
            candidates+=("$value")
        fi
    done
    (( ${#candidates} )) && _describe -V 'indelible' candidates
}
if [[ "${funcstack[1]}" == _indelible ]]; then
    _indelible "$@"
else
    compdef _indelible indelible
fi
