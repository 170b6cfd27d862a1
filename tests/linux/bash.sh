bash -c '
declare -A colour=([sky]=blue [grass]=green)
for name in grass sky; do echo "$name ${colour[$name]^^}"; done
numbers=({1..20}); echo "${numbers[@]:5:3}" "${#numbers[@]}"
fib() { (($1 < 2)) && echo "$1" || echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); }
fib 7
while read -r word count; do printf "%s=%d\n" "$word" "$count"; done <<< "one 1
two 2"
diff <(seq 5) <(seq 2 6)
trap "echo trapped" USR1; kill -USR1 $$
(sleep 0.1; exit 3) & wait $!; echo "child $?"
set -o pipefail; false | true; echo "pipe $?"
exec 3<> file; echo text >&3; cat file; echo *
'
