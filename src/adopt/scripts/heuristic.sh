#!/bin/sh
# record-heuristic.sh: records a heuristic.
#
#   record-heuristic.sh --domain TEXT --rule TEXT [--explanation TEXT] [--source failure|success|observation|auto]
#                       [--confidence 0-1|low|medium|high]
#
# or with HEURISTIC_DOMAIN, _RULE, _EXPLANATION, _SOURCE and _CONFIDENCE. On a terminal it asks for what is missing.

@COMMON@
domain=${HEURISTIC_DOMAIN-} rule=${HEURISTIC_RULE-} explanation=${HEURISTIC_EXPLANATION-}
source=${HEURISTIC_SOURCE-} confidence=${HEURISTIC_CONFIDENCE-}
while [ $# -gt 0 ]; do
    take "$@"
    shift "$words"
    case $flag in
        --domain) domain=$value ;;
        --rule) rule=$value ;;
        --explanation) explanation=$value ;;
        --source) source=$value ;;
        --confidence) confidence=$value ;;
        *) fail 1 "unknown option: $flag" ;;
    esac
done

if { [ -z "$domain" ] || [ -z "$rule" ]; } && [ -t 0 ]; then
    ask domain 'Domain'
    ask rule 'Rule'
    ask explanation 'Explanation'
    ask source 'Source (failure, success, observation)'
    ask confidence 'Confidence (0.0-1.0, low, medium, high)'
fi
[ -n "$domain" ] || fail 1 'Domain cannot be empty'
[ -n "$rule" ] || fail 1 'Rule cannot be empty'

record "$explanation" heuristic --domain="$domain" --rule="$rule" --explanation=- \
    --source="${source:-observation}" --confidence="${confidence:-0.5}"
say_row
printf 'Appended to: %s\n' "$home/$path"
printf 'Heuristic recorded successfully!\n'
