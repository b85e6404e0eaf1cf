# Judges saved readings by the rules of this branch and contacts no host. What is to be said goes into the summary
# of the job and, for the comment, into the outputs: state is told, nothing or failed.
comment=$RUNNER_TEMP/remedy-comment.md
code=0
if [ -s "$READINGS" ]; then
    remedy apply --dry-run --offline --readings "$READINGS" ${SINCE:+--since "$SINCE"} -o markdown > "$comment" || code=$?
else
    printf '%s\n' '<!-- remedy: dry run -->' '### remedy: not judged: no readings' '' \
        'There are no readings of the protected branch yet, so nobody knows what these rules would do.' > "$comment"
fi
state=told
[ -s "$comment" ] || state=nothing
case $code in
    0 | 2 | 3 | 4 | 5) ;; # Something waits, is bad, unseen or blocked: said in the comment, and no fault of the branch.
    *) state=failed ;;
esac
cat "$comment" >> "$GITHUB_STEP_SUMMARY"
mark=end-$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
{
    echo "state=$state"
    echo "exit-code=$code"
    echo "comment<<$mark"
    cat "$comment"
    echo "$mark"
} >> "$GITHUB_OUTPUT"
[ "$state" != failed ] || exit "$code"
