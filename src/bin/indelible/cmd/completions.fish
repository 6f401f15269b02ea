# Completions of indelible for fish. The program itself says what fits.
function __indelible_complete
    set -l before (commandline --current-process --tokenize --cut-at-cursor)
    $before[1] complete --with-help -- $before (commandline --current-token) 2>/dev/null
end
complete --command indelible --no-files --keep-order --arguments '(__indelible_complete)'
