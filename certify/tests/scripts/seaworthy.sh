#!/bin/sh
# Plays `seaworthy` on a machine: `check` gives check.json from the folder that this script is
# in, `suite run` runs the cases that its file `cases` names (see run/tests.rs).
dir=$(dirname "$0")
if [ "$1" = check ]; then
    exec cat "$dir/check.json"
fi
while [ $# -gt 0 ]; do
    case $1 in
    --only) only=$2 ;;
    --storage-driver) storage=$2 ;;
    --engine-path) engine=$2 ;;
    --sabotage) fault=+$2 ;;
    esac
    shift
done
echo "$storage $only" >>"$dir/calls"
tell() {
    echo "{\"event\":\"case\",\"id\":\"$1\",\"requirement\":[\"test.x\"],\"outcome\":\"$2\",\"ms\":1,\"detail\":\"$3\"}"
}
# What a run holds its engine to: the digest that a test pretends, or else the file's own.
sha256=$(cat "$dir/engine-sha256" 2>/dev/null || sha256sum "$engine" | cut -d' ' -f1)
echo "{\"event\":\"start\",\"engine\":{\"name\":\"keel$fault\",\"version\":\"0\",\"sha256\":\"$sha256\"},\"cases\":3}"
while read -r id outcome; do
    case ",$only," in
    *",$id,"* | *",${id%%.*},"*) ;;
    *) continue ;;
    esac
    first=no
    [ -e "$dir/$storage-$id" ] || first=yes
    : >"$dir/$storage-$id"
    case $outcome-$first in
    hang-*)
        echo $$ >"$dir/hanging"
        exec sleep 1000
        ;;
    die-yes) exit 3 ;;
    die-no | once-no) tell "$id" pass ;;
    once-yes) tell "$id" fail "the first time" ;;
    fail-*) tell "$id" fail "always" ;;
    *) tell "$id" "$outcome" ;;
    esac
done <"$dir/cases"
echo '{"event":"end","counts":{"pass":0,"fail":0,"skip":0,"broken":0,"flaky":0}}'
