#!/bin/sh
# record-heuristic.sh: records a heuristic.
#
#   record-heuristic.sh --domain TEXT --rule TEXT [--explanation TEXT] [--source failure|success|observation|auto]
#                       [--confidence 0-1|low|medium|high]
#
# or with HEURISTIC_DOMAIN, _RULE, _EXPLANATION, _SOURCE and _CONFIDENCE. Without a domain and a rule it reads all of them
# from its input, a line each. An invalid confidence is 0.7.

@COMMON@
domain=${HEURISTIC_DOMAIN-} rule=${HEURISTIC_RULE-} explanation=${HEURISTIC_EXPLANATION-}
source=${HEURISTIC_SOURCE-} confidence=${HEURISTIC_CONFIDENCE-}
known='--domain --rule --explanation --source --confidence'
while [ $# -gt 0 ]; do
    take "$@"
    shift "$words"
    case $flag in
        --domain) domain=$value ;;
        --rule) rule=$value ;;
        --explanation) explanation=$value ;;
        --source) source=$value ;;
        --confidence) confidence=$value ;;
    esac
done

if [ -z "$domain" ] || [ -z "$rule" ]; then
    ask domain 'Domain'
    [ -n "$domain" ] || fail 1 'Domain cannot be empty'
    ask rule 'Rule'
    [ -n "$rule" ] || fail 1 'Rule cannot be empty'
    ask explanation 'Explanation'
    ask source 'Source (failure, success, observation)'
    ask confidence 'Confidence (0.0-1.0, low, medium, high)'
    # The framework is less sure of what was typed without one than of what was passed without one.
    confidence=${confidence:-0.5}
fi
case $confidence in
    [Ll]ow | [Mm]edium | [Hh]igh) ;;
    '' | . | *[!0-9.]* | *.*.*) confidence=0.7 ;;
    0 | 1 | 0.* | .*) ;;
    1.*[!0]*) confidence=0.7 ;;
    1.*) ;;
    *) confidence=0.7 ;;
esac
flat domain
flat rule
flat source

# The framework keeps each one.
record "$explanation" heuristic --new --domain="$domain" --rule="$rule" --explanation=- \
    --source="${source:-observation}" --confidence="$confidence"
say_row
say 'Appended to: %s\n' "$home/$path"
say 'Heuristic recorded successfully!\n'
