#!/bin/sh
# start-experiment.sh: starts an experiment. It asks for its name, its hypothesis, and when it counts as confirmed or
# refuted; EXPERIMENT_NAME, _HYPOTHESIS, _SUCCESS_CRITERIA and _FAILURE_CRITERIA answer instead.

@COMMON@
case ${1-} in
    -h | --help) show_help ;;
    '') ;;
    *) fail 1 "unknown option: $1" ;;
esac

name=${EXPERIMENT_NAME-} hypothesis=${EXPERIMENT_HYPOTHESIS-}
success=${EXPERIMENT_SUCCESS_CRITERIA-} failure=${EXPERIMENT_FAILURE_CRITERIA-}
ask name 'Experiment name'
[ -n "$name" ] || fail 1 'Experiment name cannot be empty'
ask hypothesis 'Hypothesis'
[ -n "$hypothesis" ] || fail 1 'Hypothesis cannot be empty'
ask success 'Success criteria'
ask failure 'Failure criteria'

record "$hypothesis" experiment --name="$name" --hypothesis=- --success-criteria="$success" \
    --failure-criteria="$failure"
printf 'Created: %s\n' "$home/$path"
say_row
printf 'Experiment started successfully!\n'
