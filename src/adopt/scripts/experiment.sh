#!/bin/sh
# start-experiment.sh: starts an experiment. It reads its name, its hypothesis, and when it counts as confirmed or
# refuted, a line each; EXPERIMENT_NAME, _HYPOTHESIS, _SUCCESS_CRITERIA and _FAILURE_CRITERIA answer instead.

@COMMON@
case ${1-} in
    -h | --help) show_help ;;
esac

name=${EXPERIMENT_NAME-} hypothesis=${EXPERIMENT_HYPOTHESIS-}
success=${EXPERIMENT_SUCCESS_CRITERIA-} failure=${EXPERIMENT_FAILURE_CRITERIA-}
[ -n "$name" ] || ask name 'Experiment name'
[ -n "$name" ] || fail 1 'Experiment name cannot be empty'
[ -n "$hypothesis" ] || ask hypothesis 'Hypothesis'
[ -n "$hypothesis" ] || fail 1 'Hypothesis cannot be empty'
[ -n "$success" ] || ask success 'Success criteria'
[ -n "$failure" ] || ask failure 'Failure criteria'
flat name

record "$hypothesis" experiment --name="$name" --hypothesis=- --success-criteria="$success" \
    --failure-criteria="$failure"
say 'Created: %s\n' "$home/$path"
say_row
say 'Experiment started successfully!\n'
