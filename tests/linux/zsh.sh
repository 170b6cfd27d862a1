zsh -f <<'SCRIPT'
setopt extended_glob pipe_fail
typeset -A size=(one 1 two 22 three 333)
for name in ${(ko)size}; print -r -- $name ${size[$name]} ${(l:5::.:)name}
mkdir -p tree/{a,b}/deep && touch tree/{a,b}/deep/{x,y}.txt tree/z
ln -s z tree/link
print -l tree/**/*.txt tree/*(@) tree/^(a|b)(.)
print ${(j:,:)${(s: :):-a b c}} $((2 ** 40)) $((7 % 4)) ${${:-name.tar.gz}:r:e}
diff <(print -l 1 2 3) <(print -l 1 3); print "diff $?"
print -l c a b | sort | { read first; print first $first; cat }
coproc { while read line; do print -r -- "<$line>"; done }
print -p question; read -p answer; print $answer; kill $!
zmodload zsh/system zsh/zpty zsh/net/tcp
sysopen -rw -o creat -u fd file; syswrite -o $fd bytes; exec {fd}>&-; print $(<file)
zpty echoes 'read line; print "at a terminal: $line"'
zpty -w echoes words; zpty -r echoes line '*: words*' && print ${line//$'\r'/}; zpty -d echoes
port=$((20000 + $$ % 20000)); ztcp -l $port; listener=$REPLY
ztcp 127.0.0.1 $port; client=$REPLY
ztcp -a $listener; server=$REPLY
print -u $client over loopback; read -u $server line; print $line; ztcp -c
TRAPUSR1() { print caught $1 }
kill -USR1 $$
trap 'print at the end' EXIT
sleep 100 & kill -TERM $!; wait $!; print "status $?"
false | true; print $pipestatus
(exit 7); print $?
{ print first; false } always { print "always $?" }
SCRIPT
echo "status $?"
