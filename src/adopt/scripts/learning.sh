#!/bin/sh
# record-@KIND@.sh: records a @KIND@.
#
#   record-@KIND@.sh --title TEXT --domain TEXT [--severity 1-5|low|medium|high|critical] [--tags a,b] [--summary TEXT]
#
# or with @PREFIX@_TITLE, _DOMAIN, _SEVERITY, _TAGS and _SUMMARY. Without a title and a domain it reads all of them from
# its input, a line each; the summary may have several and ends with an empty one. An invalid severity is 3.

@COMMON@
title=${@PREFIX@_TITLE-} domain=${@PREFIX@_DOMAIN-} severity=${@PREFIX@_SEVERITY-} tags=${@PREFIX@_TAGS-}
summary=${@PREFIX@_SUMMARY-}
known='--title --domain --severity --tags --summary'
while [ $# -gt 0 ]; do
    take "$@"
    shift "$words"
    case $flag in
        --title) title=$value ;;
        --domain) domain=$value ;;
        --severity) severity=$value ;;
        --tags) tags=$value ;;
        --summary) summary=$value ;;
    esac
done

if [ -z "$title" ] || [ -z "$domain" ]; then
    ask title 'Title'
    [ -n "$title" ] || fail 1 'Title cannot be empty'
    ask domain 'Domain'
    [ -n "$domain" ] || fail 1 'Domain cannot be empty'
    ask severity 'Severity (1-5, low, medium, high, critical)'
    ask tags 'Tags (comma-separated)'
    ask_lines summary 'Summary'
fi
case $severity in
    [1-5] | [Ll]ow | [Mm]edium | [Hh]igh | [Cc]ritical) ;;
    *) severity=3 ;;
esac
flat title
flat domain
flat tags

record "$summary" @KIND@ --title="$title" --domain="$domain" --severity="$severity" --tags="$tags" --summary=-
say 'Created: %s\n' "$home/$path"
say_row
say '@NAME@ recorded successfully!\n'
