# Puts what was said in the place of the last comment; posts nothing where nothing is to be said and was never said.
# Where the token may not comment (a pull request from a fork) the summary of the run has it all the same.
body=$RUNNER_TEMP/remedy-body.md
case $STATE in
    told) said=${COMMENT:-"The dry run is in the summary of [the run]($RUN_URL)."} ;;
    nothing) said= ;;
    *) said="The dry run failed; see [the run]($RUN_URL)." ;;
esac
not_commented() {
    echo '::notice title=remedy::the token may not comment here; the dry run is in the summary of the run'
    exit 0
}
last=$(gh api --paginate "repos/$REPOSITORY/issues/$NUMBER/comments?per_page=100" --jq '.[]
    | select(.user.login == env.AUTHOR)
    | select(.body | startswith("<!-- remedy: dry run -->"))
    | .id' | tail -n 1) || not_commented
if [ -z "$said" ] && [ -z "$last" ]; then
    echo 'nothing to say'
    exit 0
fi
said=${said:-"With this branch as it is now, nothing would be started, held back or left unjudged any more."}
case $said in
    '<!-- remedy: dry run -->'*) printf '%s\n' "$said" > "$body" ;;
    *) printf '%s\n' '<!-- remedy: dry run -->' '### remedy' '' "$said" > "$body" ;;
esac
if [ -n "$last" ]; then
    gh api --silent --method PATCH "repos/$REPOSITORY/issues/comments/$last" -F "body=@$body" || not_commented
else
    gh api --silent --method POST "repos/$REPOSITORY/issues/$NUMBER/comments" -F "body=@$body" || not_commented
fi
