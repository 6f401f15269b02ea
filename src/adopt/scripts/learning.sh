#!/bin/sh
# record-@KIND@.sh: records a @KIND@.
#
#   record-@KIND@.sh --title TEXT --domain TEXT [--severity 1-5|low|medium|high|critical] [--tags a,b] [--summary TEXT]
#
# or with @PREFIX@_TITLE, _DOMAIN, _SEVERITY, _TAGS and _SUMMARY. On a terminal it asks for what is missing.

@COMMON@
title=${@PREFIX@_TITLE-} domain=${@PREFIX@_DOMAIN-} severity=${@PREFIX@_SEVERITY-} tags=${@PREFIX@_TAGS-}
summary=${@PREFIX@_SUMMARY-}
while [ $# -gt 0 ]; do
    take "$@"
    shift "$words"
    case $flag in
        --title) title=$value ;;
        --domain) domain=$value ;;
        --severity) severity=$value ;;
        --tags) tags=$value ;;
        --summary) summary=$value ;;
        *) fail 1 "unknown option: $flag" ;;
    esac
done

if { [ -z "$title" ] || [ -z "$domain" ]; } && [ -t 0 ]; then
    ask title 'Title'
    ask domain 'Domain'
    ask severity 'Severity (1-5, low, medium, high, critical)'
    ask tags 'Tags (comma-separated)'
    ask summary 'Summary'
fi
[ -n "$title" ] || fail 1 'Title cannot be empty'
[ -n "$domain" ] || fail 1 'Domain cannot be empty'

record "$summary" @KIND@ --title="$title" --domain="$domain" --severity="${severity:-3}" --tags="$tags" --summary=-
printf 'Created: %s\n' "$home/$path"
say_row
printf '@NAME@ recorded successfully!\n'
